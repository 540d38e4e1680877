"""A sentence learnt by heart by all that FastSpeech2 is made of: the judge understands it, and fine-tuning brings it nearer."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("espeakng_loader")

from triglot.processing.audio_io import load_audio
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.evaluate_models import load_judge
from triglot.training.load_parts import load_speech_decoder, load_speech_tokenizer
from triglot.training.metrics import WordErrorRate
from triglot.training.train_fastspeech2 import FastSpeech2Arguments, train_fastspeech2
from triglot.training.train_mel_hifigan import (
    FinetuneArguments,
    MelHifiGanArguments,
    PredictedSpectra,
    SpectrumVocoder,
    finetune_vocoder,
    train_mel_hifigan,
)

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "hub_configs" / "triglot-tiny" / "speech_tokenizer"
RUN = {"periods": "2 3", "scales": 0, "batch_size": 2, "crop_seconds": 0.48, "warmup_steps": 5, "save_steps": 1000}
VOCODER = MelHifiGanArguments(**RUN, learning_rate=5e-3, max_steps=120, adversary_start=118)
ACOUSTIC = FastSpeech2Arguments(
    hidden_size=64, encoder_layers=1, decoder_layers=2, linear_units=128, postnet_units=64, predictor_channels=64, dropout=0.0,
    batch_size=2, learning_rate=5e-3, warmup_steps=5, max_steps=120, save_steps=1000, bf16=False,
)  # fmt: skip
FINETUNED = FinetuneArguments(**RUN, max_steps=30, adversary_start=28)


def test_what_was_learnt_by_heart_is_understood(tmp_path):
    speech = demo_world(DemoWorldArguments(sentences=1, languages="en es", speakers="m3-170-45", directions="all"))
    speech = speech.select([0])
    vocoder = train_mel_hifigan(speech, tmp_path / "vocoder", VOCODER)
    before = train_fastspeech2(speech, TOKENIZER, vocoder, tmp_path / "before", ACOUSTIC)
    after = finetune_vocoder(speech, TOKENIZER, before, tmp_path / "after", FINETUNED)
    wave = torch.from_numpy(load_audio(speech[0]["audio"], target_rate=16_000))
    tokenizer, judge = load_speech_tokenizer(TOKENIZER), load_judge(ROOT / "tests" / "data" / "judge")
    distances = []
    for folder in (before, after):
        decoder = load_speech_decoder(folder)
        made = decoder.decode(tokenizer.encode([wave]), [decoder.voice_from_waveform(wave)])
        heard = judge.transcribe([item.numpy() for item in made], [speech[0]["source_language"]])
        assert WordErrorRate().compute(predictions=heard, references=[speech[0]["transcript"]])["wer"] <= 0.25
        whole = PredictedSpectra(speech, tokenizer, decoder, len(wave) / 16_000)[0]  # aligned with the recording
        with torch.no_grad():
            vocoder = SpectrumVocoder(decoder.vocoder, decoder.config)
            distances.append(float(vocoder(**{name: item[None] for name, item in whole.items()}).loss))
    assert distances[1] < distances[0]
