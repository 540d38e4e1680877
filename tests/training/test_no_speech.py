"""Sounds without words: of every kind, finite, in range, and the same for the same seed."""

import numpy as np

from triglot.training.data.no_speech import no_speech


def sounds(count=60, seconds=0.5):
    return [no_speech(np.random.default_rng(seed), seconds, 16_000) for seed in range(count)]


def test_sounds_have_the_length_asked_for_and_stay_in_range():
    for sound in sounds():
        assert sound.dtype == np.float32 and sound.shape == (8_000,)
        assert np.isfinite(sound).all() and np.abs(sound).max() <= 1
    assert no_speech(np.random.default_rng(0), 0.0, 16_000).shape == (1,)


def test_they_differ_and_repeat():
    first, again = sounds(), sounds()
    assert all(np.array_equal(one, other) for one, other in zip(first, again))
    levels = np.array([np.sqrt(np.mean(np.square(sound))) for sound in first])
    assert (levels == 0).any() and (levels < 1e-3).sum() > 3 and (levels > 0.05).sum() > 10
    flatness = []
    for sound in first:
        power = np.abs(np.fft.rfft(sound))[1:] ** 2 + 1e-12
        flatness.append(np.exp(np.log(power).mean()) / power.mean())
    assert min(flatness) < 0.01 and max(flatness) > 0.3  # hums and tones beside hisses
