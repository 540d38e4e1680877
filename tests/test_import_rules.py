"""The rules of the layout: rooms do not import each other, and what is shipped as remote code imports only siblings."""

import ast
import re
from pathlib import Path

import pytest

from triglot.cli import shipped_files

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ["modeling/tokenizers", "modeling/language_model", "modeling/decoders", "processing"]
SHIPPED = [path for room in ROOMS for path in sorted((ROOT / room).glob("*.py")) if path.name != "__init__.py"]
PYTHON = [
    path for folder in ("modeling", "processing", "training", "triglot") for path in (ROOT / folder).rglob("*.py")
]


def imports_of(path):
    """(level, module) of each import, anywhere in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_import_only_siblings(path):
    for level, module in imports_of(path):
        assert level <= 1, f"{path.name} imports from above its room: {module}"
        if level == 1:
            assert module and "." not in module, f"{path.name}: only `from .sibling import name` can be shipped"
            assert (path.parent / f"{module}.py").is_file(), f"{path.name} imports {module}, which is no sibling"
        else:
            assert module.split(".")[0] not in ("triglot", "modeling", "processing", "training")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_no_words_that_transformers_would_take_for_an_import(path):
    """transformers finds imports by a regular expression over the text, docstrings included."""
    written = re.findall(r"^\s*(?:from\s+\.(\S+)\s+import|import\s+\.(\S+)\s*$)", path.read_text(), flags=re.MULTILINE)
    real = {module for level, module in imports_of(path) if level == 1}
    assert {first or second for first, second in written} == real


def test_stems_are_unique_across_the_rooms():
    names = [path.name for path in SHIPPED]
    assert len(names) == len(set(names))


def test_export_code_ships_these_files():
    assert {path.name for path in shipped_files()} == {path.name for path in SHIPPED}


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_training_and_the_public_face_import_across(path):
    room = next((room for room in ROOMS if (ROOT / room) in path.parents), None)
    for level, module in imports_of(path):
        if room is not None:
            assert level < 2 and not module.startswith("triglot"), f"{path}: rooms do not import each other"
        assert not (level == 0 and module.split(".")[0] in ("modeling", "processing", "training"))
        assert not (
            module.split(".")[0] == "training" and "training" not in path.parts and "triglot" not in path.parts
        )
