"""docs/command_line.md: its lines run, its tables say what the command says."""

import json
import re

import pytest
import soundfile
from conftest import buzz
from environments import ROOT
from shell_testing import bash_lines, run_line
from test_command_output import verbs

from triglot import command_output

GUIDE = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")


@pytest.fixture
def place(random_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub_configs").mkdir()
    (tmp_path / "hub_configs" / "triglot-tiny").symlink_to(random_checkpoint)
    (tmp_path / "hub_configs" / "triglot-8b").symlink_to(ROOT / "hub_configs" / "triglot-8b")
    for number, name in enumerate(("in", "me", "calls/monday/a", "calls/sunday/a", "calls/b")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(f"{name}.wav", buzz(0.5 + 0.1 * number), 16_000)
    (tmp_path / "sentences.txt").write_text("a red star\n\na blue circle\n")
    return tmp_path


def test_its_lines_run(place):
    printed = {}
    for line in bash_lines(GUIDE):
        code, printed[line] = run_line(line)
        assert code == 0, line
    first, *_ = printed
    assert [line.split(b"\t")[0] for line in printed[first].splitlines()] == [
        b"in.wav", b"calls/b.wav", b"calls/monday/a.wav", b"calls/sunday/a.wav",
    ]  # fmt: skip
    names = ["b", "monday/a", "sunday/a"]
    for folder, ending, expected in (
        ("transcripts", "txt", names),
        ("english", "wav", names),
        ("said", "wav", ["0001", "0002"]),
    ):
        found = sorted(str(path.relative_to(place / folder)) for path in (place / folder).rglob("*.*"))
        assert found == [f"{name}.{ending}" for name in expected]
    assert soundfile.info("out.wav").frames > 0 and soundfile.info("say.wav").frames > 0
    lines = (place / "translated.txt").read_text().splitlines()
    assert len(lines) == 3 and not lines[1]
    for line, text in printed.items():
        if "--json" in line:
            told = [json.loads(each) for each in text.splitlines()]
            assert told and ("describe" in line or {"input", "text"} <= set(told[0]))


def test_its_tables_name_every_verb_and_every_code():
    verb_table, codes = GUIDE.split("## Many inputs")[0], GUIDE.split("## Exit codes")[1]
    named = re.findall(r"`([a-z -]+?)(?: --text)?`", "".join(re.findall(r"^\| (`.*?) \|", verb_table, re.M)))
    assert set(named) == set(verbs())
    constants = ("DONE", "FAILED", "USAGE", "SOME_FAILED", "STOPPED", "NOT_READ")
    assert re.findall(r"^\| (\d+) \|", codes, re.M) == [str(getattr(command_output, name)) for name in constants]
    keys = GUIDE.split("## JSON")[1].split("## Exit codes")[0]
    assert all(f"`{verb}`" in keys or verb.startswith("evaluate ") for verb in verbs())
