"""The whole command line of a training stage: its data, folders of what it builds on, its settings."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .runs import add_settings, given_settings


def stage_command(
    doc: str | None,
    arguments_class: type,
    train: Callable[..., Path],
    argv: Sequence[str] | None,
    add_data: Callable[[argparse.ArgumentParser], None],
    open_data: Callable[[argparse.Namespace], Any],
    **folders: str,
) -> None:
    """Reads it, trains, and prints where the result lies.

    Args:
        doc: Of the script; its first line is the description.
        arguments_class: The stage's dataclass.
        train: Takes the data, the folders in their order, the output folder, the settings and `seed`.
        argv: Words; default: those of this process.
        add_data: Adds the arguments of the data, `--out` and `--seed`.
        open_data: What `train` is given of them.
        folders: What the stage needs beside the data: name=help.
    """
    parser = argparse.ArgumentParser(
        description=(doc or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_data(parser)
    for name, help in folders.items():
        parser.add_argument(f"--{name}", required=True, help=help)
    add_settings(parser, arguments_class)
    given = parser.parse_args(argv)
    places = [getattr(given, name) for name in folders]
    print(train(open_data(given), *places, given.out, given_settings(given, arguments_class), seed=given.seed))
