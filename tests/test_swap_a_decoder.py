"""docs/swap_a_decoder.md: a decoder of few weights is trained, tried and kept, as the guide says it."""

import re
import shlex
from importlib import import_module

import datasets
import pytest
import soundfile
import torch
from conftest import buzz
from environments import ROOT
from transformers import AutoModel, AutoProcessor

from triglot import TriglotError
from triglot.cli import main, parse
from triglot.training.card_record import Part, read_record
from triglot.training.train_decoder import main as train_decoder

GUIDE = (ROOT / "docs" / "swap_a_decoder.md").read_text(encoding="utf-8")
SMALL = (
    "--max-steps 2 --batch-size 2 --hidden-size 16 --mlp-size 32 --depth-codes 1 --depth-frames 1 --f0-hidden-size 16 --f0-mlp-size 32 "
    "--f0-depth-codes 1 --f0-depth-frames 1 --voice-hidden-size 16 --crop-seconds 0.48 --no-bf16"
)

DUEL = "--max-steps 2 --batch-size 2 --periods 2 --scales 0 --crop-seconds 0.2"
VOCODER = f"{DUEL} --upsample-initial-channel 16 --resblock-kernel-sizes 3 --resblock-dilations 1"
ACOUSTIC = (
    "--max-steps 2 --batch-size 2 --hidden-size 16 --encoder-layers 1 --decoder-layers 1 --linear-units 16 --postnet-units 16 "
    "--predictor-channels 16 --crop-seconds 0.48 --no-bf16"
)


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)


def test_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    soundfile.write("me.wav", buzz(1.0), 16_000)
    sounds = [{"bytes": (tmp_path / "me.wav").read_bytes(), "path": None}] * 4
    datasets.Dataset.from_dict({"audio": sounds, "speaker": list("aabb")}).save_to_disk("speech")
    [train], [report], parts, [compared], [card] = map(commands, blocks("bash"))
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
    assert read_record("mine").parts["speech_decoder"] == Part()  # trained from nothing, as the rest was

    new.config.fingerprint = "another"
    with pytest.raises(TriglotError, match="Codes of another tokenizer"):
        kept.codecs.speech_decoder = new
    for command, small in zip(parts, (VOCODER, ACOUSTIC, DUEL), strict=True):
        module = import_module(command[command.index("-m") + 1])
        module.main([*command[command.index("-m") + 2 :], *shlex.split(small)])
    given = dict(part.split("=") for part in parse(compared[1:]).decoders)
    before, after = (AutoModel.from_pretrained(given[name]) for name in ("before", "after"))
    assert before.config.model_type == after.config.model_type == "triglot_fastspeech2"
    assert before.fingerprint == after.fingerprint == old.fingerprint
    assert not torch.equal(before.vocoder.conv_post.weight, after.vocoder.conv_post.weight)


def commands(block: str) -> list[list[str]]:
    """Words of each command."""
    return [shlex.split(line) for line in block.splitlines()]
