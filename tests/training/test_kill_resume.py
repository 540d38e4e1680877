"""A few of the kills of `benchmarks/kill_resume.py`: data preparation and training, killed and started again, end bit-identical."""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"


def killed(checkpoint, folder, *more):
    words = [
        sys.executable,
        str(SCRIPT),
        "--flows",
        "own-data",
        "--checkpoint",
        str(checkpoint),
        "--folder",
        str(folder),
        *more,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)


def test_killed_runs_end_bit_identical(random_checkpoint, tmp_path):
    result = killed(random_checkpoint, tmp_path, "--kills", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    kills, equal, runs = map(int, re.search(r"(\d+) kills, (\d+) of (\d+) runs bit-identical", result.stdout).groups())
    assert kills == 3 and equal == runs >= 1
    assert int(re.search(r"data, (\d+) files", result.stdout)[1]) == 24  # 20 shards, adapter, checkpoint, two codecs
    assert len(re.findall(r"^\| \d+ \| own-data \|", result.stdout, re.M)) == 3


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import kill_resume

    return kill_resume


def test_a_run_that_ends_otherwise_is_found(bench, tmp_path):
    """The measurement itself: a "run" whose result depends on whether it was killed."""

    def run(out):
        again = (out / "begun").exists()
        (out / "begun").touch()
        time.sleep(0.3)
        (out / "begun").touch()
        (out / "model.safetensors").write_text("another" if again else "one")
        return 0

    events = list(bench.killed_runs(run, tmp_path / "toy", random.Random(0), 2, "begun"))
    assert False in events and sum(not isinstance(event, bool) for event in events) == 2
    with pytest.raises(SystemExit, match="nobody stops ended with 3"):
        next(bench.killed_runs(lambda out: 3, tmp_path / "broken", random.Random(0), 1, "begun"))
