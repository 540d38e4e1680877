"""The command line of a stage that learns from recordings of known speakers."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from .data.load_rows import load_rows
from .runs import add_settings, given_settings

TOKENIZER = "folder of the speech tokenizer whose codes are to be spoken"


def add_speech(parser: argparse.ArgumentParser) -> None:
    """What these command lines have in common."""
    parser.add_argument(
        "--dataset", required=True, help="rows with audio and speaker: a folder of save_to_disk, or a parquet file"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)


def run_command(
    doc: str | None, arguments_class: type, train: Callable[..., Path], argv: Sequence[str] | None, **folders: str
) -> None:
    """The whole command line where nothing is special: rows, further `folders` (name=help) and the settings.

    Args:
        doc: Of the script; its first line is the description.
        arguments_class: The stage's dataclass.
        train: Takes rows, the folders in their order, the output folder, the settings and `seed`.
        argv: Words; default: those of this process.
        folders: What the stage needs beside the rows.
    """
    parser = argparse.ArgumentParser(
        description=(doc or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_speech(parser)
    for name, help in folders.items():
        parser.add_argument(f"--{name}", required=True, help=help)
    add_settings(parser, arguments_class)
    given = parser.parse_args(argv)
    places = [getattr(given, name) for name in folders]
    print(train(load_rows(given.dataset), *places, given.out, given_settings(given, arguments_class), seed=given.seed))
