"""Pictures to train image tokenizers on: the column "image" of any dataset, or scenes drawn as they are asked for.

datasets.Dataset with "image" ─ ImageRows ─┐
training scenes, a seed each time ─ DrawnScenes ─┴─ float32 (3, H, W) in 0..1
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image as Pictures

from ...processing.errors import TriglotError
from ...processing.image_io import load_image
from .load_rows import media_column
from .scene_pictures import draw_scene
from .scenes import Scene
from .splits import held_out_sentences, training_sentences


class ImageRows(torch.utils.data.Dataset):
    """The "image" column of a `datasets.Dataset` as float32 (3, H, W) in 0..1, read when asked for.

    Rows without a picture (everyday phrases of the demo world) are left out.
    """

    def __init__(self, dataset: Dataset):
        rows = media_column(dataset, "image")
        filled = _filled(rows)
        self.rows = rows if len(filled) == len(rows) else rows.select(filled)
        if not filled:
            raise TriglotError(f"None of the {len(rows)} rows has a picture.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return read_picture(self.rows[int(index)]["image"], f"image of row {index}")


class DrawnScenes(torch.utils.data.Dataset):
    """Scenes of the demo world as float32 (3, side, side) in 0..1; where their things lie is drawn from torch's global generator."""

    def __init__(self, scenes: Sequence[Scene], side: int):
        self.scenes, self.side = scenes, side

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> torch.Tensor:
        seed = int(torch.randint(2**31, ()))
        return as_tensor(draw_scene(self.scenes[int(index)], self.side, seed))


def training_scenes(count: int, seed: int = 0) -> list[Scene]:
    """Different scenes of the training split."""
    return [item for item in training_sentences(count, seed, scenes_share=1.0) if isinstance(item, Scene)]


def held_out_scenes(count: int, seed: int = 0) -> list[Scene]:
    """Different scenes that training never shows; half of them of triples that it never shows."""
    return [item for item in held_out_sentences(count, seed, scenes_share=1.0) if isinstance(item, Scene)]


def _filled(rows: Dataset, at_once: int = 1000) -> list[int]:
    """Places of the rows that have a picture. Their bytes are not read: Arrow keeps beside them what is missing."""
    table, found = rows.with_format("arrow"), []
    for start in range(0, len(rows), at_once):
        place = start
        for chunk in table[start : start + at_once]["image"].chunks:
            there = chunk.is_valid().to_numpy(zero_copy_only=False)
            if hasattr(chunk, "flatten") and hasattr(
                chunk.type, "get_field_index"
            ):  # {"bytes", "path"}, not a path alone
                there = there & np.any(
                    [part.is_valid().to_numpy(zero_copy_only=False) for part in chunk.flatten()], axis=0
                )
            found += (place + np.flatnonzero(there)).tolist()
            place += len(chunk)
    return found


def read_picture(image: Any, name: str) -> torch.Tensor:
    """A picture as `load_image` takes it -> float32 (3, H, W) in 0..1.

    Raises:
        TriglotError: no picture that can be read; `name` says which.
    """
    return torch.from_numpy(load_image(image, name=name))


def as_tensor(picture: Pictures.Image) -> torch.Tensor:
    """An RGB picture as float32 (3, H, W) in 0..1."""
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8))
    return pixels.permute(2, 0, 1).float() / 255


def as_image(picture: torch.Tensor) -> Pictures.Image:
    """The way back of `as_tensor`."""
    return Pictures.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy())
