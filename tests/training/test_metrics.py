"""Metrics: hand-computed values, agreement with jiwer and sacrebleu, intervals, and no network."""

import sys
from concurrent.futures import ThreadPoolExecutor

import evaluate
import jiwer
import numpy as np
import pytest
import sacrebleu
from environments import ROOT, run

from triglot import TriglotError
from triglot.training.metrics import (
    Bleu,
    CharacterErrorRate,
    ChrF,
    SpeakerSimilarity,
    WordErrorRate,
    bootstrap_interval,
    bootstrap_scores,
    percentile_interval,
)
from triglot.training.text_normaliser import normalise_text

WORDS = ["छोटा", "बड़ा", "घेरा", "red", "blue", "círculo", "está", "above", "a", "the"]


def corpus(items, seed=0, wrong=0.2):
    """Predictions with about that share of words dropped, doubled or exchanged, and their references."""
    rng = np.random.default_rng(seed)
    predictions, references = [], []
    for _ in range(items):
        reference = list(rng.choice(WORDS, rng.integers(3, 12)))
        prediction = []
        for word in reference:
            kind = rng.choice(["same", "drop", "double", "other"], p=[1 - wrong, wrong / 3, wrong / 3, wrong / 3])
            prediction += {"same": [word], "drop": [], "double": [word, word], "other": [str(rng.choice(WORDS))]}[kind]
        predictions.append(" ".join(prediction))
        references.append(" ".join(reference))
    return predictions, references


METRICS = [WordErrorRate, CharacterErrorRate, Bleu, ChrF]


# ---- values


def test_word_error_rate_by_hand():
    found = WordErrorRate().compute(
        predictions=["a blue circle is is", "यह घेरा है।", ""],
        references=["A red circle is.", "यह छोटा घेरा है", "two words"],
    )
    assert found.pop("signature").startswith("words|norm:normalise_text|jiwer:")
    # blue for red, one "is" too many; छोटा missing; two words missing: 5 of 4 + 4 + 2
    assert found == {"wer": 0.5, "substitutions": 1, "deletions": 3, "insertions": 1, "reference_words": 10}


def test_character_error_rate_counts_matras():
    found = CharacterErrorRate().compute(predictions=["छट"], references=["छोटा"])
    assert (found["cer"], found["deletions"], found["reference_characters"]) == (0.5, 2, 4)


def test_error_rates_beyond_one_and_zero():
    metric = WordErrorRate()
    assert metric.compute(predictions=["a b c"], references=["x"])["wer"] == 3.0
    assert metric.compute(predictions=["A b, c!"], references=["a B c"])["wer"] == 0.0
    assert WordErrorRate(normalise=None).compute(predictions=["A b"], references=["a b"])["wer"] == 0.5


def test_error_rates_agree_with_jiwer():
    predictions, references = corpus(60)
    assert WordErrorRate().compute(predictions=predictions, references=references)["wer"] == pytest.approx(
        jiwer.wer([*map(normalise_text, references)], [*map(normalise_text, predictions)]), abs=1e-12
    )
    assert CharacterErrorRate().compute(predictions=predictions, references=references)["cer"] == pytest.approx(
        jiwer.cer([*map(normalise_text, references)], [*map(normalise_text, predictions)]), abs=1e-12
    )


def test_bleu_by_hand():
    found = Bleu().compute(predictions=["a b c d x"], references=["a b c d e"])
    assert found["bleu"] == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert found["precisions"] == pytest.approx([80, 75, 200 / 3, 50])
    assert found["brevity_penalty"] == 1.0 and found["reference_words"] == 5
    assert Bleu().compute(predictions=["a b c d"], references=["a b c d e"])["bleu"] == pytest.approx(
        100 * np.exp(-1 / 4)
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("items", [1, 2, 40])
def test_bleu_and_chrf_agree_with_sacrebleu(seed, items):
    predictions, references = corpus(items, seed, wrong=[0.0, 0.2, 0.6, 1.0][seed])
    bleu = Bleu().compute(predictions=predictions, references=references)["bleu"]
    assert bleu == pytest.approx(sacrebleu.corpus_bleu(predictions, [references], tokenize="intl").score, abs=1e-9)
    chrf = ChrF().compute(predictions=predictions, references=references)["chrf"]
    assert chrf == pytest.approx(sacrebleu.corpus_chrf(predictions, [references]).score, abs=1e-9)


def test_scores_of_degenerate_corpora_are_sacrebleus():
    for predictions, references in (
        ([""], ["a b c"]),
        (["a"], ["a"]),
        (["x y z w v"], ["a b c d e"]),
        (["a b"], ["a c d"]),
    ):
        bleu = Bleu().compute(predictions=predictions, references=references)["bleu"]
        assert bleu == pytest.approx(sacrebleu.corpus_bleu(predictions, [references], tokenize="intl").score, abs=1e-9)
        chrf = ChrF().compute(predictions=predictions, references=references)["chrf"]
        assert chrf == pytest.approx(sacrebleu.corpus_chrf(predictions, [references]).score, abs=1e-9)


def test_signatures_say_which_tokenizer():
    assert "tok:intl" in Bleu().compute(predictions=["a"], references=["a"])["signature"]
    assert "norm:normalise_text" in Bleu(normalise=normalise_text).signature
    assert "nrefs:1" in ChrF().signature and "nc:6" in ChrF().signature
    with pytest.raises(TriglotError, match="intl"):
        Bleu(tokenize="hindi")


def test_the_tokenizer_is_fit_for_hindi():
    """The danda is a word of its own, and a word keeps its marks."""
    tokenizer = Bleu().sacrebleu.tokenizer
    assert tokenizer("छोटा घेरा है।") == "छोटा घेरा है ।"
    assert sacrebleu.BLEU(tokenize="13a").tokenizer("छोटा घेरा है।") == "छोटा घेरा है।"


def test_speaker_similarity_by_hand():
    metric = SpeakerSimilarity(lambda wave: wave[:2], name="first two samples")
    found = metric.compute(
        predictions=[np.array([1, 1, 5], np.float32), np.array([0, 2], np.float32)],
        references=[np.array([1, 0], np.float32), np.array([0, 1], np.float32)],
    )
    assert found == {
        "speaker_similarity": pytest.approx((2**-0.5 + 1) / 2),
        "items": 2,
        "signature": "cosine|embedding:first two samples",
    }
    with pytest.raises(TriglotError, match="check embed"):
        metric.cosine(np.zeros(3), np.ones(3))


# ---- as evaluate.Metric


@pytest.mark.parametrize("cls", METRICS)
def test_they_are_metrics_of_evaluate(cls):
    metric = cls()
    assert isinstance(metric, evaluate.Metric)
    metric.add_batch(predictions=["a b c d"], references=["a b c d"])
    metric.add(prediction="a b c x", reference="a b c d")
    in_batches = metric.compute()
    assert in_batches == cls().compute(predictions=["a b c d", "a b c x"], references=["a b c d", "a b c d"])
    assert metric.compute(predictions=["a"], references=["a"]), "a metric can be used again"


@pytest.mark.parametrize("cls", METRICS)
def test_undefined_scores_are_errors(cls):
    with pytest.raises(TriglotError, match="0 items"):
        cls().compute(predictions=[], references=[])
    with pytest.raises(TriglotError, match="reference"):
        cls().compute(predictions=["a"], references=[""])
    with pytest.raises(ValueError, match="Mismatch"):
        cls().compute(predictions=["a"], references=["a", "b"])
    with pytest.raises(ValueError):
        cls().compute(predictions=[None], references=["a"])


OFFLINE = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import triglot
from triglot.training.metrics import Bleu, CharacterErrorRate, ChrF, WordErrorRate
for cls in (WordErrorRate, CharacterErrorRate, Bleu, ChrF):
    for _ in range(3):
        found = cls().compute(predictions=["छोटा घेरा यहाँ है"], references=["छोटा घेरा यहाँ है"])
        print(round(max(value for value in found.values() if isinstance(value, float))))
"""


def test_offline_and_two_processes_at_once(tmp_path):
    """No network, no file shared, and a home that cannot be written."""
    (tmp_path / "hf_home").write_text("a file where evaluate would make a folder")
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(run, sys.executable, "-c", OFFLINE, cwd=tmp_path, **environment) for _ in range(2)]
        assert [one.result().split() for one in runs] == [["0"] * 6 + ["100"] * 6] * 2


# ---- intervals


@pytest.mark.parametrize("cls", METRICS)
def test_intervals_are_deterministic_hold_the_value_and_narrow(cls):
    metric, widths = cls(), []
    for items in (20, 500):
        statistics = metric.item_statistics(*corpus(items))
        low, high = bootstrap_interval(statistics, metric.score, seed=3)
        assert (low, high) == bootstrap_interval(statistics, metric.score, seed=3)
        assert (low, high) != bootstrap_interval(statistics, metric.score, seed=4)
        assert low < float(metric.score(statistics.sum(0))) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_the_interval_of_a_mean_is_the_textbooks():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(values, resamples=4000)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_resampled_scores_are_those_of_resampled_corpora():
    """Against the slow way: draw sentences, score them with sacrebleu."""
    predictions, references = corpus(30, wrong=0.5)
    rng, slow = np.random.default_rng(0), []
    for _ in range(400):
        drawn = rng.integers(0, 30, 30)
        slow.append(
            sacrebleu.corpus_bleu(
                [predictions[i] for i in drawn], [[references[i] for i in drawn]], tokenize="intl"
            ).score
        )
    metric = Bleu()
    fast = bootstrap_scores(metric.item_statistics(predictions, references), metric.score, resamples=4000)
    assert fast.mean() == pytest.approx(np.mean(slow), abs=1.5)
    assert fast.std() == pytest.approx(np.std(slow), rel=0.15)


def test_recordings_of_one_sentence_are_drawn_together():
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    sentences = np.repeat(np.arange(20), 10).tolist()
    alone, together = bootstrap_interval(values), bootstrap_interval(values, clusters=sentences)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    once = bootstrap_interval(values[::10])
    assert together == pytest.approx(once)


def test_intervals_of_nothing():
    with pytest.raises(TriglotError, match="at least one"):
        bootstrap_interval([])
    with pytest.raises(TriglotError, match="3 clusters for 2"):
        bootstrap_interval([1.0, 2.0], clusters=[1, 2, 3])
    assert np.isnan(percentile_interval(np.array([np.nan]))).all()
    assert bootstrap_interval([2.0]) == (2.0, 2.0)
