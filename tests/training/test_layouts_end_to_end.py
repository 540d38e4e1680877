"""Published layouts from the files of a release to the examples that a model learns: tokenised, mixed, every task their fields allow."""

import pytest
import yaml
from speech_rows import sound_bytes
from test_sources import common_voice, table
from transformers import AutoProcessor

from triglot.training.data import source_rows
from triglot.training.data.mixture import held_tasks, read_mixture
from triglot.training.data.sources import load_sources
from triglot.training.data.token_examples import token_examples
from triglot.training.tokenize_sources import tokenise_mixture


@pytest.fixture(autouse=True)
def nothing_opened():
    yield
    source_rows._opened.cache_clear()


def written(folder, clips):
    """CoVoST 2's and CVSS-T's tables beside those of Common Voice."""
    names = ("path", "sentence", "translation", "client_id")
    table(folder / "covost.tsv", names, *[(clip, f"Satz {n}", f"sentence {n}", "s0") for n, clip in enumerate(clips)])
    (folder / "cvss").mkdir()
    table(folder / "cvss" / "train.tsv", *[(clip, f"sentence {n}") for n, clip in enumerate(clips)])
    for number, clip in enumerate(clips):
        (folder / "cvss" / f"{clip}.wav").write_bytes(sound_bytes(0.5 + 0.1 * number))


SOURCES = [
    {"layout": "common_voice", "dataset": "train.tsv", "folders": {"audio": "clips"}, "languages": {"from": "en"}},
    {
        "layout": "covost2", "dataset": "covost.tsv", "folders": {"audio": "clips"},
        "languages": {"from": "es", "to": "en"},
    },
    {
        "layout": "cvss_t", "dataset": "train.tsv", "join": {"dataset": "cvss/train.tsv"}, "languages": {"from": "es"},
        "folders": {"audio": "clips", "translated_audio": "cvss"}, "weight": 2.0,
    },
]  # fmt: skip


def test_common_voice_covost2_and_cvss_t_become_examples(tmp_path, random_checkpoint):
    clips, _ = common_voice(tmp_path)
    written(tmp_path, clips)
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": SOURCES}), encoding="utf-8")
    mixture = load_sources(tmp_path / "sources.yaml")
    rows = read_mixture(
        tokenise_mixture(mixture, random_checkpoint / "speech_tokenizer", tmp_path / "tokens", shard_rows=2)
    )
    assert [row["source"] for row in rows] == [source.name for source in mixture.sources for _ in clips]
    # Common Voice is read and spoken; CoVoST is translated as well, into text; CVSS-T, taken twice, into speech
    assert held_tasks(rows) == {
        "en": {"ASR": 3.0, "TTS": 3.0},
        "es": {"ASR": 9.0, "TTS": 9.0},
        "es-en": {"AST": 9.0, "MT": 9.0, "S2ST": 6.0},
    }
    processor = AutoProcessor.from_pretrained(random_checkpoint)
    examples = token_examples(rows, processor, {"ASR": 1.0, "AST": 1.0, "ASR AST S2ST": 1.0})
    counts = [sum(example["task"] == task for example in examples) for task in ("ASR", "AST", "ASR AST S2ST")]
    assert counts == [12, 9, 6]
    chain = next(example for example in examples if example["task"] == "ASR AST S2ST")
    spoken = [row["speech_target"] for row in rows if row["source"].startswith("cvss")]
    assert list(processor.runs(chain["input_ids"])[-1].codes) in spoken
