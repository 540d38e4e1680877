"""Where rows come from: a folder of save_to_disk, a parquet file, a folder of sound files, or a dataset of the Hub."""

import os
from pathlib import Path

from datasets import Audio, Dataset, Features, IterableDataset, Value, load_dataset, load_from_disk

from ...processing.errors import TriglotError

SOUND_FILES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
SOUND_FEATURES = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}})


def load_rows(path: str | os.PathLike) -> Dataset:
    """A folder of `save_to_disk` or a parquet file.

    Raises:
        TriglotError: neither, or a folder of several splits.
    """
    where = Path(path)
    if not where.exists():
        raise TriglotError(f"There is no {os.fspath(path)!r}; rows are a folder of save_to_disk or a parquet file.")
    try:
        rows = Dataset.from_parquet(str(where)) if where.is_file() else load_from_disk(str(where))
    except Exception as error:  # datasets wraps what its readers raise in errors of its own
        raise TriglotError(f"{os.fspath(path)!r} holds no rows: {_first_line(error)}") from error
    if not isinstance(rows, Dataset):
        raise TriglotError(f"{os.fspath(path)!r} holds the splits {sorted(rows)}; name the folder of one of them.")
    return rows


def open_rows(where: str, split: str = "train", *, streaming: bool = False) -> Dataset | IterableDataset:
    """What `load_rows` reads, or anything `datasets.load_dataset` takes by name: a folder of sound files, a Hub id.

    Args:
        where: Path or id.
        split: Of several.
        streaming: Read row by row, without a copy on this machine's disk; what lies here already needs none.

    Raises:
        TriglotError: nothing there, or no such split.
    """
    path = Path(where)
    saved, saved_splits = path / "state.json", path / "dataset_dict.json"  # as save_to_disk writes them
    if path.is_file() or saved.is_file():
        return load_rows(path)
    try:
        if saved_splits.is_file():
            return load_from_disk(str(path))[split]
        if path.is_dir() and (sounds := _sounds(path)):
            return sounds
        return load_dataset(where, split=split, streaming=streaming)
    except Exception as error:  # of many kinds: no such folder, no such split, no network
        raise TriglotError(f"There are no rows {split!r} in {where!r}: {_first_line(error)}") from error


def _sounds(folder: Path) -> Dataset | None:
    """The sound files below a folder, sorted, as rows {"audio": {"path"}}; datasets' own reader asks for torchcodec."""
    paths = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SOUND_FILES)
    if not paths:
        return None
    rows = Dataset.from_dict({"audio": [{"bytes": None, "path": path} for path in paths]}, features=SOUND_FEATURES)
    return rows.cast_column("audio", Audio(decode=False))


def _first_line(error: BaseException) -> str:
    """Of the error at the bottom, which says most."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
