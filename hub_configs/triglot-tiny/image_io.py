"""Pictures as users hold them -> float32 RGB of bounded size, or one `TriglotError` that says what is wrong.

path | bytes | open file | PIL.Image | array | {"bytes" | "path" | "image" | "array"}  ->  float32 (3, H, W) in 0..1, sRGB

A file's header is read before its pixels are: what would not fit is refused or, where the format allows it (JPEG), unpacked
at a fraction of its size, up to the 89 million pixels above which Pillow refuses a header. Pillow (`pip install pillow`) is needed for
everything but arrays.
"""

import io
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import TriglotError
from .user_files import check_folder, read_file, read_handle
from .whole_files import whole_file

try:
    from PIL import Image, ImageCms, PngImagePlugin
except ImportError:  # who only speaks needs no pictures
    Image = None  # type: ignore[assignment]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # of many frames, the first one
SMALLEST_SIDE = 8  # pixels; less shows nothing
LARGEST_SIDE = 2048  # pixels of the result: larger pictures are reduced to it
MOST_PIXELS = 36_000_000  # that are unpacked, 6000 x 6000: up to 550 MiB for a moment where there is transparency
BACKGROUND = (255, 255, 255)  # white, under what is transparent

_ACCEPTED = (
    "a path, the bytes of a picture, a PIL.Image, a (H, W, 3) or (3, H, W) array of uint8 in 0..255 or floats in 0..1, "
    'or a dict {"bytes": ..., "path": ...}'
)
# EXIF orientation: the name of the turn that undoes it
_TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
_EXIF = {"software": 0x0131, "comment": 0x010E}  # Software, ImageDescription
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def load_image(image: Any, *, name: str = "image") -> np.ndarray:
    """Reads, checks, turns upright and reduces one picture.

    Args:
        image: A path, bytes of a picture (`FORMATS`) or a file opened in binary mode, a PIL.Image, an array (H, W), (H, W, C)
            or (C, H, W) of 1, 3 or 4 channels, or a dict as `datasets` uses. Where both could be, a torch tensor is (C, H, W) and
            any other array (H, W, C). Floats span 0 to 1, uint8 and uint16 their own range.
        name: How to call the input in an error message.

    Returns:
        float32 (3, H, W) in 0..1; no side above `LARGEST_SIDE`. Transparency lies on white, a camera's EXIF rotation is carried out,
        an embedded colour profile is converted to sRGB, an animation gives its first frame, a PIL.Image the one it stands at.

    Raises:
        TriglotError: missing, unreadable, truncated or no picture, smaller than 8 x 8, also after it was reduced, or larger than 36 million
            pixels (a JPEG: 89 million), NaN, or an array whose scale or layout cannot be told. An address on the web, which is not
            fetched.
    """
    if isinstance(image, Mapping):
        image = _open_mapping(image, name)
    if isinstance(image, (str, os.PathLike)):
        path = os.fspath(image)
        if path.startswith(("http://", "https://")):
            raise TriglotError(f"{name} is the address {path[:200]!r}; nothing is fetched here: download it first.")
        return _decode(read_file(path, name, "picture"), f"{name} {path!r}")
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode(bytes(image), f"{name} ({len(image)} bytes)")
    if hasattr(image, "read"):
        content = read_handle(image, name)
        return _decode(content, f"{name} ({len(content)} bytes)")
    if hasattr(image, "getexif"):
        _check_size(image.size, name)
        return _pixels_of(image, name)
    return _from_array(image, name)


def to_picture(pixels: Any) -> "Image.Image":
    """float (3, H, W) in 0..1, an array or a torch tensor -> PIL.Image; what lies beyond is clipped.

    Raises:
        TriglotError: another shape, integers or NaN.
    """
    _check_pillow("a picture")
    array = _to_numpy(pixels, "the picture")
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[0] != 3 or not np.isfinite(array).all():
        raise TriglotError(
            f"The picture is {array.dtype} {array.shape}; finite floats of the shape (3, H, W) between 0 and 1 are needed."
        )
    scaled = (np.clip(array, 0.0, 1.0) * 255.0).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(scaled.transpose(1, 2, 0)))


def write_image(path: str | os.PathLike, image: Any, tags: Mapping[str, str] | None = None) -> None:
    """Writes a picture, whole or not at all; the file's ending says how.

    Args:
        path: File to write or to replace, in an existing folder: .png, .jpg or .webp.
        image: A PIL.Image, or float (3, H, W) in 0..1.
        tags: {"software" | "comment": text}, what the file says about itself: tEXt chunks of a PNG, else EXIF. A picture that a
            model drew says so.

    Raises:
        TriglotError: another ending, a folder that does not exist or cannot be written to, or no picture.
    """
    path = os.fspath(path)
    check_picture_name(path)
    picture = image if hasattr(image, "getexif") else to_picture(image)
    kind = _SUFFIXES[os.path.splitext(path)[1].lower()]
    try:
        with whole_file(path) as partial:
            picture.convert("RGB").save(partial, format=kind, **_told(kind, tags or {}))
    except OSError as error:
        raise TriglotError(f"Cannot write {path!r}: {error}") from error


def _told(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Tags as Pillow's options for this format."""
    if not tags:
        return {}
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for name, text in tags.items():
            chunks.add_text(name.capitalize(), text)
        return {"pnginfo": chunks}
    exif = Image.Exif()
    for name, text in tags.items():
        exif[_EXIF[name]] = text
    return {"exif": exif}


def check_picture_name(path: str) -> None:
    """Raises TriglotError where `write_image` could not write to this path."""
    check_folder(path)
    if os.path.splitext(path)[1].lower() not in _SUFFIXES:
        raise TriglotError(f"Cannot write {path!r}: the name of a picture ends in one of {', '.join(_SUFFIXES)}.")


def _open_mapping(image: Mapping, name: str) -> Any:
    for key in ("bytes", "path", "image", "array"):
        if image.get(key) is not None:
            return image[key]
    raise TriglotError(f"{name} is a dict with the keys {sorted(map(str, image))}; allowed is {_ACCEPTED}.")


def _check_pillow(name: str) -> None:
    if Image is None:
        raise TriglotError(f"For {name} Pillow is needed: pip install pillow")


def _decode(content: bytes, what: str) -> np.ndarray:
    _check_pillow(what)
    if not content:
        raise TriglotError(f"{what} is empty (0 bytes).")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # broken metadata, which nobody reads
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TriglotError(
            f"{what} is refused unread, for its size ({_first_words(error)}); reduce it to {LARGEST_SIDE} x {LARGEST_SIDE} first."
        ) from error
    except Exception as error:  # Pillow's readers raise many kinds
        raise TriglotError(
            f"{what} is not a picture that can be read ({', '.join(FORMATS)}): {_first_words(error)}"
        ) from error
    with picture:
        _check_least(picture.size, what)
        picture.draft(
            None, (LARGEST_SIDE, LARGEST_SIDE)
        )  # a JPEG unpacks a half, a quarter or an eighth of its pixels
        _check_size(picture.size, what)
        return _pixels_of(picture, what)


def _pixels_of(picture: Any, what: str) -> np.ndarray:
    """The first frame of a PIL.Image of any mode -> float32 (3, H, W), upright."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning)
            picture.load()
            upright = _to_rgb(picture, what)
            upright.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
            _check_least(upright.size, f"{what}, reduced to sides of at most {LARGEST_SIDE},")
            turn = _TURNS.get(picture.getexif().get(0x0112))
            upright = upright if turn is None else upright.transpose(Image.Transpose[turn])
    except TriglotError:
        raise
    except Exception as error:  # truncated, closed, of a mode that Pillow cannot convert, or no memory: of many kinds
        raise TriglotError(f"{what} cannot be read: {_first_words(error)}") from error
    return np.ascontiguousarray(np.asarray(upright, np.float32).transpose(2, 0, 1) / np.float32(255.0))


def _to_rgb(picture: Any, what: str) -> Any:
    """Any mode -> 8 bits of RGB, of sRGB where a profile says what the colours are."""
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(picture), what)).convert("RGB")
    profile = picture.info.get("icc_profile")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        plain = Image.new("RGB", layer.size, BACKGROUND)
        plain.paste(layer, mask=layer.getchannel("A"))
    elif profile and mode == "CMYK":
        plain = picture
    else:
        plain = picture.convert("RGB")
    plain = _to_srgb(plain, profile)
    return plain if plain.mode == "RGB" else plain.convert("RGB")


def _to_srgb(picture: Any, profile: bytes | None) -> Any:
    """Colours of an embedded profile -> sRGB; a profile that is damaged or of another kind of colours does not count."""
    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or picture
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture


def _eight_bits(array: np.ndarray, what: str) -> np.ndarray:
    """Grey of 16 bits (H, W), kept in 16 or 32 -> uint8."""
    if array.dtype.kind == "f" or array.min() < 0 or array.max() > 65_535:
        raise TriglotError(f"{what} holds {array.dtype} pixels of unknown range; 8 or 16 bits a channel are needed.")
    return (array.astype(np.float32) / 257.0).round().astype(np.uint8)


def _check_least(size: tuple[int, int], what: str) -> None:
    if min(size) < SMALLEST_SIDE:
        raise TriglotError(
            f"{what} is {size[0]} x {size[1]} pixels; at least {SMALLEST_SIDE} x {SMALLEST_SIDE} are needed."
        )


def _check_size(size: tuple[int, int], what: str) -> None:
    _check_least(size, what)
    if size[0] * size[1] > MOST_PIXELS:
        raise TriglotError(
            f"{what} is {size[0]} x {size[1]} pixels; at most {MOST_PIXELS} in all are unpacked: reduce it to "
            f"{LARGEST_SIDE} x {LARGEST_SIDE} first."
        )


def _to_numpy(image: Any, name: str) -> np.ndarray:
    if hasattr(image, "detach"):  # a torch tensor; NumPy has no bfloat16
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    try:
        return np.asarray(image)
    except ValueError as error:  # a ragged list
        raise TriglotError(
            f"{name} is a {type(image).__name__} that is no regular array; allowed is {_ACCEPTED}."
        ) from error


def _from_array(image: Any, name: str) -> np.ndarray:
    array = _to_numpy(image, name)
    kind = f"{type(image).__name__} ({array.dtype} {array.shape})"
    if (
        array.dtype.kind not in "uf"
        or (array.dtype.itemsize > 2 and array.dtype.kind == "u")
        or not 2 <= array.ndim <= 3
    ):
        raise TriglotError(f"{name} is a {kind}; allowed is {_ACCEPTED}.")
    if array.ndim == 2:
        array = array[None]
    else:
        first, last = array.shape[0] in (1, 3, 4), array.shape[2] in (1, 3, 4)
        if not first and not last:
            raise TriglotError(f"{name} is a {kind} without an axis of 1, 3 or 4 channels; allowed is {_ACCEPTED}.")
        if last and not (first and hasattr(image, "detach")):
            array = array.transpose(2, 0, 1)
    _check_size((array.shape[2], array.shape[1]), name)
    if array.dtype.kind == "f":
        _check_floats(array, name)
    if max(array.shape[1:]) > LARGEST_SIDE:
        _check_pillow(name)
        return _pixels_of(Image.fromarray(_bytes_of(array)), name)
    pixels = array.astype(np.float32) / _white(array)
    if len(pixels) == 4:
        under = np.array(BACKGROUND, np.float32)[:, None, None] / 255.0
        pixels = pixels[:3] * pixels[3:] + under * (1.0 - pixels[3:])
    pixels = np.clip(np.broadcast_to(pixels, (3, *pixels.shape[1:])), 0.0, 1.0)
    return np.ascontiguousarray(pixels, dtype=np.float32)


def _check_floats(array: np.ndarray, name: str) -> None:
    if not np.isfinite(array).all():
        raise TriglotError(f"{name} holds {int((~np.isfinite(array)).sum())} NaN or infinite values; clean it first.")
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise TriglotError(
            f"{name} holds floats from {low:.3g} to {high:.3g}, but they span 0 to 1; give uint8 for 0 to 255, and undo a "
            "normalisation first."
        )


def _white(array: np.ndarray) -> np.float32:
    """The value that is 1."""
    return np.float32(np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1)


def _bytes_of(array: np.ndarray) -> np.ndarray:
    """(C, H, W) of any kind -> uint8 (H, W, C), or (H, W) of grey; a hundred rows at a time, since large ones come here."""
    array = array.transpose(1, 2, 0)
    array = array[..., 0] if array.shape[2] == 1 else array
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    pixels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), 100):
        part = array[start : start + 100].astype(np.float32) / _white(array)
        pixels[start : start + 100] = (part.clip(0.0, 1.0) * 255.0).round()
    return pixels


def _first_words(error: BaseException) -> str:
    """One line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
