"""What a run shows: a line for people at each log, and a bar that begins where the run goes on."""

import torch
from transformers import ProgressCallback, Trainer, TrainingArguments

from triglot.training import progress
from triglot.training.progress import Progress, as_line, show_progress


def test_a_line_for_people():
    logs = {
        "loss": 3.21449,
        "grad_norm": 1.2,
        "learning_rate": 1e-3,
        "loss_ASR": 2.871,
        "loss_ASR_AST": 4.0,
        "left_out": 2,
    }
    logs |= {"ids_per_second": 4812.4, "epoch": 0.5, "total_flos": 9e9, "note": "words"}
    assert as_line(logs, 50, 1500, 760) == (
        "step 50/1500  loss 3.214 (ASR 2.87, ASR AST 4)  grad norm 1.2  learning rate 0.001  left out 2  4,812 ids/s  12:40 left"
    )
    assert as_line({"train_loss": 2.5}, 9, 9) == "step 9/9  train loss 2.5"


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, x, labels=None):
        return {"loss": self.linear(x).square().mean()}


class Told(Trainer):
    def log(self, logs, start_time=None):
        super().log({**logs, "ids_per_second": 1234.0} if "loss" in logs else logs, start_time)


def test_the_bar_begins_where_the_run_goes_on(tmp_path, monkeypatch, capsys):
    bars = []
    tqdm = progress.tqdm
    monkeypatch.setattr(
        progress,
        "tqdm",
        type("Kept", (tqdm,), {"__init__": lambda self, **k: (tqdm.__init__(self, **k), bars.append(self))[0]}),
    )

    def run(last):
        settings = TrainingArguments(
            str(tmp_path),
            max_steps=6,
            logging_steps=2,
            save_steps=2,
            use_cpu=True,
            report_to="none",
            disable_tqdm=False,
        )
        trainer = Told(Toy(), settings, train_dataset=[{"x": torch.rand(3), "labels": 0}] * 99)
        show_progress(trainer)
        kinds = [type(callback) for callback in trainer.callback_handler.callbacks]
        assert Progress in kinds and ProgressCallback not in kinds
        trainer.train(resume_from_checkpoint=last)

    run(None)
    run(str(tmp_path / "checkpoint-4"))
    assert [(bar.initial, bar.n, bar.total) for bar in bars] == [(0, 6, 6), (4, 6, 6)]
    assert "1,234 ids/s" in bars[1].postfix
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if "step " in line]
    assert sum(line.startswith("step 6/6  loss ") and line.endswith(" left") for line in lines) == 2
    assert any(line.startswith("step 2/6") for line in lines)


def test_no_bar_where_none_is_wanted(tmp_path):
    settings = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True)
    trainer = Trainer(Toy(), settings)
    show_progress(trainer)
    assert not any(isinstance(callback, ProgressCallback) for callback in trainer.callback_handler.callbacks)
