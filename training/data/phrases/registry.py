"""The register of patterns: every pattern enters itself with its topic."""

import random
from collections.abc import Callable

from .inflection import Parallel

TOPICS = (  # in this order patterns are drawn: another order gives other phrases for the same seed
    "time",
    "shopping",
    "directions",
    "food",
    "family",
    "weather",
    "greetings",
    "home",
    "work",
    "travel",
    "health",
)

_Pattern = Callable[[random.Random], Parallel]
_REGISTERED: dict[str, list[_Pattern]] = {topic: [] for topic in TOPICS}


def _pattern(topic: str, weight: int = 2) -> Callable[[_Pattern], _Pattern]:
    """Registers a pattern; those of little variety have less weight."""

    def register(function: _Pattern) -> _Pattern:
        _REGISTERED[topic].extend([function] * weight)
        return function

    return register


def registered() -> list[tuple[str, _Pattern]]:
    """All patterns with their topics, in the order of `TOPICS`, whichever module was imported first."""
    return [(topic, pattern) for topic in TOPICS for pattern in _REGISTERED[topic]]
