"""A report of each training run, beside its checkpoints: settings, what it learnt from, the losses as a table and as curves.

trainer ─ train_and_report ─▶ checkpoints/report.md, checkpoints/curves.png, checkpoints/summary.json
"""

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Trainer, TrainerCallback

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from ..version import __version__
from .lm_trainer import LmTrainer
from .progress import TASK_LOSS, show_progress
from .runs import check_room_for_run, full_disk_told, sharding, used_warmup

SHOWN = 12  # lines of the table
SUMMARY_FILE = "summary.json"  # {"steps", "epochs", "facts"} of the whole run, {"seconds"} since it was last started
NO_MEASURE = ("epoch", "step", "learning_rate", "total_flos")


def train_and_report(
    trainer: Trainer, last: str | None, arguments: Any, facts: Mapping[str, Any] | None = None
) -> None:
    """Trains and writes the report.

    Args:
        trainer: Any; its output folder is that of the checkpoints.
        last: Checkpoint to go on from, or None.
        arguments: The stage's frozen dataclass.
        facts: What the run learnt from, {what: value}.

    Raises:
        TriglotError: before the first step, that this model's weights would not be written whole, or that the disk has no room for the run; later, that it is full after all: earlier
            checkpoints are as they were.
    """
    folder = Path(str(trainer.args.output_dir))
    if sharding() and not isinstance(trainer, LmTrainer):
        raise TriglotError(
            f"{type(arguments).__name__.removesuffix('Arguments')} cannot be trained in shards by {sharding()}, the language model alone "
            "can: run this stage by ddp.yaml first; it is not run again."
        )
    check_room_for_run(trainer, last)
    show_progress(trainer)
    trainer.add_callback(_NoStepTooMany())
    advice = "earlier checkpoints are whole; make room and start again: the run goes on from the newest."
    with full_disk_told(folder, advice):
        try:
            trainer.train(resume_from_checkpoint=last)
        except _Finished:
            trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
    if trainer.is_world_process_zero():
        history = trainer.state.log_history
        write_report(trainer, arguments, facts or {}, _number((history[-1] if history else {}).get("train_runtime")))


def write_report(trainer: Any, arguments: Any, facts: Mapping[str, Any], seconds: float | None) -> None:
    """Writes the report of a run that is over.

    Args:
        trainer: Has `args` (output_dir, seed, world_size, device) and `state` (global_step, epoch, log_history).
        arguments: The stage's frozen dataclass.
        facts: What the run learnt from, {what: value}.
        seconds: Since the run was last started.
    """
    folder = Path(str(trainer.args.output_dir))
    log = [entry for entry in trainer.state.log_history if "train_runtime" not in entry]
    with whole_file(folder / "report.md") as partial:
        partial.write_text(as_markdown(trainer, arguments, facts, log, seconds), encoding="utf-8")
    told = {
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "seconds": seconds,
        "facts": dict(facts),
    }
    with whole_file(folder / SUMMARY_FILE) as partial:
        partial.write_text(json.dumps(told, ensure_ascii=False, indent=2, default=str) + "\n", encoding="utf-8")
    _draw(log, folder / "curves.png")


def read_facts(checkpoints: Path) -> dict[str, str]:
    """What a finished run learnt from, {what: value}; {} where no summary lies beside its checkpoints."""
    try:
        facts = json.loads((checkpoints / SUMMARY_FILE).read_text(encoding="utf-8"))["facts"]
    except (OSError, ValueError, KeyError):
        return {}
    return {str(name): str(value) for name, value in facts.items()}


class _Finished(Exception):
    """Nothing is left to train."""


class _NoStepTooMany(TrainerCallback):
    """A run that goes on from its last step, killed before its model was written: a Trainer would make another one first."""

    def on_epoch_begin(self, args, state, control, **kwargs):
        if state.global_step >= state.max_steps:
            raise _Finished


def measures(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of what was logged, the loss first."""
    names = dict.fromkeys(name for entry in log for name, value in entry.items() if _number(value) is not None)
    return sorted((name for name in names if name not in NO_MEASURE), key=lambda name: name != "loss")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def as_markdown(
    trainer: Any,
    arguments: Any,
    facts: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    seconds: float | None,
) -> str:
    """The report; the table has every so manieth line of the log, and the last one."""
    names, args = measures(log), trainer.args
    step = max(1, -(-len(log) // SHOWN))
    shown = [entry for place, entry in enumerate(log) if place % step == 0 or place == len(log) - 1]
    lines = [
        f"# {type(arguments).__name__.removesuffix('Arguments')}: {trainer.state.global_step} steps",
        "",
        *(f"* {name}: {value}" for name, value in facts.items()),
        *([f"* {seconds / 60:.1f} minutes since the run was last started"] if seconds else []),
        f"* seed {args.seed}, {args.world_size} processes, {torch.get_num_threads()} threads each, {args.device}",
        f"* triglot {__version__}, torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}",
        "",
        f"| step | {' | '.join(names)} |",
        f"|---:|{'---:|' * len(names)}",
    ]
    for entry in shown:
        values = (_number(entry.get(name)) for name in names)
        lines.append(
            f"| {entry.get('step', '')} | {' | '.join('' if value is None else f'{value:.4g}' for value in values)} |"
        )
    lines += ["", "![curves](curves.png)", "", "| setting | value |", "|---|---|"]
    settings = dataclasses.asdict(arguments)
    if "warmup_steps" in settings:
        settings["warmup_steps"] = used_warmup(arguments)
    lines += [f"| {name} | {value} |" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def panels(names: Sequence[str]) -> dict[str, list[str]]:
    """{title: measures drawn in it}: one each, and the losses of all tasks together."""
    tasks = [name for name in names if name.startswith(TASK_LOSS)]
    together = {"loss of each task": tasks} if tasks else {}
    return {**{name: [name] for name in names if name == "loss"}, **together,
            **{name: [name] for name in names if name != "loss" and name not in tasks}}  # fmt: skip


def _draw(log: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The curves; left out without matplotlib."""
    drawn = panels(measures(log))
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    if not drawn:
        return
    figure = Figure(figsize=(3.2 * len(drawn), 2.6), dpi=110, layout="constrained")
    for axis, (title, names) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn.items()):
        for name in names:
            points = [(entry["step"], value) for entry in log if (value := _number(entry.get(name))) is not None]
            axis.plot(*zip(*points), label=name.removeprefix(TASK_LOSS).replace("_", " "))
        if len(names) > 1:
            axis.legend(fontsize=6)
        axis.set(title=title, xlabel="step")
        axis.title.set_size(9)
    with whole_file(path) as partial:
        FigureCanvasAgg(figure).print_png(partial)
