"""Rows of small pictures, for the tests of trainers."""

import io

import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pictures


def picture_rows(count: int, side: int = 16) -> Dataset:
    """`count` pictures of a blot on grey, each a little wider than the one before, PNG."""
    rows = []
    for number in range(count):
        rng = np.random.default_rng(number)
        height, width = side, side + number
        down, across = np.mgrid[:height, :width]
        inside = (down - rng.uniform(0, height)) ** 2 + (across - rng.uniform(0, width)) ** 2 < (side / 3) ** 2
        pixels = np.where(inside[..., None], rng.integers(0, 255, 3), 225).astype(np.uint8)
        content = io.BytesIO()
        Pictures.fromarray(pixels).save(content, format="PNG")
        rows.append({"image": {"bytes": content.getvalue(), "path": None}})
    features = Features({"image": {"bytes": Value("binary"), "path": Value("string")}})
    return Dataset.from_list(rows, features=features).cast_column("image", Image(decode=False))
