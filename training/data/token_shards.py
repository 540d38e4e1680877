"""Where token rows lie, and reading them: needs pyarrow and nothing else, so that a machine that only trains needs no `datasets`."""

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet

from ...processing.errors import TriglotError


def shard_path(folder: Path, index: int) -> Path:
    """Where shard `index` lies."""
    return folder / f"shard-{index:05d}.parquet"


def read_rows(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """All rows of a folder of shards, in order.

    Raises:
        TriglotError: there are no shards.
    """
    paths = sorted(Path(folder).glob("shard-*.parquet"))
    if not paths:
        raise TriglotError(
            f"There are no shards (shard-*.parquet) in {os.fspath(folder)!r}; run the stage tokens first."
        )
    return [row for path in paths for row in pyarrow.parquet.read_table(path).to_pylist()]
