"""Sounds without words: silence, noises, hums, tones, clicks. A model that heard them in training answers with nothing.

a generator + seconds ─▶ float32 (samples,)
"""

import numpy as np

from .augment import coloured_noise

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
    noise = coloured_noise(rng, count, sampling_rate, rng.uniform(-2.0, 0.0))
    hiss = noise * 10 ** rng.uniform(-4.0, -2.5)
    if kind == "silence":
        sound = hiss if rng.random() < 0.7 else np.zeros(count)
    elif kind == "noise":
        sound = noise
    elif kind == "gusts":  # loud and quiet by turns, as fast as syllables or slower
        sound = noise * np.abs(np.sin(np.pi * rng.uniform(0.3, 6.0) * time + rng.uniform(0, 3.0)))
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
