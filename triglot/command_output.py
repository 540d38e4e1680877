"""What a command says, and where: its result on stdout, as text or as JSON; bars, warnings and errors on stderr.

0 done | 1 an error, told in a line | 2 wrong usage (argparse) | 3 some of several inputs failed | 130 Ctrl-C | 141 nobody reads on

With --json, and where a file goes to stdout (`-o -`), whatever is printed on the way goes to stderr: stdout has the result alone.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, BinaryIO

DONE, FAILED, USAGE, SOME_FAILED, STOPPED, NOT_READ = 0, 1, 2, 3, 130, 141  # exit codes
DEBUG = "TRIGLOT_DEBUG"  # environment: errors with their traceback
# environment: read by libraries when they are first imported, and by processes that are started
BAR_SWITCHES = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")


class Output:
    """What one call says.

    Args:
        arguments: Of the call: verb, json, quiet and, of some verbs, out.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.verb = arguments.verb
        self.json = arguments.json
        self.bars = not arguments.quiet and sys.stderr.isatty()
        self.file = getattr(arguments, "out", None) == "-"
        self.stdout = sys.stdout
        if self.file and self.json:
            arguments.usage("--json and -o - both want standard output: name a file or a folder.")
        if self.file and sys.stdout.isatty():
            arguments.usage("-o - writes a file to standard output, which is a terminal: add > FILE or | PROGRAM.")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts no library shows a bar where none is wanted, and what others print goes to stderr where stdout is to have
        the result alone."""
        before = dict(os.environ)
        if not self.bars:
            os.environ.update({name: os.environ.get(name, "1") for name in BAR_SWITCHES})
        try:
            with contextlib.redirect_stdout(sys.stderr) if self.json or self.file else contextlib.nullcontext():
                yield
        finally:
            for name in BAR_SWITCHES:
                os.environ.pop(name, None)
            os.environ.update({name: before[name] for name in BAR_SWITCHES if name in before})

    def show(self, result: Any, text: str | None = None) -> None:
        """Prints a result: the text, or with --json a line of JSON. Under torchrun the first process alone does.

        Args:
            result: What json can write; numbers that JSON does not know become null.
            text: For people; None where they have been told already.
        """
        if self.json:
            text = json.dumps(_without_nan(result), ensure_ascii=False, allow_nan=False)
        if text is not None and os.environ.get("RANK", "0") == "0":
            self._write(text, sys.stderr if self.file else self.stdout)

    def send(self, content: bytes) -> None:
        """Writes a file to stdout."""
        target: BinaryIO = self.stdout.buffer
        target.write(content)
        target.flush()

    def warn(self, message: str) -> None:
        """A line on stderr."""
        self._write(f"triglot {self.verb}: {message}", sys.stderr)

    def _write(self, text: str, stream: Any) -> None:
        if self.bars:
            from tqdm.auto import tqdm

            tqdm.write(text, file=stream)  # above a bar
        else:
            print(text, file=stream)
        stream.flush()


def told(error: BaseException) -> str:
    """One error for people; of one that nobody foresaw also its kind and where in this package it arose."""
    from .processing.errors import TriglotError

    message = str(error).strip() or type(error).__name__
    if isinstance(error, (TriglotError, OSError)):
        return message
    places = [
        f", {os.path.basename(frame.f_code.co_filename)} line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] == "triglot"
    ]
    where = places[-1] if places else ""
    return f"{type(error).__name__}: {message.splitlines()[0]} (unforeseen{where}; {DEBUG}=1 shows all)"


def leave_stdout() -> None:
    """Nobody reads it any more: what is left of it goes nowhere, without a word at the end of the process."""
    with contextlib.suppress(OSError, ValueError):  # a stdout that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, (list, tuple)) else value
