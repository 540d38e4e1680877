"""The code a checkpoint carries: every file of `modeling/` and `processing/`, flat in its root, as transformers wants it."""

import ast
import os
import shutil
from pathlib import Path


def export_code(folder: str | os.PathLike) -> list[Path]:
    """Copies every file that may be shipped as Hub remote code into `folder`, flat, as transformers wants it.

    Raises:
        TriglotError: the folder does not exist.
    """
    from .processing.errors import TriglotError  # the command line's help needs none of this room

    target = Path(folder)
    if not target.is_dir():
        raise TriglotError(f"There is no folder {str(target)!r}.")
    return [Path(shutil.copyfile(path, target / path.name)) for path in shipped_files()]


def shipped_files() -> list[Path]:
    """The files of `modeling/` and `processing/` that a checkpoint carries."""
    from . import processing
    from .modeling import decoders, language_model, tokenizers

    rooms = [Path(str(room.__file__)).parent for room in (tokenizers, language_model, decoders, processing)]
    return sorted(path for room in rooms for path in room.glob("*.py") if path.name != "__init__.py")


def imported_siblings(path: Path) -> set[str]:
    """Names of the files beside it that a shipped file imports: {"errors.py", ...}.

    Raises:
        SyntaxError: it is no Python.
    """
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {
        f"{node.module}.py" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
    }
