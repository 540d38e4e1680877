"""The demo world as a `datasets` dataset: parallel sentences, spoken by espeak-ng, with AudioPaLM's fields.

One row:
    audio, transcript, source_language      {"bytes": wav, "path": None}, "a small red circle is above ...", "en"
    translated_audio, translated_transcript, target_language      the same in the other language, by the same speaker
    speaker                                 "f2-180-55": espeak-ng variant, words/min, pitch
    image                                   {"bytes": png, "path": None} of a scene, None for an everyday phrase
"""

import io
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Audio, Dataset, Features, Image, Value
from tqdm.auto import tqdm

from ...processing.audio_io import encode_audio
from ...processing.errors import TriglotError
from ...provenance import PROGRAMMED, synthetic
from .espeak import EspeakSynthesizer
from .scene_pictures import draw_scene
from .scenes import LATER_LANGUAGES, SCENE_LANGUAGES, Scene
from .splits import (
    HELD_OUT_VOICES,
    SCENES_SHARE,
    TRAINING_VOICES,
    Item,
    held_out_sentences,
    random_speaker,
    training_sentences,
)

VOICES = {"training": TRAINING_VOICES, "held_out": HELD_OUT_VOICES}
DIRECTIONS = {
    "all": "every language into every other",
    "ring": "each language into the next, so that every recording is a source once",
    "first": "the first language into every other",
}


@dataclass(frozen=True)
class DemoWorldArguments:
    """Settings of `demo_world`."""

    sentences: int = 4  # different ones
    phrases: bool = False  # everyday phrases beside the scenes
    languages: str = "en es"  # of en, es, hi; and fr where there are no phrases
    held_out: bool = False  # sentences that training never meets
    speakers: str = "m3-170-45"  # variant - words/min - pitch, each; "" for another of `voices` each sentence
    voices: str = "training"  # or "held_out"
    speakers_per_voice: int = 0  # rates and pitches of each voice, which then come again in other sentences; 0 for any
    directions: str = "all"  # or "ring", or "first"
    picture_side: int = 64  # pixels

    def __post_init__(self):
        known = SCENE_LANGUAGES if self.phrases else (*SCENE_LANGUAGES, *LATER_LANGUAGES)
        unknown = sorted(set(self.languages.split()) - set(known))
        if unknown or len(set(self.languages.split())) < 2:
            raise TriglotError(
                f"languages is {self.languages!r}; two or more of {', '.join(known)} are needed"
                f"{', for phrases are in these alone' if self.phrases else ''}."
            )
        if self.sentences < 1:
            raise TriglotError(f"sentences is {self.sentences}; at least 1 is needed.")
        if self.directions not in DIRECTIONS:
            raise TriglotError(f"directions is {self.directions!r}; allowed is {', '.join(DIRECTIONS)}.")
        if self.voices not in VOICES:
            raise TriglotError(f"voices is {self.voices!r}; allowed is {' or '.join(VOICES)}.")
        if self.speakers_per_voice < 0:
            raise TriglotError(f"speakers_per_voice is {self.speakers_per_voice}; 0 or more is needed.")
        for speaker in self.speakers.split():
            parse_speaker(speaker)


def parse_speaker(speaker: str) -> tuple[str, int, int]:
    """ "f2-180-55" -> (variant, words/min, pitch)."""
    variant, _, numbers = speaker.partition("-")
    rate, _, pitch = numbers.partition("-")
    if not variant or not rate.isdigit() or not pitch.isdigit():
        raise TriglotError(f"speaker is {speaker!r}; variant-rate-pitch is needed, e.g. 'f2-180-55'.")
    return variant, int(rate), int(pitch)


def speak(text: str, language: str, speaker: str) -> tuple[np.ndarray, int]:
    """The sentence by that speaker: float32 (samples,) and its rate in Hz."""
    variant, rate, pitch = parse_speaker(speaker)
    synthesizer = EspeakSynthesizer()
    wave = synthesizer.speak(text, language=language, voice=f"{language}+{variant}", rate=rate, pitch=pitch)
    return wave, synthesizer.sampling_rate


def demo_world(arguments: DemoWorldArguments, seed: int = 0) -> Dataset:
    """Speaks sentences in every language and pairs the recordings.

    Args:
        arguments: What to make.
        seed: Of sentences and speakers; the same seed gives the same bytes.

    Returns:
        sentences x speakers x directions rows.
    """
    rng = random.Random(seed)
    items = demo_sentences(arguments, seed)
    known = [
        random_speaker(rng, [voice]) for voice in VOICES[arguments.voices] for _ in range(arguments.speakers_per_voice)
    ]
    languages = arguments.languages.split()
    pairs = list(itertools.permutations(languages, 2))
    if arguments.directions == "ring":
        pairs = list(zip(languages, [*languages[1:], languages[0]]))
    elif arguments.directions == "first":
        pairs = [(languages[0], other) for other in languages[1:]]
    rows: list[dict] = []
    for number, item in enumerate(tqdm(items, desc="speaking the demo world", unit="sentence")):
        picture = _png(item, arguments.picture_side, number) if isinstance(item, Scene) else None
        drawn = rng.choice(known) if known else random_speaker(rng, VOICES[arguments.voices])
        for speaker in arguments.speakers.split() or [drawn]:
            spoken = {language: sound_file(item.sentence(language), language, speaker) for language in languages}
            rows += [{**_row(item, source, target, speaker, spoken), "image": picture} for source, target in pairs]
    dataset = Dataset.from_list(rows, features=_features())
    for column in ("audio", "translated_audio"):  # cast afterwards: encoding into Audio() asks for torchcodec
        dataset = dataset.cast_column(column, Audio(decode=False))
    return dataset.cast_column("image", Image(decode=False))


def demo_sentences(arguments: DemoWorldArguments, seed: int = 0) -> list[Item]:
    """The different sentences that `demo_world` speaks: scenes alone, or scenes and phrases."""
    draw = held_out_sentences if arguments.held_out else training_sentences
    return draw(arguments.sentences, seed, SCENES_SHARE if arguments.phrases else 1.0)


def sentences_of(dataset: Dataset) -> list[str]:
    """All texts of the dataset, in order, each once."""
    return list(dict.fromkeys([*dataset["transcript"], *dataset["translated_transcript"]]))


def _row(item: Item, source: str, target: str, speaker: str, spoken: dict[str, bytes]) -> dict:
    return {
        "audio": {"bytes": spoken[source], "path": None},
        "transcript": item.sentence(source),
        "source_language": source,
        "translated_audio": {"bytes": spoken[target], "path": None},
        "translated_transcript": item.sentence(target),
        "target_language": target,
        "speaker": speaker,
    }


def _features() -> Features:
    texts: Sequence[str] = ("transcript", "source_language", "translated_transcript", "target_language", "speaker")
    files = {
        name: {"bytes": Value("binary"), "path": Value("string")} for name in ("audio", "translated_audio", "image")
    }
    return Features({**files, **{name: Value("string") for name in texts}})


def sound_file(text: str, language: str, speaker: str, kind: str = "WAV") -> bytes:
    """The sentence by that speaker as a file of 16 bits; `kind` is one of soundfile's formats."""
    wave, rate = speak(text, language, speaker)
    buffer = io.BytesIO()
    encode_audio(buffer, wave, rate, kind, synthetic(speaker, "espeak-ng", PROGRAMMED))
    return buffer.getvalue()


def _png(scene: Scene, side: int, seed: int) -> dict:
    buffer = io.BytesIO()
    draw_scene(scene, side, seed).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}
