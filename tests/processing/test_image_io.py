"""load_image: every way to hold a picture gives the same pixels, and bad ones are one typed error before much memory is taken."""

import contextlib
import io
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from environments import ROOT
from PIL import Image, ImageCms

from triglot import TriglotError
from triglot.processing.image_io import LARGEST_SIDE, load_image, to_picture, write_image


def picture(width=24, height=16):
    """Four quarters of different colours: every turn and mirroring is another picture."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (220, 40, 40)
    pixels[: height // 2, width // 2 :] = (40, 160, 70)
    pixels[height // 2 :, : width // 2] = (40, 80, 220)
    pixels[height // 2 :, width // 2 :] = (240, 210, 40)
    return Image.fromarray(pixels)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def hollow_png(width, height):
    """A header that promises so many pixels, and next to no pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


EXPECTED = np.asarray(picture(), np.float32).transpose(2, 0, 1) / 255


def test_every_way_to_give_the_same_picture(tmp_path):
    path = tmp_path / "x.png"
    picture().save(path)
    array = np.asarray(picture())
    ways = [
        path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), picture(), Image.open(path),
        array, array.transpose(2, 0, 1), array / 255.0, torch.from_numpy(EXPECTED), torch.from_numpy(array.copy()),
        array.astype(np.uint16) * 257, {"bytes": path.read_bytes(), "path": None}, {"path": str(path), "bytes": None},
        encoded(picture(), "BMP"), encoded(picture(), "TIFF"), encoded(picture(), "WEBP", lossless=True),
        encoded(picture(), "PPM"),
    ]  # fmt: skip
    for way in ways:
        came = load_image(way)
        assert came.dtype == np.float32 and came.flags.c_contiguous
        np.testing.assert_allclose(came, EXPECTED, atol=1e-6)


def test_the_users_picture_stays_as_it_was():
    large = picture(3000, 2500)
    assert load_image(large).shape == (3, 1707, 2048)
    assert large.size == (3000, 2500)


def test_large_arrays_are_reduced_as_pictures_are():
    pixels = np.asarray(picture(2200, 64))
    wanted = load_image(picture(2200, 64))
    for way in (pixels, pixels.transpose(2, 0, 1), pixels.astype(np.uint16) * 257, (pixels / 255).astype(np.float32)):
        np.testing.assert_array_equal(load_image(way), wanted)
    assert load_image(pixels[..., 0]).shape == (3, 60, 2048)
    layer = np.dstack([pixels, np.full(pixels.shape[:2], 128, np.uint8)])
    np.testing.assert_allclose(load_image(layer), wanted * (128 / 255) + 127 / 255, atol=0.01)
    with pytest.raises(TriglotError, match="NaN"):
        load_image(np.full((8, 3000), np.nan, np.float16))


def test_an_array_that_could_be_both_is_read_as_its_library_does():
    array = np.random.default_rng(0).random((3, 9, 3)).astype(np.float32)
    with pytest.raises(TriglotError, match="9 x 3 pixels"):  # 3 rows of 9 pixels
        load_image(array)
    array = np.ones((8, 9, 4), np.float32) * np.array([1, 0, 0, 0.5], np.float32)
    np.testing.assert_allclose(load_image(array)[:, 0, 0], [1, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_carried_out(orientation):
    upright = picture()
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that a camera of this orientation applies
    stored = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_allclose(load_image(encoded(stored, exif=exif)), EXPECTED)


def test_transparency_lies_on_white():
    layer = picture().convert("RGBA")
    layer.putalpha(0)
    assert (load_image(encoded(layer)) == 1).all()
    layer.putalpha(128)
    np.testing.assert_allclose(load_image(encoded(layer)), EXPECTED * (128 / 255) + 127 / 255, atol=3e-3)
    palette = picture().quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    came = load_image(encoded(palette, transparency=palette.info["transparency"]))
    assert (came[:, 0, 0] == 1).all() and (came[:, -1, -1] < 1).any()


def test_grey_16_bits_cmyk_and_palettes():
    grey = np.linspace(0, 65_535, 24 * 16).reshape(16, 24).astype(np.uint16)
    for format in ("PNG", "TIFF"):
        came = load_image(encoded(Image.fromarray(grey), format))
        assert came.shape == (3, 16, 24)
        np.testing.assert_allclose(came[0], grey / 65_535, atol=1 / 255)
    for converted in (picture().convert("CMYK"), picture().convert("YCbCr"), picture().quantize(4)):
        np.testing.assert_allclose(load_image(encoded(converted, "TIFF")), EXPECTED, atol=0.02)
    jpeg = load_image(encoded(picture(64, 64).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(jpeg[:, 8, 8] * 255 - (220, 40, 40)).max() < 8
    assert load_image(encoded(Image.new("1", (8, 8), 1))).min() == 1


def test_colours_of_16_bits():
    """A PNG of 48 bits a pixel, which Pillow reads and does not write."""
    pixels = np.asarray(picture()).astype(">u2") * 257
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 16, 16, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    np.testing.assert_allclose(load_image(content), EXPECTED, atol=1e-6)


def test_a_colour_profile_is_converted_and_a_damaged_one_ignored():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_allclose(load_image(encoded(picture(), icc_profile=lab)), EXPECTED, atol=2 / 255)
    np.testing.assert_allclose(load_image(encoded(picture(), icc_profile=b"nonsense" * 40)), EXPECTED)


def test_an_animation_gives_its_first_frame():
    frames = [picture(), picture().rotate(180), picture().rotate(90)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    np.testing.assert_allclose(load_image(moving), EXPECTED, atol=0.02)
    opened = Image.open(io.BytesIO(moving))
    opened.seek(1)
    np.testing.assert_allclose(load_image(opened), EXPECTED[:, ::-1, ::-1], atol=0.02)
    assert opened.tell() == 1


def test_large_jpegs_are_unpacked_at_a_fraction():
    content = encoded(picture(8000, 6000), "JPEG")
    came = load_image(content)
    assert max(came.shape) <= LARGEST_SIDE and came.shape[1:] == (1536, 2048)
    assert np.abs(came[:, 100, 100] * 255 - (220, 40, 40)).max() < 8


def closed():
    image = Image.open(io.BytesIO(encoded(picture())))
    image.close()
    return image


BAD = {
    "not an image": (b"this is no picture at all", "not a picture that can be read"),
    "empty": (b"", "empty"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "1x1": (encoded(Image.new("RGB", (1, 1))), "1 x 1 pixels; at least 8 x 8"),
    "20,000 x 20,000": (hollow_png(20_000, 20_000), "refused unread"),
    "9,000 x 9,000": (hollow_png(9_000, 9_000), "9000 x 9000 pixels; at most 36000000"),
    "truncated JPEG": (encoded(picture(200, 200), "JPEG")[:-700], "cannot be read: "),
    "truncated PNG": (encoded(Image.effect_noise((99, 99), 50))[:-2000], "cannot be read: "),
    "hollow": (hollow_png(100, 100), "cannot be read: "),
    "closed": (closed(), "cannot be read: "),
    "narrow once reduced": (Image.new("RGB", (9000, 9)), "reduced to sides of at most 2048, is 2048 x 2 pixels"),
    "float TIFF": (encoded(Image.fromarray(np.ones((9, 9), np.float32) * 9), "TIFF"), "unknown range"),
    "no file": ("no/such/picture.png", "no/such/picture.png"),
    "address": ("https://example.com/x.png", "nothing is fetched"),
    "NaN": (np.full((9, 9, 3), np.nan), "243 NaN"),
    "0..255 floats": (np.full((9, 9, 3), 200.0), "span 0 to 1"),
    "normalised": (np.full((3, 9, 9), -0.7), "span 0 to 1"),
    "batch": (np.zeros((2, 3, 9, 9), np.float32), r"\(2, 3, 9, 9\)"),
    "channels": (np.zeros((9, 9, 5), np.uint8), "1, 3 or 4 channels"),
    "ids": (np.zeros((9, 9), np.int64), "int64"),
    "number": (7, "int64"),
    "none": (None, "NoneType"),
    "dict": ({"url": "x"}, r"\['url'\]"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_one_typed_error(kind):
    bad, message = BAD[kind]
    with pytest.raises(TriglotError, match=message):
        load_image(bad)


def test_folders_text_files_and_names_that_are_nearly_right(tmp_path):
    picture().save(tmp_path / "circle.png")
    with pytest.raises(TriglotError, match=r"did you mean .*circle\.png"):
        load_image(tmp_path / "cirle.png")
    with pytest.raises(TriglotError, match="path of one picture"):
        load_image(tmp_path)
    with pytest.raises(TriglotError, match="binary mode"):
        load_image(io.StringIO("x"))


def test_no_cut_of_a_file_escapes_as_another_error():
    for content in (
        encoded(picture(), "JPEG"),
        encoded(picture()),
        encoded(picture(), "GIF"),
        encoded(picture(), "WEBP"),
    ):
        for end in range(0, len(content), 37):
            with contextlib.suppress(TriglotError):
                load_image(content[:end])
        broken = bytearray(content)
        for place in range(0, len(broken), 29):
            broken[place] ^= 0xFF
            with contextlib.suppress(TriglotError):
                load_image(bytes(broken))


MEASURE = """
import sys
import numpy as np
from PIL import Image
from shipped.image_io import load_image
from shipped.errors import TriglotError
load_image(Image.new("RGB", (9, 9)))
contents = [open(path, "rb").read() for path in sys.argv[1:]]

def most():  # KiB; ru_maxrss would begin at the parent's
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1])

before = most()
for content in contents:
    try:
        load_image(content)
    except TriglotError as error:
        assert "refused" in str(error) or "at most" in str(error), error
print((most() - before) / 1024)
load_image(np.zeros((6000, 6000, 3), np.uint8))
print((most() - before) / 1024)
"""


def test_a_bomb_takes_no_memory(tmp_path):
    """400 and 81 million pixels of one colour, complete files of some 100 KB: refused by their headers."""
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    paths = [tmp_path / "bomb.png", tmp_path / "smaller.png"]
    paths[0].write_bytes(bomb)
    paths[1].write_bytes(encoded(Image.new("L", (9_000, 9_000))))
    assert len(bomb) < 200_000
    (tmp_path / "shipped").mkdir()
    for name in (
        "errors",
        "image_io",
        "user_files",
        "whole_files",
    ):  # alone: the whole package takes seconds to import
        shutil.copy(ROOT / "processing" / f"{name}.py", tmp_path / "shipped")
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    refused, array = map(float, printed.split())
    assert refused < 20 and array < 550, "MiB"


def test_pictures_are_written_whole_or_not_at_all(tmp_path):
    write_image(tmp_path / "x.png", torch.from_numpy(EXPECTED))
    assert np.array_equal(load_image(tmp_path / "x.png"), EXPECTED)
    write_image(tmp_path / "x.webp", picture())
    for path, message in ((tmp_path / "x.bmp", ".png, .jpg"), (tmp_path / "no" / "x.png", "make it first")):
        with pytest.raises(TriglotError, match=message):
            write_image(path, picture())
    for wrong in (np.zeros((3, 9, 9), np.int64), np.full((3, 9, 9), np.nan), np.zeros((9, 9))):
        with pytest.raises(TriglotError, match="finite floats"):
            write_image(tmp_path / "y.png", wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.png", "x.webp"]
    assert to_picture(EXPECTED).tobytes() == picture().tobytes()


def test_pictures_say_who_drew_them(tmp_path):
    tags = {"software": "Triglot 9.9", "comment": "synthetic; model=x"}
    write_image(tmp_path / "x.png", torch.from_numpy(EXPECTED), tags)
    with Image.open(tmp_path / "x.png") as image:
        assert image.text == {"Software": "Triglot 9.9", "Comment": "synthetic; model=x"}
    content, chunks, place = (tmp_path / "x.png").read_bytes(), [], 8
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    assert (b"tEXt", b"Software\0Triglot 9.9") in chunks and (b"tEXt", b"Comment\0synthetic; model=x") in chunks
    for name in ("x.jpg", "x.webp"):
        write_image(tmp_path / name, torch.from_numpy(EXPECTED), tags)
        with Image.open(tmp_path / name) as image:
            assert dict(image.getexif()) == {0x0131: "Triglot 9.9", 0x010E: "synthetic; model=x"}
    assert np.array_equal(load_image(tmp_path / "x.png"), EXPECTED)
