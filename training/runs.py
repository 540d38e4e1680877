"""What every training stage shares: where checkpoints lie, how a run goes on, and how a finished model is written."""

import argparse
import contextlib
import dataclasses
import errno
import importlib.util
import json
import math
import os
import platform
import shutil
import sys
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from transformers import PreTrainedModel, Trainer, TrainingArguments

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .card_record import part_record, write_record
from .muon import Muon
from .ranks import rank_and_ranks

OPTIMIZERS = ("adamw", "muon")
DTYPES = ("float32", "float16")  # of saved media models
LM_DTYPES = (*DTYPES, "bfloat16")  # of saved language models
SKIPPED_FILE, MOST_LISTED = (
    "skipped_rows.json",
    1_000,
)  # rows that could not be used: so many are listed, all are counted
HOPELESS = 20  # unusable rows without a usable one, after which the fault is not theirs
KEPT = 2  # checkpoints of a run; while another one is written there is one more
FULL = (errno.ENOSPC, errno.EDQUOT)  # what a system says when a disk, or one's share of it, is full
TRACKERS = {"trackio": ("trackio",), "tensorboard": ("tensorboard", "tensorboardX")}  # {of `report_to`: packages}
RUN_FILE = "run.json"  # beside the checkpoints: what they were trained with
# settings that may change between two parts of one run
FREE_SETTINGS = ("dtype", "save_steps", "save_rows", "logging_steps", "num_workers", "compile", "packed_attention")


def last_complete_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; broken newer ones are removed, by whichever rank comes first."""
    numbered = [
        (int(path.name.rpartition("-")[2]), path) for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()
    ]
    for _, path in sorted(numbered, reverse=True):
        try:  # Trainer writes this file last, and a kill may cut it short
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
        else:
            return str(path)
    return None


def open_run(
    checkpoints: Path,
    arguments: Any,
    *,
    seed: int,
    inputs: Mapping[str, str],
    newest: Callable[[Path], str | None] = last_complete_checkpoint,
) -> str | None:
    """Prepares the folder of checkpoints of one stage; what a kill left half written beside it is removed.

    Args:
        checkpoints: The folder, within that of the stage; made if need be.
        arguments: The stage's frozen dataclass.
        seed: Of the run.
        inputs: Fingerprints of what the stage builds on, e.g. {"tokenizer": sha256}; "" for a part that is not there.
        newest: Finds the checkpoint to go on from; default: that of a Trainer.

    Returns:
        The newest complete checkpoint to go on from, or None.

    Raises:
        TriglotError: checkpoints of a run with other settings or inputs are there, or the folder cannot be written.
    """
    settings = {name: value for name, value in plain_settings(arguments).items() if name not in FREE_SETTINGS}
    run = {"seed": seed, "inputs": dict(inputs), **settings}
    file, last = checkpoints / RUN_FILE, newest(checkpoints)
    if last is not None and file.is_file():
        before = with_later_settings(type(arguments), json.loads(file.read_text(encoding="utf-8")))
        then = before.pop("inputs", {})
        changed = [
            f"{name} {before.get(name)} -> {run[name]}"
            for name in sorted(set(run) - {"inputs"})
            if before.get(name) != run[name]
        ]
        # an input that an older run did not write down is taken as it is
        others = [name for name, digest in sorted({**inputs, **then}.items()) if inputs.get(name, "") != digest]
        changed += [f"{'other' if name.endswith('s') else 'another'} {name.replace('_', ' ')}" for name in others]
        if changed:
            raise TriglotError(
                f"{checkpoints} holds a run with other settings or inputs ({'; '.join(changed)}); give those it was started "
                "with, choose another output_dir, or delete that folder to start anew."
            )
    check_writable(checkpoints.parent)
    for torn in checkpoints.parent.glob(".*.partial"):
        shutil.rmtree(torn, ignore_errors=True)  # folders alone: they may hold gigabytes
    check_writable(checkpoints)
    with whole_file(file) as partial:
        partial.write_text(json.dumps(run, indent=2), encoding="utf-8")
    return last


def check_writable(folder: Path) -> None:
    """Makes the folder if need be.

    Raises:
        TriglotError: it cannot be made, or no file can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / ".probe") as partial:
            partial.write_bytes(bytes(4096))
        (folder / ".probe").unlink(missing_ok=True)
    except OSError as error:
        raise TriglotError(f"{folder} cannot be written: {error}; choose another output folder.") from error


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raises TriglotError where the disk of a folder, which is there, has less than `needed` bytes for `what`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TriglotError(
            f"{folder} is on a disk with {free / 1e9:.2f} GB left; {what} take {needed / 1e9:.2f} GB: make room, or choose another "
            "output folder."
        )


def checkpoint_bytes(model: torch.nn.Module) -> int:
    """Of one checkpoint: the weights that are saved, those of an adapter alone where there is one, and two moments of the trained."""
    trained = weight_bytes(model, trained=True)
    return (trained if hasattr(model, "peft_config") else weight_bytes(model)) + 2 * trained


def weight_bytes(model: torch.nn.Module, trained: bool = False) -> int:
    """Of all weights, or the trained ones alone."""
    weights = (weight for weight in model.parameters() if weight.requires_grad or not trained)
    return sum(weight.numel() * weight.element_size() for weight in weights)


def check_room_for_run(trainer: Trainer, last: str | None) -> None:
    """Before the first step.

    Args:
        trainer: Not yet begun.
        last: Checkpoint that it will go on from.

    Raises:
        TriglotError: the checkpoints to come and the finished model will not fit on the disk.
    """
    folder, model = Path(str(trainer.args.output_dir)), trainer.model
    begun = int(Path(last).name.rpartition("-")[2]) if last else 0
    steps, every = trainer.args.max_steps, int(trainer.args.save_steps)
    left = -(-(steps - begun) // every) if steps > 0 else KEPT + 1
    there = len([*folder.glob("checkpoint-*")])
    count = min(max(KEPT + 1 - there, 1), max(left, 0))
    needed = count * checkpoint_bytes(model) + weight_bytes(model)
    check_room(folder, needed, f"{count} checkpoints and the finished model")


@contextlib.contextmanager
def full_disk_told(folder: Path, advice: str) -> Iterator[None]:
    """Within it, errors of writing to a full disk become a TriglotError.

    Args:
        folder: That is written to.
        advice: Ends the message.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        said = str(error)
        torchs = "inline_container" in said and "Reader" not in said  # its writer misses bytes, and says no more
        if getattr(error, "errno", None) not in FULL and "No space left" not in said and not torchs:
            raise
        raise TriglotError(f"The disk of {folder} is full; {advice}") from error


def plain_settings(arguments: Any) -> dict[str, Any]:
    """A stage's frozen dataclass as it comes back from JSON."""
    return json.loads(json.dumps(dataclasses.asdict(arguments)))


def with_later_settings(arguments_class: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were written down earlier, and for those that the stage lacked then, the defaults."""
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(arguments_class):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return {**json.loads(json.dumps(defaults)), **settings}


def trainer_arguments(checkpoints: Path, arguments: Any, *, seed: int, **more: Any) -> TrainingArguments:
    """TrainingArguments from a stage's dataclass: the same rule for devices, precision, saving and logs everywhere.

    The dataclass has max_steps, batch_size, learning_rate, warmup_steps, weight_decay, max_grad_norm, bf16, save_steps
    and logging_steps; `epochs`, `num_workers`, `accumulation`, `adam_beta2` and `decay_steps` if the stage knows them.
    """
    decay_steps = getattr(arguments, "decay_steps", 0)
    has_cuda = torch.cuda.is_available()
    settings = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=getattr(arguments, "epochs", 3.0),
        max_steps=arguments.max_steps,
        per_device_train_batch_size=arguments.batch_size,
        gradient_accumulation_steps=getattr(arguments, "accumulation", 1),
        learning_rate=arguments.learning_rate,
        warmup_steps=used_warmup(arguments),
        weight_decay=arguments.weight_decay,
        adam_beta2=getattr(arguments, "adam_beta2", 0.999),
        max_grad_norm=arguments.max_grad_norm,
        lr_scheduler_type="warmup_stable_decay" if decay_steps else "cosine",
        lr_scheduler_kwargs={"num_decay_steps": decay_steps, "decay_type": "1-sqrt"} if decay_steps else None,
        bf16=arguments.bf16 and (not has_cuda or torch.cuda.is_bf16_supported()),
        use_cpu=not has_cuda,
        save_strategy="steps",
        save_steps=arguments.save_steps,
        save_total_limit=KEPT,
        logging_steps=arguments.logging_steps,
        logging_nan_inf_filter=False,
        dataloader_num_workers=getattr(arguments, "num_workers", 0),
        dataloader_pin_memory=has_cuda,
        remove_unused_columns=False,
        report_to=trackers(),
        project="triglot",  # for trackio, on this machine alone
        run_name=checkpoints.parent.name,
        trackio_static_space_id=False,
        seed=seed,
        data_seed=seed,
        **more,
    )
    if settings.n_gpu > 1:  # torch's DataParallel, which Trainer would take, gives a loss for each GPU
        print(f"one GPU of {settings.n_gpu} is used; `accelerate launch -m triglot ...` takes all (docs/many_gpus.md)")
        settings._n_gpu = 1
    return settings


def used_warmup(arguments: Any) -> int:
    """Steps of the warm-up: a stage's `warmup_steps`, but no more than a tenth of `max_steps` where it is above 0."""
    steps = arguments.max_steps
    return min(arguments.warmup_steps, steps // 10) if steps > 0 else arguments.warmup_steps


def hardware(processes: int | None = None) -> str:
    """What trains here, in words: GPUs by their names, or threads of a CPU, of each process; `processes`: default: all there are."""
    processes = processes or rank_and_ranks()[1]
    each = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    if not each:
        threads = torch.get_num_threads()
        each = f"CPU ({platform.machine()}), {threads} thread{'s' if threads > 1 else ''}"
    return f"{processes} x {each}" if processes > 1 else each


def trackers() -> list[str]:
    """Those of `TRACKERS` that are installed; each run's log goes to them."""
    return [name for name, packages in TRACKERS.items() if any(importlib.util.find_spec(each) for each in packages)]


def add_settings(parser: argparse.ArgumentParser, arguments_class: type, defaults: Any = None) -> None:
    """One option for each field of a stage's dataclass, with its default, or that of the instance `defaults`."""
    defaults = defaults or arguments_class()
    for field in dataclasses.fields(arguments_class):
        option, default = f"--{field.name.replace('_', '-')}", getattr(defaults, field.name)
        if isinstance(default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default, help=" ")
        else:
            parser.add_argument(option, type=type(default), default=default, help=" ")


def given_settings(arguments: argparse.Namespace, arguments_class: type) -> Any:
    """The stage's dataclass, from what `add_settings` added."""
    return arguments_class(
        **{field.name: getattr(arguments, field.name) for field in dataclasses.fields(arguments_class)}
    )


def check_dtype(name: str, allowed: Collection[str] = DTYPES) -> None:
    """Raises TriglotError for a precision of saved weights that is not `allowed`."""
    if name not in allowed:
        raise TriglotError(f"dtype is {name!r}; allowed is {' or '.join(allowed)}.")


def check_counts(arguments: Any, *names: str) -> None:
    """Raises TriglotError where one of these settings is below 1."""
    for name in names:
        if getattr(arguments, name) < 1:
            raise TriglotError(f"{name} is {getattr(arguments, name)}; it must be at least 1.")


def check_steps(arguments: Any, *names: str) -> None:
    """Raises TriglotError where one of these settings is not a number of steps that `max_steps` holds."""
    for name in names:
        if not 0 <= getattr(arguments, name) <= arguments.max_steps:
            raise TriglotError(
                f"{name} is {getattr(arguments, name)}; allowed is 0 to max_steps, {arguments.max_steps}."
            )


def whole_numbers(text: str, name: str, example: str, *, least: int = 1, some: bool = True) -> list[int]:
    """The numbers of a setting like "8 5 4 2".

    Args:
        text: The setting.
        name: Its name, for the error.
        example: For the error.
        least: What each must reach.
        some: Whether one is needed.

    Raises:
        TriglotError: anything else.
    """
    words = text.split()
    if (some and not words) or not all(word.isdigit() and int(word) >= least for word in words):
        raise TriglotError(f"{name} is {text!r}; whole numbers with spaces between are needed, e.g. {example!r}.")
    return [int(word) for word in words]


def check_optimizer(name: str) -> None:
    """Raises TriglotError for a name that is not in `OPTIMIZERS`, or Muon where each rank holds a part of every matrix."""
    if name not in OPTIMIZERS:
        raise TriglotError(f"optimizer is {name!r}; allowed is {' or '.join(OPTIMIZERS)}.")
    if name == "muon" and sharding():
        raise TriglotError(
            f"optimizer is muon; muon needs whole matrices, which {sharding()} cuts: choose adamw, or ddp.yaml."
        )


def sharding() -> str | None:
    """Who cuts weights or their optimiser's state into shards in this process, as `accelerate launch` says it."""
    for name in ("FSDP", "DeepSpeed"):
        if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "false").lower() == "true":
            return name
    return None


def chosen_optimizers(
    model: torch.nn.Module, arguments: Any, **settings: Any
) -> tuple[torch.optim.Optimizer | None, None]:
    """For `Trainer(optimizers=...)`: Muon where the stage's `optimizer` says so, else None for the AdamW that Trainer makes.

    Args:
        model: To be trained.
        arguments: The stage's.
        settings: Further ones of `Muon`.
    """
    if arguments.optimizer != "muon":
        return None, None
    betas = (0.9, getattr(arguments, "adam_beta2", 0.999))
    return Muon(model, arguments.learning_rate, betas=betas, weight_decay=arguments.weight_decay, **settings), None


def take_weights(model: PreTrainedModel, begun: PreTrainedModel, folder: str, tokens: str) -> None:
    """Gives a new model the weights of one that was trained before.

    Args:
        model: Becomes `begun`.
        begun: The trained one.
        folder: Where it was loaded from, for the errors.
        tokens: The setting of the two configs that says what their outputs mean.

    Raises:
        TriglotError: outputs of another meaning, or other sizes.
    """
    if getattr(begun.config, tokens) != getattr(model.config, tokens):
        raise TriglotError(f"start_from is {folder!r}, whose tokens are others than those of this run ({tokens}).")
    take_state(model, begun.state_dict(), folder)


def take_state(model: PreTrainedModel, state: Mapping[str, torch.Tensor], folder: str) -> None:
    """Gives a new model the weights of a trained one of the same sizes, or raises a TriglotError that names the `folder` of that."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise TriglotError(f"start_from is {folder!r}, a model of other sizes than this run's: {error}") from error


def fitting_deviation(width: int) -> float:
    """Of new weights: 0.8 / sqrt(width), 0.05 at 256.

    transformers' 0.02 suits widths of thousands: in a narrow model scores of attention then start near 0, every head averages
    over all it may see, and it takes thousands of steps until one looks anywhere (docs/experiments.md).
    """
    return 0.8 / math.sqrt(width)


def save_trained(
    model: Any, output_dir: Path, arguments: Any, built_on: Mapping[str, str | os.PathLike] | None = None
) -> Path:
    """Writes a finished model in the precision that was asked for; of several processes none returns before it is there.

    Args:
        model: On any device; it ends on the CPU.
        output_dir: As for `save_whole`, as `built_on` is.
        arguments: Of the run; where they have no `dtype` it is float32.

    Returns:
        `output_dir`.
    """
    if rank_and_ranks()[0] == 0:
        dtype = getattr(torch, getattr(arguments, "dtype", "float32"))
        save_whole(model.float().cpu().to(dtype).eval(), output_dir, built_on=built_on)
    PartialState().wait_for_everyone()
    return output_dir


def save_whole(
    model: PreTrainedModel,
    output_dir: Path,
    keep: Collection[str] = ("checkpoints",),
    *,
    built_on: Mapping[str, str | os.PathLike] | None = None,
) -> None:
    """Saves a model into `output_dir` so that no half-written model can ever be loaded from it.

    The files are written within it and moved to their place one by one, `config.json` last: without it, nothing loads. Of several
    processes the first one writes.

    Args:
        model: On any device.
        output_dir: Made if need be; files of an older model in it are replaced.
        keep: Entries of the folder that are no part of the model.
        built_on: Of a part: {what: folder or Hub id} that is in it, for its card.json (`card_record.part_record`); None for no such file.
    """
    if rank_and_ranks()[0] > 0:
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    partial = output_dir / f".model.{uuid.uuid4().hex[:8]}.partial"  # not beside it: that may be another disk
    try:
        with full_disk_told(output_dir, "make room and start again: training is done, the model will be written."):
            model.save_pretrained(partial)
            if built_on is not None:
                try:
                    write_record(part_record(output_dir, built_on), partial)
                except TriglotError as error:  # a run of hours does not fail because of its card
                    print(f"The card was not written: {error}", file=sys.stderr)
        (output_dir / "config.json").unlink(missing_ok=True)
        for stale in output_dir.iterdir():
            if (stale.name not in keep and stale.suffix in (".safetensors", ".py")) or stale.name.endswith(
                ".index.json"
            ):
                stale.unlink()
        for path in sorted(partial.iterdir(), key=lambda path: path.name == "config.json"):
            os.replace(path, output_dir / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
