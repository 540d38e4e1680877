"""Pictures of rows: which rows have one, and that what cannot be read is named; how pictures are read is `image_io`'s to test."""

import io

import numpy as np
import pytest
import torch
from datasets import Dataset
from picture_rows_testing import picture_rows
from PIL import Image as Pictures

from triglot.processing.errors import TriglotError
from triglot.training.data.picture_rows import ImageRows, _filled, read_picture


def content(picture: Pictures.Image, kind: str = "PNG", **options) -> dict:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return {"bytes": buffer.getvalue(), "path": None}


def test_rows_without_a_picture_are_left_out(tmp_path):
    rows = [*picture_rows(4)["image"]]
    path = tmp_path / "a.png"
    path.write_bytes(rows[0]["bytes"])
    given = [rows[0], None, {"bytes": None, "path": None}, {"bytes": None, "path": str(path)}, rows[1]]
    dataset = Dataset.from_dict({"image": given, "text": list("abcde")})
    assert _filled(dataset, at_once=2) == [0, 3, 4]
    assert _filled(dataset.select([1, 4, 0]), at_once=2) == [1, 2]
    images = ImageRows(dataset)
    assert len(images) == 3 and torch.equal(images[0], images[1]) and images[2].shape == (3, 16, 17)
    assert len(ImageRows(Dataset.from_dict({"image": [str(path), None]}))) == 1
    assert len(ImageRows(Dataset.from_dict({"image": [Pictures.new("RGB", (4, 4))] * 2}))) == 2


def test_what_is_no_picture_is_an_error(tmp_path):
    whole = content(Pictures.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)), "JPEG")[
        "bytes"
    ]
    for image in (
        {"bytes": b"noise", "path": None},
        {"bytes": whole[:400], "path": None},
        {"bytes": None, "path": "none"},
        "no",
    ):
        with pytest.raises(TriglotError, match="row 7"):
            read_picture(image, "row 7")
