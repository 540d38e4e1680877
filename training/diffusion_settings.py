"""Decoders by diffusion at several numbers of steps and scales of guidance: which can, a report's rows for each, and steps.png."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ..processing.errors import TriglotError
from .card_report import Columns
from .runs import whole_numbers

AT = "@"  # between a decoder's name and its steps
GUIDED = "@g"  # between its name and its scale of guidance
Row = tuple[str, AbstractContextManager[None]]  # a row's name, and what the decoder is measured within
BY_STEPS = ("wer", "mel_distance", "real_time_factor")  # what steps.png shows


def parse_steps(given: str) -> list[int]:
    """ "2 4 8" -> [2, 4, 8].

    Raises:
        TriglotError: something else than whole numbers.
    """
    return whole_numbers(given, "steps", "2 4 8", least=0, some=False)


def sampling_steps(decoder: Any) -> int | None:
    """Steps that a decoder by diffusion takes; None for the others."""
    return getattr(getattr(decoder, "config", None), "sampling_steps", None)


def parse_guidance(given: str) -> list[float]:
    """ "1 1.5 2" -> [1.0, 1.5, 2.0].

    Raises:
        TriglotError: something else than numbers.
    """
    try:
        return [float(word) for word in given.split()]
    except ValueError:
        raise TriglotError(f"guidance is {given!r}; numbers with spaces between are needed, e.g. '1 1.5 2'.") from None


def guidance_scale(decoder: Any) -> float | None:
    """The scale of guidance of a decoder by diffusion; None for the others, and for one that was never without its condition."""
    config: Any = getattr(decoder, "config", None)
    return float(config.guidance_scale) if getattr(config, "condition_dropout", 0) else None


@contextmanager
def _at(decoder: Any, setting: str, value: float) -> Iterator[None]:
    """Within it, a setting of the decoder's config has that value."""
    before = getattr(decoder.config, setting)
    setattr(decoder.config, setting, value)
    try:
        yield
    finally:
        setattr(decoder.config, setting, before)


def rows_by_steps(name: str, decoder: Any, steps: Sequence[int]) -> list[Row]:
    """The rows of a decoder: one for each number of steps, or one at its own settings where none is asked for or it takes none."""
    if not steps or sampling_steps(decoder) is None:
        return [(name, nullcontext())]
    return [(f"{name}{AT}{count}", _at(decoder, "sampling_steps", count)) for count in steps]


def rows_by_guidance(name: str, decoder: Any, scales: Sequence[float]) -> list[Row]:
    """The rows of a decoder: one for each scale of guidance, or one at its own settings where none is asked for or it takes none."""
    if not scales or guidance_scale(decoder) is None:
        return [(name, nullcontext())]
    return [(f"{name}{GUIDED}{scale:g}", _at(decoder, "guidance_scale", scale)) for scale in scales]


def check_guidance(decoders: Mapping[str, Any], scales: Sequence[float]) -> None:
    """Raises TriglotError for scales that no decoder can take, or that are no scales."""
    if scales and all(guidance_scale(decoder) is None for decoder in decoders.values()):
        raise TriglotError(
            f"guidance is for decoders by diffusion that were trained with condition_dropout; of {', '.join(decoders)} none is one."
        )
    if any(not 0 <= scale < math.inf for scale in scales) or len(set(scales)) < len(scales):
        raise TriglotError(
            f"guidance is {' '.join(f'{scale:g}' for scale in scales)}; numbers of at least 0, each once, are allowed."
        )


def check_steps(decoders: Mapping[str, Any], steps: Sequence[int]) -> None:
    """Raises TriglotError for numbers of steps that no decoder, or not each of those by diffusion, can take."""
    most = [decoder.config.num_train_timesteps for decoder in decoders.values() if sampling_steps(decoder)]
    if steps and not most:
        raise TriglotError(f"steps are for decoders by diffusion; of {', '.join(decoders)} none is one.")
    wrong = [count for count in steps if not 1 <= count <= min(most)]
    if wrong or len(set(steps)) < len(steps):
        raise TriglotError(f"steps are {' '.join(map(str, steps))}; 1 to {min(most)}, each once, are allowed.")


def draw_by_steps(cards: Sequence[Any], columns: Columns, path: Path) -> None:
    """One panel a measure, one line for each decoder by diffusion, over its steps; each card without steps as a dotted line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    lines: dict[str, list[Any]] = {}
    for card in cards:
        if card.steps is not None:
            lines.setdefault(card.name.rpartition(AT)[0] or card.name, []).append(card)
    others = [card for card in cards if card.steps is None]
    colours = {name: f"C{place % 10}" for place, name in enumerate([*lines, *(card.name for card in others)])}
    figure = Figure(figsize=(3.4 * len(BY_STEPS), 3.1), dpi=110, layout="constrained")
    for axis, field in zip(figure.subplots(1, len(BY_STEPS)), BY_STEPS):
        title, factor, _ = columns[field]
        for name, measured in lines.items():
            points = [(card.steps, factor * value) for card in measured if (value := getattr(card, field)) is not None]
            if points:
                axis.plot(*zip(*sorted(points)), marker="o", color=colours[name])
        for card in others:
            if getattr(card, field) is not None:
                axis.axhline(factor * getattr(card, field), color=colours[card.name], linestyle=":")
        ticks = sorted({card.steps for measured in lines.values() for card in measured if card.steps})
        axis.set_xscale("log", base=2)
        axis.set(title=f"{title} (less is better)", xlabel="steps", xticks=ticks, ylim=(0, None))
        axis.set_xticklabels([str(count) for count in ticks])
        axis.title.set_size(9)
    keys = [Line2D([], [], color=colour, linestyle="-" if name in lines else ":") for name, colour in colours.items()]
    figure.legend(keys, list(colours), loc="outside lower center", ncols=min(6, len(keys)), fontsize=8, frameon=False)
    FigureCanvasAgg(figure).print_png(path)
