"""`triglot evaluate translation`: one that writes units and one that writes text, the recipe of the second end to end, and one table."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import buzz
from transformers import AutoModel, AutoProcessor, pipeline

from triglot import TriglotError
from triglot.cli import parse
from triglot.training import translation_report
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.run_recipe import load_recipe, run_recipe
from triglot.training.translation_report import report_translation


class EchoJudge:
    def transcribe(self, waves, languages):
        return ["dos palabras"] * len(waves)


@pytest.fixture(scope="module")
def text_checkpoint(tmp_path_factory):
    """The recipe tiny_text_to_unit_smoke."""
    return run_recipe(load_recipe("tiny_text_to_unit_smoke", tmp_path_factory.mktemp("recipe")))


@pytest.fixture(scope="module")
def rows():
    return demo_world(DemoWorldArguments(sentences=1))


def test_the_recipe_makes_a_checkpoint_that_speaks_from_text(text_checkpoint):
    root = text_checkpoint.parent
    assert not (root / "decoder").exists(), "the decoder that nobody asked for is not trained"
    processor = AutoProcessor.from_pretrained(text_checkpoint)
    assert processor.codecs.names == ["speech_tokenizer", "speech_decoder", "text_to_unit"]
    assert processor.codecs.speech_decoder.config.model_type == "triglot_code_hifigan"
    assert processor.codecs.text_to_unit.fingerprint == processor.codecs.speech_decoder.fingerprint
    assert AutoModel.from_pretrained(root / "text_to_unit").config.languages == ["en", "es"]
    s2st = pipeline("speech-to-speech-translation", model=str(text_checkpoint))
    result = s2st({"array": buzz(1.2), "sampling_rate": 16_000}, source_language="en", target_language="es")
    assert set(result) == {"audio", "sampling_rate", "text", "source_text"} and np.isfinite(result["audio"]).all()


def test_one_table(text_checkpoint, random_checkpoint, rows, tmp_path):
    cards = report_translation(
        {"units": random_checkpoint, "text": text_checkpoint}, rows, tmp_path / "out", judge=EchoJudge(), timed=1,
        embed=lambda wave: np.abs(np.fft.rfft(wave, 64))[:8] + 1e-3, progress=False,
    )  # fmt: skip
    assert [card.kind for card in cards] == ["units", "text, then units"]
    parts = AutoProcessor.from_pretrained(text_checkpoint).codecs
    counts = [AutoModel.from_pretrained(text_checkpoint), *(parts.get(name) for name in parts.names)]
    assert cards[1].parameters == pytest.approx(
        sum(weight.numel() for part in counts for weight in part.parameters()) / 1e6
    )
    for card in cards:
        assert 0 < card.language_model < card.parameters and card.real_time_factor > 0 and -1 <= card.voice <= 1
        assert (tmp_path / "out" / card.name / "items.jsonl").is_file()
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| text | text, then units |" in report and "| real-time factor |" in report
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [card["name"] for card in results["checkpoints"]] == ["units", "text"]


@pytest.mark.parametrize(
    ("checkpoints", "options", "message"),
    [
        ({"a": "nowhere"}, {}, "cannot be loaded"),
        ({"../a": "nowhere"}, {}, "becomes a folder"),
        ({"a": "nowhere"}, {"timed": 0}, "timed"),
    ],
)
def test_bad_arguments_are_typed_errors(checkpoints, options, message, rows, tmp_path):
    with pytest.raises(TriglotError, match=message):
        report_translation(checkpoints, rows, tmp_path / "out", judge=EchoJudge(), **options)
    assert not (tmp_path / "out").exists()


def test_the_command_line(monkeypatch, rows, tmp_path, capsys):
    rows.save_to_disk(str(tmp_path / "rows"))
    words = [
        "evaluate",
        "translation",
        "a=x",
        "y/b",
        "--rows",
        str(tmp_path / "rows"),
        "--judge",
        "z",
        "--out",
        str(tmp_path),
    ]
    (tmp_path / "report.md").write_text("the table")
    given = {}
    monkeypatch.setattr(translation_report, "load_judge", lambda folder: f"judge {folder}")
    monkeypatch.setattr(
        translation_report, "report_translation", lambda *args, **more: given.update(args=args, **more)
    )
    arguments = parse(words)
    assert isinstance(arguments.timed, int)
    translation_report.run(SimpleNamespace(**vars(arguments)))
    assert given["args"][0] == {"a": "x", "b": "y/b"} and given["judge"] == "judge z" and given["embed"] is None
    assert "the table" in capsys.readouterr().out
