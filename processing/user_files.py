"""Files that a user names or hands over -> their bytes, or one `TriglotError` that says what is wrong."""

import difflib
import os
from typing import Any

from .errors import TriglotError

MOST_BYTES = 1_000_000_000  # of one file: what has no end (/dev/zero) or was named by mistake is not read into memory


def read_file(path: str, name: str, kind: str) -> bytes:
    """The content of one file.

    Args:
        path: Where it lies.
        name: How to call the input in an error message.
        kind: What it should be, "sound file" or "picture".

    Raises:
        TriglotError: no such file, a folder, one that may not be read, or one of more than 1 GB.
    """
    if not os.path.exists(path):
        raise TriglotError(f"{name}: there is no file {_shorten(path)}{_nearby(path)}")
    if os.path.isdir(path):
        raise TriglotError(f"{name}: {path!r} is a folder; give the path of one {kind}.")
    try:
        with open(path, "rb") as handle:
            return read_handle(handle, f"{name} {path!r}")
    except OSError as error:
        raise TriglotError(f"{name}: {path!r} cannot be read: {error.strerror}.") from error


def read_handle(handle: Any, name: str) -> bytes:
    """What an open file gives; a TriglotError where that is text, or more than 1 GB."""
    content = handle.read(MOST_BYTES + 1)
    if not isinstance(content, bytes):
        raise TriglotError(f"{name} is a file that gives {type(content).__name__}; open it in binary mode ('rb').")
    if len(content) > MOST_BYTES:
        raise TriglotError(f"{name} is larger than {MOST_BYTES // 10**6} MB, the most that is read; cut it first.")
    return content


def check_folder(path: str) -> None:
    """Raises TriglotError where the folder that a file is to be written to does not exist."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise TriglotError(f"Cannot write {path!r}: the folder {folder!r} does not exist; make it first.")


def _nearby(path: str) -> str:
    """The end of a message, "; did you mean 'x.wav'?", from the files beside a path that does not exist."""
    folder, base = os.path.split(path)
    try:
        near = difflib.get_close_matches(base, os.listdir(folder or "."), n=1, cutoff=0.8)
    except (OSError, ValueError):
        near = []
    return f"; did you mean {os.path.join(folder, near[0])!r}?" if near else "."


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)")
