"""docs/swap_a_decoder.md: a decoder of few weights is trained, tried and kept, as the guide says it."""

import re
import shlex

import datasets
import pytest
import soundfile
import torch
from conftest import buzz
from environments import ROOT
from transformers import AutoModel, AutoProcessor

from triglot import TriglotError
from triglot.cli import main, parse
from triglot.training.train_decoder import main as train_decoder

GUIDE = (ROOT / "docs" / "swap_a_decoder.md").read_text(encoding="utf-8")
SMALL = (
    "--max-steps 2 --batch-size 2 --hidden-size 16 --mlp-size 32 --depth-codes 1 --depth-frames 1 --f0-hidden-size 16 --f0-mlp-size 32 "
    "--f0-depth-codes 1 --f0-depth-frames 1 --voice-hidden-size 16 --crop-seconds 0.48 --no-bf16"
)


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)


def test_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    soundfile.write("me.wav", buzz(1.0), 16_000)
    sounds = [{"bytes": (tmp_path / "me.wav").read_bytes(), "path": None}] * 4
    datasets.Dataset.from_dict({"audio": sounds, "speaker": list("aabb")}).save_to_disk("speech")
    [train], [report], [card] = map(commands, blocks("bash"))
    train_decoder([*train[train.index("triglot.training.train_decoder") + 1 :], *shlex.split(SMALL)])
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, "docs/swap_a_decoder.md", "exec"), names)
    new, old = (
        AutoModel.from_pretrained(folder) for folder in ("my_decoder", "hub_configs/triglot-tiny/speech_decoder")
    )
    kept = AutoProcessor.from_pretrained("mine")
    assert kept.codecs.speech_decoder.config.hidden_size == new.config.hidden_size == 16 != old.config.hidden_size
    assert len(names["out"]["audio"]) > 0 and names["out"]["sampling_rate"] == new.sampling_rate
    assert torch.equal(kept.codecs.speech_tokenizer.centroids, names["processor"].codecs.speech_tokenizer.centroids)
    assert parse(report[1:]).decoders == ["old=hub_configs/triglot-tiny/speech_decoder", "new=my_decoder"]
    assert main(card[1:]) == 0 and "license: apache-2.0" in (tmp_path / "mine" / "README.md").read_text()

    new.config.fingerprint = "another"
    with pytest.raises(TriglotError, match="Codes of another tokenizer"):
        kept.codecs.speech_decoder = new


def commands(block: str) -> list[list[str]]:
    """Words of each command."""
    return [shlex.split(line) for line in block.splitlines()]
