"""Rows of speech-like sound by a few speakers, for the tests of trainers."""

import io

import datasets
import soundfile
from conftest import buzz

from triglot.training.data.sources import Mixture, Source
from triglot.training.tokenize_sources import tokenise_mixture


def sound_bytes(seconds: float, rate: int = 16_000, pitch: float = 100.0) -> bytes:
    """A wav file of a buzz."""
    content = io.BytesIO()
    soundfile.write(content, buzz(seconds, rate, pitch), rate, format="WAV")
    return content.getvalue()


def tokenised_table(folder, tokenizer_dir, texts, languages: tuple[str, str], shortest: float = 0.5):
    """A tsv file of transcripts and translations with a buzz for each, 0.1 s longer every time, as `triglot tokenize` makes tokens of it."""
    lines = ["file\ttext\ttranslation"]
    for number, (transcript, translation) in enumerate(texts):
        (folder / f"{number}.wav").write_bytes(sound_bytes(shortest + 0.1 * number))
        lines.append(f"{number}.wav\t{transcript}\t{translation}")
    (folder / "mine.tsv").write_text("\n".join(lines))
    columns = {
        "audio": "file", "transcript": "text", "translated_transcript": "translation", "source_language": f"={languages[0]}",
        "target_language": f"={languages[1]}",
    }  # fmt: skip
    source = Source(dataset=str(folder / "mine.tsv"), name="mine", columns=columns)
    return tokenise_mixture(Mixture([source]), tokenizer_dir, folder / "tokens")


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
