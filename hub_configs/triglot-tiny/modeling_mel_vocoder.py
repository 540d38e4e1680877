"""MelVocoder: log-mel frames + a voice -> waveform, by the sources and filters of `UnitVocoder`.

For what predicts a spectrum instead of codes: the VQ-VAE's own `decode`, acoustic models that write mel. Frames that say nothing of
loudness, colour or pitch will do, since the voice says the rest.

    frames (B, N, M) ─ linear, voice ─ blocks at 100 Hz ─▶ log-magnitudes of a harmonic and a noise filter, log-F0, voicing
"""

from collections.abc import Sequence

import torch
from torch import nn

from .configuration_mel_vocoder import MelVocoderConfig
from .modeling_unit_vocoder import UnitVocoder


class MelVocoder(UnitVocoder):
    """Frames and a voice -> 16 kHz speech.

    Wherever `UnitVocoder` takes codes int64 (T,), this takes frames float (T, `input_bins`), one for each 10 ms.

    Example:
        >>> model = MelVocoder(MelVocoderConfig())
        >>> [wave] = model.decode([torch.zeros(12, 80)])
        >>> wave.shape
        torch.Size([1920])
    """

    config: MelVocoderConfig
    config_class = MelVocoderConfig
    base_model_prefix = "mel_vocoder"
    _auto_class = "AutoModel"

    def make_embedding(self, width: int) -> nn.Module:
        """Frames (B, N, M) -> (B, N, `width`)."""
        return nn.Linear(self.config.input_bins, width)

    @property
    def input_dtype(self) -> torch.dtype:
        """Of the frames: that of the weights."""
        return self.dtype

    def check_codes(self, codes: Sequence[torch.Tensor]) -> None:
        """Raises ValueError where an item is not a non-empty float (N, M) of finite numbers."""
        bins = self.config.input_bins
        for index, item in enumerate(codes):
            if item.ndim != 2 or item.shape[1] != bins or not len(item) or not item.is_floating_point():
                raise ValueError(
                    f"Item {index} is {item.dtype} {tuple(item.shape)}; float (frames, {bins}) is needed."
                )
            if not bool(item.isfinite().all()):
                raise ValueError(f"Item {index} holds NaN or infinite numbers.")


__all__ = ["MelVocoder"]
