"""Synthetic speech-like sounds for the tests of decoders."""

import math

import torch

RATE = 16_000  # Hz


def tone(pitch: float | torch.Tensor, seconds: float = 1.0, harmonics: int = 30) -> torch.Tensor:
    """A harmonic tone (S,), its harmonics falling by 6 dB per octave, none above the Nyquist frequency."""
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    count = min(harmonics, int(0.45 * RATE / float(torch.as_tensor(pitch).max())))
    phase = 2 * math.pi * (pitch * time if isinstance(pitch, float) else (pitch / RATE).cumsum(0))
    return 0.1 * sum(torch.sin(k * phase + 0.7 * k * k) / k for k in range(1, count + 1)).float()
