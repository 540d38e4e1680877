"""Where rows come from: a folder of save_to_disk, a file of one of many kinds, a folder of sound files, or a dataset of the Hub."""

import csv
import glob
import itertools
import json
import os
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from datasets import Audio, Dataset, Features, Image, IterableDataset, Value, load_dataset, load_from_disk

from ...processing.errors import TriglotError
from ...processing.user_files import MOST_BYTES

TABLES, JSON, ARCHIVE = (".tsv", ".csv"), (".json", ".jsonl"), ".tar"
SOUND_FILES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
MEDIA = {"audio": (Audio, "the sound"), "image": (Image, "the pictures")}
BROKEN = "__error__"  # column of a sample that could not be read: why
SOUND_FEATURES = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}})

Rows = TypeVar("Rows", Dataset, IterableDataset)


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


def open_whole_rows(where: str, split: str = "train", why: str = "") -> Dataset:
    """As `open_rows`, for what must lie on the disk; `why` it must, for the error.

    Raises:
        TriglotError: rows that are only streamed.
    """
    rows = open_rows(where, split)
    if not isinstance(rows, Dataset):
        raise TriglotError(f"{where!r} is only streamed; save it with save_to_disk first{why and f', since {why}'}.")
    return rows


def media_column(dataset: Rows, name: str) -> Rows:
    """The dataset with its column of sound or pictures as bytes and paths, and no other: read by us, without torchcodec.

    Args:
        dataset: Rows at hand or streamed.
        name: "audio" or "image".

    Raises:
        TriglotError: no such column, or no rows.
    """
    feature, holds = MEDIA[name]
    names, features = dataset.column_names, dataset.features  # a stream may not know them before its first row
    if names is not None and name not in names:
        raise TriglotError(
            f"The dataset has the columns {', '.join(names)}; `{name}` is needed: rename the column that holds {holds}."
        )
    if isinstance(dataset, Dataset) and len(dataset) == 0:
        raise TriglotError(f"The dataset has no rows; at least one with `{name}` is needed.")
    if features is not None and isinstance(features[name], feature) and features[name].decode:
        dataset = dataset.cast_column(name, feature(decode=False))
    return dataset if names is None else dataset.select_columns([name])


def open_rows(
    where: str,
    split: str = "train",
    *,
    streaming: bool = False,
    config: str = "",
    header: Sequence[str] = (),
) -> Dataset | IterableDataset:
    """What `load_rows` reads, a table, or anything `datasets.load_dataset` takes by name: a folder of sound files, a Hub id.

    Args:
        where: Path or id. A file may be parquet, tsv, csv, jsonl, json (rows, or captions as COCO has them) or, also with wildcards,
            the tar files of a WebDataset.
        split: Of several.
        streaming: Read row by row, without a copy on this machine's disk; what lies here already needs none.
        config: Of a dataset of the Hub that has several.
        header: Names of the columns of a tsv or csv file without a line of names.

    Raises:
        TriglotError: nothing there, or no such split.
    """
    path = Path(where)
    saved, saved_splits = path / "state.json", path / "dataset_dict.json"  # as save_to_disk writes them
    if saved.is_file() or (path.is_file() and path.suffix not in (*TABLES, *JSON, ARCHIVE)):
        return load_rows(path)
    try:
        if saved_splits.is_file():
            return load_from_disk(str(path))[split]
        if path.suffix == ARCHIVE:
            return _archives(where)
        if path.is_file():
            return _table(path, header)
        if path.is_dir() and (sounds := _sounds(path)):
            return sounds
        return load_dataset(where, config or None, split=split, streaming=streaming)
    except Exception as error:  # of many kinds: no such folder, no such split, no network
        raise TriglotError(f"There are no rows {split!r} in {where!r}: {_first_line(error)}") from error


def _table(path: Path, header: Sequence[str]) -> Dataset:
    """A tsv, csv, json or jsonl file. What tsv files hold is taken as it is: no quotes, no missing values, no numbers."""
    if path.suffix in TABLES:
        with open(path, encoding="utf-8-sig", newline="") as file:
            tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if path.suffix == ".tsv" else {}
            lines = list(csv.reader(file, **tabs))  # type: ignore[arg-type]
        names, lines = (list(header), lines) if header else (lines[0] if lines else [], lines[1:])
        lines = [line for line in lines if line]
        for number, line in enumerate(lines, 1 if header else 2):
            if len(line) != len(names):
                raise ValueError(f"line {number} has {len(line)} columns, not {len(names)}: {', '.join(names)}")
        return Dataset.from_dict({name: [line[place] for line in lines] for place, name in enumerate(names)})
    text = path.read_text(encoding="utf-8-sig")
    content = (
        [json.loads(line) for line in text.split("\n") if line.strip()]  # a text may hold other ends of lines
        if path.suffix == ".jsonl"
        else json.loads(text)
    )
    if isinstance(content, dict) and {"images", "annotations"} <= set(content):  # captions as COCO has them
        files = {image["id"]: image["file_name"] for image in content["images"]}
        captions: dict[Any, list[str]] = defaultdict(list)
        for item in content["annotations"]:
            captions[item["image_id"]].append(item["caption"])
        content = [{"image": files[image], "caption": texts} for image, texts in captions.items()]
    return Dataset.from_list(content)


def _archives(pattern: str) -> IterableDataset:
    """The samples of a WebDataset's tar files, one after another; datasets' own reader asks for torchcodec."""
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise ValueError("no file has such a name")
    return IterableDataset.from_generator(_samples, gen_kwargs={"paths": paths})


def _samples(paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """{ending: content} of neighbours with one name: json and txt read, all else {"bytes", "path"}; {BROKEN: why} of what cannot be."""
    for path in paths:
        with tarfile.open(path) as archive:
            files = (member for member in archive if member.isfile())
            for name, members in itertools.groupby(files, lambda member: _stem(member.name)):
                try:
                    yield _sample(archive, members)
                except ValueError as error:
                    yield {BROKEN: f"{path}, {name}: {error}"}


def _sample(archive: tarfile.TarFile, members: Iterator[tarfile.TarInfo]) -> dict[str, Any]:
    sample: dict[str, Any] = {}
    size = 0
    for member in members:
        size += member.size
        if size > MOST_BYTES:
            raise ValueError(f"{size} bytes; at most {MOST_BYTES // 10**6} MB of a sample are read.")
        opened = archive.extractfile(member)
        assert opened is not None
        content, ending = opened.read(), member.name[len(_stem(member.name)) + 1 :].lower()
        try:
            if ending == "json":
                sample[ending] = json.loads(content)
            elif ending == "txt":
                sample[ending] = content.decode("utf-8")
            else:
                sample[ending] = {"bytes": content, "path": member.name}
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the {ending} cannot be read: {error}") from error
    return sample


def _stem(name: str) -> str:
    """A path up to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.split('.')[0]}" if folder else file.split(".")[0]


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
