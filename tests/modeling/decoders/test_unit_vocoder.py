"""UnitVocoder: the decoder contract, its F0 estimator, its filters, its voices, and that it learns."""

import math
import os
import subprocess
import sys

import pytest
import torch
from media_decoder_testing import SpeechDecoderTester
from speech_testing import RATE, tone

from triglot.modeling.decoders.configuration_unit_vocoder import UnitVocoderConfig
from triglot.modeling.decoders.modeling_unit_vocoder import UnitVocoder
from triglot.modeling.decoders.speech_signal import (
    estimate_f0,
    log_mel,
)

SMOKE = {
    "codebook_size": 32,
    "fingerprint": "smoke",
    "hidden_size": 48,
    "mlp_size": 64,
    "depth_codes": 1,
    "depth_frames": 2,
    "f0_hidden_size": 32,
    "f0_mlp_size": 48,
    "f0_depth_codes": 1,
    "f0_depth_frames": 1,
    "voice_hidden_size": 32,
}


def smoke_vocoder(**changes) -> UnitVocoder:
    torch.manual_seed(0)
    return UnitVocoder(UnitVocoderConfig(**{**SMOKE, **changes})).eval()


class TestUnitVocoderContract(SpeechDecoderTester):
    def make_decoder(self):
        return smoke_vocoder()

    def code_sequences(self, decoder):
        generator = torch.Generator().manual_seed(3)
        return [torch.randint(decoder.codebook_size, (length,), generator=generator) for length in (21, 1, 8)]

    def training_inputs(self, decoder):
        waveforms = torch.stack([tone(100.0, 0.48), tone(210.0, 0.48)]) + 0.01 * torch.randn(2, 7680)
        mask = torch.ones(2, 12, dtype=torch.bool)
        mask[1, 9:] = False
        voices = torch.stack([decoder.voice_statistics(item) for item in waveforms])
        return {"codes": torch.randint(32, (2, 12)), "waveforms": waveforms, "voices": voices, "mask": mask}


# ---------------------------------------------------------------- voices


def test_a_voice_does_not_depend_on_gain():
    model = smoke_vocoder()
    wave = tone(140.0) * torch.hann_window(RATE)
    quiet, loud = model.voice_statistics(0.05 * wave), model.voice_statistics(3.0 * wave)
    torch.testing.assert_close(quiet, loud, atol=1e-3, rtol=0)


def test_silence_around_a_prompt_hardly_changes_its_voice():
    model = smoke_vocoder()
    wave = tone(140.0)
    padded = torch.cat([torch.zeros(RATE), wave, torch.zeros(2 * RATE)])
    plain, padded = model.voice_statistics(wave), model.voice_statistics(padded)
    assert float((plain - padded)[:80].abs().max()) < 0.3
    assert float(plain[-2]) == pytest.approx(math.log(140.0), abs=0.01)
    assert float(padded[-2]) == pytest.approx(math.log(140.0), abs=0.01)


def test_a_prompt_with_no_voiced_frame_gets_the_neutral_f0():
    model = smoke_vocoder()
    voice = model.voice_statistics(torch.randn(RATE, generator=torch.Generator().manual_seed(0)))
    assert bool(torch.isfinite(voice).all())
    assert float(voice[-2]) == pytest.approx(math.log(150.0))


def test_a_silent_prompt_is_refused():
    with pytest.raises(ValueError, match="silent"):
        smoke_vocoder().voice_from_waveform(torch.zeros(RATE))


def test_pitch_follows_the_voice():
    model = smoke_vocoder()
    with torch.no_grad():
        model.f0_trunk.head.bias[1] = 8.0  # all voiced
        model.trunk.head.bias[257:] = -8.0  # hardly any noise
    voices = [model.voice_from_waveform(tone(pitch)) for pitch in (110.0, 220.0)]
    low, high = model.decode([torch.arange(25)] * 2, voices=voices)
    low, high = (estimate_f0(item, RATE) for item in (low, high))
    ratio = float(high[high > 0].median() / low[low > 0].median())
    assert 1.7 < ratio < 2.3


# ---------------------------------------------------------------- decoding


def test_chunks_leave_no_seam():
    codes = torch.randint(32, (97,), generator=torch.Generator().manual_seed(0))
    whole, chunked = smoke_vocoder(), smoke_vocoder(chunk_codes=10)
    for model in (whole, chunked):
        with torch.no_grad():
            model.f0_trunk.head.bias[1] = 1.0
    torch.testing.assert_close(chunked.decode([codes])[0], whole.decode([codes])[0], atol=1e-4, rtol=0)


def test_the_seed_changes_the_noise_only():
    model = smoke_vocoder()
    codes = torch.arange(20)
    one, two = model.decode([codes], seed=1)[0], model.decode([codes], seed=2)[0]
    assert not torch.equal(one, two)
    assert float((log_mel(one, model.config) - log_mel(two, model.config)).abs().mean()) < 1.0


def test_loud_filters_still_stay_within_full_scale():
    model = smoke_vocoder()
    with torch.no_grad():
        model.trunk.head.bias += 6.0
    wave = model.decode([torch.arange(20)])[0]
    assert 0.95 < float(wave.abs().max()) <= 1.0


def test_padding_does_not_reach_the_loss():
    model = smoke_vocoder()
    wave = tone(120.0, 0.48)[None]
    codes, mask = torch.arange(12)[None], torch.arange(12)[None] < 9
    other_codes, other_wave = codes.clone(), wave.clone()
    other_codes[:, 9:], other_wave[:, 9 * 640 :] = 31, 0.5
    f0 = torch.full((1, 48), 120.0)
    results = []
    for these, target in ((codes, wave), (other_codes, other_wave)):
        torch.manual_seed(0)
        results.append(float(model(these, target, mask=mask, f0=f0).loss.detach()))
    assert results[0] == results[1]
    with pytest.raises(ValueError, match="640 samples for each code"):
        model(codes, wave[:, :-1])


def test_half_precision_files_are_computed_in_float32(tmp_path):
    model = smoke_vocoder()
    codes = [torch.arange(20)]
    with torch.no_grad():
        model.f0_trunk.head.bias[1] = 2.0  # far from the voicing threshold
    wanted = log_mel(model.decode(codes)[0], model.config).mean(0)
    model.half().save_pretrained(tmp_path)
    loaded = UnitVocoder.from_pretrained(tmp_path)
    assert loaded.dtype == torch.float32
    assert float((log_mel(loaded.decode(codes)[0], model.config).mean(0) - wanted).abs().mean()) < 0.05
    half = UnitVocoder.from_pretrained(tmp_path, dtype=torch.bfloat16)  # asked for: the trunks run in it
    assert bool(torch.isfinite(half.decode(codes)[0]).all())


def test_it_loads_as_remote_code_where_triglot_is_not_installed(tmp_path):
    model = smoke_vocoder()
    folder = tmp_path / "speech_decoder"
    model.save_pretrained(folder)
    for file in folder.glob("*.py"):
        file.rename(tmp_path / file.name)
    assert {file.name for file in tmp_path.glob("*.py")} >= {"modeling_unit_vocoder.py", "media_decoder.py"}
    torch.save(model.decode([torch.arange(20)])[0], tmp_path / "wanted.pt")
    script = (
        "import sys, torch; from transformers import AutoModel\n"
        "model = AutoModel.from_pretrained('.', subfolder='speech_decoder', trust_remote_code=True)\n"
        "assert torch.equal(model.decode([torch.arange(20)])[0], torch.load('wanted.pt'))\n"
        "assert 'triglot' not in sys.modules"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    environment["OMP_NUM_THREADS"] = "1"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=120)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="hop_length"):
        UnitVocoderConfig(frame_rate=30.0)
    with pytest.raises(ValueError, match="kernel_size"):
        UnitVocoderConfig(kernel_size=4)


def test_smoke_and_real_sizes():
    assert sum(parameter.numel() for parameter in smoke_vocoder().parameters()) < 300_000
    real = UnitVocoder(UnitVocoderConfig(codebook_size=200))
    assert 2_000_000 < sum(parameter.numel() for parameter in real.parameters()) < 4_000_000


def test_it_overfits_one_batch():
    """Within 80 steps the log-mel distance of a batch falls below 40 % of where it began, and F0 and voicing are right."""
    model = smoke_vocoder().train()
    torch.manual_seed(0)
    waveforms = []
    for low, high in ((120.0, 160.0), (230.0, 190.0)):
        wave = tone(torch.linspace(low, high, 15360, dtype=torch.float64), 0.96)
        wave[6400:8960] = 0.02 * torch.randn(2560).cumsum(0).diff(prepend=torch.zeros(1))  # a hiss in the middle
        waveforms.append(model.normalise_level(wave))
    waveforms = torch.stack(waveforms)
    codes = torch.stack([torch.arange(24), torch.arange(24).flip(0) + 8])
    voices = torch.stack([model.voice_statistics(item) for item in waveforms])
    model.set_voice_statistics(voices)
    f0 = torch.stack([model.estimate_f0(item) for item in waveforms])
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    distances = []
    for _ in range(80):
        output = model(codes, waveforms, voices, f0=f0)
        optimiser.zero_grad()
        output.loss.backward()
        optimiser.step()
        distances.append(float(output.mel_loss))
    assert distances[-1] < 0.4 * distances[0]
    assert float(output.f0_loss) < 0.05 and float(output.voicing_loss) < 0.35
