"""What each source of a tokenised mixture gave to it, for reports and cards.

FOLDER/mixture.json, FOLDER/<source>/shard-*.parquet, token rows with their weights ─ source_facts ─▶ [SourceFacts]
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .mixture import finished_shards, read_mixture_file
from .token_rows import shard_facts


@dataclass(frozen=True)
class SourceFacts:
    """One source.

    Attributes:
        name: In the mixture.
        hub_id: Of its dataset, where that is one of the Hub; else "".
        layout: Packaged layout that it was read by; "" for none.
        rows: Token rows.
        skipped: {"row", "why"} of those that could not be used.
        hours: Of its sound, h.
        share: Of all rows that are taken, by their weights.
    """

    name: str
    hub_id: str
    layout: str
    rows: int
    skipped: list[Mapping[str, Any]]
    hours: float
    share: float


def source_facts(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[SourceFacts]:
    """Those of all sources, in the order of the mixture.

    Args:
        folder: Of `triglot tokenize`.
        rows: What `read_mixture` made of it.
    """
    mixture, taken, count, found = read_mixture_file(folder), Counter[str](), Counter[str](), []
    for row in rows:
        taken[row["source"]] += row["weight"]
        count[row["source"]] += 1
    whole = sum(taken.values())
    for name in mixture["sources"]:
        layout, hub = json.loads(mixture["settings"][name])["layout"], mixture.get("hub_ids", {}).get(name, "")
        shards = [shard_facts(path) for path in finished_shards(folder / name) or ()]
        skipped = [entry for shard in shards for entry in shard["skipped"]]
        hours = sum(shard["seconds"] for shard in shards) / 3600
        share = taken[name] / whole if whole else 0.0
        found.append(SourceFacts(name, hub, layout, count[name], skipped, hours, share))
    return found
