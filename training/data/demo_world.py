"""The demo world as a `datasets` dataset: parallel scenes, spoken by espeak-ng, with AudioPaLM's fields.

One row:
    audio, transcript, source_language      {"bytes": wav, "path": None}, "a small red circle is above ...", "en"
    translated_audio, translated_transcript, target_language      the same in the other language, by the same speaker
    speaker                                 "f2-180-55": espeak-ng variant, words/min, pitch
"""

import io
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
from datasets import Audio, Dataset, Features, Value
from tqdm.auto import tqdm

from ...processing.errors import TriglotError
from .espeak import EspeakSynthesizer
from .scenes import SCENE_LANGUAGES, Scene, random_scene


@dataclass(frozen=True)
class DemoWorldArguments:
    """Settings of `demo_world`."""

    sentences: int = 4  # different scenes
    languages: str = "en es"  # of en, es, hi
    speakers: str = "m3-170-45"  # espeak-ng variant - words/min - pitch, each

    def __post_init__(self):
        unknown = sorted(set(self.languages.split()) - set(SCENE_LANGUAGES))
        if unknown or len(set(self.languages.split())) < 2:
            raise TriglotError(
                f"languages is {self.languages!r}; two or more of {', '.join(SCENE_LANGUAGES)} are needed."
            )
        if self.sentences < 1:
            raise TriglotError(f"sentences is {self.sentences}; at least 1 is needed.")
        for speaker in self.speakers.split() or [""]:
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
    """Speaks the sentences in every language and pairs them in every direction.

    Args:
        arguments: What to make.
        seed: Of the scenes; the same seed gives the same bytes.

    Returns:
        sentences x speakers x directions rows.
    """
    rng = random.Random(seed)
    scenes: list[Scene] = []
    while len(scenes) < arguments.sentences:
        scene = random_scene(rng)
        if scene not in scenes:
            scenes.append(scene)
    languages, speakers = arguments.languages.split(), arguments.speakers.split()
    rows: list[dict] = []
    for scene, speaker in tqdm(list(itertools.product(scenes, speakers)), desc="speaking the demo world"):
        spoken = {language: _wav(scene.sentence(language), language, speaker) for language in languages}
        rows += [
            _row(scene, source, target, speaker, spoken) for source, target in itertools.permutations(languages, 2)
        ]
    dataset = Dataset.from_list(rows, features=_features())
    for column in ("audio", "translated_audio"):  # cast afterwards: encoding into Audio() asks for torchcodec
        dataset = dataset.cast_column(column, Audio(decode=False))
    return dataset


def sentences_of(dataset: Dataset) -> list[str]:
    """All texts of the dataset, in order, each once."""
    return list(dict.fromkeys([*dataset["transcript"], *dataset["translated_transcript"]]))


def _row(scene: Scene, source: str, target: str, speaker: str, spoken: dict[str, bytes]) -> dict:
    return {
        "audio": {"bytes": spoken[source], "path": None},
        "transcript": scene.sentence(source),
        "source_language": source,
        "translated_audio": {"bytes": spoken[target], "path": None},
        "translated_transcript": scene.sentence(target),
        "target_language": target,
        "speaker": speaker,
    }


def _features() -> Features:
    texts: Sequence[str] = ("transcript", "source_language", "translated_transcript", "target_language", "speaker")
    sounds = {name: {"bytes": Value("binary"), "path": Value("string")} for name in ("audio", "translated_audio")}
    return Features({**sounds, **{name: Value("string") for name in texts}})


def _wav(text: str, language: str, speaker: str) -> bytes:
    wave, rate = speak(text, language, speaker)
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
