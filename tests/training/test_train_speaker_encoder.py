"""SpeakerEncoder and its training: embeddings that tell strangers apart, whatever the gain, and bad data refused."""

import dataclasses
import io

import datasets
import numpy as np
import pytest
import soundfile
import torch
from command_options import command_options
from conftest import buzz
from speech_rows import speech_rows
from transformers import AutoModel

from triglot import SpeakerEncoder
from triglot.modeling.decoders.configuration_speaker_encoder import SpeakerEncoderConfig
from triglot.processing.errors import TriglotError
from triglot.training.train_speaker_encoder import SpeakerEncoderArguments, main, train_speaker_encoder

SMOKE = SpeakerEncoderArguments(
    hidden_size=24,
    pooled_size=32,
    embedding_size=16,
    max_steps=4,
    batch_size=4,
    crop_seconds=0.6,
    save_steps=2,
    logging_steps=2,
)


def small() -> SpeakerEncoder:
    torch.manual_seed(0)
    return SpeakerEncoder(
        SpeakerEncoderConfig(hidden_size=24, pooled_size=32, embedding_size=16, num_speakers=3)
    ).eval()


def test_embeddings_are_of_length_one_and_do_not_depend_on_gain_or_batch():
    model = small()
    waves = [torch.from_numpy(buzz(seconds, f0=f0)) for seconds, f0 in ((0.5, 100.0), (1.3, 200.0))]
    both = model.embed(waves)
    assert both.shape == (2, 16)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(model.embed([7.0 * waves[1]])[0], both[1], atol=1e-4, rtol=0)
    equal = torch.stack([waves[1][:8000], waves[0]])
    torch.testing.assert_close(model(input_values=equal).embeddings, model.embed(list(equal)))
    assert model.embed([]).shape == (0, 16)


def test_silence_around_speech_says_nothing():
    model = small()
    wave = torch.from_numpy(buzz(1.0))
    padded = torch.cat([torch.zeros(8000), wave, torch.zeros(16_000)])
    assert float(model.embed([wave])[0] @ model.embed([padded])[0]) > 0.98


def test_the_margin_pushes_the_right_angle_only():
    model = small()
    cosine = torch.tensor([[0.5, 0.2, -0.3]])
    pushed = model._with_margin(cosine, torch.tensor([0]))[0] / 30.0
    assert float(pushed[0]) == pytest.approx(float(torch.cos(torch.acos(torch.tensor(0.5)) + 0.2)), abs=1e-5)
    assert pushed[1:].tolist() == pytest.approx([0.2, -0.3])


def test_the_gradient_reaches_every_parameter():
    model = small().train()
    waves = torch.stack([torch.from_numpy(buzz(0.5, f0=f0)) for f0 in (90.0, 150.0, 210.0)])
    model(input_values=waves, labels=torch.arange(3)).loss.backward()
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    "bad", [torch.zeros(8000), torch.ones(20), torch.full((8000,), torch.nan), torch.ones(2, 8000)]
)
def test_bad_waveforms(bad):
    with pytest.raises(ValueError, match="Waveform 1"):
        small().embed([torch.from_numpy(buzz(0.5)), bad])


def voices(count: int, seed: int) -> datasets.Dataset:
    """Speakers that differ in formants: noise through two resonances each, with another loudness contour every time."""
    rng = np.random.default_rng(seed)
    rows = []
    for speaker in range(count):
        formants = 400 + 2200 * rng.random(2)
        for _ in range(4):
            wave, time = rng.standard_normal(12_000), np.arange(12_000) / 16_000
            frequency = np.fft.rfftfreq(12_000, 1 / 16_000)
            shape = sum(1 / (1 + ((frequency - formant) / 80) ** 2) for formant in formants)
            wave = np.fft.irfft(np.fft.rfft(wave) * shape) * (1.2 + np.sin(2 * np.pi * rng.uniform(2, 5) * time))
            content = io.BytesIO()
            soundfile.write(content, 0.3 * wave / np.abs(wave).max(), 16_000, format="WAV")
            rows.append({"audio": {"bytes": content.getvalue(), "path": None}, "speaker": str(speaker)})
    return datasets.Dataset.from_list(rows).cast_column("audio", datasets.Audio(decode=False))


def test_strangers_are_told_apart(tmp_path):
    """Trained on twelve voices, it pairs the recordings of eight others."""
    arguments = dataclasses.replace(
        SMOKE, max_steps=60, batch_size=16, recorded_share=0.3, learning_rate=3e-3, save_steps=60
    )
    folder = train_speaker_encoder(voices(12, 0), tmp_path / "speaker", arguments)
    model = AutoModel.from_pretrained(folder)
    assert isinstance(model, SpeakerEncoder) and model.speakers is None
    rows = voices(8, 1)
    waves = [torch.from_numpy(soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")[0]) for row in rows]
    cosine = model.embed(waves) @ model.embed(waves).T
    cosine.fill_diagonal_(-2.0)
    right = [rows[index]["speaker"] == rows[int(nearest)]["speaker"] for index, nearest in enumerate(cosine.argmax(1))]
    assert np.mean(right) > 0.85


def test_what_cannot_be_learnt_from(tmp_path):
    rows = speech_rows(4)
    with pytest.raises(TriglotError, match="speaker"):
        train_speaker_encoder(rows.remove_columns("speaker"), tmp_path / "a", SMOKE)
    with pytest.raises(TriglotError, match="two such speakers"):
        train_speaker_encoder(rows.select([0, 1, 2]), tmp_path / "b", SMOKE)
    with pytest.raises(TriglotError, match="crop_seconds"):
        dataclasses.replace(SMOKE, crop_seconds=0.01)
    with pytest.raises(TriglotError, match="max_steps"):
        dataclasses.replace(SMOKE, max_steps=0)


def test_the_command_line(tmp_path, capsys):
    speech_rows(4).save_to_disk(str(tmp_path / "rows"))
    options = command_options(SMOKE)
    main([*options, "--dataset", str(tmp_path / "rows"), "--out", str(tmp_path / "out")])
    assert SpeakerEncoder.from_pretrained(tmp_path / "out").config.embedding_size == 16
