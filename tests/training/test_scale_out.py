"""More ranks, or more batches a step, change nothing: the same data in the same order, the same losses, the same weights."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from command_options import command_options
from environments import ROOT
from speech_rows import speech_rows, tokenised_table

from triglot import TriglotForConditionalGeneration
from triglot.modeling.decoders.modeling_code_hifigan import CodeHifiGan
from triglot.training.train_code_hifigan import CodeHifiGanArguments

STEPS = 5
TWO_RANKS = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29533"]


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
    alone = [sys.executable]
    one = finetuned(random_checkpoint, tokens, tmp_path / "one", alone, batch=4)
    others = {
        "two ranks": finetuned(random_checkpoint, tokens, tmp_path / "ranks", TWO_RANKS, batch=2),
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


def test_two_ranks_of_two_networks_learn_as_one_and_go_on(random_checkpoint, tmp_path):
    """A vocoder and its discriminators, each with an optimiser of its own."""
    speech_rows(8).save_to_disk(tmp_path / "speech")
    arguments = CodeHifiGanArguments(
        unit_embed_dim=8, spkr_embed_dim=4, upsample_initial_channel=32, resblock_kernel_sizes="3", resblock_dilations="1",
        periods="2 3", scales=1, adversary_start=1, max_steps=4, crop_seconds=0.2, save_steps=2, logging_steps=1,
    )  # fmt: skip

    def trained(name, launcher, batch):
        words = [
            *launcher, "-m", "triglot.training.train_code_hifigan", "--tokenizer", str(random_checkpoint / "speech_tokenizer"),
            "--dataset", str(tmp_path / "speech"), "--out", str(tmp_path / name), "--batch-size", str(batch), *command_options(arguments),
        ]  # fmt: skip
        result = subprocess.run(
            words, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == 0, result.stderr[-3000:]
        log = json.loads((tmp_path / name / "checkpoints/checkpoint-4/trainer_state.json").read_text())["log_history"]
        return log, CodeHifiGan.from_pretrained(tmp_path / name).state_dict()

    one, two = trained("one", [sys.executable], 4), trained("two", TWO_RANKS, 2)
    assert len(one[0]) == 4 and "discriminator_loss" in one[0][-1]
    for alone, together in zip(one[0], two[0]):
        assert together == pytest.approx(alone, rel=2e-3)
    for name, tensor in one[1].items():
        torch.testing.assert_close(two[1][name], tensor, rtol=0, atol=1e-3, msg=name)
    for made in ("checkpoints/checkpoint-4", "config.json", "model.safetensors"):  # as if killed after its second step
        path = tmp_path / "two" / made
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = trained("two", TWO_RANKS, 2)
    assert again[0] == two[0] and all(torch.equal(tensor, two[1][name]) for name, tensor in again[1].items())
