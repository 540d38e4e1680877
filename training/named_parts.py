"""NAME=FOLDER on a command line, for reports that stand several parts side by side."""

from collections.abc import Sequence
from pathlib import Path

from ..processing.errors import TriglotError


def named_parts(given: Sequence[str]) -> dict[str, str]:
    """["a=DIR", "DIR/b"] -> {"a": "DIR", "b": "DIR/b"}.

    Raises:
        TriglotError: a name that comes twice.
    """
    found: dict[str, str] = {}
    for entry in given:
        name, equals, folder = entry.partition("=")
        if not equals:
            name, folder = Path(entry).name or entry, entry
        if name in found:
            raise TriglotError(f"Two parts are called {name!r}; write NAME=FOLDER to call one of them otherwise.")
        found[name] = folder
    return found
