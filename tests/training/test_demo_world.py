"""The demo world: scenes exactly as fixed, agreement, held-out triples, and rows that are the same bytes every time."""

import io
import random

import pytest
from datasets import Audio
from PIL import Image

from triglot import TriglotError
from triglot.processing.audio_io import load_audio
from triglot.training.data.demo_world import (
    DemoWorldArguments,
    demo_sentences,
    demo_world,
    parse_speaker,
    sentences_of,
)
from triglot.training.data.scene_pictures import draw_scene
from triglot.training.data.scenes import (
    COLOURS,
    HELD_OUT_EVERY,
    LATER_LANGUAGES,
    RELATIONS,
    SCENE_LANGUAGES,
    SHAPES,
    SIZES,
    Scene,
    SceneObject,
    parse_scene,
    random_scene,
)
from triglot.training.data.splits import HELD_OUT_VOICES, TRAINING_VOICES


def test_the_fixed_sentences():
    scene = Scene(SceneObject("small", "red", "circle"), "above", SceneObject("big", "blue", "square"))
    assert scene.sentence("en") == "a small red circle is above a big blue square"
    assert scene.sentence("es") == "un círculo rojo pequeño está encima de un cuadrado azul grande"
    assert scene.sentence("hi") == "एक छोटा लाल वृत्त एक बड़े नीले वर्ग के ऊपर है"
    assert scene.sentence("fr") == "un petit cercle rouge est au-dessus d'un grand carré bleu"


def test_french_gender():
    scene = Scene(SceneObject("big", "white", "cross"), "to the left of", SceneObject("small", "green", "star"))
    assert scene.sentence("fr") == "une grande croix blanche est à gauche d'une petite étoile verte"
    [row] = demo_world(DemoWorldArguments(sentences=1, languages="fr en", directions="ring")).select([0])
    assert row["source_language"] == "fr" and load_audio(row["audio"], target_rate=16_000).size > 16_000
    with pytest.raises(TriglotError, match="in these alone"):
        DemoWorldArguments(languages="fr en", phrases=True)


def test_the_first_language_into_every_other():
    rows = demo_world(DemoWorldArguments(sentences=1, languages="fr en hi", directions="first"))
    assert rows["source_language"][:] == ["fr", "fr"] and rows["target_language"][:] == ["en", "hi"]
    with pytest.raises(TriglotError, match="all, ring, first"):
        DemoWorldArguments(directions="last")


def test_spanish_gender_and_hindi_case():
    star = SceneObject("small", "yellow", "star")
    assert star.phrase("es") == "una estrella amarilla pequeña"
    assert star.phrase("hi") == "एक छोटा पीला तारा"
    assert star.phrase("hi", oblique=True) == "एक छोटे पीले तारे"
    assert SceneObject("big", "white", "cross").phrase("es") == "una cruz blanca grande"


def test_a_sentence_says_the_whole_scene():
    """Different scenes have different sentences in every language, so a translation can be checked by equality."""
    rng = random.Random(0)
    scenes = {random_scene(rng) for _ in range(2000)}
    for language in ("en", "es", "hi", "fr"):
        assert len({scene.sentence(language) for scene in scenes}) == len(scenes)


def test_every_tenth_triple_is_held_out():
    objects = [
        (SceneObject("big", colour, shape), relation)
        for colour in COLOURS
        for shape in SHAPES
        for relation in RELATIONS
    ]
    other = SceneObject("big", "red", "circle")
    held = [Scene(first, relation, other).held_out for first, relation in objects]
    assert sum(held) == -(-len(held) // HELD_OUT_EVERY)
    rng = random.Random(1)
    assert not any(random_scene(rng).held_out for _ in range(300))
    assert all(random_scene(rng, held_out=True).held_out for _ in range(50))
    assert len(SIZES) == 2


def test_rows_have_audiopalms_fields_in_every_direction():
    arguments = DemoWorldArguments(sentences=2, languages="en es hi", speakers="m3-170-45 f2-160-60")
    rows = demo_world(arguments, seed=5)
    assert len(rows) == 2 * 2 * 6
    assert rows.features["audio"] == Audio(decode=False)
    for row in rows:
        assert row["source_language"] != row["target_language"]
        wave = load_audio(row["audio"], target_rate=16_000)
        assert 1.0 < len(wave) / 16_000 < 12.0
    assert len(sentences_of(rows)) == 2 * 3
    again = demo_world(arguments, seed=5)
    assert again.to_dict() == rows.to_dict()
    assert demo_world(arguments, seed=6)["transcript"] != rows["transcript"]


def test_held_out_sentences_and_voices_are_apart_from_training():
    shared = {"sentences": 12, "phrases": True, "languages": "en es", "speakers": ""}
    training = demo_world(DemoWorldArguments(**shared))
    test = demo_world(DemoWorldArguments(**shared, held_out=True, voices="held_out"))
    assert not set(sentences_of(training)) & set(sentences_of(test))
    assert {parse_speaker(speaker)[0] for speaker in test["speaker"]} <= set(HELD_OUT_VOICES)
    assert {parse_speaker(speaker)[0] for speaker in training["speaker"]} <= set(TRAINING_VOICES)


def test_a_ring_has_every_recording_as_a_source_once():
    arguments = DemoWorldArguments(sentences=5, phrases=True, languages="en es hi", speakers="", directions="ring")
    rows = demo_world(arguments)
    assert len(rows) == 5 * 3
    assert sorted(rows["transcript"]) == sorted(rows["translated_transcript"])
    assert len(set(rows["speaker"])) > 1, "every sentence has a voice of its own"
    assert rows.to_dict() == demo_world(arguments).to_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"languages": "en de"}, "en, es, hi"),
        ({"languages": "en"}, "two or more"),
        ({"sentences": 0}, "at least 1"),
        ({"speakers": "f2"}, "variant-rate-pitch"),
        ({"voices": "all"}, "training or held_out"),
        ({"directions": "both"}, "all, ring, first"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(TriglotError, match=message):
        DemoWorldArguments(**arguments)


def test_scenes_have_their_picture_and_phrases_have_none():
    rows = demo_world(DemoWorldArguments(sentences=6, phrases=True, directions="ring", picture_side=32), seed=0)
    items = demo_sentences(DemoWorldArguments(sentences=6, phrases=True), seed=0)
    assert {isinstance(item, Scene) for item in items} == {True, False}
    by_sentence = {item.sentence("en"): (number, item) for number, item in enumerate(items)}
    for row in rows.filter(lambda row: row["source_language"] == "en"):
        number, item = by_sentence[row["transcript"]]
        if isinstance(item, Scene):
            picture = Image.open(io.BytesIO(row["image"]["bytes"]))
            assert picture.tobytes() == draw_scene(item, 32, number).tobytes()
        else:
            assert row["image"] is None


@pytest.mark.parametrize("language", [*SCENE_LANGUAGES, *LATER_LANGUAGES])
def test_a_sentence_is_read_back(language):
    rng = random.Random(0)
    for number in range(100):
        scene = random_scene(rng, held_out=bool(number % 2))
        assert parse_scene(scene.sentence(language), language) == scene
        assert parse_scene(f" {scene.sentence(language)}  ", language) == scene
        assert scene.turned.turned == scene != scene.turned
        assert parse_scene(scene.turned.sentence(language), language) == scene.turned
    for words in ("", scene.first.phrase(language), f"{scene.sentence(language)} x", "where is the station"):
        assert parse_scene(words, language) is None
