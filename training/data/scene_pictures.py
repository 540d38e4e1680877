"""Pictures of scenes, drawn with Pillow: two flat shapes on grey, anti-aliased, without outlines.

    Scene + seed ─▶ PIL.Image (RGB, side x side)

The centres lie on the axis of the relation, jittered, and the objects neither overlap nor leave the picture. All measures
are shares of the side, so the same seed gives the same picture at any size.
"""

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ...processing.errors import TriglotError
from .scenes import Scene, SceneObject

BACKGROUND = (225, 225, 225)
RGB = {
    "red": (220, 40, 40), "green": (40, 160, 70), "blue": (40, 80, 220), "yellow": (240, 210, 40),
    "black": (20, 20, 20), "white": (250, 250, 250), "pink": (250, 130, 180), "brown": (130, 80, 40),
}  # fmt: skip
SIZE_SHARES = {"small": 1 / 4, "big": 3 / 8}  # of the picture's side
# relation: (axis: 0 across, 1 down; whether the first object comes first along it)
AXES = {"above": (1, True), "below": (1, False), "to the left of": (0, True), "to the right of": (0, False)}
MARGIN = 0.03  # least distance of the objects from the border and from each other
COMMON_JITTER, OWN_JITTER = 0.12, 0.03  # of the centres, across the axis
OVERSAMPLING = 8  # drawn so many times larger and averaged

Point = tuple[float, float]


@dataclass(frozen=True)
class PlacedObject:
    """An object and where it lies: centre (x, y) and width, shares of the picture's side."""

    object: SceneObject
    centre: Point
    width: float


def draw_scene(scene: Scene, side: int = 64, seed: int = 0) -> Image.Image:
    """The picture of a scene.

    Args:
        scene: What to draw.
        side: Pixels.
        seed: Of the jitter; another seed is another picture of the same sentence.

    Raises:
        TriglotError: a side below 8 or above 2048 pixels.
    """
    if not 8 <= side <= 2048:
        raise TriglotError(f"side is {side} pixels; allowed is 8 to 2048.")
    large = side * OVERSAMPLING
    picture = Image.new("RGB", (large, large), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for placed in place(scene, seed):
        pen.polygon([(x * large, y * large) for x, y in outline(placed)], fill=RGB[placed.object.colour])
    return picture.resize((side, side), Image.Resampling.BOX)


def place(scene: Scene, seed: int = 0) -> tuple[PlacedObject, PlacedObject]:
    """Where the two objects of a scene lie, the first one first."""
    rng = random.Random(f"{scene.sentence('en')} {seed}")
    axis, first_leads = AXES[scene.relation]
    ordered = (scene.first, scene.second) if first_leads else (scene.second, scene.first)
    widths = [SIZE_SHARES[thing.size] for thing in ordered]
    spare = 1.0 - sum(widths) - 3 * MARGIN
    cuts = sorted(rng.uniform(0.0, spare) for _ in range(2))
    starts = MARGIN + cuts[0], 2 * MARGIN + widths[0] + cuts[1]
    across = 0.5 + rng.uniform(-COMMON_JITTER, COMMON_JITTER)
    placed = []
    for thing, width, start in zip(ordered, widths, starts):
        along, beside = start + width / 2, across + rng.uniform(-OWN_JITTER, OWN_JITTER)
        placed.append(PlacedObject(thing, (along, beside) if axis == 0 else (beside, along), width))
    return (placed[0], placed[1]) if first_leads else (placed[1], placed[0])


def outline(placed: PlacedObject) -> list[Point]:
    """Corners of the shape in its place, shares of the picture's side; it spans `width` across."""
    (x, y), half = placed.centre, placed.width / 2
    return [(x + half * across, y + half * down) for across, down in _CORNERS[placed.object.shape]]


def _fitted(points: list[Point]) -> list[Point]:
    """Scaled to a width of 2 and centred."""
    across, down = [x for x, _ in points], [y for _, y in points]
    half, middle = (max(across) - min(across)) / 2, (max(down) + min(down)) / 2
    return [(x / half, (y - middle) / half) for x, y in points]


def _star() -> list[Point]:
    """Five points on a circle, the first upwards, and five between them further in."""
    radii = (1.0, math.cos(2 * math.pi / 5) / math.cos(math.pi / 5))
    return [(radii[i % 2] * math.sin(i * math.pi / 5), -radii[i % 2] * math.cos(i * math.pi / 5)) for i in range(10)]


def _heart() -> list[Point]:
    """The curve (16 sin^3 t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t)."""
    angles = [2 * math.pi * i / 90 for i in range(90)]
    return [
        (16 * math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
        for t in angles
    ]


_ARM = 1 / 3  # half the width of a cross's arms
_CORNERS: dict[str, list[Point]] = {
    "circle": [(math.cos(2 * math.pi * i / 120), math.sin(2 * math.pi * i / 120)) for i in range(120)],
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1), (1, 1), (-1, 1)],
    "star": _fitted(_star()),
    "heart": _fitted(_heart()),
    "cross": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
}  # fmt: skip
