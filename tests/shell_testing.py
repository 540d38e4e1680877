"""Lines of a guide as a shell would run them, within this process: `echo WORDS | triglot ... < FILE > FILE`, `cat FILE | ...`."""

import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from triglot.cli import main


def bash_lines(guide: str) -> list[str]:
    """The commands of all ```bash blocks."""
    return [line for block in re.findall(r"```bash\n(.*?)```", guide, re.S) for line in block.splitlines()]


def run_line(line: str) -> tuple[int, bytes]:
    """(exit code, what it printed) of the line's `triglot` command; redirected output lies in its file."""
    words = shlex.split(line)
    given, target = b"", None
    if "|" in words:
        place = words.index("|")
        (program, *rest), words = words[:place], words[place + 1 :]
        given = Path(*rest).read_bytes() if program == "cat" else (" ".join(rest) + "\n").encode()
    for sign in ("<", ">"):
        if sign in words:
            place = words.index(sign)
            given, target = (Path(words[place + 1]).read_bytes(), target) if sign == "<" else (given, words[place + 1])
            del words[place : place + 2]
    assert words[0] == "triglot", line
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
        code = main(words[1:])
        sys.stdout.flush()
        printed = sys.stdout.buffer.getvalue()
    if target is not None:
        Path(target).write_bytes(printed)
    return code, printed
