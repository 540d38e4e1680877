"""train_decoder: a model comes out, runs resume, voices come from other utterances, and bad data stops it."""

import dataclasses
import io
import json
import math

import datasets
import pytest
import soundfile
import torch
from command_options import command_options
from loudness_tokenizer import LoudnessTokenizer

from triglot.modeling.decoders.modeling_mel_vocoder import MelVocoder
from triglot.modeling.decoders.modeling_unit_vocoder import UnitVocoder
from triglot.modeling.tokenizers.configuration_speech_vqvae import SpeechVqvaeConfig
from triglot.modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from triglot.processing.errors import TriglotError
from triglot.training.mel_frames import MelFrames
from triglot.training.train_decoder import DecoderArguments, UtteranceCrops, fit_decoder, main

SMOKE = DecoderArguments(
    hidden_size=32,
    mlp_size=32,
    depth_codes=1,
    depth_frames=1,
    f0_hidden_size=16,
    f0_mlp_size=16,
    f0_depth_codes=1,
    f0_depth_frames=1,
    voice_hidden_size=16,
    max_steps=4,
    batch_size=2,
    crop_seconds=0.4,
    save_steps=2,
    logging_steps=2,
)


def wav_bytes(pitch: float, seconds: float, rate: int = 16_000) -> bytes:
    time = torch.arange(round(seconds * rate)) / rate
    wave = sum(torch.sin(2 * math.pi * pitch * k * time) / k for k in range(1, 12))
    wave = 0.2 * wave * (0.6 + 0.4 * torch.sin(2 * math.pi * 3 * time))
    content = io.BytesIO()
    soundfile.write(content, wave.numpy(), rate, format="WAV")
    return content.getvalue()


@pytest.fixture(scope="module")
def speech():
    rows = [
        {"audio": {"bytes": wav_bytes(pitch, seconds, rate), "path": None}, "speaker": speaker}
        for pitch, seconds, rate, speaker in (
            (110.0, 0.8, 16_000, "low"),
            (115.0, 0.31, 16_000, "low"),  # shorter than a crop
            (220.0, 0.7, 22_050, "high"),
            (160.0, 0.61, 16_000, "alone"),
        )
    ]
    dataset = datasets.Dataset.from_list(rows)
    return dataset.cast_column("audio", datasets.Audio(decode=False))


def test_a_model_comes_out_that_speaks(speech, tmp_path):
    out = fit_decoder(speech, LoudnessTokenizer(), tmp_path / "decoder", SMOKE)
    assert out == tmp_path / "decoder" and {"config.json", "model.safetensors", "checkpoints"} <= {
        entry.name for entry in out.iterdir()
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["decoder"]  # nothing partial is left
    model = UnitVocoder.from_pretrained(out)
    assert model.fingerprint == "loudness" and model.codebook_size == 8
    assert float(model.voice_std.min()) >= 0.05 and 4.0 < float(model.default_voice[-2]) < 6.0
    [wave] = model.decode([torch.arange(8)])
    assert wave.shape == (5120,) and bool(torch.isfinite(wave).all())


def test_a_run_goes_on_where_it_stopped_and_equals_one_that_did_not(speech, tmp_path):
    arguments = dataclasses.replace(SMOKE, bf16=False, warmup_steps=0)
    whole = fit_decoder(speech, LoudnessTokenizer(), tmp_path / "whole", arguments, seed=3)
    calls = []

    class Interrupted(LoudnessTokenizer):
        def encode(self, media):
            calls.append(len(media))
            return super().encode(media)

    from triglot.training import train_decoder as module

    step = module.PartsTrainer.compute_loss

    def stop_at_three(self, *inputs, **options):
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return step(self, *inputs, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.PartsTrainer, "compute_loss", stop_at_three)
        fit_decoder(speech, Interrupted(), tmp_path / "parts", arguments, seed=3)
    assert not (tmp_path / "parts" / "config.json").exists()
    assert (tmp_path / "parts" / "checkpoints" / "checkpoint-2").is_dir()
    parts = fit_decoder(speech, Interrupted(), tmp_path / "parts", arguments, seed=3)
    one, two = UnitVocoder.from_pretrained(whole).state_dict(), UnitVocoder.from_pretrained(parts).state_dict()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], atol=1e-5, rtol=0, msg=name)


def test_other_settings_are_refused_and_another_dtype_is_not(speech, tmp_path):
    out = fit_decoder(speech, LoudnessTokenizer(), tmp_path / "decoder", SMOKE)
    with pytest.raises(TriglotError, match="hidden_size"):
        fit_decoder(speech, LoudnessTokenizer(), out, dataclasses.replace(SMOKE, hidden_size=48))
    before = UnitVocoder.from_pretrained(out).state_dict()
    fit_decoder(speech, LoudnessTokenizer(), out, dataclasses.replace(SMOKE, dtype="float16"))
    assert json.loads((out / "config.json").read_text())["dtype"] == "float16"
    model = UnitVocoder.from_pretrained(out)
    assert model.dtype == torch.float32
    for name, value in model.state_dict().items():  # a finished run is written again, not trained again
        assert torch.equal(value, before[name].half().float())


def test_crops_are_aligned_and_voices_come_from_other_utterances(speech):
    from triglot.modeling.decoders.configuration_unit_vocoder import UnitVocoderConfig

    model = UnitVocoder(UnitVocoderConfig(codebook_size=8, **SMOKE.model_settings()))
    crops = UtteranceCrops(speech, LoudnessTokenizer(), model, 0.4)
    assert len(crops) == 4 and torch.equal(crops[0]["voices"], crops.voices[1])
    assert torch.equal(crops[3]["voices"], crops.voices[3])  # a speaker's only utterance has no other
    for index in range(4):
        item = crops[index]
        assert item["codes"].shape == (10,) and item["waveforms"].shape == (6400,) and item["f0"].shape == (40,)
    assert crops[1]["mask"].sum() == 8 and float(crops[1]["waveforms"][4960:].abs().max()) == 0.0
    torch.manual_seed(0)
    item = crops[0]
    loudness = (item["waveforms"] / crops.gain[0]).reshape(-1, 640).abs().mean(-1)
    assert torch.equal((loudness * 40).long().clamp(max=7), item["codes"])
    assert float(item["f0"][5:35].median()) == pytest.approx(110.0, rel=0.03)


def test_bad_data_stops_before_training(speech, tmp_path):
    with pytest.raises(TriglotError, match="speaker"):
        fit_decoder(speech.remove_columns("speaker"), LoudnessTokenizer(), tmp_path / "a", SMOKE)
    with pytest.raises(TriglotError, match="empty"):
        fit_decoder(speech.select([]), LoudnessTokenizer(), tmp_path / "b", SMOKE)

    with pytest.raises(TriglotError, match="deduplication"):
        fit_decoder(speech, LoudnessTokenizer(deduplicate=True), tmp_path / "c", SMOKE)
    with pytest.raises(TriglotError, match="dtype"):
        dataclasses.replace(SMOKE, dtype="bfloat16")


def test_a_loss_that_is_not_finite_stops_the_run(speech, tmp_path):
    with pytest.raises(TriglotError, match="learning_rate"):
        fit_decoder(speech, LoudnessTokenizer(), tmp_path / "d", dataclasses.replace(SMOKE, learning_rate=1e30))
    assert not (tmp_path / "d" / "config.json").exists()


# ---- log-mel in the place of codes


@pytest.fixture(scope="module")
def vqvae(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vq")
    torch.manual_seed(0)
    model = SpeechVqvae(SpeechVqvaeConfig(codebook_size=8, code_dim=4, hidden_size=16, num_blocks=1)).train()
    model(torch.randn(2, 16_000))
    model.save_pretrained(folder)
    return folder


def test_frames_are_those_of_the_vqvae(vqvae):
    model = SpeechVqvae.from_pretrained(vqvae)
    waves = [torch.randn(16_000), torch.randn(4_801)]
    plain, drawn = MelFrames().encode(waves), MelFrames(model).encode(waves)
    for wave, frames, again in zip(waves, plain, drawn):
        assert frames.shape == again.shape == (-(-len(wave) // 160), 80)
        mel, _ = model.log_mel(wave[None])
        assert torch.equal(frames, mel[0, : len(frames)])
    torch.testing.assert_close(drawn[0], model.decode(model.encode(waves[:1]))[0])
    small = SpeechVqvae(SpeechVqvaeConfig(num_mel_bins=40, hidden_size=8, num_blocks=1))
    with pytest.raises(TriglotError, match="40 mel bins"):
        MelFrames(small)


@pytest.mark.parametrize("drawn", [False, True])
def test_a_mel_vocoder_comes_out_that_speaks(drawn, speech, vqvae, tmp_path):
    frames = MelFrames(SpeechVqvae.from_pretrained(vqvae) if drawn else None)
    model = MelVocoder.from_pretrained(fit_decoder(speech, frames, tmp_path / "decoder", SMOKE))
    assert (model.fingerprint, model.codebook_size, model.samples_per_code) == (frames.fingerprint, 0, 160)
    [wave] = model.decode([torch.randn(33, 80)])
    assert wave.shape == (5280,) and bool(torch.isfinite(wave).all())


def test_the_command_line(speech, vqvae, random_checkpoint, tmp_path):
    speech.save_to_disk(str(tmp_path / "rows"))
    options = command_options(SMOKE)
    options += ["--dataset", str(tmp_path / "rows"), "--out", str(tmp_path / "out")]
    with pytest.raises(TriglotError, match="--tokenizer"):
        main(options)
    with pytest.raises(TriglotError, match="is a FeatureUnits"):
        main([*options, "--mel", "--tokenizer", str(random_checkpoint / "speech_tokenizer")])
    main([*options, "--tokenizer", str(vqvae)])
    assert UnitVocoder.from_pretrained(tmp_path / "out").codebook_size == 8
    main([*options[:-1], str(tmp_path / "mel"), "--mel", "--tokenizer", str(vqvae)])
    assert MelVocoder.from_pretrained(tmp_path / "mel").config.input_bins == 80
