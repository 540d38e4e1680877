"""The verbs that make, measure and send checkpoints: init | train | tokenize | finetune | evaluate ... | ablate | card | export | push.

Each hands its arguments to the module that does the work, which prints its report for people, and gives `Output` what --json tells.
"""

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from .command_output import Output
from .shipped_code import export_code as copy_code


def init(arguments: argparse.Namespace, output: Output) -> None:
    with training_packages("assembling"):
        from .training.init_checkpoint import run
    try:
        output.show(run(arguments))
    except ValueError as error:  # of parts that do not fit; a TriglotError is one too
        from .processing.errors import TriglotError

        raise TriglotError(str(error)) from error


def describe(arguments: argparse.Namespace, output: Output) -> None:
    from .training.describe import run

    results, text = run(arguments)
    output.show(results[0] if len(results) == 1 else results, text)


def train(arguments: argparse.Namespace, output: Output) -> None:
    with training_packages("training"):
        from .training.run_assembly import run_any
    output.show({"out": str(run_any(arguments.recipe, arguments.output_dir, arguments.stage))})


def tokenize(arguments: argparse.Namespace, output: Output) -> None:
    with training_packages("tokenising"):
        from .training.tokenize_sources import run
    output.show(run(arguments))


def finetune(arguments: argparse.Namespace, output: Output) -> None:
    with training_packages("training"):
        from .training.finetune import run
    run(arguments)
    folder = Path(arguments.out)
    parts = {name: str(folder / name) for name in ("adapter", "checkpoint") if (folder / name).is_dir()}
    output.show({"out": str(folder), **parts})


def report(module: str) -> Callable[[argparse.Namespace, Output], None]:
    """The verb whose report `training/MODULE.py` writes into the folder --out; --json tells its results.json."""

    def run(arguments: argparse.Namespace, output: Output) -> None:
        with training_packages("evaluation"):
            work = import_module(f".training.{module}", __package__).run
        work(arguments)
        output.show(_results(arguments.out))

    return run


def ablate(arguments: argparse.Namespace, output: Output) -> None:
    with training_packages("the ablations"):
        from .training.ablations import run

        cards = run(arguments)  # the report asks for packages that the models do not need
    output.show(_results(os.path.join(arguments.out, "report")) if cards else {"out": arguments.out})


def card(arguments: argparse.Namespace, output: Output) -> None:
    with training_packages("a model card"):
        from .training.model_card import run
    output.show({"out": str(run(arguments))})


def export(arguments: argparse.Namespace, output: Output) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    from .export import export_checkpoint

    folder = export_checkpoint(
        arguments.checkpoint, arguments.out, trust_remote_code=arguments.trust_remote_code, warn=output.warn
    )
    output.show({"out": str(folder)}, str(folder))


def export_code(arguments: argparse.Namespace, output: Output) -> None:
    paths = [str(path) for path in copy_code(arguments.folder)]
    output.show({"files": paths}, "\n".join(paths))


def push(arguments: argparse.Namespace, output: Output) -> None:
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils import logging

    from .checkpoint_check import check_checkpoint
    from .hub_upload import push_to_hub, read_card

    logging.disable_progress_bar()  # those of loading are noise; those of an upload are wanted, but not in a log
    if arguments.json or not output.bars:
        disable_progress_bars()
    if arguments.check:
        files = check_checkpoint(
            arguments.folder, read_card(arguments.card) if arguments.card else None, arguments.own_code
        )
        result = {"ready": True, "files": len(files.names), "bytes": files.size, "left_out": list(files.left_out)}
        output.show(result, f"ready to be pushed: {len(files.names)} files, {files.size / 1e6:.1f} MB")
        return
    commit = push_to_hub(
        arguments.folder, arguments.repo, card=Path(arguments.card) if arguments.card else None,
        commit_message=arguments.message, private=arguments.private or None, create_pr=arguments.create_pr,
        revision=arguments.revision, own_code=arguments.own_code,
    )  # fmt: skip
    urls = {"commit_url": commit.commit_url, "pr_url": commit.pr_url}
    output.show({"repo": commit.repo_url.repo_id, "commit": commit.oid, **urls}, commit.pr_url or commit.commit_url)


# ---- shared


@contextlib.contextmanager
def training_packages(what: str) -> Iterator[None]:
    """Says what to install where an import of the training code fails."""
    try:
        yield
    except ImportError as error:
        from .processing.errors import TriglotError

        raise TriglotError(
            f'{what} needs more packages ({error.name} is missing): pip install -c constraints.txt ".[train]" in a clone of Triglot'
        ) from error


def _results(folder: str | os.PathLike) -> dict[str, Any]:
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
