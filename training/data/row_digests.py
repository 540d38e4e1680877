"""Which rows something was made from, as digests: of all rows, or for a large dataset of its size and some rows all over it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

LOOKED_AT = 64  # rows of a dataset


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """sha256 (hex) over rows, in their order; of what is no text, number, list, bytes or array the type alone."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=_told).encode() + b"\n")
    return digest.hexdigest()


def _told(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else type(value).__name__


def dataset_digest(dataset: Any) -> str:
    """Of a `Dataset` or a sequence of rows: sha256 (hex) over their number and `LOOKED_AT` of them, evenly spread.

    Bytes of sound and pictures count; files that were replaced under their path are not told apart. Of a stream, and of no rows, it is "".
    """
    if not hasattr(dataset, "__len__") or not len(dataset):
        return ""
    places = np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT).round().astype(int)).tolist()
    if hasattr(dataset, "with_format"):  # as they are stored: nothing is decoded
        rows = dataset.with_format("arrow")[places].to_pylist()
    else:
        rows = [dataset[place] for place in places]
    return rows_digest([{"rows": len(dataset)}, *rows])
