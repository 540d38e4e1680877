"""The command line of a stage that learns from recordings of known speakers."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from .data.load_rows import load_rows
from .stage_command import stage_command

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
    """`stage_command` of rows with audio and speaker."""
    stage_command(doc, arguments_class, train, argv, add_speech, lambda given: load_rows(given.dataset), **folders)
