"""Rows of speech-like sound by a few speakers, for the tests of trainers."""

import io

import datasets
import soundfile
from conftest import buzz


def sound_bytes(seconds: float, rate: int = 16_000, pitch: float = 100.0) -> bytes:
    """A wav file of a buzz."""
    content = io.BytesIO()
    soundfile.write(content, buzz(seconds, rate, pitch), rate, format="WAV")
    return content.getvalue()


def speech_rows(count: int, speakers: int = 2, rate: int = 16_000) -> datasets.Dataset:
    """`count` buzzes of 0.7 s and more, columns "audio" and "speaker"; speaker k hums at 100 + 60 k Hz."""
    rows = []
    for index in range(count):
        content = sound_bytes(0.7 + 0.11 * index, rate, 100.0 + 60.0 * (index % speakers))
        rows.append({"audio": {"bytes": content, "path": None}, "speaker": f"speaker {index % speakers}"})
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "speaker": datasets.Value("string"),
        }
    )
    dataset = datasets.Dataset.from_list(rows, features=features)
    return dataset.cast_column("audio", datasets.Audio(decode=False))
