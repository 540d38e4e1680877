"""Text to speech learnt by heart, in parts: text to units in both forms, units to wave; the judge understands each."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("espeakng_loader")

from triglot.modeling.decoders.modeling_code_hifigan import CodeHifiGan
from triglot.modeling.decoders.modeling_text_to_unit import TextToUnit
from triglot.processing.audio_io import load_audio
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.evaluate_models import load_judge
from triglot.training.load_parts import load_speech_decoder, load_speech_tokenizer
from triglot.training.metrics import WordErrorRate
from triglot.training.train_code_hifigan import CodeHifiGanArguments, train_code_hifigan
from triglot.training.train_text_to_unit import TextToUnitArguments, train_text_to_unit

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "hub_configs" / "triglot-tiny"
SIZES = {
    "hidden_size": 64, "num_hidden_layers": 1, "num_decoder_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "dropout": 0.0, "max_steps": 80, "batch_size": 2, "learning_rate": 5e-3, "warmup_steps": 5, "bf16": False,
    "save_steps": 1000,
}  # fmt: skip


@pytest.fixture(scope="module")
def speech():
    """One sentence in two languages by one speaker."""
    return demo_world(DemoWorldArguments(sentences=1, languages="en es", speakers="m3-170-45", directions="all"))


@pytest.fixture(scope="module")
def waves(speech):
    return [torch.from_numpy(load_audio(row["audio"], target_rate=16_000)) for row in speech]


@pytest.fixture(scope="module")
def codes(waves):
    return load_speech_tokenizer(TINY / "speech_tokenizer").encode(waves)


@pytest.fixture(scope="module")
def word_error_rate(speech):
    judge = load_judge(ROOT / "tests" / "data" / "judge")

    def rate(made, rows):
        heard = judge.transcribe([wave.numpy() for wave in made], [row["source_language"] for row in rows])
        return WordErrorRate().compute(predictions=heard, references=[row["transcript"] for row in rows])["wer"]

    return rate


@pytest.mark.parametrize("autoregressive", [False, True], ids=["at once", "one by one"])
def test_text_learnt_by_heart_is_understood(autoregressive, speech, codes, word_error_rate, tmp_path):
    rows = [
        {"text_source": row["transcript"], "source_language": row["source_language"], "speech_source": item.tolist()}
        for row, item in zip(speech, codes)
    ]
    arguments = TextToUnitArguments(**SIZES, autoregressive=autoregressive)
    folder = train_text_to_unit(rows, TINY / "speech_tokenizer", tmp_path / "t2u", arguments)
    model, vocoder = TextToUnit.from_pretrained(folder).eval(), load_speech_decoder(TINY / "speech_decoder")
    units = model.units([row["transcript"] for row in speech], [row["source_language"] for row in speech])
    assert [len(item) for item in units] == pytest.approx([len(item) for item in codes], rel=0.15)
    learnt, recorded = (word_error_rate(vocoder.decode(items), speech) for items in (units, codes))
    assert learnt <= recorded + 0.15


def test_units_learnt_by_heart_are_understood(speech, waves, codes, word_error_rate, tmp_path):
    arguments = CodeHifiGanArguments(
        upsample_initial_channel=128, unit_embed_dim=64, spkr_embed_dim=8, periods="2 3", scales=0, adversary_start=215,
        max_steps=220, batch_size=2, crop_seconds=0.48, learning_rate=5e-3, warmup_steps=5, save_steps=1000,
    )  # fmt: skip
    vocoder = CodeHifiGan.from_pretrained(
        train_code_hifigan(speech.select([0]), TINY / "speech_tokenizer", tmp_path / "vocoder", arguments)
    )
    made = vocoder.decode(codes[:1], [vocoder.voice_from_waveform(waves[0])])
    assert word_error_rate(made, speech.select([0])) <= 0.25
