"""Pictures of rows: which rows have one, and that any kind of file becomes red, green and blue."""

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


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "1", "I;16", "RGBA", "LA"])
def test_every_mode_becomes_rgb(mode):
    pixels = np.full((6, 5, 3), 200, np.uint8)
    picture = Pictures.fromarray(pixels)
    if mode == "I;16":
        picture = Pictures.fromarray(np.full((6, 5), 200 * 257, np.uint16))
    elif mode == "P":
        picture = picture.quantize(4)
    elif mode != "RGB":
        picture = picture.convert(mode)
    image = read_picture(content(picture, "TIFF" if mode == "CMYK" else "PNG"), "it")
    assert image.shape == (3, 6, 5) and image.dtype == torch.float32
    if mode != "1":
        torch.testing.assert_close(image, torch.full((3, 6, 5), 200 / 255), rtol=0, atol=0.02)


def test_transparent_parts_are_white_and_exif_turns():
    clear = Pictures.new("RGBA", (4, 3), (10, 20, 30, 0))
    assert torch.equal(read_picture(content(clear), "it"), torch.ones(3, 3, 4))
    exif = Pictures.Exif()
    exif[0x0112] = 6  # turn to the right
    turned = read_picture(content(Pictures.new("RGB", (8, 4)), "JPEG", exif=exif), "it")
    assert turned.shape == (3, 8, 4)


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
        with pytest.raises(TriglotError, match="row 7 cannot be read as a picture"):
            read_picture(image, "row 7")
