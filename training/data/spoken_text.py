"""Line-aligned texts in several languages as a speech corpus: espeak-ng speaks them, each line by another speaker.

    FOLDER/train.en.gz, FOLDER/train.de.gz, ...  ─ spoken_text ─▶ rows of sound and text, as those of the demo world
                                                 ─ SpokenTextRows ─ speech tokenizer ─▶ token rows

Multi30k's captions (Elliott et al., W16-3210) lie in such files, and so do most corpora of machine translation.
"""

import contextlib
import functools
import gzip
import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from datasets import Audio, Dataset, Features, Value
from tqdm.auto import tqdm

from ...processing.audio_io import load_audio
from ...processing.errors import TriglotError
from ...processing.languages import resolve_language
from .demo_world import VOICES, sound_file, speak
from .splits import random_speaker
from .token_rows import cached_tokenizer, encode_wave

DIRECTIONS = {
    "ring": "each language into the next, another one each line",
    "first": "the first language into each of the others",
    "both": "that, and each of the others into the first",
}


@dataclass(frozen=True)
class SpokenTextArguments:
    """Settings of `spoken_text` and `SpokenTextRows`."""

    folder: str = ""  # of files like train.en or train.en.gz, a sentence a line, line by line the same in all
    split: str = "train"  # the files' name before the language
    languages: str = "en de"  # ISO codes; the first is the one that others are paired with
    sentences: int = 0  # the first so many; 0 for all
    recordings: int = 0  # sentences that are kept as sound, for what is trained on sound; 0 for all
    directions: str = "ring"  # of the recordings; or "first", "both"
    spoken_pairs: int = 1  # of the token rows: besides the first language, a sentence is spoken in so many others
    voices: str = "training"  # or "held_out"
    workers: int = 1  # processes that speak the recordings

    def __post_init__(self):
        languages = self.languages.split()
        for language in languages:
            resolve_language(language)
        if len(set(languages)) < 2 or len(set(languages)) < len(languages):
            raise TriglotError(f"languages is {self.languages!r}; two or more different ones are needed.")
        counts = (self.sentences, self.recordings, self.workers - 1)
        if min(counts) < 0 or not 0 <= self.spoken_pairs < len(languages):
            raise TriglotError(
                f"sentences {self.sentences}, recordings {self.recordings}, workers {self.workers}, spoken_pairs "
                f"{self.spoken_pairs}: at least 0, workers at least 1, spoken_pairs at most {len(languages) - 1}, one less than "
                "languages."
            )
        for name, value, known in (("directions", self.directions, DIRECTIONS), ("voices", self.voices, VOICES)):
            if value not in known:
                raise TriglotError(f"{name} is {value!r}; allowed is {' or '.join(known)}.")


@functools.lru_cache(maxsize=2)  # asked again for each shard
def parallel_sentences(arguments: SpokenTextArguments) -> Sequence[dict[str, str]]:
    """{language: sentence} of each line that is empty in none.

    Raises:
        TriglotError: a missing or broken file, or files of different lengths.
    """
    texts = {language: _lines(arguments, language) for language in arguments.languages.split()}
    counts = {language: len(lines) for language, lines in texts.items()}
    if len(set(counts.values())) > 1:
        raise TriglotError(
            f"The files {arguments.split}.* of {arguments.folder!r} have {counts} lines; they must be line by line the same."
        )
    rows = [dict(zip(texts, lines)) for lines in zip(*texts.values())]
    rows = [row for row in rows if all(row.values())][: arguments.sentences or None]
    if not rows:
        raise TriglotError(f"The files {arguments.split}.* of {arguments.folder!r} hold no sentences.")
    return rows


def _lines(arguments: SpokenTextArguments, language: str) -> list[str]:
    path = Path(arguments.folder) / f"{arguments.split}.{language}"
    packed = path.with_name(f"{path.name}.gz")
    try:
        content = gzip.decompress(packed.read_bytes()) if packed.is_file() else path.read_bytes()
        return [line.strip() for line in content.decode("utf-8").removesuffix("\n").split("\n")]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise TriglotError(
            f"{path} (or {packed.name}) cannot be read: {error}. It is a UTF-8 text with a sentence a line; "
            "`folder` says where it lies."
        ) from error


def spoken_text(arguments: SpokenTextArguments, seed: int = 0) -> Dataset:
    """The sentences with the sound of their source.

    Args:
        arguments: What to read.
        seed: Of the speakers.

    Returns:
        Rows of audio, transcript, source_language, translated_transcript, target_language, speaker.
    """
    make = functools.partial(_recordings, arguments, seed)
    numbers = range(len(parallel_sentences(arguments)[: arguments.recordings or None]))
    with contextlib.ExitStack() as stack:
        made: Iterable = map(make, numbers)
        if arguments.workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(arguments.workers, get_context("spawn")))
            made = pool.map(make, numbers, chunksize=max(1, min(100, len(numbers) // arguments.workers)))
        bar = tqdm(made, desc="speaking", unit="sentence", total=len(numbers))
        rows = [row for sentence in bar for row in sentence]
    sound_file = {"bytes": Value("binary"), "path": Value("string")}
    features = Features({"audio": sound_file, **{name: Value("string") for name in rows[0] if name != "audio"}})
    return Dataset.from_list(rows, features=features).cast_column("audio", Audio(decode=False))


def _recordings(arguments: SpokenTextArguments, seed: int, number: int) -> list[dict[str, Any]]:
    """The rows of one sentence."""
    languages, texts = arguments.languages.split(), parallel_sentences(arguments)[number]
    pairs = [(languages[0], other) for other in languages[1:]]
    if arguments.directions == "ring":
        pairs = [(languages[number % len(languages)], languages[(number + 1) % len(languages)])]
    if arguments.directions == "both":
        pairs += [(other, first) for first, other in pairs]
    speaker = speaker_of(arguments, seed, number)
    sound = {source: sound_file(texts[source], source, speaker, "FLAC") for source in {source for source, _ in pairs}}
    return [
        {
            "audio": {"bytes": sound[source], "path": None},
            "transcript": texts[source],
            "source_language": source,
            "translated_transcript": texts[target],
            "target_language": target,
            "speaker": speaker,
        }
        for source, target in pairs
    ]


@dataclass(frozen=True)
class SpokenTextRows:
    """Token rows, made when they are asked for: the first language, spoken, with each of the others.

    Of the others `spoken_pairs` are spoken as well, by the same speaker: other ones each sentence.
    """

    tokenizer_dir: str
    arguments: SpokenTextArguments
    seed: int

    @property
    def others(self) -> Sequence[str]:
        """The languages that the first one is paired with."""
        return self.arguments.languages.split()[1:]

    def count(self) -> int:
        """Rows in all."""
        return len(parallel_sentences(self.arguments)) * len(self.others)

    def __call__(self, first: int, last: int) -> list[dict[str, Any]]:
        sentences, source = parallel_sentences(self.arguments), self.arguments.languages.split()[0]
        rows, heard = [], dict[int, list[int]]()
        for index in range(first, last):
            number, pair = divmod(index, len(self.others))
            texts, target, speaker = (
                sentences[number],
                self.others[pair],
                speaker_of(self.arguments, self.seed, number),
            )
            if number not in heard:
                heard = {number: self._codes(texts[source], source, speaker)}
            spoken = (pair - number) % len(self.others) < self.arguments.spoken_pairs
            rows.append(
                {
                    "speech_source": heard[number],
                    "speech_target": self._codes(texts[target], target, speaker) if spoken else None,
                    "text_source": texts[source],
                    "text_target": texts[target],
                    "source_language": source,
                    "target_language": target,
                    "speaker": speaker,
                    "recorded": False,
                }
            )
        return rows

    def _codes(self, text: str, language: str, speaker: str) -> list[int]:
        units = cached_tokenizer(self.tokenizer_dir)
        return encode_wave(units, load_audio(*speak(text, language, speaker), target_rate=units.config.sampling_rate))


def speaker_of(arguments: SpokenTextArguments, seed: int, number: int) -> str:
    """Who speaks a sentence, in all languages."""
    return random_speaker(random.Random(f"{seed}-{number}"), VOICES[arguments.voices])
