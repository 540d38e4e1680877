"""An independent checker of drawn scenes: what a picture shows, read from its pixels without any model.

    picture ─ what differs from the background ─▶ two blobs ─ nearest colour ─▶ coverage 0..1 ─ best of 12 outlines ─▶ shape, size
                                                     └─ where their centres lie ─▶ relation

Coverage is how far a pixel has gone from the background to the object's colour, so blended and blurred edges count as what they are.
A picture with one object, with three, with a colour or a shape of its own, or with objects side by side at a slant shows no scene.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from .data.scene_pictures import BACKGROUND, RGB, SIZE_SHARES, PlacedObject, outline
from .data.scenes import SHAPES, Scene, SceneObject

SIDE = 64  # pixels; pictures of other sides are scaled to it
DISTANCES = (16.0, 26.0, 40.0, 70.0, 110.0)  # in RGB, from the background: the first at which there are two blobs
LEAST_AREA = 0.006  # of the picture; a small star has 0.019
MOST_COLOUR_DISTANCE = 70.0  # in RGB, to the nearest colour
LEAST_OVERLAP = 0.6  # intersection over union of coverage and outline
MOST_SLANT = 0.6  # of the centres' offsets, the smaller one over the larger
OVERSAMPLING = 4


@dataclass(frozen=True)
class SeenObject:
    """A blob that is one of the world's objects.

    Attributes:
        object: Which one.
        centre: (x, y) of the outline, shares of the side.
        overlap: Intersection over union with that outline, 0..1.
    """

    object: SceneObject
    centre: tuple[float, float]
    overlap: float


def read_scene(picture: Image.Image) -> Scene | None:
    """What a picture shows, told from the upper or left object; None where that is no scene."""
    seen = seen_objects(picture)
    if len(seen) != 2:
        return None
    across, down = (seen[1].centre[axis] - seen[0].centre[axis] for axis in (0, 1))
    shorter, longer = sorted((abs(across), abs(down)))
    if shorter > MOST_SLANT * longer:
        return None
    first, second = seen if (across if abs(across) > abs(down) else down) > 0 else seen[::-1]
    return Scene(first.object, "to the left of" if abs(across) > abs(down) else "above", second.object)


def shows(picture: Image.Image, scene: Scene) -> bool:
    """Whether the whole scene is there: both objects' colour, shape and size, their relation, and nothing else."""
    return read_scene(picture) in (scene, scene.turned)


def seen_objects(picture: Image.Image) -> list[SeenObject]:
    """The objects of a picture; an empty list where it holds anything else."""
    picture = picture.convert("RGB")
    if picture.size != (SIDE, SIDE):
        picture = picture.resize(
            (SIDE, SIDE), Image.Resampling.BOX if min(picture.size) > SIDE else Image.Resampling.BICUBIC
        )
    pixels = np.asarray(picture, np.float64)
    for distance in DISTANCES:
        blobs = _blobs(np.linalg.norm(pixels - BACKGROUND, axis=-1) > distance)
        if len(blobs) == 2:
            seen = [_recognised(pixels, blob) for blob in blobs]
            if None not in seen:
                return [one for one in seen if one is not None]
    return []


def share_right(pictures: Sequence[Any], scenes: Sequence[Scene]) -> float:
    """Share of the pictures that show their scene."""
    return sum(map(shows, pictures, scenes)) / len(scenes)


def _blobs(mask: np.ndarray) -> list[np.ndarray]:
    """The connected parts of a mask (S, S) that are large enough to be something."""
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return [labels == number for number, area in enumerate(areas, 1) if area >= LEAST_AREA * mask.size]


def _recognised(pixels: np.ndarray, blob: np.ndarray) -> SeenObject | None:
    """pixels (S, S, 3) within a blob (S, S) -> what it is; None where it is none of the world's objects."""
    colour = _colour(pixels, blob)
    if colour is None:
        return None
    way = np.array(RGB[colour], np.float64) - BACKGROUND
    near = ndimage.binary_dilation(blob, iterations=2)
    coverage = np.where(near, np.clip((pixels - BACKGROUND) @ way / (way @ way), 0.0, 1.0), 0.0)
    if not coverage.any():
        return None
    middle = np.array(ndimage.center_of_mass(coverage))  # (row, column)
    best: SeenObject | None = None
    for shape in SHAPES:
        for size, width in SIZE_SHARES.items():
            offset = _middle_of(shape, width)
            y, x = (middle + 0.5) / SIDE - offset
            drawn = _coverage_of(SceneObject(size, colour, shape), (x, y), width)
            overlap = float(np.minimum(coverage, drawn).sum() / np.maximum(coverage, drawn).sum())
            if best is None or overlap > best.overlap:
                best = SeenObject(SceneObject(size, colour, shape), (float(x), float(y)), overlap)
    return best if best is not None and best.overlap >= LEAST_OVERLAP else None


def _colour(pixels: np.ndarray, blob: np.ndarray) -> str | None:
    """The world's colour nearest to the blob's middle, where its edges are not blended with the background."""
    depth = ndimage.distance_transform_edt(np.pad(blob, 1))[1:-1, 1:-1]
    inside = pixels[blob & (depth >= min(3.0, 0.8 * depth.max()))]
    middle = np.median(inside, axis=0)
    distances = {name: float(np.linalg.norm(middle - rgb)) for name, rgb in RGB.items()}
    nearest = min(distances, key=distances.__getitem__)
    background = float(np.linalg.norm(middle - BACKGROUND))
    return nearest if distances[nearest] <= min(MOST_COLOUR_DISTANCE, background) else None


def _coverage_of(thing: SceneObject, centre: tuple[float, float], width: float) -> np.ndarray:
    """float (S, S) in 0..1: how much of each pixel the object covers."""
    large = SIDE * OVERSAMPLING
    mask = Image.new("L", (large, large), 0)
    corners = [(x * large - 0.5, y * large - 0.5) for x, y in outline(PlacedObject(thing, centre, width))]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64) / 255.0


@functools.cache
def _middle_of(shape: str, width: float) -> np.ndarray:
    """(down, across) from an outline's centre to its centre of mass, shares of the side."""
    drawn = _coverage_of(SceneObject("big", "black", shape), (0.5, 0.5), width)
    return (np.array(ndimage.center_of_mass(drawn)) + 0.5) / SIDE - 0.5
