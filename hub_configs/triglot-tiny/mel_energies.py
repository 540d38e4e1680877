"""Log-mel of waveforms, which all speech front ends of this room begin with. No weights.

Shapes: B items, S samples, N = S / hop_length frames, M mel bins. A config has `sampling_rate`, `num_mel_bins`, `window_length` and
`hop_length`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers.audio_utils import mel_filter_bank

LOG_FLOOR = 1e-10  # smallest mel energy; keeps the logarithm of digital silence finite


def mel_bank(config: Any) -> torch.Tensor:
    """The mel bank of a config, float32 (window_length // 2 + 1, M) on the CPU."""
    bank = mel_filter_bank(
        num_frequency_bins=config.window_length // 2 + 1,
        num_mel_filters=config.num_mel_bins,
        min_frequency=0.0,
        max_frequency=config.sampling_rate / 2,
        sampling_rate=config.sampling_rate,
        mel_scale="slaney",  # linear below 1 kHz: 80 htk bins would leave some without any FFT bin
    )
    return torch.tensor(bank, dtype=torch.float32, device="cpu")


def log_mel_energies(wave: torch.Tensor, bank: torch.Tensor, config: Any, multiple: int) -> torch.Tensor:
    """Waveforms float32 (B, S), padded with zeros to a whole `multiple` of samples -> natural logarithms (B, N, M)."""
    margin = (config.window_length - config.hop_length) // 2
    wave = F.pad(wave, (margin, margin + (-wave.shape[1] % multiple)))
    window = torch.hann_window(config.window_length, device=wave.device)
    spectrum = torch.stft(
        wave, config.window_length, config.hop_length, window=window, center=False, return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()  # (B, bins, N)
    return (power.transpose(1, 2) @ bank.float()).clamp(min=LOG_FLOOR).log()
