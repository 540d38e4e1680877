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
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

DONE, FAILED, USAGE, SOME_FAILED, STOPPED, NOT_READ = 0, 1, 2, 3, 130, 141  # exit codes
DEBUG = "TRIGLOT_DEBUG"  # environment: errors with their traceback
# environment: read by libraries when they are first imported, and by processes that are started
BAR_SWITCHES = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")


class Output:
    """What one call says.

    Args:
        arguments: Of the call: verb, json, quiet; of verbs that take many inputs out, which may be "-".
    """

    def __init__(self, arguments: argparse.Namespace):
        self.verb = arguments.verb
        self.json = arguments.json
        self.bars = not arguments.quiet and sys.stderr.isatty()
        self.file = hasattr(arguments, "inputs") and arguments.out == "-"
        self.stdout = sys.stdout
        if self.file and self.json:
            arguments.usage("--json and -o - both want standard output: name a file or a folder.")
        if self.file and sys.stdout.isatty():
            arguments.usage("-o - writes a file to standard output, which is a terminal: add > FILE or | PROGRAM.")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts no library shows a bar where none is wanted, and what others print goes to stderr where stdout is to have
        the result alone."""
        aside = contextlib.redirect_stdout(sys.stderr) if self.json or self.file else contextlib.nullcontext()
        with aside, _no_bars(not self.bars):
            yield

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


def ended(work: Callable[[], int | None], warn: Callable[[str], None]) -> int:
    """Does the work of a command and tells how it ended.

    Args:
        work: Returns the exit code, None for 0.
        warn: Told what went wrong, in one line.

    Returns:
        The exit code. With `DEBUG` in the environment errors are raised instead.
    """
    try:
        code = work() or DONE
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _leave_stdout()
        return NOT_READ
    except KeyboardInterrupt:
        warn("stopped")
        return STOPPED
    except Exception as error:
        if os.environ.get(DEBUG, "0") not in ("", "0"):
            raise
        warn(told(error))
        return FAILED


def run_script(main: Callable[[], Any]) -> None:
    """The command line of a training script by itself: the exit codes, one-line errors and bars of `triglot`."""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]

    def work() -> None:
        with _no_bars(not sys.stderr.isatty()):
            main()

    sys.exit(ended(work, lambda message: print(f"{name}: {message}", file=sys.stderr)))


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


def _leave_stdout() -> None:
    """Nobody reads it any more: what is left of it goes nowhere, without a word at the end of the process."""
    with contextlib.suppress(OSError, ValueError):  # a stdout that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _no_bars(hidden: bool) -> Iterator[None]:
    before = {name: os.environ[name] for name in BAR_SWITCHES if name in os.environ}
    if hidden:
        os.environ.update({**dict.fromkeys(BAR_SWITCHES, "1"), **before})
    try:
        yield
    finally:
        for name in BAR_SWITCHES:
            os.environ.pop(name, None)
        os.environ.update(before)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, (list, tuple)) else value
