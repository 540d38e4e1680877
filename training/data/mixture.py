"""A mixture of tokenised sources: how often each row is taken, and what it then really holds.

    FOLDER/mixture.json, FOLDER/<source>/shard-*.parquet ─ read_mixture ─▶ token rows with "source" and "weight"

A row's weight is that of its source, times what temperature sampling gives its language: of a language with the share p of the rows
so many as p ** (1 / temperature) of all such powers (arXiv 1901.07291, section 3.1). It is no sampling anew in every epoch: what is left
of a weight below a whole number is drawn once, by `token_examples`.
"""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet

from ...processing.errors import TriglotError
from ...processing.task_formats import TASKS, parse_chain
from ...processing.whole_files import whole_file
from .token_examples import allows
from .token_shards import shard_path

MIXTURE_FILE = "mixture.json"  # in a folder of tokenised sources
END_FILE = "end.json"  # in that of a source, once somebody came to its end


def read_mixture(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """The token rows of all sources, in the order of the mixture.

    Raises:
        TriglotError: no mixture, or a source that is not tokenised to its end.
    """
    folder = Path(folder)
    facts = read_mixture_file(folder)
    rows: list[dict[str, Any]] = []
    for name, weight in facts["sources"].items():
        paths = finished_shards(folder / name)
        if paths is None:
            raise TriglotError(
                f"{os.fspath(folder)!r}: {name} is not tokenised to its end; run `triglot tokenize` again."
            )
        for path in paths:
            rows += [{**row, "source": name, "weight": weight} for row in pyarrow.parquet.read_table(path).to_pylist()]
    for row, factor in zip(rows, language_factors(rows, facts["temperature"])):
        row["weight"] *= factor
    return rows


def read_mixture_file(folder: Path) -> dict[str, Any]:
    """{"sources": {name: weight}, "temperature", "tokenizer": fingerprint, "hub_ids": {name: of its dataset, or ""}, "settings"}, with pictures
    "image_tokenizer" as well.

    Raises:
        TriglotError: there is none.
    """
    try:
        return json.loads((folder / MIXTURE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TriglotError(
            f"{os.fspath(folder)!r} holds no tokenised sources ({MIXTURE_FILE}); make them with `triglot tokenize`."
        ) from error


def finished_shards(folder: Path) -> list[Path] | None:
    """The shards of a source, in order; None while some are missing."""
    count = shard_count(folder)
    paths = [shard_path(folder, index) for index in range(count or 0)]
    return None if count is None or not all(path.is_file() for path in paths) else paths


def shard_count(folder: Path, files: str | None = None) -> int | None:
    """How many shards a source has; None while nobody came to its end, or came to that of other `files`, where they are told."""
    try:
        end = json.loads((folder / END_FILE).read_text(encoding="utf-8"))
    except OSError:
        return None
    return end["shards"] if files is None or end.get("files") == files else None


def write_shard_count(folder: Path, count: int, files: str = "") -> None:
    """What `shard_count` reads."""
    with whole_file(folder / END_FILE) as partial:
        partial.write_text(json.dumps({"shards": count, "files": files}), encoding="utf-8")


def language_factors(rows: Sequence[Mapping[str, Any]], temperature: float) -> list[float]:
    """Of each row: how often it is taken so that languages get their shares; the weights' sum stays."""
    if temperature == 1:
        return [1.0] * len(rows)  # with no error of rounding, which would draw rows of whole weights
    total = Counter[str]()
    for row in rows:
        total[row["source_language"]] += row["weight"]
    most = max(total.values(), default=1.0)  # against which small temperatures underflow for all but the largest
    powers = {language: math.exp(math.log(amount / most) / temperature) for language, amount in total.items()}
    scale = sum(total.values()) / sum(powers.values()) if powers else 1.0
    return [powers[row["source_language"]] * scale / total[row["source_language"]] for row in rows]


def held_tasks(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """{"en" or "en-de": {task: examples on average}} of the single tasks that the rows' fields allow."""
    held: dict[str, Counter[str]] = defaultdict(Counter)
    chains = {name: parse_chain(name) for name in TASKS}
    for row in rows:
        contents = {key: value for key, value in row.items() if value is not None}
        for name, chain in chains.items():
            if allows(row, contents, chain):
                pair = row["source_language"] + (f"-{row['target_language']}" if chain.translates else "")
                held[pair][name] += row.get("weight", 1.0)
    return {pair: dict(counts) for pair, counts in sorted(held.items())}
