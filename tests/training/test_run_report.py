"""The report of a run: losses in order, whatever else was logged, settings, curves."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from triglot import TriglotError
from triglot.training.run_report import measures, panels, train_and_report


@dataclass(frozen=True)
class ToyArguments:
    width: int = 3
    max_steps: int = 30
    warmup_steps: int = 20


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x, labels=None):
        return {"loss": (self.linear(x) - 1).square().mean()}


def test_a_report_has_the_losses_the_settings_and_curves(tmp_path):
    torch.manual_seed(0)
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=30,
        logging_steps=1,
        use_cpu=True,
        report_to="none",
        learning_rate=0.1,
        save_strategy="no",
    )
    trainer = Trainer(Toy(), arguments, train_dataset=[{"x": torch.rand(3), "labels": 0}] * 8)
    train_and_report(trainer, None, ToyArguments(width=7), {"rows": 8})
    report = (tmp_path / "report.md").read_text()
    assert report.startswith("# Toy: 30 steps") and "* rows: 8" in report and "| width | 7 |" in report
    assert "| warmup_steps | 3 |" in report  # what was used: a tenth of the steps at most
    table = [line for line in report.splitlines() if line.startswith("| ") and line.split(" | ")[0][2:].isdigit()]
    steps = [int(line.split(" | ")[0][2:]) for line in table]
    assert steps[0] == 1 and steps[-1] == 30 and len(steps) <= 13
    losses = [float(line.split(" | ")[1]) for line in table]
    assert losses[-1] < 0.2 * losses[0]
    told = json.loads((tmp_path / "summary.json").read_text())
    assert (told["steps"], told["epochs"], told["facts"]) == (30, 30.0, {"rows": 8}) and told["seconds"] > 0
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_no_measure_is_left_out():
    log = [{"loss": "2.0", "epoch": 1, "learning_rate": 0.1, "step": 1}, {"note": "words", "accuracy": 0.5, "step": 2}]
    assert measures(log) == ["loss", "accuracy"]


def test_losses_of_tasks_share_a_panel():
    names = ["loss", "grad_norm", "loss_ASR", "loss_ASR_AST", "ids_per_second", "stft_loss"]
    drawn = panels(names)
    assert drawn["loss of each task"] == ["loss_ASR", "loss_ASR_AST"]
    assert [*drawn] == ["loss", "loss of each task", "grad_norm", "ids_per_second", "stft_loss"]
    assert panels(["loss"]) == {"loss": ["loss"]}


def test_shards_that_would_not_be_written_whole_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    trainer = SimpleNamespace(args=SimpleNamespace(output_dir=str(tmp_path)))
    with pytest.raises(TriglotError, match=r"Toy cannot be trained in shards by DeepSpeed.* ddp\.yaml first"):
        train_and_report(trainer, None, ToyArguments())
