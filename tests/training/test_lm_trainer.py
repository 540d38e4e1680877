"""The log of a language model's training: the mean loss of every task, exact over all labels, and the ids a second."""

import pytest
import torch
from transformers import TrainingArguments

from triglot import TriglotError, TriglotForConditionalGeneration
from triglot.training.data.packing import NO_TASK, PackedRows
from triglot.training.lm_trainer import LmTrainer, WeighedLoss

TASKS = ["ASR", "ASR AST", "MT"]


@pytest.fixture(scope="module")
def examples():
    """Of lengths and numbers of labels that make a mean of means another one; none of MT."""
    torch.manual_seed(0)
    made = []
    for number in range(12):
        ids = torch.randint(60, (4 + 3 * (number % 5),)).tolist()
        first = 1 + number % 3
        made.append({"task": TASKS[number % 3 == 0], "input_ids": ids, "labels": [-100] * first + ids[first:]})
    return made


def test_every_id_knows_its_task(examples):
    packed = PackedRows(examples, 40, pad_id=0, tasks=TASKS)
    for row, group in zip(packed, packed.groups):
        expected = [TASKS.index(example["task"]) for example in group for _ in example["input_ids"]]
        assert row["tasks"].tolist() == expected + [NO_TASK] * (40 - len(expected))
    assert "tasks" not in PackedRows(examples, 40, pad_id=0)[0]


@pytest.mark.parametrize(("batch", "accumulation"), [(4, 1), (1, 3)])
def test_losses_of_tasks_are_those_of_their_examples(batch, accumulation, examples, random_checkpoint, tmp_path):
    model = TriglotForConditionalGeneration.from_pretrained(random_checkpoint)
    text = 55
    loss = WeighedLoss(text, 0.5)
    expected = {}
    for example in examples:
        ids, labels = (torch.tensor([example[name]]) for name in ("input_ids", "labels"))
        with torch.no_grad():
            losses, kept = loss.of_labels(model(ids), labels)
        assert int(kept.sum()) == len(losses) == int((labels[:, 1:] >= 0).sum())
        total, count = expected.get(example["task"], (0.0, 0))
        expected[example["task"]] = total + float(losses.sum()), count + len(losses)
    packed = PackedRows(examples, 40, pad_id=0, tasks=TASKS)
    steps = len(packed) // accumulation if batch == 1 else 1
    assert batch > 1 or steps * accumulation == len(packed)
    settings = TrainingArguments(
        str(tmp_path), max_steps=steps, logging_steps=steps, per_device_train_batch_size=batch, use_cpu=True, learning_rate=0.0,
        gradient_accumulation_steps=accumulation, save_strategy="no", report_to="none", remove_unused_columns=False,
    )  # fmt: skip
    trainer = LmTrainer(model=model, args=settings, train_dataset=packed, loss=loss, tasks=TASKS)
    trainer.train()
    log = trainer.state.log_history[0]
    assert {name for name in log if name.startswith("loss_")} == {"loss_ASR", "loss_ASR_AST"}
    for task, (total, count) in expected.items():
        assert log["loss_" + task.replace(" ", "_")] == pytest.approx(total / count, rel=1e-5), task
    if steps == 1:
        labels = sum(count for _, count in expected.values())
        assert log["loss"] == pytest.approx(sum(total for total, _ in expected.values()) / labels, rel=1e-5)
    assert log["ids_per_second"] > 0


def test_ids_a_second_leave_padding_out(examples, random_checkpoint, tmp_path, monkeypatch):
    times = iter([100.0, 104.0, 104.0])
    monkeypatch.setattr("triglot.training.lm_trainer.time.monotonic", lambda: next(times))
    packed = PackedRows(examples, 200, pad_id=0, tasks=TASKS)
    settings = TrainingArguments(
        str(tmp_path), max_steps=1, logging_steps=1, per_device_train_batch_size=len(packed), use_cpu=True, report_to="none",
        save_strategy="no", remove_unused_columns=False,
    )  # fmt: skip
    model = TriglotForConditionalGeneration.from_pretrained(random_checkpoint)
    trainer = LmTrainer(model=model, args=settings, train_dataset=packed, loss=WeighedLoss(60), tasks=TASKS)
    trainer.train()
    ids = sum(len(example["input_ids"]) for example in examples)
    assert trainer.state.log_history[0]["ids_per_second"] == pytest.approx(ids / 4)
    next(model.parameters()).data[0] = float("nan")
    with pytest.raises(TriglotError, match="not finite after step 1"):
        trainer.whole_model()
