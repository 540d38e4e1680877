"""Metrics that work with no network: `evaluate.Metric` subclasses over jiwer and sacrebleu, and their intervals.

    predictions, references (N)  ─▶  item_statistics (N, K), additive  ─▶  sum (K,)  ─▶  score
                                     └─ resampled sums (R, K)  ─▶  scores (R,)  ─▶  95 % interval

`evaluate.load("wer")` downloads a script; these are imported. A corpus score is a function of sums over the items, so a
bootstrap (Koehn, 2004, "Statistical significance tests for machine translation evaluation") needs no second alignment.

Shapes: N items, K statistics of an item, R resamples.
"""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

import datasets
import evaluate
import jiwer
import numpy as np
import sacrebleu

from ..processing.errors import TriglotError
from .text_normaliser import normalise_text

TextFunction = Callable[[str], str]
ScoreFunction = Callable[[np.ndarray], np.ndarray]  # (..., K) -> (...)

# sacrebleu's "13a" (its default) leaves the danda on the last word of a Hindi sentence and "char" parts matras from their
# consonants; "flores200" would do but is a download. "intl" parts whatever Unicode calls punctuation, in every script.
BLEU_TOKENIZER = "intl"
_RESAMPLES_AT_ONCE = 100  # bounds the memory of the weights, R x N


class CorpusMetric(evaluate.Metric):
    """A metric whose corpus score follows from statistics that add up over the items.

    Args:
        config_name: As in `evaluate`.
        normalise: Applied to both sides first; None to leave texts as they are.
        kwargs: As in `evaluate.Metric`. Items are kept in memory unless there are several processes, so that two
            evaluations at once share no file, and a read-only home is no obstacle.
    """

    summary: ClassVar[str] = ""
    columns: ClassVar[datasets.Features] = datasets.Features(
        {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
    )

    def __init__(self, config_name: str | None = None, *, normalise: TextFunction | None = None, **kwargs: Any):
        self.normalise = normalise
        kwargs.setdefault("keep_in_memory", kwargs.get("num_process", 1) == 1)
        super().__init__(config_name, **kwargs)

    @abstractmethod
    def item_statistics(self, predictions: Sequence[Any], references: Sequence[Any]) -> np.ndarray:
        """float64 (N, K): what adds up to the corpus score."""

    @abstractmethod
    def score(self, statistics: np.ndarray) -> np.ndarray:
        """Sums of statistics (..., K) -> scores (...); NaN where the score is undefined."""

    @abstractmethod
    def result(self, statistics: np.ndarray) -> dict[str, Any]:
        """Sums of statistics (K,) -> the score by its name, counts, signature."""

    @property
    @abstractmethod
    def signature(self) -> str:
        """What else must be known to compare the number with another."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=self.summary, citation="", inputs_description="", features=self.columns)

    def _build_data_dir(self) -> str:
        if self.keep_in_memory:  # evaluate would make the folder all the same
            return self._data_dir_root
        return super()._build_data_dir()

    def _compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, Any]:
        statistics = self.item_statistics(predictions, references)
        if not len(statistics) or np.isnan(self.score(statistics.sum(0))):
            raise TriglotError(
                f"{type(self).__name__} of {len(statistics)} items is undefined; at least one reference that is not empty "
                "is needed."
            )
        return self.result(statistics.sum(0))

    def _texts(self, texts: Sequence[str]) -> list[str]:
        return [self.normalise(text) for text in texts] if self.normalise else list(texts)

    def _normaliser_name(self) -> str:
        return f"norm:{getattr(self.normalise, '__name__', 'custom') if self.normalise else 'none'}"


class _ErrorRate(CorpusMetric):
    """(substitutions + deletions + insertions) / units of the references, by jiwer. Statistics: S, D, I, units."""

    name_of_rate: ClassVar[str]
    unit: ClassVar[str]
    align: ClassVar[Callable[..., Any]]

    def __init__(
        self, config_name: str | None = None, *, normalise: TextFunction | None = normalise_text, **kwargs: Any
    ):
        super().__init__(config_name, normalise=normalise, **kwargs)

    def item_statistics(self, predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(references), 4))
        if not len(references):
            return rows
        output = type(self).align(self._texts(references), self._texts(predictions))
        column = {"substitute": 0, "delete": 1, "insert": 2}
        for row, reference, chunks in zip(rows, output.references, output.alignments):
            row[3] = len(reference)
            for chunk in chunks:
                if chunk.type != "equal":
                    length = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                    row[column[chunk.type]] += length
        return rows

    def score(self, statistics: np.ndarray) -> np.ndarray:
        return ratio(np.stack([statistics[..., :3].sum(-1), statistics[..., 3]], -1))

    def result(self, statistics: np.ndarray) -> dict[str, Any]:
        counts = dict(
            zip(("substitutions", "deletions", "insertions", f"reference_{self.unit}"), map(int, statistics))
        )
        return {self.name_of_rate: float(self.score(statistics)), **counts, "signature": self.signature}

    @property
    def signature(self) -> str:
        return f"{self.unit}|{self._normaliser_name()}|jiwer:{version('jiwer')}"


class WordErrorRate(_ErrorRate):
    """`compute(predictions=, references=)` -> {"wer": 0..1 and beyond, counts, "reference_words", "signature"}."""

    summary = "Word error rate of normalised texts, over the whole corpus."
    name_of_rate, unit, align = "wer", "words", jiwer.process_words


class CharacterErrorRate(_ErrorRate):
    """As `WordErrorRate`, over Unicode code points, a space included: {"cer", counts, "reference_characters", ...}."""

    summary = "Character error rate of normalised texts, over the whole corpus."
    name_of_rate, unit, align = "cer", "characters", jiwer.process_characters


class _SacreBleu(CorpusMetric):
    """A metric of sacrebleu. Statistics: sacrebleu's own of each sentence."""

    name_of_score: ClassVar[str]

    def __init__(self, config_name: str | None = None, **kwargs: Any):
        self.sacrebleu = self._make()
        super().__init__(config_name, **kwargs)

    @abstractmethod
    def _make(self) -> Any:
        """sacrebleu's metric."""

    def item_statistics(self, predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
        if not len(references):
            return np.zeros((0, 1))
        hypotheses, truths = self._texts(predictions), self._texts(references)
        return np.asarray(self.sacrebleu._extract_corpus_statistics(hypotheses, [truths]), dtype=np.float64)

    def result(self, statistics: np.ndarray) -> dict[str, Any]:
        return {self.name_of_score: float(self.score(statistics)), "signature": self.signature}

    @property
    def signature(self) -> str:
        # sacrebleu writes "nrefs:None" until it has scored something; here there is always one reference
        self.sacrebleu.num_refs = 1
        return f"{self.sacrebleu.get_signature()}|{self._normaliser_name()}"


class Bleu(_SacreBleu):
    """`compute(predictions=, references=)` -> {"bleu": 0..100, "precisions", "brevity_penalty", lengths, "signature"}.

    Args:
        tokenize: A tokenizer of sacrebleu; see BLEU_TOKENIZER for why the default is "intl".
        normalise: None (cased, with punctuation), or `normalise_text` for ASR-BLEU, where a recogniser writes neither.
    """

    summary = "BLEU (Papineni et al., 2002) as sacrebleu computes it."
    name_of_score = "bleu"

    def __init__(self, config_name: str | None = None, *, tokenize: str = BLEU_TOKENIZER, **kwargs: Any):
        if tokenize not in sacrebleu.BLEU.TOKENIZERS:
            raise TriglotError(
                f"tokenize is {tokenize!r}; sacrebleu has {', '.join(sorted(sacrebleu.BLEU.TOKENIZERS))}."
            )
        self.tokenize = tokenize
        super().__init__(config_name, **kwargs)

    def _make(self) -> sacrebleu.BLEU:
        return sacrebleu.BLEU(tokenize=self.tokenize)

    def score(self, statistics: np.ndarray) -> np.ndarray:
        """sacrebleu's formula with its default smoothing ("exp"), over all leading dimensions at once."""
        order = self.sacrebleu.max_ngram_order
        ours, theirs = statistics[..., 0], statistics[..., 1]
        correct, total = statistics[..., 2 : 2 + order], statistics[..., 2 + order :]
        penalty = np.where(ours < theirs, np.exp(1 - theirs / np.maximum(ours, 1)), 1.0)
        missed = (correct == 0) & (total > 0)
        smoothing = 2.0 ** np.cumsum(missed, -1)
        precisions = np.where(missed, 1 / smoothing, correct) / np.maximum(total, 1)
        with np.errstate(divide="ignore"):
            scores = 100 * penalty * np.exp(np.log(precisions).mean(-1))
        scores = np.where(correct.any(-1), scores, 0.0)
        return np.where(theirs > 0, scores, np.nan)

    def result(self, statistics: np.ndarray) -> dict[str, Any]:
        detail = self.sacrebleu._compute_score_from_stats(list(map(int, statistics)))
        return {
            **super().result(statistics),
            "precisions": list(map(float, detail.precisions)),
            "brevity_penalty": float(detail.bp),
            "prediction_words": int(statistics[0]),
            "reference_words": int(statistics[1]),
        }


class ChrF(_SacreBleu):
    """`compute(predictions=, references=)` -> {"chrf": 0..100, "signature"}: character 1..6-grams, beta 2, no words."""

    summary = "chrF (Popović, 2015) as sacrebleu computes it."
    name_of_score = "chrf"

    def _make(self) -> sacrebleu.CHRF:
        return sacrebleu.CHRF()

    def score(self, statistics: np.ndarray) -> np.ndarray:
        """sacrebleu's formula (effective order, no smoothing), over all leading dimensions at once."""
        ours, theirs, matches = (statistics[..., offset::3] for offset in range(3))
        present = (ours > 0) & (theirs > 0)
        orders = np.maximum(present.sum(-1), 1)
        precision = np.where(present, matches / np.maximum(ours, 1), 0.0).sum(-1) / orders
        recall = np.where(present, matches / np.maximum(theirs, 1), 0.0).sum(-1) / orders
        factor = self.sacrebleu.beta**2
        with np.errstate(invalid="ignore"):
            scores = 100 * (1 + factor) * precision * recall / (factor * precision + recall)
        scores = np.where(precision + recall > 0, scores, 0.0)
        return np.where(theirs.sum(-1) > 0, scores, np.nan)


class SpeakerSimilarity(CorpusMetric):
    """`compute(predictions=waveforms, references=waveforms)` -> {"speaker_similarity": mean cosine, -1..1, "items"}.

    Args:
        embed: float32 (samples,) -> a speaker's embedding (D,). Take one that the model under test has never seen: its own
            voice condition says nothing about what a listener hears.
        name: How to call `embed` in the signature.
    """

    summary = "Mean cosine between the speaker embeddings of two recordings each."
    columns = datasets.Features(
        {name: datasets.Sequence(datasets.Value("float32")) for name in ("predictions", "references")}
    )

    def __init__(
        self,
        embed: Callable[[np.ndarray], np.ndarray],
        config_name: str | None = None,
        *,
        name: str = "custom",
        **kwargs: Any,
    ):
        self.embed, self.embedding_name = embed, name
        super().__init__(config_name, **kwargs)

    def item_statistics(self, predictions: Sequence[Any], references: Sequence[Any]) -> np.ndarray:
        cosines = [self.cosine(first, second) for first, second in zip(predictions, references)]
        return np.stack([np.asarray(cosines, dtype=np.float64), np.ones(len(cosines))], -1)

    def cosine(self, prediction: Any, reference: Any) -> float:
        """Of the embeddings of two waveforms (samples,)."""
        first, second = (
            np.asarray(self.embed(np.asarray(wave, dtype=np.float32)), dtype=np.float64).ravel()
            for wave in (prediction, reference)
        )
        norms = np.linalg.norm(first) * np.linalg.norm(second)
        if first.shape != second.shape or not np.isfinite(norms) or norms == 0:
            raise TriglotError(
                f"Speaker embeddings of the shapes {first.shape} and {second.shape} have no cosine; finite vectors of one "
                "length that are not 0 are needed: check embed."
            )
        return float(first @ second / norms)

    def score(self, statistics: np.ndarray) -> np.ndarray:
        return ratio(statistics)

    def result(self, statistics: np.ndarray) -> dict[str, Any]:
        value, items = float(self.score(statistics)), int(statistics[1])
        return {"speaker_similarity": value, "items": items, "signature": self.signature}

    @property
    def signature(self) -> str:
        return f"cosine|embedding:{self.embedding_name}"


# ---- intervals


def ratio(statistics: np.ndarray) -> np.ndarray:
    """(..., 2) -> first / second (...); NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(statistics[..., 1] > 0, statistics[..., 0] / statistics[..., 1], np.nan)


def bootstrap_scores(
    statistics: Any,
    score: ScoreFunction = ratio,
    *,
    seed: int | Sequence[int] = 0,
    resamples: int = 1000,
    clusters: Sequence[Hashable] | None = None,
) -> np.ndarray:
    """Scores of `resamples` corpora drawn with replacement from these items.

    Args:
        statistics: (N, K) of `item_statistics`, or (N,) values whose mean is the score.
        score: Sums (R, K) -> scores (R,); the metric's `score`.
        seed: The same seed gives the same scores.
        resamples: R.
        clusters: A key for each item; items of one key are drawn together. One sentence spoken by ten people is not ten
            independent sentences: without this the interval would be too narrow.

    Returns:
        float64 (R,).

    Raises:
        TriglotError: no items, or another number of clusters.
    """
    table = np.asarray(statistics, dtype=np.float64)
    if table.ndim == 1:
        table = np.stack([table, np.ones(len(table))], -1)
    if table.ndim != 2 or not len(table) or resamples < 1:
        raise TriglotError(
            f"A bootstrap of {resamples} resamples needs statistics of the shape (items, statistics) or (items,), at least "
            f"one of each; came {np.shape(statistics)}."
        )
    if clusters is not None:
        if len(clusters) != len(table):
            raise TriglotError(
                f"There are {len(clusters)} clusters for {len(table)} items; one key an item is needed."
            )
        number = {key: index for index, key in enumerate(dict.fromkeys(clusters))}
        together = np.zeros((len(number), table.shape[1]))
        np.add.at(together, [number[key] for key in clusters], table)
        table = together
    generator, chances = np.random.default_rng(seed), np.full(len(table), 1 / len(table))
    sums = []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        size = min(_RESAMPLES_AT_ONCE, resamples - start)
        sums.append(generator.multinomial(len(table), chances, size=size) @ table)
    return score(np.concatenate(sums))


def percentile_interval(scores: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """(low, high) that hold the middle share of the scores; undefined ones are left out, (NaN, NaN) if all are."""
    defined = np.asarray(scores, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = 50 * (1 - confidence)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap_interval(
    statistics: Any,
    score: ScoreFunction = ratio,
    *,
    seed: int | Sequence[int] = 0,
    resamples: int = 1000,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """The percentile bootstrap's (low, high) of a corpus score; arguments as in `bootstrap_scores`."""
    scores = bootstrap_scores(statistics, score, seed=seed, resamples=resamples, clusters=clusters)
    return percentile_interval(scores, confidence)
