"""Sounds without words: silence, noises, hums, tones, clicks. A model that heard them in training answers with nothing.

a generator + seconds ─▶ float32 (samples,)
"""

import numpy as np

KINDS = ("silence", "noise", "gusts", "hum", "tones", "clicks")


def no_speech(rng: np.random.Generator, seconds: float, sampling_rate: int) -> np.ndarray:
    """A random sound of one of the KINDS, |x| <= 1.

    Args:
        rng: Draws everything.
        seconds: Length, s.
        sampling_rate: Hz.
    """
    count = max(1, round(seconds * sampling_rate))
    time = np.arange(count) / sampling_rate
    kind = KINDS[rng.integers(len(KINDS))]
    hiss = _coloured(rng, count) * 10 ** rng.uniform(-4.0, -2.5)
    if kind == "silence":
        sound = hiss if rng.random() < 0.7 else np.zeros(count)
    elif kind == "noise":
        sound = _coloured(rng, count)
    elif kind == "gusts":  # loud and quiet by turns, as fast as syllables or slower
        sound = _coloured(rng, count) * np.abs(np.sin(np.pi * rng.uniform(0.3, 6.0) * time + rng.uniform(0, 3.0)))
    elif kind == "hum":
        pitch, partials = rng.uniform(45.0, 65.0), np.arange(1, rng.integers(3, 20))[:, None]
        sound = (np.sin(2 * np.pi * pitch * partials * time) / partials).sum(0) + 30 * hiss
    elif kind == "tones":
        pitches = rng.uniform(100.0, 3_000.0, size=rng.integers(1, 8))
        sound = np.sin(2 * np.pi * np.repeat(pitches, -(-count // len(pitches)))[:count] * time) + 30 * hiss
    else:
        sound = 30 * hiss
        for place in rng.integers(0, count, size=rng.integers(1, 12)):
            tail = np.exp(-np.arange(min(2_000, count - place)) / rng.uniform(20.0, 400.0))
            sound[place : place + len(tail)] += tail * rng.standard_normal(len(tail))
    peak = float(np.abs(sound).max())
    if peak > 0 and kind != "silence":
        sound = sound * (10 ** rng.uniform(-2.0, 0.0) / peak)
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def _coloured(rng: np.random.Generator, count: int) -> np.ndarray:
    """White to brown noise of about unit power."""
    size = 1 << max(4, (count - 1).bit_length())
    frequency = np.fft.rfftfreq(size)
    shape = np.maximum(frequency, 1e-3) ** (rng.uniform(-2.0, 0.0) / 2)
    sound = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, n=size)[:count]
    return sound / max(float(np.sqrt(np.mean(np.square(sound)))), 1e-12)
