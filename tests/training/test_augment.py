"""Recording conditions do what they say, by measurement."""

import numpy as np
import pytest
from conftest import buzz

from triglot.training.data.augment import VOICE_FACTORS, RecordingConditions, resample_voice

PLAIN = {"gain": 1.0, "low": 20.0, "high": 8_000.0, "slope": 0.0, "noise": -200.0, "colour": 0.0}


def conditions(**changes):
    return RecordingConditions(**{**PLAIN, **changes})


def apply(wave, **changes):
    return conditions(**changes).apply(wave, 16_000, np.random.default_rng(0))


def rms(wave):
    return float(np.sqrt(np.mean(np.square(wave))))


def test_plain_conditions_change_nothing():
    wave = buzz(1.0)
    np.testing.assert_allclose(apply(wave), wave, atol=1e-6)


def test_gain_and_noise_are_as_loud_as_they_say():
    wave = buzz(1.0)
    assert rms(apply(wave, gain=0.25)) == pytest.approx(rms(wave) / 4, rel=1e-4)
    for decibel in (-40.0, -20.0):
        noise = apply(wave, noise=decibel) - wave
        assert 20 * np.log10(rms(noise) / rms(wave)) == pytest.approx(decibel, abs=0.1)


def test_bands_fall_by_the_slope():
    time = np.arange(16_000) / 16_000
    for frequency, expected in ((1_000, 0.0), (6_800, -12.0), (50, -12.0)):
        tone = 0.5 * np.sin(2 * np.pi * frequency * time)
        out = apply(tone, low=100.0, high=3_400.0, slope=12.0)
        assert 20 * np.log10(rms(out) / rms(tone)) == pytest.approx(expected, abs=0.2)


def test_drawn_conditions_are_deterministic_and_finite():
    wave = buzz(0.7)
    for seed in range(30):
        first, second = (
            RecordingConditions.draw(np.random.default_rng(seed)).apply(wave, 16_000, np.random.default_rng(seed))
            for _ in range(2)
        )
        assert np.array_equal(first, second) and first.shape == wave.shape and first.dtype == np.float32
        assert np.isfinite(first).all() and np.abs(first).max() <= 1.0 and rms(first) > 0.005


def test_another_voice_moves_the_pitch_and_the_length_by_one_factor():
    wave = buzz(1.0)

    def pitch(sound):
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 2**18))
        return spectrum.argmax() * 16_000 / 2**18

    factors = []
    for seed in range(20):
        other = resample_voice(wave, np.random.default_rng(seed))
        factors.append(len(wave) / len(other))
        assert other.dtype == np.float32
        assert pitch(other) / pitch(wave) == pytest.approx(factors[-1], rel=0.01)
    assert VOICE_FACTORS[0] - 0.01 < min(factors) < 0.95 and 1.05 < max(factors) < VOICE_FACTORS[1] + 0.01
