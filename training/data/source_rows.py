"""Sources -> token rows: sound and picture of every row as codes, once; what cannot be used is passed over, counted and listed.

    Source ─ open_source ─ rows ─ fields_of ─ tokenizers ─▶ FOLDER/name/shard-00007.parquet

A shard is whole or absent, so a run that was killed goes on; ranks of `torchrun` or `accelerate launch` share the shards out. It tells
what it was made from: shards of rows that were changed or added since are made again.
"""

import contextlib
import dataclasses
import functools
import glob
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet
from datasets import Dataset
from tqdm.auto import tqdm

from ...modeling.tokenizers.media_tokenizer import MediaTokenizer
from ...processing.audio_io import load_audio
from ...processing.errors import TriglotError
from ..runs import HOPELESS
from .mixture import END_FILE, shard_count, write_shard_count
from .row_digests import rows_digest
from .sources import LANGUAGES, Source, captions_of, fields_of, open_source, read_columns
from .token_rows import (
    MadeRows,
    cached_tokenizer,
    encode_picture,
    encode_wave,
    made_by,
    shard_facts,
    write_shard,
    write_shards,
)
from .token_shards import shard_path

SPEECH = {"audio": "speech_source", "translated_audio": "speech_target"}
TEXTS = {"transcript": "text_source", "translated_transcript": "text_target"}


@functools.cache
def _opened(settings: str) -> Any:
    """A source's rows, opened once a process."""
    return open_source(Source(**json.loads(settings)))


def settings_of(source: Source) -> str:
    """All settings of a source as text."""
    return json.dumps(dataclasses.asdict(source), sort_keys=True)


@dataclass(frozen=True)
class SourceRows:
    """Token rows of a source that lies on the disk."""

    source: Source
    tokenizer_dir: str
    image_tokenizer_dir: str = ""

    def __call__(self, first: int, last: int) -> MadeRows:
        return dataclasses.replace(self.made(range(first, last)), made_from=self.digest(first, last))

    def made(self, numbers: Iterable[int]) -> MadeRows:
        """Those of some rows."""
        rows = _opened(settings_of(self.source))
        return self._made((number, rows[number]) for number in numbers)

    def streamed(self, numbered: Sequence[tuple[int, Mapping[str, Any]]], made_from: str) -> MadeRows:
        """Those of some rows that were read from a stream, of which `made_from` is the digest."""
        return dataclasses.replace(self._made(iter(numbered)), made_from=made_from)

    def _made(self, numbered: Iterator[tuple[int, Mapping[str, Any]]]) -> MadeRows:
        return token_rows_of(self.source, numbered, cached_tokenizer(self.tokenizer_dir), self.image_tokenizer_dir)

    def digest(self, first: int, last: int) -> str:
        """Of a span of rows: their texts, and the paths and sizes of sound and pictures, which are not read for it."""
        rows = _opened(settings_of(self.source))
        read = rows.select_columns(read_columns(self.source, rows.column_names)).with_format("arrow")
        table = read[first:last].flatten()
        for place, column in enumerate(table.columns):
            if pyarrow.types.is_binary(column.type) or pyarrow.types.is_large_binary(column.type):
                sizes = pyarrow.compute.binary_length(column)
                table = table.set_column(place, table.column_names[place], sizes)
        return rows_digest(table.to_pylist())


def token_rows_of(
    source: Source,
    numbered: Iterator[tuple[int, Mapping[str, Any]]],
    units: MediaTokenizer,
    image_tokenizer_dir: str = "",
) -> MadeRows:
    """The token rows of some rows.

    Args:
        source: Says what is what.
        numbered: (number, row).
        units: Speech tokenizer.
        image_tokenizer_dir: Folder of an image tokenizer; "" to leave pictures out.
    """
    made, skipped, seconds = [], [], 0.0
    for number, row in numbered:
        try:
            token_rows, lasts = _token_rows(source, row, units, image_tokenizer_dir)
        except (TriglotError, ValueError) as error:
            skipped.append({"row": number, "why": str(error)})
        else:
            made += token_rows
            seconds += lasts
    return MadeRows(made, skipped, seconds)


def _token_rows(
    source: Source, row: Mapping[str, Any], units: MediaTokenizer, image_tokenizer_dir: str
) -> tuple[list[dict[str, Any]], float]:
    """The token rows of a row, and the seconds of its sound.

    A picture belongs to its caption, or without one to the transcript. A first caption takes the place of a missing transcript; every
    other makes a row of its own.
    """
    fields, rate, seconds = fields_of(source, row), int(units.config.sampling_rate), 0.0
    if "source_language" not in fields:
        raise TriglotError("The language is missing.")
    result = {column: fields[key] for key, column in TEXTS.items() if key in fields}
    captions = captions_of(fields)
    if "text_source" not in result and "audio" not in fields and captions:
        result["text_source"] = captions[0]
    for key, column in SPEECH.items():
        if key not in fields:
            continue
        wave = load_audio(fields[key], target_rate=rate, name=key)
        lasts = len(wave) / rate
        if not source.min_seconds <= lasts <= source.max_seconds:
            raise TriglotError(
                f"{key} lasts {lasts:.2f} s; kept is {source.min_seconds:g} to {source.max_seconds:g} s."
            )
        result[column] = encode_wave(units, wave)
        seconds += lasts
    picture = encode_picture(fields.get("image"), image_tokenizer_dir)
    languages = {key: fields[key] for key in LANGUAGES if key in fields}
    rows = [{**result, **languages, "speaker": fields.get("speaker"), "recorded": False}]
    if not captions or result.get("text_source") in captions:
        rows[0]["image_source"] = picture
    language = {"source_language": fields["source_language"], "recorded": False}
    others = [caption for caption in captions if caption != result.get("text_source")]
    rows += [{"text_source": caption, "image_source": picture, **language} for caption in others]
    held = (*SPEECH.values(), *TEXTS.values(), "image_source")
    rows = [one for one in rows if sum(one.get(column) is not None for column in held) > 1]
    if not rows:
        hint = ", and no --image-tokenizer is given" if "image" in fields and not image_tokenizer_dir else ""
        raise TriglotError(f"A task needs two of speech, texts and picture; there is {', '.join(fields)}{hint}.")
    return rows, seconds


def tokenise_source(
    source: Source,
    tokenizer_dir: str,
    folder: Path,
    *,
    shard_rows: int = 500,
    workers: int = 1,
    rank: int = 0,
    ranks: int = 1,
    image_tokenizer_dir: str = "",
) -> None:
    """Makes the shards of a source that are not there yet, or were made from other rows.

    Not told apart are sounds and pictures that were replaced under their own path, and a stream of the Hub that was read to its end:
    to have them again, delete `folder`.

    Args:
        source: On the disk or streamed.
        tokenizer_dir: Folder of the speech tokenizer.
        folder: Of the shards.
        shard_rows: Rows of the source a shard.
        workers: Processes; a stream is read by this one and tokenised by them.
        rank, ranks: Each rank makes every `ranks`-th shard.
        image_tokenizer_dir: Folder of the image tokenizer; "" to leave pictures out.

    Raises:
        TriglotError: no rows, or many of which none can be used, here and in the shards before.
    """
    _opened.cache_clear()  # files may have changed since this process read them
    rows, make_rows = _opened(settings_of(source)), SourceRows(source, tokenizer_dir, image_tokenizer_dir)

    def check(made: MadeRows) -> None:
        if made.rows or len(made.skipped) < HOPELESS:
            return
        if any(pyarrow.parquet.read_metadata(path).num_rows for path in _shards(folder).values()):
            return
        if isinstance(rows, Dataset) and make_rows.made(range(0, len(rows), -(-len(rows) // HOPELESS))).rows:
            return  # one of some all over the source
        first = made.skipped[0]
        raise TriglotError(
            f"{source.name}: none of {len(made.skipped)} rows can be used. Row {first['row']}: {first['why']}"
        )

    if isinstance(rows, Dataset):
        if not len(rows):
            raise TriglotError(f"{source.name} has no rows{' that its filters let pass' if source.filters else ''}.")
        whole = -(-len(rows) // shard_rows)
        _forget_others(folder, make_rows, len(rows), shard_rows, rank, ranks)
        write_shards(folder, len(rows), shard_rows, make_rows, workers=workers, rank=rank, ranks=ranks, check=check)
        write_shard_count(folder, whole)
        return
    folder.mkdir(parents=True, exist_ok=True)
    done, files = 0, _files(source)
    count = shard_count(folder, files)  # told by any rank that came to the end
    if count is None:
        (folder / END_FILE).unlink(missing_ok=True)
    elif all(shard_path(folder, index).is_file() for index in range(rank, count, ranks)):
        return
    stream = enumerate(rows)

    def missing(bar: tqdm) -> Iterator[tuple[int, tuple]]:
        nonlocal done
        while piece := _piece(stream, shard_rows, source):
            if done % ranks == rank:
                path, made_from = shard_path(folder, done), rows_digest(row for _, row in piece)
                if not path.is_file() or shard_facts(path).get("made_from") != made_from:
                    yield done, (piece, made_from)
            done += 1
            bar.update(len(piece))

    with (
        tqdm(desc=f"tokenising {source.name}", unit="row") as bar,
        contextlib.closing(made_by(missing(bar), make_rows.streamed, workers)) as shards,
    ):
        for index, made in shards:
            check(made)
            write_shard(shard_path(folder, index), made)
    if not done:
        raise TriglotError(f"{source.name} has no rows.")
    for index, path in _shards(folder).items():
        if index >= done and index % ranks == rank:
            path.unlink()
    write_shard_count(folder, done, files)


def _shards(folder: Path) -> dict[int, Path]:
    """{number: path} of the shards that are there."""
    return {int(path.stem.rpartition("-")[2]): path for path in sorted(folder.glob("shard-*.parquet"))}


def _forget_others(folder: Path, make_rows: SourceRows, count: int, shard_rows: int, rank: int, ranks: int) -> None:
    """Removes a rank's shards that were made from other rows than the source's `count`, and that somebody came to its end."""
    others = []
    for index, path in _shards(folder).items():
        span = index * shard_rows, min((index + 1) * shard_rows, count)
        if index % ranks == rank and (
            span[0] >= count or shard_facts(path).get("made_from") != make_rows.digest(*span)
        ):
            others.append(path)
    if others or shard_count(folder) != -(-count // shard_rows):
        (folder / END_FILE).unlink(missing_ok=True)
    for path in others:
        path.unlink()
    if others:
        print(f"{make_rows.source.name}: {len(others)} shards were made from other rows, and are made again")


def _files(source: Source) -> str:
    """Paths, sizes and times of the files that are streamed, and of a joined table, as text; of the Hub there are none."""
    found = []
    for given in (source.dataset, source.join.get("dataset", "")):
        for path in map(Path, sorted(glob.glob(given))):
            found += sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found if path.is_file()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _piece(stream: Iterator[tuple[int, Any]], count: int, source: Source) -> list[tuple[int, Any]]:
    try:
        return list(itertools.islice(stream, count))
    except Exception as error:  # of any kind: a shard that is cut off, a network that is gone
        raise TriglotError(
            f"{source.name}: the stream broke: {error}. What was done is kept; mend what is broken, and the same call goes on."
        ) from error
