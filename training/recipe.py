"""Recipes: a YAML file of stages -> checked, frozen arguments. Unknown keys name the nearest known one."""

import contextlib
import dataclasses
import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

import yaml

from ..processing.errors import TriglotError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: what is nearest to it, and what there is."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{hint} Known are {', '.join(known)}."


def parse_arguments(cls: type[T], values: Mapping[str, Any] | None, where: str) -> T:
    """Builds the frozen dataclass `cls` from one mapping of a recipe.

    Args:
        cls: A dataclass whose fields are the stage's settings, with defaults.
        values: The stage's mapping, or None for all defaults.
        where: How to call it in an error ("tiny.yaml, stage encoder").

    Raises:
        TriglotError: a key that the dataclass lacks, or a value of the wrong type.
    """
    values = dict(values or {})
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key, value in values.items():
        if key not in fields:
            raise TriglotError(f"{where}: unknown key {key!r}{nearest(key, sorted(fields))}")
        default, factory = fields[key].default, fields[key].default_factory
        if factory is not dataclasses.MISSING:
            default = factory()
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            values[key] = float(value)
        elif default is not dataclasses.MISSING and default is not None and not isinstance(value, type(default)):
            raise TriglotError(
                f"{where}: {key} is {value!r} ({type(value).__name__}); a {type(default).__name__} is needed."
            )
    return cls(**values)


def read_settings(entries: Iterable[str], as_they_are: Collection[str] = ()) -> dict[str, Any]:
    """What --set NAME=VALUE gave, for `parse_arguments`.

    Args:
        entries: "NAME=VALUE" each.
        as_they_are: Names whose values are texts, whatever they look like.

    Raises:
        TriglotError: an entry without "=".
    """
    read: dict[str, Any] = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        name = name.strip()
        if not sign:
            raise TriglotError(f"--set is {entry!r}; NAME=VALUE is needed.")
        read[name] = value if name in as_they_are else read_setting(value)
    return read


def read_setting(value: str) -> Any:
    """A setting as YAML reads it, and 1e-3 as a number, which it does not."""
    read = yaml.safe_load(value)
    if isinstance(read, str):
        with contextlib.suppress(ValueError):
            return float(read)
    return read
