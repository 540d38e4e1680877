"""The checker reads true pictures right, also blurred ones, and does not see what is not there."""

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from triglot.training.data.scene_pictures import BACKGROUND, RGB, draw_scene, outline, place
from triglot.training.data.scenes import COLOURS, RELATIONS, SHAPES, SIZES, SceneObject, random_scene
from triglot.training.data.splits import held_out_sentences
from triglot.training.scene_checker import read_scene, seen_objects, share_right, shows

SCENES = held_out_sentences(100, seed=7, scenes_share=1.0)


@pytest.fixture(scope="module")
def pictures():
    return [draw_scene(scene, seed=number) for number, scene in enumerate(SCENES)]


def test_true_pictures(pictures):
    assert share_right(pictures, SCENES) >= 0.99


def test_other_sizes():
    some = SCENES[:20]
    for side in (32, 128, 200):
        assert share_right([draw_scene(scene, side, seed=3) for scene in some], some) >= (0.9 if side < 64 else 0.99)


def test_blurred_and_noisy_pictures(pictures):
    noise = np.random.default_rng(0)
    blurred = [picture.filter(ImageFilter.GaussianBlur(1.0)) for picture in pictures[:40]]
    noisy = [
        Image.fromarray((np.asarray(picture, float) + noise.normal(0, 6, (64, 64, 3))).clip(0, 255).astype(np.uint8))
        for picture in pictures[:40]
    ]
    assert share_right(blurred, SCENES[:40]) >= 0.97
    assert share_right(noisy, SCENES[:40]) >= 0.97


def test_every_word_counts(pictures):
    """A picture does not show a scene of which one word is another."""
    rng = random.Random(0)
    for picture, scene in zip(pictures[:15], SCENES):
        thing = scene.first
        others = [
            replace(scene, first=replace(thing, size=rng.choice([word for word in SIZES if word != thing.size]))),
            replace(
                scene, first=replace(thing, colour=rng.choice([word for word in COLOURS if word != thing.colour]))
            ),
            replace(scene, first=replace(thing, shape=rng.choice([word for word in SHAPES if word != thing.shape]))),
            replace(scene, relation=rng.choice([word for word in RELATIONS if word != scene.relation])),
            replace(scene, first=scene.second, second=scene.first),
        ]
        assert not [other for other in others if shows(picture, other)]
        assert shows(picture, scene.turned)


def test_it_tells_the_upper_or_left_object_first(pictures):
    for picture, scene in zip(pictures[:20], SCENES):
        assert read_scene(picture).relation in ("above", "to the left of")
        assert read_scene(picture) in (scene, scene.turned)


def test_where_the_objects_are(pictures):
    for number, (picture, scene) in enumerate(zip(pictures[:40], SCENES)):
        placed = {thing.object: thing.centre for thing in place(scene, number)}
        for seen in seen_objects(picture):
            np.testing.assert_allclose(seen.centre, placed[seen.object], atol=0.02)
            assert seen.overlap > 0.8


def blank():
    return Image.new("RGB", (64, 64), BACKGROUND)


def test_what_is_no_scene(pictures):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    one = blank()
    ImageDraw.Draw(one).rectangle((20, 20, 35, 35), fill=RGB["red"])
    slanted = one.copy()
    ImageDraw.Draw(slanted).rectangle((42, 42, 57, 57), fill=RGB["blue"])
    three = draw_scene(SCENES[0], seed=0)
    ImageDraw.Draw(three).rectangle((0, 0, 8, 8), fill=RGB["red"])
    grey = blank()
    for left in (5, 35):
        ImageDraw.Draw(grey).rectangle((left, 20, left + 15, 35), fill=(120, 120, 125))
    bars = blank()
    for top in (10, 40):
        ImageDraw.Draw(bars).rectangle((4, top, 60, top + 3), fill=RGB["black"])
    for picture in (blank(), noise, one, slanted, three, grey, bars, Image.new("RGB", (64, 64))):
        assert read_scene(picture) is None


def test_it_does_not_know_how_pictures_are_drawn():
    """Shapes put down by hand, further apart than any drawing has them."""
    scene = random_scene(random.Random(1))
    large = Image.new("RGB", (256, 256), BACKGROUND)
    for thing, centre in (
        (SceneObject("small", "red", "star"), (0.15, 0.5)),
        (SceneObject("big", "pink", "heart"), (0.75, 0.5)),
    ):
        width = {"small": 1 / 4, "big": 3 / 8}[thing.size]
        moved = replace(place(scene)[0], object=thing, centre=centre, width=width)
        ImageDraw.Draw(large).polygon([(x * 256, y * 256) for x, y in outline(moved)], fill=RGB[thing.colour])
    assert read_scene(large).sentence("en") == "a small red star is to the left of a big pink heart"
