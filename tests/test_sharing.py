"""docs/sharing.md: its commands and its snippets run in order against a Hub on the loopback interface."""

import json
import re

import numpy as np
from environments import ROOT
from hub_server import HubServer
from shell_testing import bash_lines, run_line
from test_hub_upload import aim
from whole_checkpoint import with_card

from triglot.processing.audio_io import write_audio
from triglot.provenance import synthetic

GUIDE = (ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")


def test_commands_run_in_order(random_checkpoint, tmp_path, monkeypatch):
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    with_card(random_checkpoint, tmp_path / "runs" / "tiny" / "checkpoint")
    monkeypatch.chdir(tmp_path)
    with HubServer() as hub:
        aim(monkeypatch, hub.endpoint, hub.token)
        printed = []
        for line in bash_lines(GUIDE):
            code, said = run_line(line)
            printed.append(said)
            assert code == 0, line
            with open("runs/tiny/checkpoint/README.md", "a") as card:  # what has not changed makes no pull request
                card.write("\nMore.\n")
        repo = hub.repos["me/my-triglot"]
        assert len(printed) == 3 and b"ready to be pushed" in printed[0]
        assert repo.private and repo.history()[0].message == "After 4,000 steps"
        assert "refs/pr/1" in repo.refs and json.loads(printed[2])["pr_url"]


def test_snippets_run_in_order(random_checkpoint, tmp_path, monkeypatch, capsys):
    (tmp_path / "hub_configs").mkdir()
    with_card(random_checkpoint, tmp_path / "hub_configs" / "triglot-tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    write_audio("out.wav", np.full(100, 0.1), 16_000, synthetic("hub_configs/triglot-tiny"))
    names: dict = {}
    with HubServer() as hub:
        aim(monkeypatch, hub.endpoint, hub.token)
        for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
            exec(compile(block, "sharing.md", "exec"), names)
        assert names["commit"].commit_url in capsys.readouterr().out
        assert hub.repos["me/my-triglot"].private and names["spoken"]["audio"].size > 0
        assert "refs/pr/1" in hub.repos["me/from-memory"].refs
    told = re.search(r"^# (synthetic; .*)$", GUIDE, re.M)
    assert told and told[1] == synthetic("hub_configs/triglot-tiny")["comment"]
