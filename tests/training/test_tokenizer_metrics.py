"""What speech tokens tell, on codes whose bits, phonemes and speakers are known."""

import math

import numpy as np
import pytest

from triglot.training.tokenizer_metrics import (
    Segment,
    abx_error,
    code_use,
    phone_use,
    speaker_leakage,
    warped_angle,
)


def test_bits_of_codes():
    use = code_use([np.array([0, 1, 2, 3] * 25), np.array([0, 1, 2, 3] * 25)], 8, seconds=8.0)
    assert use == pytest.approx((25.0, 75.0, 50.0, 0.5, 4.0))
    alone = code_use([np.zeros(50, int)], 8, seconds=2.0)
    assert (alone.entropy_rate, alone.perplexity, alone.used) == (0.0, 1.0, 1 / 8)


def test_codes_that_are_phonemes_and_codes_that_know_nothing():
    phones = ["a", "b", "c", "d"] * 100
    codes = np.array([0, 1, 2, 3] * 100)
    assert phone_use(codes, phones) == pytest.approx((1.0, 1.0, 1.0))
    rng = np.random.default_rng(0)
    chance = phone_use(rng.integers(4, size=40_000), ["a", "b", "c", "d"] * 10_000)
    assert chance.pnmi < 0.001 and chance.phone_purity == pytest.approx(0.25, abs=0.02)
    assert phone_use(np.zeros(400, int), phones) == pytest.approx((0.25, 1.0, 0.0))
    finer = phone_use(codes + 4 * rng.integers(5, size=400), phones)  # five codes a phoneme
    assert finer.phone_purity == finer.pnmi == pytest.approx(1.0) and finer.cluster_purity < 0.4


def test_pnmi_by_hand():
    # half of the frames of each of two phonemes have a code of their own, the rest share one
    use = phone_use(np.array([0, 2, 1, 2]), ["a", "a", "b", "b"])
    assert use == pytest.approx((0.75, 0.5, 0.5))
    with pytest.raises(ValueError, match="3 codes and 2 phonemes"):
        phone_use(np.zeros(3, int), ["a", "b"])
    with pytest.raises(ValueError, match="0 codes"):
        phone_use(np.zeros(0, int), [])


def test_alignment_forgives_tempo_and_not_content():
    x, y = np.eye(4)[:2], np.eye(4)[2:]
    assert warped_angle(x, np.repeat(x, 3, axis=0)) == 0.0
    assert warped_angle(x, y) == pytest.approx(0.5)
    assert warped_angle(x, x[::-1]) == pytest.approx(0.5)
    assert warped_angle(x, np.stack([x[0], -x[1]])) == pytest.approx(0.5)


def segments(of) -> list[Segment]:
    """Three phonemes in two contexts by three speakers, twice each; `of` makes the vectors."""
    return [
        Segment(of(phone, context, speaker, take), phone, context, speaker)
        for phone in "aeo" for context in ("p_t", "k_s") for speaker in ("x", "y", "z") for take in range(2)
    ]  # fmt: skip


def test_abx_of_vectors_that_tell_phonemes_or_speakers_or_nothing():
    def one_hot(place: int) -> np.ndarray:
        return np.eye(12)[[place, place]]

    def noise(phone, context, speaker, take):
        return np.random.default_rng([ord(phone), ord(context[0]), ord(speaker), take]).normal(size=(2, 40))

    phones = segments(lambda phone, *_: one_hot("aeo".index(phone)))
    assert abx_error(phones, across=False) == abx_error(phones, across=True) == 0.0
    same = segments(lambda *_: one_hot(0))
    assert abx_error(same, across=False) == 0.5
    per_speaker = segments(lambda phone, _, speaker, take: one_hot(3 * "xyz".index(speaker) + "aeo".index(phone)))
    assert abx_error(per_speaker, across=False) == 0.0 and abx_error(per_speaker, across=True) == 0.5
    assert abx_error(segments(noise), across=True, most=500) == pytest.approx(0.5, abs=0.15)


def test_abx_without_triples():
    alone = segments(lambda *_: np.eye(3)[:2])[:1]
    assert math.isnan(abx_error(alone, across=False)) and math.isnan(abx_error([], across=True))
    one_speaker = [item for item in segments(lambda *_: np.eye(3)[:2]) if item.speaker == "x"]
    assert math.isnan(abx_error(one_speaker, across=True)) and abx_error(one_speaker, across=False) == 0.5


def test_a_probe_names_speakers_only_from_codes_that_tell_them():
    rng = np.random.default_rng(0)
    speakers, sentences = [f"s{i}" for i in range(4) for _ in range(20)], list(range(20)) * 4
    blind = [rng.integers(40, size=60) for _ in speakers]
    telling = [codes % 10 + 10 * int(speaker[1]) for codes, speaker in zip(blind, speakers)]
    assert speaker_leakage(telling, speakers, sentences, 40) == 1.0
    assert speaker_leakage(blind, speakers, sentences, 40) < 0.5
    # what was said must not help: the same codes for the same sentence, whoever speaks
    said = [np.full(60, sentence) for sentence in sentences]
    assert speaker_leakage(said, speakers, sentences, 40) <= 0.3
    with pytest.raises(ValueError, match="two speakers and two groups"):
        speaker_leakage(blind[:20], speakers[:20], sentences[:20], 40)
