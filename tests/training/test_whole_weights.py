"""Sharded weights are written whole: two ranks under FSDP2 end as one process does, whole weights and adapter alike, and go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from speech_rows import tokenised_table
from test_accelerate import launch_environment

from triglot import TriglotError, TriglotForConditionalGeneration
from triglot.cli import main
from triglot.training.finetune import FinetuneArguments, lora_config
from triglot.training.new_text_model import new_text_model
from triglot.training.whole_weights import copy_with, skeleton_of

PORT = "29537"


def words(checkpoint, tokens, out, rank, batch):
    settings = {"bf16": "false", "save_steps": 2, "warmup_steps": 0, "dtype": "float32", "pack_length": 128}
    return [
        "finetune", str(checkpoint), "--tokens", str(tokens), "--out", str(out), "--max-steps", "4", "--lora-rank", str(rank),
        "--batch-size", str(batch), "--learning-rate", "0.001", *(w for name in settings for w in ("--set", f"{name}={settings[name]}")),
    ]  # fmt: skip


def sharded(*calls):
    """Runs them one after the other on two ranks."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_PORT": PORT, "PYTHONPATH": str(Path.cwd())}
    given = launch_environment("fsdp2")[1]
    environment |= {name: value for name, value in given.items() if name.startswith(("FSDP", "ACCELERATE_USE"))}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", PORT]
    script = Path(__file__).with_name("sharded_run.py")
    command = [*launcher, str(script), json.dumps(calls)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_sharded_weights_are_written_whole(random_checkpoint, tmp_path):
    (tmp_path / "mine").mkdir()
    texts = [(" ".join(["a square"] * (1 + n % 5)), f"un cuadrado {n}") for n in range(12)]
    tokens = tokenised_table(
        tmp_path / "mine", random_checkpoint / "speech_tokenizer", texts, ("en", "es"), shortest=0.4
    )
    ranks = {"weights": 0, "adapter": 4}
    for name, rank in ranks.items():
        assert main(words(random_checkpoint, tokens, tmp_path / "alone" / name, rank, batch=4)) == 0
    calls = [words(random_checkpoint, tokens, tmp_path / "two" / name, rank, batch=2) for name, rank in ranks.items()]
    result = sharded(*calls)
    assert result.returncode == 0, result.stderr[-3000:]
    shards = tmp_path / "two" / "weights" / "checkpoints" / "checkpoint-4" / "pytorch_model_fsdp_0"
    assert len(list(shards.glob("*.distcp"))) == 2, "it was not sharded"
    files = [
        "weights/checkpoint/model.safetensors",
        "adapter/checkpoint/model.safetensors",
        "adapter/adapter/adapter_model.safetensors",
    ]
    before = load_file(random_checkpoint / "model.safetensors")
    for file in files:
        one, two = (load_file(tmp_path / where / file) for where in ("alone", "two"))
        assert one.keys() == two.keys()
        for key, tensor in one.items():
            torch.testing.assert_close(two[key], tensor, rtol=0, atol=2e-6, msg=f"{file}: {key}")
        assert not all(key in before and torch.equal(two[key], before[key]) for key in two), "nothing was learnt"
    for file in ("config.json", "generation_config.json"):
        one, two = (
            json.loads((tmp_path / where / "weights/checkpoint" / file).read_text()) for where in ("alone", "two")
        )
        assert one == two


def test_what_cannot_be_sharded_is_refused(random_checkpoint, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    model = TriglotForConditionalGeneration.from_pretrained(random_checkpoint)
    with pytest.raises(TriglotError, match="trained_rows is 'seen'"):
        lora_config(model, FinetuneArguments(trained_rows="seen"), [5, 6])
    assert not lora_config(model, FinetuneArguments(), []).trainable_token_indices


def test_a_copy_keeps_ties_and_takes_other_weights():
    model = new_text_model(
        0,
        True,
        vocab_size=30,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    model.get_input_embeddings().weight.requires_grad_(False)
    skeleton = skeleton_of(model)
    assert all(weight.is_meta for weight in skeleton.parameters()) and not any(w.is_meta for w in model.parameters())
    other = {name: torch.full_like(weight, 2.0) for name, weight in model.named_parameters()}
    copied = copy_with(skeleton, other)
    assert copied.lm_head.weight is copied.get_input_embeddings().weight and type(copied) is type(model)
    assert all(bool((weight == 2).all()) for weight in copied.parameters())
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name for name, weight in copied.named_parameters() if weight.requires_grad} == trained
    with pytest.raises(KeyError):
        copy_with(skeleton, {})
    assert copied(torch.tensor([[1, 2]])).logits.isfinite().all()  # buffers that no file holds are there
