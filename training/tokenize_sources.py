"""`triglot tokenize`: datasets as they are published -> token rows in parquet shards, once.

    sources.yaml ─ SourceRows ─▶ OUT/<source>/shard-*.parquet, OUT/mixture.json ─▶ report.md, report.png, skipped_rows.json

Killed, the same call goes on; every process of `torchrun` or `accelerate launch` makes its share of the shards.
"""

import argparse
import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .data.mixture import MIXTURE_FILE, finished_shards, held_tasks, read_mixture
from .data.mixture_facts import source_facts
from .data.source_rows import settings_of, tokenise_source
from .data.sources import Mixture, load_sources
from .data.token_rows import shard_facts
from .licences import hub_id
from .load_parts import load_image_tokenizer, load_speech_tokenizer
from .ranks import rank_and_ranks
from .runs import MOST_LISTED, SKIPPED_FILE, check_writable

NAMES = re.compile(r"[\w][\w.+-]*")


def tokenise_mixture(
    mixture: Mixture,
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    *,
    shard_rows: int = 500,
    workers: int = 1,
    image_tokenizer_dir: str | os.PathLike | None = None,
) -> Path:
    """Tokenises what is not tokenised yet and writes the report.

    Args:
        mixture: Of `load_sources`.
        tokenizer_dir: Folder of a speech tokenizer with a code book.
        output_dir: A folder for each source, and the mixture's own files.
        shard_rows: Rows of a shard.
        workers: Processes.
        image_tokenizer_dir: Folder of an image tokenizer; None to leave pictures out.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: a source that cannot be opened or used, or a folder of other sources or another tokenizer.
    """
    output_dir, tokenizer_dir = Path(output_dir), os.fspath(tokenizer_dir)
    if min(shard_rows, workers) < 1:
        raise TriglotError(f"shard_rows is {shard_rows} and workers {workers}; at least 1 is needed.")
    for source in mixture.sources:
        if not NAMES.fullmatch(source.name):
            raise TriglotError(
                f"A source is called {source.name!r}; letters, digits and . _ + - make the name of a folder."
            )
    pictures = "" if image_tokenizer_dir is None else os.fspath(image_tokenizer_dir)
    fingerprints = {"tokenizer": load_speech_tokenizer(tokenizer_dir).fingerprint}
    if pictures:
        fingerprints["image_tokenizer"] = load_image_tokenizer(pictures).fingerprint
    for folder, fingerprint in zip((tokenizer_dir, pictures), fingerprints.values()):
        if not fingerprint:
            raise TriglotError(f"The tokenizer in {folder!r} has no code book yet; train it first.")
    rank, ranks = rank_and_ranks()
    _begin(mixture, fingerprints, output_dir, shard_rows)
    start, made = time.monotonic(), 0.0
    for source in mixture.sources:
        before = _seconds(output_dir / source.name)
        options = {"shard_rows": shard_rows, "workers": workers, "rank": rank, "ranks": ranks}
        tokenise_source(source, tokenizer_dir, output_dir / source.name, **options, image_tokenizer_dir=pictures)
        made += _seconds(output_dir / source.name) - before
    minutes = (time.monotonic() - start) / 60
    if made:
        print(f"{made / 3600:.2f} h of sound in {minutes:.1f} min: {made / 60 / minutes:.0f} h an hour")
    if all(finished_shards(output_dir / source.name) is not None for source in mixture.sources):
        write_summary(mixture, output_dir)  # by the rank that is finished last
    return output_dir


def _begin(mixture: Mixture, fingerprints: Mapping[str, str], folder: Path, shard_rows: int) -> None:
    """Writes mixture.json, or compares it with the one that is there. Weights may change: nothing is tokenised anew for them."""
    facts: dict[str, Any] = {
        "sources": {source.name: source.weight for source in mixture.sources},
        "temperature": mixture.temperature,
        **fingerprints,
        "shard_rows": shard_rows,
        "hub_ids": {source.name: hub_id(source.dataset) or "" for source in mixture.sources},
        "settings": {source.name: settings_of(dataclasses.replace(source, weight=1.0)) for source in mixture.sources},
    }
    file = folder / MIXTURE_FILE
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        others = [
            name
            for name, settings in facts["settings"].items()
            if before["settings"].get(name, settings) != settings and any((folder / name).glob("shard-*.parquet"))
        ]
        made_by = {name: before.get(name) for name in ("tokenizer", "image_tokenizer") if before.get(name)}
        if others or made_by != dict(fingerprints) or before["shard_rows"] != shard_rows:
            what = (
                f"with other settings of {', '.join(others)}"
                if others
                else "by another tokenizer, or in shards of another size"
            )
            raise TriglotError(f"{folder} was tokenised {what}; choose another folder, or delete it.")
    check_writable(folder)
    with whole_file(file) as partial:
        partial.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _seconds(folder: Path) -> float:
    """Of the sound that was encoded so far."""
    return sum(shard_facts(path)["seconds"] for path in folder.glob("shard-*.parquet"))


# ---- what the mixture holds


def write_summary(mixture: Mixture, folder: Path) -> None:
    """report.md, report.png and skipped_rows.json, and the report on the screen."""
    rows = read_mixture(folder)
    if not rows:
        shards = [
            shard_facts(path) for source in mixture.sources for path in finished_shards(folder / source.name) or ()
        ]
        first = next((entry["why"] for shard in shards for entry in shard["skipped"]), "there are none")
        raise TriglotError(f"No row of the sources can be used. The first: {first}")
    listed: dict[str, Any] = {}
    lines = [
        "# The mixture",
        "",
        "| source | rows | skipped | sound, h | weight | taken, % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for source, facts in zip(mixture.sources, source_facts(folder, rows)):
        if facts.skipped:
            listed[source.name] = {"skipped": len(facts.skipped), "first": facts.skipped[:MOST_LISTED]}
        lines.append(
            f"| {source.name} | {facts.rows} | {len(facts.skipped)} | {facts.hours:.2f} | {source.weight:g} | {100 * facts.share:.1f} |"
        )
    held = held_tasks(rows)
    tasks = list(dict.fromkeys(task for counts in held.values() for task in counts))
    lines += [
        "",
        "Examples on average, with all weights. What is left of a weight below a whole number is drawn once, when training begins: rows that "
        "are left out then are in none of its epochs.",
        "",
        f"| | {' | '.join(tasks)} |",
        f"|---|{'---:|' * len(tasks)}",
    ]
    lines += [
        f"| {pair} | {' | '.join(f'{counts.get(task, 0):.0f}' for task in tasks)} |" for pair, counts in held.items()
    ]
    if listed:
        lines += ["", f"{SKIPPED_FILE} lists the rows that could not be used, and why."]
        with whole_file(folder / SKIPPED_FILE) as partial:
            partial.write_text(json.dumps(listed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with whole_file(folder / "report.md") as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _draw(held, tasks, folder / "report.png")
    print("\n".join(lines))


def _draw(held: Mapping[str, Mapping[str, float]], tasks: Sequence[str], path: Path) -> None:
    """Bars of examples for each language or direction, a colour a task; left out without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        print("report.png is left out; it needs matplotlib")
        return
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(held)), dpi=110, layout="constrained")
    axis, places = figure.subplots(), np.arange(len(held))[::-1]
    left = np.zeros(len(held))
    for task in tasks:
        amounts = np.array([counts.get(task, 0.0) for counts in held.values()])
        axis.barh(places, amounts, left=left, label=task)
        left += amounts
    axis.set(yticks=places, yticklabels=list(held), xlabel="examples on average")
    axis.legend(fontsize=8)
    with whole_file(path) as partial:
        FigureCanvasAgg(figure).print_png(partial)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """`triglot tokenize`: {"out": the folder, "sources": {name: what its shards hold so far}}."""
    mixture = load_sources(arguments.sources)
    folder = tokenise_mixture(
        mixture, arguments.tokenizer, arguments.out, shard_rows=arguments.shard_rows, workers=arguments.workers,
        image_tokenizer_dir=arguments.image_tokenizer,
    )  # fmt: skip
    held = {}
    for source in mixture.sources:
        paths = list((folder / source.name).glob("shard-*.parquet"))
        shards = [shard_facts(path) for path in paths]
        held[source.name] = {
            "rows": sum(pyarrow.parquet.read_metadata(path).num_rows for path in paths),
            "skipped": sum(len(shard["skipped"]) for shard in shards),
            "hours": sum(shard["seconds"] for shard in shards) / 3600,
        }
    return {"out": str(folder), "sources": held}
