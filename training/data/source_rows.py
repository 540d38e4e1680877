"""Sources -> token rows: sound and picture of every row as codes, once; what cannot be used is passed over, counted and listed.

    Source ─ open_source ─ rows ─ fields_of ─ tokenizers ─▶ FOLDER/name/shard-00007.parquet

A shard is whole or absent, so a run that was killed goes on; ranks of `torchrun` or `accelerate launch` share the shards out.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from tqdm.auto import tqdm

from ...modeling.tokenizers.media_tokenizer import MediaTokenizer
from ...processing.audio_io import load_audio
from ...processing.errors import TriglotError
from ..runs import HOPELESS
from .mixture import shard_count, write_shard_count
from .sources import LANGUAGES, Source, fields_of, open_source
from .token_rows import MadeRows, cached_tokenizer, encode_picture, encode_wave, write_shard, write_shards
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
        rows = _opened(settings_of(self.source))
        numbered = ((number, rows[number]) for number in range(first, last))
        return token_rows_of(self.source, numbered, cached_tokenizer(self.tokenizer_dir), self.image_tokenizer_dir)


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

    Raises:
        TriglotError: all of many rows are unusable.
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
    if not made and len(skipped) >= HOPELESS:
        raise TriglotError(
            f"{source.name}: none of {len(skipped)} rows can be used. Row {skipped[0]['row']}: {skipped[0]['why']}"
        )
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
    captions = _captions(fields)
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


def _captions(fields: Mapping[str, Any]) -> list[str]:
    """The captions of a row, each once."""
    caption = fields.get("caption", [])
    return list(dict.fromkeys([caption] if isinstance(caption, str) else caption))


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
    """Makes the shards of a source that are not there yet.

    Args:
        source: On the disk or streamed.
        tokenizer_dir: Folder of the speech tokenizer.
        folder: Of the shards.
        shard_rows: Rows of the source a shard.
        workers: Processes; a stream has one.
        rank, ranks: Each rank makes every `ranks`-th shard.
        image_tokenizer_dir: Folder of the image tokenizer; "" to leave pictures out.
    """
    rows = _opened(settings_of(source))
    if isinstance(rows, Dataset):
        if not len(rows):
            raise TriglotError(f"{source.name} has no rows{' that its filters let pass' if source.filters else ''}.")
        make_rows = SourceRows(source, tokenizer_dir, image_tokenizer_dir)
        write_shards(folder, len(rows), shard_rows, make_rows, workers=workers, rank=rank, ranks=ranks)
        write_shard_count(folder, -(-len(rows) // shard_rows))
        return
    folder.mkdir(parents=True, exist_ok=True)
    units, done = cached_tokenizer(tokenizer_dir), 0
    count = shard_count(folder)  # told by any rank that came to the end
    if count is not None and all(shard_path(folder, index).is_file() for index in range(rank, count, ranks)):
        return
    while done % ranks != rank or shard_path(folder, done).is_file():
        done += 1
    stream = enumerate(rows.skip(done * shard_rows), done * shard_rows)
    with tqdm(desc=f"tokenising {source.name}", unit="row", initial=done * shard_rows) as bar:
        while piece := _piece(stream, shard_rows, source):
            if done % ranks == rank:
                write_shard(shard_path(folder, done), token_rows_of(source, iter(piece), units, image_tokenizer_dir))
            done += 1
            bar.update(len(piece))
    if not done:
        raise TriglotError(f"{source.name} has no rows.")
    write_shard_count(folder, done)


def _piece(stream: Iterator[tuple[int, Any]], count: int, source: Source) -> list[tuple[int, Any]]:
    try:
        return list(itertools.islice(stream, count))
    except Exception as error:  # of any kind: a shard that is cut off, a network that is gone
        raise TriglotError(
            f"{source.name}: the stream broke: {error}. What was done is kept; the same call goes on."
        ) from error
