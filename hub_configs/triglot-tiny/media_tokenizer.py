"""MediaTokenizer: the contract of room 1. media -> codes in 0..codebook_size-1.

A tokenizer is a `PreTrainedModel`: weights in safetensors, its settings in config.json, loaded with `from_pretrained`.
Its `fingerprint` names the code book: language models and decoders store the fingerprint they were trained with, since
codes of another tokenizer are noise to them.

Shapes: S samples of a waveform, T codes, H x W pixels, h x w codes of an image.
"""

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

MIN_SECONDS = 0.05  # s; the shortest sound for which every encoder gives a frame


class MediaTokenizer(PreTrainedModel):
    """What every tokenizer offers; `modality` is "speech" or "image" (or a new one)."""

    modality: str = ""
    centroids: (
        torch.Tensor
    )  # float (K, D): where the codes lie, so that like codes can start alike in a language model
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

    @abstractmethod
    def compute_fingerprint(self, state_dict: Mapping[str, torch.Tensor] | None = None) -> str:
        """The fingerprint of these weights (default: its own); "" before there is a code book."""

    def save_pretrained(  # type: ignore[override]  # the other arguments go through by name
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        state_dict: dict | None = None,
        **kwargs: Any,
    ) -> Any:
        """Saves as every model does, with the fingerprint of the very weights that are written."""
        self.config.fingerprint = self.compute_fingerprint(state_dict)
        return super().save_pretrained(save_directory, is_main_process, state_dict, **kwargs)

    def check_waveform(self, waveform: torch.Tensor, name: str) -> torch.Tensor:
        """A sound as float32 (S,).

        Raises:
            ValueError: not a float (S,) of at least 0.05 s, or NaN or infinite samples; `name` says which sound.
        """
        waveform, rate = torch.as_tensor(waveform), self.config.sampling_rate
        if waveform.ndim != 1 or not waveform.is_floating_point():
            raise ValueError(
                f"{name} is {waveform.dtype} of the shape {tuple(waveform.shape)}; float (samples,) is needed, mono at "
                f"{rate} Hz."
            )
        least = int(MIN_SECONDS * rate)
        if waveform.numel() < least:
            raise ValueError(f"{name} has {waveform.numel()} samples; at least {least} ({MIN_SECONDS} s) are needed.")
        waveform = waveform.detach().float()
        if not bool(waveform.isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinite samples; clean it first.")
        return waveform

    def describe_modality(self) -> dict[str, Any]:
        """The entry of `config.modalities` for this tokenizer: name, size, fingerprint and rate or grid."""
        entry: dict[str, Any] = {"name": self.modality, "size": self.codebook_size, "fingerprint": self.fingerprint}
        if self.frame_rate is not None:
            entry["frame_rate"] = self.frame_rate
        if self.grid is not None:
            entry["grid"] = list(self.grid)
        return entry


def weights_fingerprint(weights: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> str:
    """sha256 (hex) over settings and weights, which count with their float16 values: saved in float16 they keep it."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu()
        tensor = tensor.to(torch.float16) if tensor.is_floating_point() else tensor.to(torch.int64)
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().astype(tensor.numpy().dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
