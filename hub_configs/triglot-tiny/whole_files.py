"""Files and folders that are written whole or not at all: made beside their place, then moved into it."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_folder(final: str | os.PathLike) -> Iterator[Path]:
    """Yields an empty folder to fill; on a clean exit it takes the place of `final`, which stays as it was on an error."""
    target = Path(final)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"
    partial.mkdir()
    try:
        yield partial
        aside = partial.with_suffix(".old")
        if target.exists():  # a folder that is not empty cannot be replaced in one step
            os.replace(target, aside)
        try:
            os.replace(partial, target)
        except OSError:
            if aside.exists():
                os.replace(aside, target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def whole_file(final: str | os.PathLike) -> Iterator[Path]:
    """Yields a path to write; on a clean exit the file takes the place of `final`."""
    target = Path(final)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
