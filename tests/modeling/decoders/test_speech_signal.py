"""The signal functions that decoders share: F0 on tones, noise and glides; sources and filters."""

import math

import pytest
import torch
from speech_testing import RATE, tone

from triglot.modeling.decoders.speech_signal import (
    estimate_f0,
    fill_unvoiced,
    filter_sources,
    harmonic_source,
    minimum_phase,
)

# ---------------------------------------------------------------- F0


@pytest.mark.parametrize("pitch", [80.0, 100.0, 133.0, 200.0, 271.0, 330.0, 400.0])
@pytest.mark.parametrize("harmonics", [3, 30])
def test_f0_of_harmonic_tones_is_within_three_percent(pitch, harmonics):
    f0 = estimate_f0(tone(pitch, harmonics=harmonics), RATE)
    assert f0.shape == (100,)
    assert float((f0 > 0).float().mean()) > 0.95
    assert float((f0[f0 > 0] / pitch - 1).abs().max()) < 0.03


def test_f0_follows_a_glide_with_noise():
    pitch = torch.linspace(110.0, 190.0, 2 * RATE, dtype=torch.float64)
    wave = tone(pitch, 2.0)
    wave = wave + 0.1 * wave.std() * torch.randn(len(wave), generator=torch.Generator().manual_seed(0))
    f0, wanted = estimate_f0(wave, RATE), pitch[80::160].float()
    error = (f0[f0 > 0] / wanted[f0 > 0] - 1).abs()
    assert float((f0 > 0).float().mean()) > 0.9 and float(error.max()) < 0.03


def test_a_missing_fundamental_is_still_the_pitch():
    time = torch.arange(RATE) / RATE
    wave = sum(torch.sin(2 * math.pi * 120 * k * time) for k in (3, 4, 5, 6))
    f0 = estimate_f0(0.1 * wave, RATE)
    assert float((f0[f0 > 0] / 120 - 1).abs().max()) < 0.03


def test_noise_and_silence_are_unvoiced():
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert float((estimate_f0(noise, RATE) > 0).float().mean()) < 0.02
    assert float(estimate_f0(torch.zeros(RATE), RATE).max()) == 0.0
    assert estimate_f0(torch.zeros(7), RATE).shape == (1,)
    half = torch.cat([tone(150.0), 0.001 * tone(150.0)])  # 60 dB down: not speech beside the first half
    voiced = estimate_f0(half, RATE) > 0
    assert float(voiced[:98].float().mean()) > 0.95 and not bool(voiced[103:].any())


def test_f0_does_not_depend_on_gain():
    wave = tone(140.0)
    torch.testing.assert_close(estimate_f0(wave, RATE), estimate_f0(30 * wave, RATE), atol=0.05, rtol=0)


def test_gaps_in_f0_are_bridged():
    f0 = torch.tensor([[0.0, 100.0, 0.0, 0.0, 0.0, 200.0, 0.0], [0.0] * 7])
    filled = fill_unvoiced(f0, torch.tensor([5.0, 5.0]))
    low, high = math.log(100), math.log(200)
    wanted = [low, low] + [low + (high - low) * k / 4 for k in (1, 2, 3)] + [high, high]
    torch.testing.assert_close(filled[0], torch.tensor(wanted))
    torch.testing.assert_close(filled[1], torch.full((7,), 5.0))


# ---------------------------------------------------------------- sources and filters


def test_harmonics_are_equally_strong_and_below_the_nyquist_frequency():
    f0 = torch.full((1, RATE), 160.0, dtype=torch.float64)
    source = harmonic_source(f0, (f0 / RATE).cumsum(-1), RATE)[0]
    spectrum = torch.fft.rfft(source).abs() / RATE * 2  # one second: bin k is k Hz
    wanted = math.sqrt(2 / 47.5)
    torch.testing.assert_close(spectrum[160:7600:160], torch.full((47,), wanted), atol=1e-3, rtol=0)
    rest = spectrum.clone()
    rest[::160] = 0
    assert float(rest.max()) < 1e-3 and float(spectrum[7700:].max()) < 1e-3
    assert float(source.square().mean()) == pytest.approx(1.0, abs=0.03)


def test_minimum_phase_keeps_the_magnitudes_and_starts_at_once():
    bins = torch.arange(257) / 256
    magnitude = 1.5 * torch.cos(3 * math.pi * bins) - bins
    response = minimum_phase(magnitude)
    torch.testing.assert_close(torch.fft.rfft(response).abs().log(), magnitude, atol=1e-3, rtol=0)
    assert float(response[:64].square().sum() / response.square().sum()) > 0.999


def test_a_constant_filter_is_a_convolution():
    source = torch.randn(1, 1, 3200, generator=torch.Generator().manual_seed(0))
    magnitude = torch.cos(2 * math.pi * torch.arange(257) / 256)
    made = filter_sources(source, magnitude.expand(1, 1, 20, 257), 160)[0]
    wanted = torch.nn.functional.conv1d(
        torch.nn.functional.pad(source, (511, 0)), minimum_phase(magnitude).flip(0)[None, None]
    )[0, 0]
    torch.testing.assert_close(made[700:-80], wanted[700:-80], atol=1e-4, rtol=0)  # half a hop fades in and out
