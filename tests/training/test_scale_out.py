"""More ranks, or more batches a step, change nothing: the same data in the same order, the same losses, the same weights."""

import json
import os
import subprocess
import sys

import pytest
import torch
from environments import ROOT
from speech_rows import tokenised_table

from triglot import TriglotForConditionalGeneration

STEPS = 5


@pytest.fixture(scope="module")
def tokens(random_checkpoint, tmp_path_factory):
    """Sentences of very different lengths, so that a mean over batches is not the mean over their labels."""
    texts = [(" ".join(["a square"] * (1 + n % 7)), f"un cuadrado {n}") for n in range(24)]
    folder, tokenizer = tmp_path_factory.mktemp("mine"), random_checkpoint / "speech_tokenizer"
    return tokenised_table(folder, tokenizer, texts, ("en", "es"), shortest=0.4)


def finetuned(checkpoint, tokens, out, launcher, *, batch, accumulation=1):
    """The losses of each step, and the weights at the end, of a run in processes of its own."""
    words = [
        *launcher, "-m", "triglot", "finetune", str(checkpoint), "--tokens", str(tokens), "--out", str(out), "--max-steps", str(STEPS),
        "--lora-rank", "0", "--batch-size", str(batch), "--learning-rate", "0.001",
    ]  # fmt: skip
    settings = {
        "accumulation": accumulation, "bf16": "false", "logging_steps": 1, "save_steps": STEPS, "warmup_steps": 0,
        "dtype": "float32", "pack_length": 128,
    }  # fmt: skip
    words += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_PORT": "29533", "DS_ACCELERATOR": "cpu"}
    result = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    state = json.loads((out / "checkpoints" / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert len(losses) == STEPS
    return losses, TriglotForConditionalGeneration.from_pretrained(out / "checkpoint").state_dict()


def test_two_ranks_and_two_batches_a_step_learn_as_one(random_checkpoint, tokens, tmp_path):
    alone, two = (
        [sys.executable],
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29533"],
    )
    one = finetuned(random_checkpoint, tokens, tmp_path / "one", alone, batch=4)
    others = {
        "two ranks": finetuned(random_checkpoint, tokens, tmp_path / "ranks", two, batch=2),
        "two batches": finetuned(random_checkpoint, tokens, tmp_path / "batches", alone, batch=2, accumulation=2),
    }
    for name, (losses, weights) in others.items():
        assert losses == pytest.approx(one[0], abs=2e-4), name
        for key, tensor in one[1].items():
            torch.testing.assert_close(weights[key], tensor, rtol=0, atol=2e-5, msg=f"{name}: {key}")


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_learns_as_one(stage, random_checkpoint, tokens, tmp_path):
    """On two CPU processes, where DeepSpeed is installed (its DS_ACCELERATOR=cpu); the files in training/accelerate, but for the precision."""
    pytest.importorskip("deepspeed")
    config = str(ROOT / "training" / "accelerate" / f"deepspeed_zero{stage}.yaml")
    launcher = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, "--num_processes", "2", "--mixed_precision", "no",
        "--main_process_port", "29535",
    ]  # fmt: skip
    one = finetuned(random_checkpoint, tokens, tmp_path / "one", [sys.executable], batch=4)
    two = finetuned(random_checkpoint, tokens, tmp_path / "two", launcher, batch=2)
    assert two[0] == pytest.approx(one[0], abs=2e-4)
    for key, tensor in one[1].items():
        torch.testing.assert_close(two[1][key], tensor, rtol=0, atol=2e-5, msg=key)
