"""MediaDecoder: the contract of room 3. codes (+ conditions) -> media.

A decoder is a `PreTrainedModel` that stores in `config.fingerprint` the fingerprint of the tokenizer whose codes it was
trained on. What codes leave out (the voice, the texture) is a *condition*; a voice is always computed from a waveform,
never looked up in a table of speakers.

Shapes: S samples of a waveform, T codes, V dimensions of a voice.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel


class MediaDecoder(PreTrainedModel):
    """What every decoder offers; `modality` is "speech" or "image" (or a new one)."""

    modality: str = ""

    @property
    def codebook_size(self) -> int:
        """Number of codes K it understands."""
        return self.config.codebook_size

    @property
    def sampling_rate(self) -> int | None:
        """Hz of the waveforms it makes and of the voice prompts it takes; None for images."""
        return getattr(self.config, "sampling_rate", None)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the tokenizer whose codes it was trained on."""
        return self.config.fingerprint

    @abstractmethod
    def decode(self, codes: Sequence[torch.Tensor], **conditions) -> list[torch.Tensor]:
        """Media of each code sequence.

        Args:
            codes: int64 (T,) for each item, 0..K-1.
            conditions: What the codes leave out; for speech `voices`, one float (V,) per item or None for the default.

        Returns:
            float32 waveforms (S,) at `sampling_rate`, exactly T * samples_per_code long, or images (3, H, W) in 0..1;
            on the CPU.

        Raises:
            ValueError: an empty sequence or a code outside 0..K-1.
        """

    def check_codes(self, codes: Sequence[torch.Tensor]) -> None:
        """Raises ValueError where a sequence is empty, not 1-D or holds a code outside 0..K-1."""
        for index, item in enumerate(codes):
            if item.ndim != 1 or item.numel() == 0:
                raise ValueError(
                    f"Item {index} has the shape {tuple(item.shape)}; a non-empty 1-D code sequence is needed."
                )
            low, high = int(item.min()), int(item.max())
            if low < 0 or high >= self.codebook_size:
                raise ValueError(
                    f"Item {index} holds codes from {low} to {high}; allowed is 0 to {self.codebook_size - 1}."
                )


class SpeechDecoder(MediaDecoder):
    """A decoder that speaks: codes and a voice in, waveform out."""

    modality = "speech"

    @property
    @abstractmethod
    def samples_per_code(self) -> int:
        """Samples of sound that one code makes."""

    @abstractmethod
    def voice_from_waveform(self, waveform: torch.Tensor) -> torch.Tensor:
        """The voice condition of a prompt: float (S,) at `sampling_rate` -> float32 (V,)."""
