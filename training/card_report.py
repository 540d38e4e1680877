"""Report cards: several parts measured on the same things, one row each, as JSON, a table and a plot of bars.

cards (dataclasses with `name`) ─▶ results.json, report.md, report.png in one folder, whole or not at all
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_folder

Columns = Mapping[str, tuple[str, float, int]]  # field: (title, factor, digits)


def write_cards(
    output_dir: str | os.PathLike,
    cards: Sequence[Any],
    columns: Columns,
    panels: Mapping[str, str],
    *,
    kind: str,
    facts: Mapping[str, Any],
    notes: str,
    chances: Mapping[str, float] | None = None,
    intervals: Mapping[str, tuple[str, str]] | None = None,
    media: str = "Speech",
    more: Callable[[Path], None] | None = None,
) -> None:
    """Writes the folder; an older report there is replaced.

    Args:
        output_dir: The folder.
        cards: Dataclasses whose field `name` says what was measured; None where something was not or cannot be. Texts stand in
            the table as they are.
        columns: What the table shows, in order; a column without any value is left out.
        panels: {field: "more" or "less", whichever is better}, what the plot shows.
        kind: What the cards are of, in the singular; their key in results.json with an s.
        facts: What else results.json holds.
        notes: How to read the table.
        chances: {field: what guessing would give}, drawn as dotted lines.
        intervals: {field: (field of its low end, of its high end)}, drawn as whiskers.
        media: The title's first word.
        more: Writes further files into the folder.
    """
    with whole_folder(output_dir) as partial:
        results = {**facts, f"{kind}s": [dataclasses.asdict(card) for card in cards]}
        (partial / "results.json").write_text(
            json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )
        (partial / "report.md").write_text(
            f"# {media} {kind}s\n\n{table(cards, columns, kind)}\n\n{notes}\n", encoding="utf-8"
        )
        draw(cards, columns, panels, partial / "report.png", chances or {}, intervals or {})
        if more is not None:
            more(partial)


def table(cards: Sequence[Any], columns: Columns, kind: str) -> str:
    """In markdown."""
    fields = [field for field in columns if any(getattr(card, field) is not None for card in cards)]

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def cell(card: Any, field: str) -> str:
        value, (_, factor, digits) = getattr(card, field), columns[field]
        if value is None or isinstance(value, str):
            return value or ""
        return f"{factor * value:.{digits}f}"

    rows = [line([card.name, *(cell(card, field) for field in fields)]) for card in cards]
    head = line([kind, *(columns[field][0] for field in fields)])
    return "\n".join([head, line(["---", *["---:"] * len(fields)]), *rows])


def draw(
    cards: Sequence[Any],
    columns: Columns,
    panels: Mapping[str, str],
    path: Path,
    chances: Mapping[str, float],
    intervals: Mapping[str, tuple[str, str]],
) -> None:
    """One panel a measure, one bar a card."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TriglotError("report.png needs matplotlib: pip install matplotlib") from error

    shown = [field for field in panels if any(getattr(card, field) is not None for card in cards)]
    longest = max((len(card.name) for card in cards), default=0)
    width = 3.2 * len(shown) + 0.07 * max(0, longest - 12)  # long names need room of their own
    size = (width, 1.2 + 0.4 * len(cards))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    places = np.arange(len(cards))[::-1]
    for axis, field in zip(axes, shown):
        title, factor, digits = columns[field]
        values = [factor * (getattr(card, field) or 0.0) for card in cards]
        axis.barh(places, values, color=[f"C{number % 10}" for number in range(len(cards))])
        ends = [[getattr(card, end) for end in intervals.get(field, ())] for card in cards]
        whiskers = {place: [factor * end for end in pair] for place, pair in zip(places, ends) if None not in pair}
        for place, pair in whiskers.items():
            axis.plot(pair, [place] * len(pair), color="black", linewidth=1)
        for place, card, value in zip(places, cards, values):
            if getattr(card, field) is not None:
                end = max([0.0, value, *whiskers.get(place, ())])
                axis.annotate(
                    f"{value:.{digits}f}", (end, place), (3, 0), textcoords="offset points", va="center", size=8
                )
        reached = [0.0, *values, *(end for pair in whiskers.values() for end in pair)]
        limits = (1.2 * min(reached), 1.2 * max(reached))
        axis.set(title=f"{title} ({panels[field]} is better)", yticks=places, xlim=limits if any(limits) else (0, 1))
        axis.title.set_size(9)
        if field in chances:
            axis.axvline(factor * chances[field], color="black", linestyle=":", linewidth=1)
    axes[0].set_yticklabels([card.name for card in cards])
    FigureCanvasAgg(figure).print_png(path)
