"""Token rows: the sound of each row as codes, once, in parquet shards that are whole or absent.

    row i of a dataset, or spoken on the fly ─ recording conditions ─ speech tokenizer ─▶ shard-00007.parquet

    columns: speech_source, speech_target, image_source  list<int32> codes; text_source, text_target  str;
             source_language, target_language, speaker  str; recorded, recorded_image  bool

`recorded` rows went through recording conditions (noise, band limits, formants moved): good to listen to, not to imitate, so tasks that
would speak their source sound leave them out. The same holds for the picture of a row of `recorded_image`.
"""

import contextlib
import functools
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from tqdm.auto import tqdm

from ...modeling.tokenizers.media_tokenizer import MediaTokenizer
from ...processing.audio_io import load_audio
from ...processing.errors import TriglotError
from ...processing.image_io import load_image
from ...processing.whole_files import whole_file
from ..load_parts import load_image_tokenizer, load_speech_tokenizer
from .augment import RecordingConditions, resample_voice
from .demo_world import speak
from .no_speech import no_speech
from .phrases import Phrase, random_fragment
from .picture_conditions import recorded_picture
from .picture_rows import as_tensor
from .scene_pictures import draw_scene
from .scenes import SCENE_LANGUAGES, Scene
from .splits import TRAINING_VOICES, Item, random_speaker, training_sentences
from .token_shards import shard_path

OTHER_VOICE_SHARE = 0.5  # of recorded sources: by a larger or smaller speaker, for voices that training lacks

FRAGMENT_WORDS = (1, 1, 1, 2, 2, 3, 4)  # drawn from
WORDLESS_SECONDS = (0.3, 5.0)
PAUSE_SECONDS = 0.24  # s; what is said where nothing was heard
SHORTEST_SECONDS = 0.2  # s; a word of one quick sound (Spanish 'y') is followed by silence

SCHEMA = pyarrow.schema(
    [
        ("speech_source", pyarrow.list_(pyarrow.int32())),
        ("speech_target", pyarrow.list_(pyarrow.int32())),
        *((name, pyarrow.string()) for name in ("text_source", "text_target", "source_language", "target_language")),
        ("speaker", pyarrow.string()),
        ("recorded", pyarrow.bool_()),
        ("image_source", pyarrow.list_(pyarrow.int32())),
        ("recorded_image", pyarrow.bool_()),
    ]
)


FACTS = b"triglot"  # key of a shard's metadata
ROW_KINDS = ("rows", "text_rows", "wordless_rows", "fragment_rows", "text_fragment_rows")  # on the fly, in this order
COUNTED_SENTENCES = 5_000  # whose words say what is rare


@dataclass(frozen=True)
class TokensArguments:
    """Settings of the stage."""

    rows: int = 0  # of the demo world, spoken on the fly; where all kinds are 0, those of the data stage as they are
    text_rows: int = 0  # further rows of the demo world that hold text alone, for tasks from text to text
    wordless_rows: int = 0  # further rows of noise and silence, in which nothing is said
    fragment_rows: int = 0  # further rows of a few words each: in short speech there is no place to lose
    text_fragment_rows: int = 0  # further rows of a few words as text alone: a dictionary
    rare_choice: int = 1  # so many phrases are drawn for a row, and the one with the rarest word is taken ...
    rare_share: float = 0.5  # ... in this share of the rows; in all of them, patterns of frequent words would vanish
    recorded_share: float = 0.5  # of rows on the fly: how many go through recording conditions
    recorded_image_share: float = 0.0  # of pictures on the fly: how many come as a JPEG, noisy, blurred or redrawn
    shard_rows: int = 500
    workers: int = 1  # processes

    def __post_init__(self):
        counts = {name: getattr(self, name) for name in ROW_KINDS}
        least = min(self.shard_rows, self.workers, self.rare_choice)
        shares = (self.recorded_share, self.rare_share, self.recorded_image_share)
        if min(counts.values()) < 0 or least < 1 or min(shares) < 0 or max(shares) > 1:
            raise TriglotError(
                f"{counts}, shard_rows {self.shard_rows}, workers {self.workers}, rare_choice {self.rare_choice}, "
                f"recorded_share {self.recorded_share}, rare_share {self.rare_share}, recorded_image_share "
                f"{self.recorded_image_share}: rows are at least 0, shard_rows, workers and rare_choice at least 1, the shares "
                "are 0 to 1."
            )

    @property
    def in_all(self) -> int:
        """Rows on the fly of all kinds."""
        return sum(getattr(self, name) for name in ROW_KINDS)


@functools.cache
def cached_tokenizer(folder: str) -> MediaTokenizer:
    """The speech tokenizer, loaded once a process."""
    return load_speech_tokenizer(folder)


@functools.cache
def cached_image_tokenizer(folder: str) -> MediaTokenizer:
    """The image tokenizer, loaded once a process."""
    return load_image_tokenizer(folder)


def encode_picture(image: Any, folder: str, name: str = "image") -> list[int] | None:
    """Codes of a picture as `load_image` takes it, by the image tokenizer of a folder; None where there is no picture or no tokenizer."""
    if image is None or not folder:
        return None
    return cached_image_tokenizer(folder).encode([torch.from_numpy(load_image(image, name=name))])[0].tolist()


def encode_wave(units: MediaTokenizer, wave: np.ndarray) -> list[int]:
    """Codes of float32 (samples,) at the tokenizer's rate."""
    return units.encode([torch.from_numpy(wave)])[0].tolist()


@dataclass(frozen=True)
class DatasetRows:
    """Token rows of a dataset on disk with AudioPaLM's fields."""

    dataset_dir: str
    tokenizer_dir: str
    image_tokenizer_dir: str = ""  # "" for rows without pictures

    def __call__(self, first: int, last: int) -> list[dict[str, Any]]:
        units = cached_tokenizer(self.tokenizer_dir)
        rows = datasets.load_from_disk(self.dataset_dir).select(range(first, last))
        if "image" in rows.column_names and isinstance(rows.features["image"], datasets.Image):
            rows = rows.cast_column("image", datasets.Image(decode=False))
        result = []
        for number, row in enumerate(rows):
            name = f"row {first + number}"
            waves = [
                None
                if row.get(column) is None
                else load_audio(row[column], target_rate=units.config.sampling_rate, name=name)
                for column in ("audio", "translated_audio")
            ]
            codes = [None if wave is None else encode_wave(units, wave) for wave in waves]
            result.append(
                {
                    "speech_source": codes[0],
                    "speech_target": codes[1],
                    "text_source": row.get("transcript"),
                    "text_target": row.get("translated_transcript"),
                    "source_language": row["source_language"],
                    "target_language": row.get("target_language"),
                    "speaker": row.get("speaker"),
                    "recorded": False,
                    "image_source": encode_picture(row.get("image"), self.image_tokenizer_dir, f"image of {name}"),
                }
            )
        return result


@dataclass(frozen=True)
class DemoWorldRows:
    """Token rows of the demo world, made when they are asked for; row i depends on the seed and i alone.

    Rows of scenes have a picture where there is an image tokenizer.

    In order: `rows` sentences in two languages, `text_rows` with their texts alone, `wordless_rows` in which nothing is said,
    `fragment_rows` of one to six words, half of them in one language, `text_fragment_rows` of such words in two.
    """

    tokenizer_dir: str
    languages: tuple[str, ...]
    arguments: TokensArguments
    seed: int
    image_tokenizer_dir: str = ""

    def __call__(self, first: int, last: int) -> list[dict[str, Any]]:
        return [self._row(index) for index in range(first, last)]

    def _row(self, index: int) -> dict[str, Any]:
        rng, number = random.Random(f"{self.seed}-{index}"), index
        for kind in ROW_KINDS:
            count = getattr(self.arguments, kind)
            if index < count:
                break
            index -= count
        makers = (self._sentence, self._text, self._wordless, self._fragment, self._text_fragment)
        row = makers[ROW_KINDS.index(kind)](rng)
        item = row.pop("item", None)
        return {**row, **self._picture(item, number)}

    def _picture(self, item: Item | None, number: int) -> dict[str, Any]:
        """The columns of the picture of row `number`, which has one where it is a scene."""
        if not isinstance(item, Scene) or not self.image_tokenizer_dir:
            return {"image_source": None, "recorded_image": False}
        rng = np.random.default_rng([self.seed, number])
        tokenizer, recorded = (
            cached_image_tokenizer(self.image_tokenizer_dir),
            rng.random() < self.arguments.recorded_image_share,
        )
        picture = as_tensor(draw_scene(item, seed=number))
        if recorded:
            picture = recorded_picture(picture, tokenizer, rng)
        return {"image_source": tokenizer.encode([picture])[0].tolist(), "recorded_image": bool(recorded)}

    def _texts(self, rng: random.Random, sentences: Mapping[str, str]) -> dict[str, Any]:
        """The columns of text of something said in all languages, from one of them to another."""
        source, target = rng.sample(self.languages, 2)
        return {
            "text_source": sentences[source],
            "text_target": sentences[target],
            "source_language": source,
            "target_language": target,
        }

    def _item(self, rng: random.Random) -> Item:
        """A sentence of the training set."""
        (item,) = training_sentences(1, seed=rng.getrandbits(32))
        if isinstance(item, Phrase) and self.arguments.rare_choice > 1 and rng.random() < self.arguments.rare_share:
            more = training_sentences(self.arguments.rare_choice - 1, seed=rng.getrandbits(32), scenes_share=0.0)
            item = min((item, *more), key=rarest)
        return item

    def _item_texts(self, rng: random.Random) -> dict[str, Any]:
        """A sentence's columns of text; "item" is the sentence."""
        item = self._item(rng)
        return {**self._texts(rng, {code: item.sentence(code) for code in self.languages}), "item": item}

    def _text(self, rng: random.Random) -> dict[str, Any]:
        return {**self._item_texts(rng), "recorded": False}

    def _sentence(self, rng: random.Random) -> dict[str, Any]:
        texts, speaker = self._item_texts(rng), random_speaker(rng, TRAINING_VOICES)
        recorded = rng.random() < self.arguments.recorded_share
        return {
            "speech_source": self._codes(
                texts["text_source"], texts["source_language"], speaker, rng if recorded else None
            ),
            "speech_target": self._codes(texts["text_target"], texts["target_language"], speaker, None),
            **texts,
            "speaker": speaker,
            "recorded": recorded,
        }

    def _fragment(self, rng: random.Random) -> dict[str, Any]:
        """Some neighbouring words of a sentence, without their translation, or some words that are none, with it."""
        if rng.random() < 0.5:
            texts = self._texts(rng, dict(zip(SCENE_LANGUAGES, random_fragment(rng))))
        else:
            language = rng.choice(self.languages)
            words = self._item(rng).sentence(language).split()
            count = min(rng.choice(FRAGMENT_WORDS), len(words))
            start = rng.randrange(len(words) - count + 1)
            texts = {"text_source": " ".join(words[start : start + count]), "source_language": language}
        speaker, recorded = random_speaker(rng, TRAINING_VOICES), rng.random() < self.arguments.recorded_share
        codes = self._codes(texts["text_source"], texts["source_language"], speaker, rng if recorded else None)
        return {"speech_source": codes, **texts, "speaker": speaker, "recorded": recorded}

    def _text_fragment(self, rng: random.Random) -> dict[str, Any]:
        return {**self._texts(rng, dict(zip(SCENE_LANGUAGES, random_fragment(rng)))), "recorded": False}

    def _wordless(self, rng: random.Random) -> dict[str, Any]:
        """A sound without words, whose translation is a moment of silence."""
        units = cached_tokenizer(self.tokenizer_dir)
        rate = int(units.config.sampling_rate)
        sound = no_speech(np.random.default_rng(rng.getrandbits(64)), rng.uniform(*WORDLESS_SECONDS), rate)
        pause = np.zeros(round(PAUSE_SECONDS * rate), np.float32)
        source, target = rng.sample(self.languages, 2)
        return {
            "speech_source": encode_wave(units, sound), "speech_target": encode_wave(units, pause), "text_source": "",
            "text_target": "", "source_language": source, "target_language": target, "recorded": True,
        }  # fmt: skip

    def _codes(self, text: str, language: str, speaker: str, rng: random.Random | None) -> list[int]:
        units = cached_tokenizer(self.tokenizer_dir)
        wave, rate = speak(text, language, speaker)
        wave = np.pad(wave, (0, max(0, round(SHORTEST_SECONDS * rate) - len(wave))))
        if rng is not None:
            noise = np.random.default_rng(rng.getrandbits(64))
            if noise.random() < OTHER_VOICE_SHARE:
                wave = resample_voice(wave, noise)
            wave = RecordingConditions.draw(noise).apply(wave, rate, noise)
        return encode_wave(units, load_audio(wave, rate, target_rate=units.config.sampling_rate))


@functools.cache
def _word_counts() -> Counter[str]:
    """How often each word of any language comes in the training set."""
    items = training_sentences(COUNTED_SENTENCES)
    return Counter(word for item in items for language in SCENE_LANGUAGES for word in item.sentence(language).split())


def rarest(item: Item) -> int:
    """How often the rarest of a sentence's words, in any language, comes in `COUNTED_SENTENCES` of the training set."""
    counts = _word_counts()
    return min(counts[word] for language in SCENE_LANGUAGES for word in item.sentence(language).split())


@dataclass(frozen=True)
class MadeRows:
    """The token rows of a span, and what became of the others.

    Attributes:
        rows: Token rows.
        skipped: {"row": number, "why": reason} of those that could not be used.
        seconds: Of sound that was encoded.
        made_from: Digest of the rows they were made from.
    """

    rows: Sequence[Mapping[str, Any]]
    skipped: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0
    made_from: str = ""


def write_shards(
    folder: str | os.PathLike,
    count: int,
    shard_rows: int,
    make_rows: Callable[[int, int], "Sequence[Mapping[str, Any]] | MadeRows"],
    *,
    workers: int = 1,
    rank: int = 0,
    ranks: int = 1,
    check: Callable[[Any], None] = lambda rows: None,
) -> list[Path]:
    """Makes the shards that are not there yet.

    Args:
        folder: Where they go.
        count: Rows in all.
        shard_rows: Rows of one shard.
        make_rows: (first, last + 1) -> the rows; must depend on nothing else, and be picklable for `workers` > 1.
        workers: Processes.
        rank, ranks: Of several machines with one folder, each makes every `ranks`-th shard.
        check: Is given what `make_rows` made before it is written; what it raises ends the call.

    Returns:
        The paths of all shards, in order.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    spans = [(start, min(start + shard_rows, count)) for start in range(0, count, shard_rows)]
    mine = range(rank, len(spans), ranks)
    missing = [index for index in mine if not shard_path(folder, index).is_file()]
    rows_of = {index: spans[index][1] - spans[index][0] for index in mine}
    total, left = sum(rows_of.values()), sum(rows_of[index] for index in missing)
    with (
        tqdm(total=total, initial=total - left, desc="tokenising", unit="row") as bar,
        contextlib.closing(made_by(((index, spans[index]) for index in missing), make_rows, workers)) as made,
    ):
        for index, rows in made:
            check(rows)
            write_shard(shard_path(folder, index), rows)
            bar.update(rows_of[index])
    return [shard_path(folder, index) for index in range(len(spans))]


def write_shard(path: Path, rows: "Sequence[Mapping[str, Any]] | MadeRows") -> None:
    """Writes one shard, whole or not at all; what is known about `MadeRows` goes into the file's metadata."""
    schema = SCHEMA
    if isinstance(rows, MadeRows):
        facts = {"seconds": rows.seconds, "skipped": list(rows.skipped), "made_from": rows.made_from}
        rows, schema = rows.rows, schema.with_metadata({FACTS: json.dumps(facts, ensure_ascii=False).encode()})
    with whole_file(path) as partial:
        table = pyarrow.Table.from_pylist([dict(row) for row in rows], schema=schema)
        pyarrow.parquet.write_table(table, partial)


def shard_facts(path: Path) -> dict[str, Any]:
    """{"seconds": of sound, "skipped": [{"row", "why"}], "made_from": digest} of a shard of `MadeRows`."""
    return json.loads(pyarrow.parquet.read_schema(path).metadata[FACTS])


def made_by(
    calls: Iterable[tuple[int, tuple]], make_rows: Callable, workers: int
) -> Generator[tuple[int, Any], None, None]:
    """(shard, its rows) as they come; after an error of one, those that were not begun are left.

    Args:
        calls: (shard, arguments of `make_rows`), asked for when a process is free. If it breaks, what was begun is yielded first.
        make_rows: Picklable for `workers` > 1.
        workers: Processes.
    """
    if workers <= 1:
        for index, arguments in calls:
            yield index, make_rows(*arguments)
        return
    calls, running, broken = iter(calls), dict[Any, int](), None
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _one_thread)  # torch does not survive a fork
    try:
        while True:
            try:
                for index, arguments in itertools.islice(calls, 2 * workers - len(running)):
                    running[pool.submit(make_rows, *arguments)] = index
            except TriglotError as error:
                broken, calls = error, iter(())
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    if broken is not None:
        raise broken


def _one_thread() -> None:
    torch.set_num_threads(1)
