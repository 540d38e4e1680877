"""A stage's dataclass as the options of its command line, for the tests of trainers."""

import dataclasses
from typing import Any


def command_options(arguments: Any) -> list[str]:
    """["--name", "value", ...] of the fields that differ from their defaults."""
    names = [field.name for field in dataclasses.fields(arguments) if getattr(arguments, field.name) != field.default]
    return [word for name in names for word in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
