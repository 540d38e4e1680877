"""The division of the demo world: nothing that is held out is ever trained on, whatever the counts and seeds."""

import random

import pytest

from triglot import TriglotError
from triglot.training.data.demo_world import parse_speaker, speak
from triglot.training.data.espeak import EspeakSynthesizer
from triglot.training.data.phrases import Phrase
from triglot.training.data.scenes import SCENE_LANGUAGES, Scene
from triglot.training.data.splits import (
    HELD_OUT_VOICES,
    PITCHES,
    RATES,
    TRAINING_VOICES,
    held_out_sentences,
    held_out_triples,
    is_held_out,
    random_speaker,
    training_sentences,
)


def texts(items, language):
    return {item.sentence(language) for item in items}


@pytest.fixture(scope="module")
def training():
    return [training_sentences(count, seed) for count, seed in ((5000, 0), (5000, 1), (800, 2))]


@pytest.fixture(scope="module")
def held_out():
    return [held_out_sentences(count, seed) for count, seed in ((1000, 0), (300, 1))]


@pytest.mark.parametrize("language", SCENE_LANGUAGES)
def test_no_sentence_on_both_sides_in_any_language(training, held_out, language):
    for known in training:
        for new in (*held_out, held_out_triples(200)):
            assert not texts(known, language) & texts(new, language)


@pytest.mark.parametrize("language", SCENE_LANGUAGES)
def test_no_sentence_twice(training, held_out, language):
    for items in (*training, *held_out, held_out_triples(300)):
        assert len(texts(items, language)) == len(items)


def test_membership(training, held_out):
    assert not any(is_held_out(item) for items in training for item in items)
    assert all(is_held_out(item) for items in held_out for item in items)


def test_shares(training, held_out):
    for items in (training[0], held_out[0]):
        assert 0.35 < sum(isinstance(item, Scene) for item in items) / len(items) < 0.45
    triples = [item.held_out for item in held_out[0] if isinstance(item, Scene)]
    assert 0.4 < sum(triples) / len(triples) < 0.6
    assert all(isinstance(item, Phrase) for item in training_sentences(50, scenes_share=0))
    assert all(isinstance(item, Scene) for item in held_out_sentences(50, scenes_share=1))


def test_every_word_that_is_tested_is_trained(training, held_out):
    """Held-out sentences are new combinations of known words."""
    for language in SCENE_LANGUAGES:
        known = {word for items in training for text in texts(items, language) for word in text.split()}
        words = [word for text in texts(held_out[0], language) for word in text.split()]
        assert sum(word in known for word in words) / len(words) > 0.999


def test_triples():
    scenes = held_out_triples(100, seed=3)
    assert len(scenes) == 100 and all(scene.held_out for scene in scenes)
    assert scenes == held_out_triples(100, seed=3) != held_out_triples(100, seed=4)


def test_the_same_for_the_same_seed(training, held_out):
    assert training_sentences(300, seed=0) == training[0][:300]
    assert held_out_sentences(100, seed=0) == held_out[0][:100]
    assert training[0][:100] != training[1][:100]


def test_phrases_follow_when_scenes_are_used_up(monkeypatch):
    few = training_sentences(60, scenes_share=1)
    monkeypatch.setattr("triglot.training.data.splits.random_scene", lambda rng, held_out: rng.choice(few))
    items = training_sentences(300, scenes_share=0.9)
    assert len(items) == 300 and sum(isinstance(item, Scene) for item in items) == 60


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: training_sentences(-1), "at least 0"),
        (lambda: held_out_sentences(3, scenes_share=1.5), "0 to 1"),
        (lambda: held_out_sentences(40_000, scenes_share=1), "there are about"),
        (lambda: held_out_triples(40_000), "there are about"),
        (lambda: random_speaker(random.Random(0), []), "one or more"),
        (lambda: random_speaker(random.Random(0), ["whisper"]), "TRAINING_VOICES"),
    ],
)
def test_refused(call, message):
    with pytest.raises(TriglotError, match=message):
        call()


def test_voices_exist_and_are_divided():
    known = EspeakSynthesizer().variants()
    assert len(set(TRAINING_VOICES)) == len(TRAINING_VOICES) >= 40
    assert len(set(HELD_OUT_VOICES)) == len(HELD_OUT_VOICES) == 10
    assert not set(TRAINING_VOICES) & set(HELD_OUT_VOICES)
    assert set(TRAINING_VOICES) | set(HELD_OUT_VOICES) <= set(known)
    assert not any(set(name) & set(" -") for name in (*TRAINING_VOICES, *HELD_OUT_VOICES)), (
        "a speaker is name-rate-pitch"
    )


def test_random_speakers():
    rng = random.Random(0)
    speakers = [random_speaker(rng, HELD_OUT_VOICES) for _ in range(300)]
    voices, rates, pitches = zip(*(parse_speaker(speaker) for speaker in speakers))
    assert set(voices) == set(HELD_OUT_VOICES)
    assert RATES[0] <= min(rates) < 150 and 200 < max(rates) <= RATES[1]
    assert PITCHES[0] <= min(pitches) < 35 and 65 < max(pitches) <= PITCHES[1]
    assert random_speaker(random.Random(1), TRAINING_VOICES) == random_speaker(random.Random(1), TRAINING_VOICES)


def test_items_can_be_spoken():
    rng = random.Random(0)
    for item in training_sentences(4, seed=5):
        for language in SCENE_LANGUAGES:
            wave, rate = speak(item.sentence(language), language, random_speaker(rng))
            assert 0.8 < len(wave) / rate < 12
