"""Sources: datasets as they are published, each mapped to the fields that tasks are made of.

    sources.yaml ─ load_sources ─▶ [Source] ─ open_source ─▶ rows of the dataset's own columns
                                             ─ fields_of ──▶ {"audio", "transcript", "translated_audio", "translated_transcript",
                                                              "image", "caption", "source_language", "target_language", "speaker"}

A row yields every task that its fields allow (AudioPaLM, arXiv 2306.12925, section 4.1). Layouts of well-known datasets lie in
`layouts/`, one YAML file each; a new one is one more file.
"""

import dataclasses
import functools
import itertools
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from datasets import Audio, Dataset, Image, IterableDataset

from ...processing.errors import TriglotError
from ...processing.languages import resolve_language
from ..recipe import nearest, parse_arguments
from .load_rows import BROKEN, open_rows

FIELDS = (
    "audio", "transcript", "translated_audio", "translated_transcript", "image", "caption", "source_language", "target_language",
    "speaker",
)  # fmt: skip
MEDIA = ("audio", "translated_audio", "image")
LANGUAGES = ("source_language", "target_language")
CONSTANT = "="  # before what is the same in all rows
CONDITIONS = ("min", "max", "is", "not")
PLACES = ("from", "to", "split")  # what a layout may ask for in braces
JOIN = ("dataset", "key", "header", "config", "prefix")
LOOKED_AT = 20  # first rows of a stream, which tell its columns where it does not


@dataclass(frozen=True)
class Source:
    """One dataset of a mixture.

    Attributes:
        dataset: Hub id, folder of save_to_disk, of parquet files or of sound files, or a file: parquet, tsv, csv, json, jsonl, COCO
            captions (json), WebDataset (tar, with wildcards).
        name: In summaries and of its folder of tokens; default: the layout's name and the languages.
        layout: Name of a packaged layout, or a YAML file of one, whose settings stand where none are given.
        config: Of a dataset of the Hub.
        split: Likewise.
        streaming: Read row by row, without a copy on the disk.
        languages: {"from": ISO code or name, "to": ...}; a layout writes {from} and {to} for them.
        header: Names of the columns of a tsv or csv file that has no line of names.
        join: {"dataset": ..., "key": column, "header": ..., "config": ..., "prefix": ""}: columns of a second table, by a column that
            both have.
        columns: {field: column}; "translation.en" for a column inside a column, "{path}.wav" to put columns together, "=de" for
            what is the same in every row.
        folders: {field: folder} that paths in a column of media are relative to; default: that of the file.
        filters: {column: condition}, a value, a list of allowed values, or {"min", "max", "is", "not"}.
        min_seconds, max_seconds: Of the audio that is kept.
        limit: Most rows; 0 for all.
        weight: How often its rows are taken, against 1 of others. What is left of it below a whole number is drawn for each row once,
            when training begins: at 0.1, nine of ten rows are in none of its epochs.
    """

    dataset: str = ""
    name: str = ""
    layout: str = ""
    config: str = ""
    split: str = "train"
    streaming: bool = False
    languages: Mapping[str, str] = field(default_factory=dict)
    header: Sequence[str] = field(default_factory=list)
    join: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, Any] = field(default_factory=dict)
    min_seconds: float = 0.2
    max_seconds: float = 30.0
    limit: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class Mixture:
    """Sources with what they share.

    Attributes:
        sources: With different names.
        temperature: Of sampling by language: a language with a share p of the rows gets one proportional to p ** (1 / temperature).
    """

    sources: Sequence[Source]
    temperature: float = 1.0


def load_sources(file: str | Path) -> Mixture:
    """Reads and checks a YAML file {"sources": [...], "temperature": 1.0}.

    Raises:
        TriglotError: no such file, no YAML, an unknown key, field, layout or condition (the nearest known one is named), or a
            number out of range.
    """
    path = Path(file)
    content = _yaml(path, "sources")
    for key in content:
        if key not in ("sources", "temperature"):
            raise TriglotError(f"{path}: unknown key {key!r}{nearest(key, ('sources', 'temperature'))}")
    if not isinstance(content.get("sources"), list) or not content["sources"]:
        raise TriglotError(
            f"{path}: a list `sources` is needed, and `temperature` beside it; it has {sorted(content)}."
        )
    sources = [
        _source(entry, f"{path.name}, source {number}", path.parent)
        for number, entry in enumerate(content["sources"], 1)
    ]
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise TriglotError(f"{path}: two sources have one name: {', '.join(names)}; give each its own with `name`.")
    temperature = content.get("temperature", 1.0)
    if not _number(temperature) or not temperature > 0:
        raise TriglotError(f"{path}: temperature is {temperature!r}; a number above 0 is needed.")
    return Mixture(sources, float(temperature))


def layout_names() -> list[str]:
    """Of the packaged layouts."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _layouts().iterdir() if entry.name.endswith(".yaml"))


def _layouts() -> Any:
    return resources.files(__package__) / "layouts"


def _yaml(path: Path, what: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TriglotError(f"There is no {what} {str(path)!r}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TriglotError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise TriglotError(f"{path} must be a mapping.")
    _check_keys(content, str(path))
    return content


def _check_keys(value: Any, where: str) -> None:
    """Raises a TriglotError where a key is no text, as YAML's no, yes, on, off and numbers are none."""
    for key in value if isinstance(value, dict) else ():
        if not isinstance(key, str):
            raise TriglotError(f"{where}: the key {key!r} is no text; write it in quotes.")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_keys(inner, where)


def _source(entry: Any, where: str, beside: Path) -> Source:
    """One entry with its layout's settings under its own; paths are relative to the file that names them."""
    if not isinstance(entry, dict):
        raise TriglotError(f"{where}: a mapping is needed; it is {entry!r}.")
    bare = Source()
    given = {key: getattr(bare, key, None) if value is None else value for key, value in entry.items()}
    source = parse_arguments(Source, given, where)
    if source.layout:
        packaged = _layouts() / f"{source.layout}.yaml"
        own = beside / source.layout
        if not own.is_file() and not packaged.is_file():
            raise TriglotError(f"{where}: unknown layout {source.layout!r}{nearest(source.layout, layout_names())}")
        settings = _yaml(own if own.is_file() else Path(str(packaged)), "layout")
        _check_texts(source.languages, f"{where}: languages")
        places = {**dict.fromkeys(PLACES[:2], ""), **source.languages, "split": source.split}
        source = parse_arguments(
            Source, _merged(_placed(settings, places, where), entry), f"{where} ({source.layout})"
        )
    _check(source, where)
    name = source.name or "-".join(
        part for part in (source.layout or Path(source.dataset).stem, *source.languages.values()) if part
    )
    dataset, join = _beside(source.dataset, beside), dict(source.join)
    if join:
        join["dataset"] = _beside(join["dataset"], beside)
    folders = {key: _beside(folder, beside) for key, folder in source.folders.items()}
    return dataclasses.replace(source, name=name, dataset=dataset, join=join, folders=folders)


def _placed(value: Any, places: Mapping[str, str], where: str) -> Any:
    """A layout's settings with {from}, {to} and {split} filled in; other braces are columns."""
    if isinstance(value, dict):
        return {key: _placed(item, places, where) for key, item in value.items()}
    if isinstance(value, str):
        for place, given in places.items():
            if f"{{{place}}}" in value and not given:
                raise TriglotError(f"{where}: the layout needs languages: {{{place}: ...}}.")
            value = value.replace(f"{{{place}}}", given)
    return value


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings inside mappings are put together; an entry of None takes a layout's away."""
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return {key: value for key, value in result.items() if value is not None}


def _beside(path: str, folder: Path) -> str:
    """A path relative to `folder` where something lies there, else as it is: a Hub id."""
    there = folder / path
    found = (
        there.exists() or (any(character in path for character in "*?") and any(folder.glob(path))) if path else False
    )
    return str(there) if found else path


def _check(source: Source, where: str) -> None:
    if not source.dataset:
        raise TriglotError(f"{where}: `dataset` is missing: a Hub id, a folder or a file.")
    for name, given, known in (
        ("columns", source.columns, FIELDS),
        ("folders", source.folders, MEDIA),
        ("languages", source.languages, PLACES[:2]),
        ("join", source.join, JOIN),
    ):
        for key in given:
            if key not in known:
                raise TriglotError(f"{where}: unknown key {key!r} in {name}{nearest(key, known)}")
        _check_texts({key: value for key, value in given.items() if key != "header"}, f"{where}: {name}")
    for header in (source.header, source.join.get("header", [])):
        if not isinstance(header, list) or not all(isinstance(column, str) for column in header):
            raise TriglotError(f"{where}: header is {header!r}; a list of names is needed.")
    for key, column in source.columns.items():
        if not column:
            raise TriglotError(f"{where}: columns: {key} is {column!r}; the name of a column is needed.")
        try:
            _columns_of(column)
        except ValueError as error:
            raise TriglotError(f"{where}: columns: {key} is {column!r}; its braces are wrong: {error}.") from error
    if source.join and not {"dataset", "key"} <= set(source.join):
        raise TriglotError(f"{where}: join needs `dataset` and `key`; it has {sorted(source.join)}.")
    for column, condition in source.filters.items():
        _check_condition(column, condition, where)
    if not source.columns:
        raise TriglotError(
            f"{where}: `columns` is missing: which column is audio, which transcript ...; {', '.join(FIELDS)}."
        )
    if "source_language" not in source.columns:
        raise TriglotError(f'{where}: columns lack source_language; name a column, or the language, as in "=de".')
    if bool({"translated_audio", "translated_transcript"} & set(source.columns)) != (
        "target_language" in source.columns
    ):
        raise TriglotError(
            f"{where}: a translation and its target_language belong together; columns are {dict(source.columns)}."
        )
    for key in LANGUAGES:
        if source.columns.get(key, "").startswith(CONSTANT):
            resolve_language(source.columns[key][1:], role=f"{where}: {key}")
    if not 0 <= source.min_seconds < source.max_seconds or source.limit < 0 or not 0 < source.weight < 1_000:
        raise TriglotError(
            f"{where}: min_seconds {source.min_seconds}, max_seconds {source.max_seconds}, limit {source.limit}, weight "
            f"{source.weight}; seconds count up from 0, limit is at least 0, weight above 0."
        )


def _check_texts(given: Mapping[str, Any], where: str) -> None:
    for key, value in given.items():
        if not isinstance(value, str):
            hint = " (YAML reads no, yes, on and off as truth values)" if isinstance(value, bool) else ""
            raise TriglotError(f"{where}: {key} is {value!r}{hint}; a text is needed: write it in quotes.")


def _check_condition(column: str, condition: Any, where: str) -> None:
    for key, wanted in condition.items() if isinstance(condition, dict) else ():
        if key not in CONDITIONS:
            raise TriglotError(f"{where}: unknown condition {key!r} of {column}{nearest(key, CONDITIONS)}")
        if key in ("min", "max") and not _number(wanted):
            raise TriglotError(f"{where}: {key} of {column} is {wanted!r}; a number is needed.")
        _check_condition(column, wanted, where)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# ---- the rows of a source


def open_source(source: Source) -> Dataset | IterableDataset:
    """The rows with their own columns, joined and filtered; sound and pictures undecoded.

    Raises:
        TriglotError: nothing there, or a column that the rows lack (the nearest one is named).
    """
    rows = open_rows(
        source.dataset, source.split, streaming=source.streaming, config=source.config, header=source.header
    )
    rows = _undecoded(rows)
    if source.join:
        rows = _joined(rows, source)
    names = _check_columns(rows, source)
    if source.filters:
        if isinstance(rows, Dataset):  # without the sound, which need not be read for this
            read = _outermost(source.filters, names)
            fits = functools.partial(_values_fit, names=read, filters=source.filters)
            rows = rows.filter(fits, input_columns=read)
        else:  # a row of a stream may lack a column
            rows = rows.filter(functools.partial(_fits, filters=source.filters))
    if source.limit:
        rows = (
            rows.select(range(min(source.limit, len(rows)))) if isinstance(rows, Dataset) else rows.take(source.limit)
        )
    return rows


def _undecoded(rows: Any) -> Any:
    """Sound and pictures as bytes and paths, which need no packages to be read."""
    for name, feature in (rows.features or {}).items():
        if isinstance(feature, (Audio, Image)) and feature.decode:
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


def _joined(rows: Any, source: Source) -> Any:
    """Rows that both tables have, with the columns of both."""
    join, key, prefix = source.join, source.join["key"], source.join.get("prefix", "")
    other = _undecoded(
        open_rows(join["dataset"], source.split, config=join.get("config", ""), header=join.get("header", ()))
    )
    for table, columns in ((source.dataset, rows.column_names), (join["dataset"], other.column_names)):
        if columns is not None and key not in columns:
            raise TriglotError(f"{source.name}: {table!r} has no column {key!r}{nearest(key, columns)}")
    names = [name for name in other.column_names if name != key]
    if same := sorted({prefix + name for name in names} & set(rows.column_names or ())):
        raise TriglotError(f"{source.name}: both tables have {', '.join(same)}; give the second one's a `prefix`.")
    place = {value: number for number, value in enumerate(other[key])}

    def known(row: dict[str, Any]) -> bool:
        return row.get(key) in place

    def extended(row: dict[str, Any]) -> dict[str, Any]:
        found = other[place[row[key]]]
        return {prefix + name: found[name] for name in names}

    return rows.filter(known).map(extended)


def _values_fit(*values: Any, names: Sequence[str], filters: Mapping[str, Any]) -> bool:
    return _fits(dict(zip(names, values)), filters)


def _fits(row: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether a row meets all conditions; a broken one goes through, to be counted."""
    return BROKEN in row or all(_meets(_inside(row, column), condition) for column, condition in filters.items())


def _meets(value: Any, condition: Any) -> bool:
    if isinstance(condition, (list, tuple)):
        return value in condition or str(value) in map(str, condition)
    if not isinstance(condition, Mapping):
        return value == condition or str(value) == str(condition)
    for key, wanted in condition.items():
        if key in ("is", "not"):
            if _meets(value, wanted) != (key == "is"):
                return False
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            return False
        if (number < wanted) if key == "min" else (number > wanted):
            return False
    return True


def read_columns(source: Source, names: Sequence[str]) -> list[str]:
    """Those of the rows' columns `names` that the fields are made of."""
    return _outermost((column for text in source.columns.values() for column in _columns_of(text)), names)


def _outermost(columns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The columns themselves, or those that they are in."""
    return sorted({column if column in names else column.split(".")[0] for column in columns})


def _columns_of(specification: str) -> list[str]:
    """The columns that a specification reads: none, one, or those in braces."""
    if specification.startswith(CONSTANT):
        return []
    inside = [name for _, name, _, _ in string.Formatter().parse(specification) if name]
    return inside or [specification]


def _check_columns(rows: Any, source: Source) -> list[str]:
    """The names of all columns, where the rows have those that the source reads."""
    if rows.features is None:  # a stream that does not know them
        first = [(row.get(BROKEN), list(row), list(_paths(row))) for row in itertools.islice(rows, LOOKED_AT)]
        whole = [(columns, inside) for why, columns, inside in first if why is None]
        if first and not whole:
            raise TriglotError(f"{source.name}: none of its first {len(first)} rows can be read. {first[0][0]}")
        names = list(dict.fromkeys(column for columns, _ in whole for column in columns))
        paths = list(dict.fromkeys(path for _, inside in whole for path in inside))
    else:
        names, paths = list(rows.features), list(rows.features.flatten())
    inner = [path for path in paths if path not in names]  # of columns inside columns
    wanted = [(column, f"columns: {key}", key) for key, text in source.columns.items() for column in _columns_of(text)]
    for column, where, key in [*wanted, *((column, "filters", "") for column in source.filters)]:
        below = [path for path in inner if path.startswith(f"{column}.")]
        if column not in names and column not in inner and not below:
            known = [*names, *inner]
            raise TriglotError(f"{source.name}, {where}: the dataset has no column {column!r}{nearest(column, known)}")
        if below and key and key not in MEDIA:
            raise TriglotError(f"{source.name}, {where}: {column!r} holds columns; name one of {', '.join(below)}.")
    return names


def _paths(row: Mapping[str, Any], under: str = "") -> Iterator[str]:
    """What a row's columns are called, those inside columns as "translation.de"."""
    for key, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from _paths(value, f"{under}{key}.")
        else:
            yield f"{under}{key}"


def _inside(row: Mapping[str, Any], column: str) -> Any:
    """A value, also of a column inside a column."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def fields_of(source: Source, row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row that hold something: texts stripped, languages as ISO codes, media as `load_audio` takes them.

    Raises:
        TriglotError: an unknown language, a text that is none, or a row that could not be read.
    """
    if BROKEN in row:
        raise TriglotError(row[BROKEN])
    found: dict[str, Any] = {}
    for key, specification in source.columns.items():
        value = _value(row, specification)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if key in MEDIA:
            found[key] = _located(value, _folder(source, key))
            continue
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(text, (Mapping, bytes)):
                raise TriglotError(f"{key}: {specification!r} holds {type(text).__name__}; a text is needed.")
        if key in LANGUAGES:
            found[key] = _language(str(value), key)
        elif isinstance(value, (list, tuple)):  # several captions of one picture
            if key != "caption":
                raise TriglotError(f"{key} is a list; only `caption` may hold several texts.")
            found[key] = [str(text).strip() for text in value if text and str(text).strip()]
        else:
            found[key] = str(value).strip()
    return found


def field_rows(mixture: Mixture) -> Dataset:
    """The fields of all rows of all sources, in order, as evaluation wants them; rows in an unknown language are left out.

    Captions are lists. Without sound, the first one takes the place of a missing transcript, as in training, and so is what an
    answer is measured against: metrics here take one reference.

    Raises:
        TriglotError: a source that cannot be opened, or no rows.
    """
    found: dict[str, list[Any]] = {key: [] for key in FIELDS}
    for source in mixture.sources:
        for row in open_source(source):
            try:
                fields = fields_of(source, row)
            except TriglotError:
                continue
            if "caption" in fields:
                captions = fields["caption"] = captions_of(fields)
                if captions and "audio" not in fields:
                    fields.setdefault("transcript", captions[0])
            for key, values in found.items():
                value = fields.get(key)
                values.append({"bytes": None, "path": value} if key in MEDIA and isinstance(value, str) else value)
    kept = {key: values for key, values in found.items() if any(value is not None for value in values)}
    if not kept:
        raise TriglotError(f"There are no rows in {', '.join(source.name for source in mixture.sources)}.")
    return Dataset.from_dict(kept)


def captions_of(fields: Mapping[str, Any]) -> list[str]:
    """The captions of a row's fields, each once."""
    caption = fields.get("caption", [])
    return list(dict.fromkeys([caption] if isinstance(caption, str) else caption))


def _value(row: Mapping[str, Any], specification: str) -> Any:
    if specification.startswith(CONSTANT):
        return specification[1:]
    if "{" not in specification:
        return _inside(row, specification)
    parts = []
    for text, name, form, _ in string.Formatter().parse(specification):
        value = _inside(row, name) if name else ""
        if value is None or isinstance(value, Mapping):
            return value
        parts += [text, format(value, form or "")]
    return "".join(parts)


def _folder(source: Source, key: str) -> Path:
    """What paths of a field are relative to."""
    if key in source.folders:
        return Path(source.folders[key])
    path = Path(source.dataset)
    return path.parent if path.is_file() else path


def _located(value: Any, folder: Path) -> Any:
    """Bytes stay; a relative path becomes one in `folder`."""
    if isinstance(value, Mapping):
        if value.get("bytes") is None and isinstance(value.get("path"), str):
            return str(folder / value["path"])
        return value
    return str(folder / value) if isinstance(value, str) else value


@functools.cache
def _language(value: str, role: str) -> str:
    """ "zh-CN", "de_de" and "German" -> ISO 639-1."""
    short = value.replace("_", "-").split("-")[0]
    return resolve_language(short, role=role)


__all__ = [
    "FIELDS", "Mixture", "Source", "captions_of", "field_rows", "fields_of", "layout_names", "load_sources", "open_source",
    "read_columns",
]  # fmt: skip
