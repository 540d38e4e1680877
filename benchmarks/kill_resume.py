"""Exact resume: runs killed by SIGKILL at random moments, data preparation included, against ones that nobody stopped.

    python benchmarks/kill_resume.py [--kills 20] [--flows own-data recipe] [--checkpoint hub_configs/triglot-tiny]

Flows: `own-data` is `triglot tokenize` and `triglot finetune` (LoRA) on spoken rows of its own; `recipe` is `triglot train` with every
stage: data, encoder, k-means, decoders, codec, token rows, LM. Each is run once to its end, then again and again in new folders: a
process is killed and the same command started again, until it gets through; the first time at a moment drawn uniformly from the time that
the data preparation of the first run took, then from all of its time. All weights and token shards must then be those of the first run,
byte for byte. Exit code 1 where they are not.

The processes are forked from one that has the packages loaded and computes nothing itself, so that a kill costs no imports.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

import triglot.training.finetune
import triglot.training.run_recipe
import triglot.training.tokenize_sources  # noqa: F401  (loaded before the forks)
from triglot.cli import main as triglot_main

RATE = 16_000  # Hz
WRITTEN = ("*.safetensors", "*.parquet")  # what must be equal
ROWS, SHARD_ROWS = 60, 3
STEPS, SAVE_STEPS = 12, 2


def forked(work: Callable[[], int], log: Path) -> int:
    """Starts `work` in a process of its own; returns its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.setsid()
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        torch.set_num_threads(1)
        code = work()
    finally:
        os._exit(code)


def ended(process: int, within: float | None) -> int | None:
    """The exit code; None where `within` seconds passed before, after which the process was killed."""
    deadline = None if within is None else time.monotonic() + within
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() >= deadline:
            os.killpg(process, signal.SIGKILL)
            return None if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL else 0
        time.sleep(0.005)


# ---- flows


def own_data(folder: Path, checkpoint: Path) -> Callable[[Path], int]:
    """Writes wav files, a table and its sources.yaml; returns what runs into a folder."""
    (folder / "wav").mkdir(parents=True)
    lines, rng = ["file\ttext\ttranslation"], np.random.default_rng(0)
    for number in range(ROWS):
        times = np.arange(int((1.0 + 0.03 * number) * RATE)) / RATE
        wave = sum(np.sin(2 * np.pi * (90 + 5 * number) * k * times) / k for k in range(1, 12)) * (
            1 + np.sin(9 * times)
        )
        soundfile.write(folder / "wav" / f"{number}.wav", 0.1 * wave + 0.003 * rng.standard_normal(len(times)), RATE)
        lines.append(f"{number}.wav\tun carré {number}\ta square {number}")
    (folder / "mine.tsv").write_text("\n".join(lines), encoding="utf-8")
    columns = {"audio": "file", "transcript": "text", "translated_transcript": "translation",
               "source_language": "=fr", "target_language": "=en"}  # fmt: skip
    source = {
        "name": "mine",
        "dataset": str(folder / "mine.tsv"),
        "folders": {"audio": str(folder / "wav")},
        "columns": columns,
    }
    sources = folder / "mine.yaml"
    sources.write_text(yaml.safe_dump({"sources": [source]}), encoding="utf-8")
    settings = {
        "save_steps": SAVE_STEPS,
        "logging_steps": 5,
        "pack_length": 128,
        "dtype": "float32",
        "warmup_steps": 0,
    }
    more = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]

    def run(out: Path) -> int:
        tokens = str(out / "tokens")
        made = ["tokenize", str(sources), "--tokenizer", str(checkpoint / "speech_tokenizer"), "--out", tokens]
        learnt = [
            "finetune",
            str(checkpoint),
            "--tokens",
            tokens,
            "--out",
            str(out / "run"),
            "--max-steps",
            str(STEPS),
        ]
        return triglot_main([*made, "--shard-rows", str(SHARD_ROWS)]) or triglot_main(
            [*learnt, "--lora-rank", "4", "--trained-rows", "seen", "--batch-size", "2", *more]
        )

    return run


def recipe(folder: Path, checkpoint: Path) -> Callable[[Path], int]:
    """`tiny_smoke` with more steps and a checkpoint after every second one."""
    packaged = resources.files("triglot.training") / "recipes" / "tiny_smoke.yaml"
    content = yaml.safe_load(packaged.read_text(encoding="utf-8"))
    for settings in content.values():
        if isinstance(settings, dict) and "max_steps" in settings:
            settings |= {"max_steps": 6, "save_steps": SAVE_STEPS}
    content["kmeans"]["save_rows"] = 2
    content["tokens"] = {"shard_rows": 2}
    folder.mkdir(parents=True)
    file = folder / "killed.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return lambda out: triglot_main(["train", str(file), "--output-dir", str(out)])


FLOWS = {"own-data": own_data, "recipe": recipe}
PREPARED = {"own-data": "tokens/report.md", "recipe": "data/stage.json"}  # written when the data are there

# ---- what is there


def digests(out: Path) -> dict[str, str]:
    """{file: sha256} of all that must be equal; the states of runs are not, which keep the last two checkpoints alone."""
    found = (path for pattern in WRITTEN for path in out.rglob(pattern) if "checkpoints" not in path.parts)
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}


def last_touched(out: Path) -> str:
    """The newest file below a folder."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return str(max(files, key=lambda path: path.stat().st_mtime_ns).relative_to(out)) if files else "nothing yet"


def torn(out: Path) -> int:
    """Files, folders and checkpoints that a kill left half written."""
    count = sum(1 for _ in out.rglob(".*.partial"))
    for checkpoint in out.rglob("checkpoint-*"):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            count += checkpoint.is_dir()
    return count


# ---- the measurement


def killed_runs(
    run: Callable[[Path], int], folder: Path, rng: random.Random, kills: int, prepared: str
) -> Iterator[tuple[float, str, int] | bool]:
    """Yields (seconds, last file, torn) after each kill, and whether all is equal after each run that got through.

    Args:
        run: Works in a folder; returns an exit code.
        folder: Gets a folder for each run.
        rng: Draws the moments.
        kills: How many.
        prepared: File of a run that is written when its data are prepared.
    """
    (folder / "whole").mkdir(parents=True)
    start, began = time.monotonic(), time.time()
    if code := ended(forked(partial(run, folder / "whole"), folder / "whole.log"), None):
        raise SystemExit(f"The run that nobody stops ended with {code}; {folder / 'whole.log'} says why.")
    seconds, wanted = time.monotonic() - start, digests(folder / "whole")
    preparing = (folder / "whole" / prepared).stat().st_mtime - began
    print(
        f"{folder.name}: {seconds:.1f} s when nobody stops it, {preparing:.1f} s for its data, {len(wanted)} files",
        flush=True,
    )
    for number in itertools.count(1):
        out, log = folder / f"killed{number}", folder / f"killed{number}.log"
        out.mkdir()
        within = preparing
        while True:
            after = rng.uniform(0, within) if kills else None
            if (code := ended(forked(partial(run, out), log), after)) is not None:
                break
            within = seconds
            kills -= 1
            yield after or 0.0, last_touched(out), torn(out)
        if code:
            raise SystemExit(f"A run that was killed before ended with {code}; {log} says why.")
        found = digests(out)
        for name in sorted(set(wanted) | set(found)):
            if wanted.get(name) != found.get(name):
                print(f"{out.name}: {name} differs", flush=True)
        yield found == wanted
        if not kills:
            return


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="in all, shared out among the flows")
    parser.add_argument("--flows", nargs="+", choices=FLOWS, default=list(FLOWS))
    parser.add_argument("--checkpoint", type=Path, default=Path("hub_configs/triglot-tiny"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="to keep what was written (default: a temporary one)")
    arguments = parser.parse_args()
    kept = arguments.folder or Path(tempfile.mkdtemp(prefix="kill_resume"))
    kept.mkdir(parents=True, exist_ok=True)
    rng, equal, kills = random.Random(arguments.seed), [], 0
    lines = ["| kill | flow | after, s | last file written | half written |", "|---:|---|---:|---|---:|"]
    start = time.monotonic()
    for place, name in enumerate(arguments.flows):
        share = arguments.kills * (place + 1) // len(arguments.flows) - kills
        folder = kept / name
        run = FLOWS[name](folder / "data", arguments.checkpoint.resolve())
        for event in killed_runs(run, folder, rng, share, PREPARED[name]):
            if isinstance(event, bool):
                equal.append(event)
            else:
                kills += 1
                lines.append(f"| {kills} | {name} | {event[0]:.1f} | {event[1]} | {event[2]} |")
    print("\n".join(lines))
    print(f"{kills} kills, {sum(equal)} of {len(equal)} runs bit-identical, {(time.monotonic() - start) / 60:.1f} min")
    return 0 if all(equal) else 1


if __name__ == "__main__":
    raise SystemExit(main())
