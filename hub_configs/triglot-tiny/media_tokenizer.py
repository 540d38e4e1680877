"""MediaTokenizer: the contract of room 1. media -> codes in 0..codebook_size-1.

A tokenizer is a `PreTrainedModel`: weights in safetensors, its settings in config.json, loaded with `from_pretrained`.
Its `fingerprint` names the code book: language models and decoders store the fingerprint they were trained with, since
codes of another tokenizer are noise to them.

Shapes: S samples of a waveform, T codes, H x W pixels, h x w codes of an image.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel


class MediaTokenizer(PreTrainedModel):
    """What every tokenizer offers; `modality` is "speech" or "image" (or a new one)."""

    modality: str = ""
    # waveforms of any length are handled one by one, so that a batch gives the very codes of its items

    @property
    @abstractmethod
    def codebook_size(self) -> int:
        """Number of codes K; codes run from 0 to K-1."""

    @property
    def sampling_rate(self) -> int | None:
        """Hz of the waveforms it takes; None for images."""
        return getattr(self.config, "sampling_rate", None)

    @property
    def frame_rate(self) -> float | None:
        """Codes per second of speech, before deduplication; None for images."""
        return getattr(self.config, "frame_rate", None)

    @property
    def grid(self) -> tuple[int, int] | None:
        """(h, w) codes of one image; None for speech."""
        grid = getattr(self.config, "grid", None)
        return None if grid is None else (int(grid[0]), int(grid[1]))

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) over everything that decides the codes; "" before there is a code book."""
        return self.config.fingerprint

    @abstractmethod
    def encode(self, media: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Codes of each item.

        Args:
            media: Waveforms float (S,) at `sampling_rate`, or images float (3, H, W) in 0..1.

        Returns:
            int64 (T,) for each item, on the CPU; images in row-major order, T = h*w.

        Raises:
            ValueError: there is no code book yet, or an item has the wrong shape.
        """

    def describe_modality(self) -> dict[str, Any]:
        """The entry of `config.modalities` for this tokenizer: name, size, fingerprint and rate or grid."""
        entry: dict[str, Any] = {"name": self.modality, "size": self.codebook_size, "fingerprint": self.fingerprint}
        if self.frame_rate is not None:
            entry["frame_rate"] = self.frame_rate
        if self.grid is not None:
            entry["grid"] = list(self.grid)
        return entry
