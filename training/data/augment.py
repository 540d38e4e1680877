"""Recording conditions and other voices: what a person's microphone and room would add, and how another person sounds.

float32 (samples,) and a random generator -> float32 (samples,).
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len

VOICE_FACTORS = (0.85, 1.18)  # of formants and pitch: a vocal tract of another length


@dataclass(frozen=True)
class RecordingConditions:
    """What one recording was made under.

    Attributes:
        gain: Factor on the samples.
        low, high: Hz; what lies outside is weakened by `slope` dB per octave.
        slope: dB per octave.
        noise: dB of the noise relative to the speech's RMS; -60 is inaudible, -15 a loud room.
        colour: Spectral slope of the noise, 0 for white, -1 for pink.
    """

    gain: float
    low: float
    high: float
    slope: float
    noise: float
    colour: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "RecordingConditions":
        """Light conditions at random: most are hardly audible, a few are like a telephone in a street."""
        return cls(
            gain=float(np.exp(rng.uniform(np.log(0.1), np.log(1.0)))),
            low=float(rng.uniform(20.0, 250.0)),
            high=float(rng.uniform(3_400.0, 8_000.0)),
            slope=float(rng.uniform(3.0, 18.0)),
            noise=float(rng.uniform(-55.0, -15.0)),
            colour=float(rng.uniform(-1.5, 0.0)),
        )

    def apply(self, wave: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
        """The recording of `wave`, float32 (samples,) at `sampling_rate` Hz."""
        size = next_fast_len(len(wave), real=True)  # a prime length would take ten times as long
        frequency = np.fft.rfftfreq(size, 1 / sampling_rate)
        octaves_out = np.maximum(np.log2(self.low / np.maximum(frequency, 1.0)), 0.0)
        octaves_out += np.maximum(np.log2(np.maximum(frequency, 1.0) / self.high), 0.0)
        response = 10 ** (-self.slope * octaves_out / 20)
        level = np.sqrt(np.mean(np.square(wave))) * 10 ** (self.noise / 20)
        noise = level * coloured_noise(rng, len(wave), sampling_rate, self.colour)
        recorded = np.fft.irfft(np.fft.rfft(wave + noise, n=size) * response, n=size)[: len(wave)] * self.gain
        return np.clip(recorded, -1.0, 1.0).astype(np.float32)


def coloured_noise(rng: np.random.Generator, count: int, sampling_rate: int, colour: float) -> np.ndarray:
    """Noise of unit power, float64 (count,), whose power falls with frequency to the `colour`: 0 white, -1 pink, -2 brown."""
    size = next_fast_len(count, real=True)
    shape = np.maximum(np.fft.rfftfreq(size, 1 / sampling_rate), 50.0) ** (colour / 2)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, n=size)[:count]
    return noise / max(float(np.sqrt(np.mean(np.square(noise)))), 1e-12)


def resample_voice(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same words by a larger or smaller speaker: formants, pitch and tempo change by one factor.

    Args:
        wave: float32 (samples,).
        rng: Draws the factor, uniform in its logarithm.

    Returns:
        float32 (samples / factor,), at the same rate.
    """
    factor = float(np.exp(rng.uniform(*np.log(VOICE_FACTORS))))
    places = np.arange(max(1, int(len(wave) / factor))) * factor
    return np.interp(places, np.arange(len(wave)), wave).astype(np.float32)
