"""docs/sharing.md: its commands exist, its snippets run in order against a Hub on the loopback interface."""

import re
import shlex

import numpy as np
from environments import ROOT
from hub_server import HubServer
from test_hub_upload import aim
from whole_checkpoint import with_card

from triglot.cli import parse
from triglot.processing.audio_io import write_audio
from triglot.provenance import synthetic

GUIDE = (ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")


def test_commands_are_understood():
    lines = [line for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.S) for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert parse(shlex.split(line)[1:]).verb == "push"


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
