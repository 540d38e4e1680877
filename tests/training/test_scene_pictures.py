"""Pictures of scenes show what their sentence says, by their pixels."""

import random

import numpy as np
import pytest

from triglot import TriglotError
from triglot.training.data.scene_pictures import AXES, BACKGROUND, RGB, SIZE_SHARES, draw_scene, place
from triglot.training.data.scenes import COLOURS, RELATIONS, SHAPES, Scene, SceneObject, random_scene

# colours of which no mixture of one with the background is nearer to the other
CLEAR_PAIRS = [{"red", "blue"}, {"green", "red"}, {"blue", "yellow"}, {"yellow", "green"}]


def pixels_of(picture, colour, *others):
    """bool (side, side): where a pixel is nearer to this colour than to the background and the others."""
    points = [RGB[colour], BACKGROUND, *(RGB[other] for other in others)]
    return np.stack([np.abs(np.asarray(picture, float) - point).sum(-1) for point in points]).argmin(0) == 0


def extent(mask):
    """(left, right, top, bottom), shares of the side."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    side = len(mask)
    return columns[0] / side, (columns[-1] + 1) / side, rows[0] / side, (rows[-1] + 1) / side


def two_coloured_scenes(count):
    rng, scenes = random.Random(0), []
    while len(scenes) < count:
        scene = random_scene(rng, held_out=bool(len(scenes) % 2))
        if {scene.first.colour, scene.second.colour} in CLEAR_PAIRS:
            scenes.append(scene)
    return scenes


def test_every_word_of_the_scenes_can_be_drawn():
    assert set(RGB) == set(COLOURS) and set(AXES) == set(RELATIONS)
    for shape in SHAPES:
        picture = draw_scene(Scene(SceneObject("big", "red", shape), "above", SceneObject("small", "blue", shape)))
        assert pixels_of(picture, "red").any() and pixels_of(picture, "blue").any()


@pytest.mark.parametrize("side", [64, 128, 256])
def test_colours_sizes_and_relations_are_those_of_the_sentence(side):
    for number, scene in enumerate(two_coloured_scenes(60)):
        picture = draw_scene(scene, side, seed=number)
        assert picture.size == (side, side) and picture.mode == "RGB"
        boxes = []
        for thing, other in ((scene.first, scene.second), (scene.second, scene.first)):
            left, right, top, bottom = extent(pixels_of(picture, thing.colour, other.colour))
            # edges are blended, and the tips of stars and triangles are thinner than a pixel
            assert max(right - left, bottom - top) == pytest.approx(SIZE_SHARES[thing.size], abs=4 / side)
            boxes.append((left, right, top, bottom))
        first, second = boxes
        apart = {
            "above": second[2] - first[3], "below": first[2] - second[3],
            "to the left of": second[0] - first[1], "to the right of": first[0] - second[1],
        }  # fmt: skip
        assert apart[scene.relation] > 0
        border = np.asarray(picture)[[0, -1]], np.asarray(picture)[:, [0, -1]]
        assert all((edge == np.array(BACKGROUND)).all() for edge in border)


def test_shapes_can_be_told_apart():
    """Share of the bounding square that each shape fills: all differ, and a square fills it."""
    shares = {}
    for shape in SHAPES:
        scene = Scene(SceneObject("big", "black", shape), "above", SceneObject("small", "white", shape))
        mask = pixels_of(draw_scene(scene, 256), "black")
        shares[shape] = mask.sum() / (256 * SIZE_SHARES["big"]) ** 2
    assert shares["square"] == pytest.approx(1, abs=0.03)
    assert shares["circle"] == pytest.approx(np.pi / 4, abs=0.03)
    assert shares["triangle"] == pytest.approx(1 / 2, abs=0.03)
    assert shares["cross"] == pytest.approx(5 / 9, abs=0.03)
    assert shares["star"] == pytest.approx(0.31, abs=0.03)
    assert 0.55 < shares["heart"] < 0.75


def test_a_seed_is_a_picture_at_every_size():
    (scene,) = two_coloured_scenes(1)
    assert draw_scene(scene, 64, 3).tobytes() == draw_scene(scene, 64, 3).tobytes()
    assert draw_scene(scene, 64, 3).tobytes() != draw_scene(scene, 64, 4).tobytes()
    centres = {tuple(placed.centre for placed in place(scene, seed)) for seed in range(50)}
    assert len(centres) == 50
    small = np.asarray(draw_scene(scene, 64, 3), float)
    large = np.asarray(draw_scene(scene, 128, 3), float).reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(small - large).mean() < 0.3  # Pillow rounds corners to whole pixels of the enlarged drawing


def test_a_side_out_of_range_is_refused():
    (scene,) = two_coloured_scenes(1)
    with pytest.raises(TriglotError, match="8 to 2048"):
        draw_scene(scene, 4)
