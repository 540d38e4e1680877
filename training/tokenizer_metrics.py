"""What speech tokens tell: how many bits, which phonemes, whose voice. Functions of codes alone, whatever made them.

Papers: HuBERT (arXiv 2106.07447, section 4.4: purity and PNMI), ABX (Schatz et al., Interspeech 2013; the Zero Resource
challenges), speaker leakage of discrete units (arXiv 2104.00355).

Shapes: T codes of an utterance, K codes in the book, P phonemes, D dimensions of a code's vector, n frames in all.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

MOST_TRIPLES = 3_000  # of ABX, drawn at random


class CodeUse(NamedTuple):
    """How codes are used."""

    codes_per_second: float
    bitrate: float  # bits/s if every code takes log2 K bits
    entropy_rate: float  # bits/s if every code takes what its frequency says
    used: float  # share of the K codes that came at all
    perplexity: float  # 2 to the entropy of a code; K at most


def code_use(codes: Sequence[np.ndarray], codebook_size: int, seconds: float) -> CodeUse:
    """Of int (T,) for each utterance, `seconds` long in all."""
    counts = np.bincount(np.concatenate(codes), minlength=codebook_size)
    rate, entropy = counts.sum() / seconds, _entropy(counts)
    return CodeUse(
        float(rate),
        float(rate * math.log2(codebook_size)),
        float(rate * entropy),
        float((counts > 0).mean()),
        float(2**entropy),
    )


class PhoneUse(NamedTuple):
    """How codes and phonemes go together, each 0 to 1."""

    phone_purity: float  # frames whose phoneme is the most frequent one of their code
    cluster_purity: float  # frames whose code is the most frequent one of their phoneme
    pnmi: float  # of the uncertainty about a frame's phoneme, the share that its code takes away


def phone_use(codes: np.ndarray, phones: Sequence[Hashable]) -> PhoneUse:
    """Of codes int (n,) and the phoneme of each of the same frames.

    Raises:
        ValueError: no frames, or not one phoneme for each code.
    """
    if len(codes) != len(phones) or not len(codes):
        raise ValueError(
            f"There are {len(codes)} codes and {len(phones)} phonemes; as many of both are needed, at least 1."
        )
    names = {name: place for place, name in enumerate(dict.fromkeys(phones))}
    table = np.zeros((len(names), int(codes.max()) + 1))
    np.add.at(table, (np.array([names[name] for name in phones]), codes), 1)
    total, uncertainty = table.sum(), _entropy(table.sum(1))
    known = uncertainty + _entropy(table.sum(0)) - _entropy(table.ravel())
    return PhoneUse(
        float(table.max(0).sum() / total),
        float(table.max(1).sum() / total),
        float(known / uncertainty) if uncertainty > 0 else 0.0,
    )


class Segment(NamedTuple):
    """A stretch of sound around one phoneme."""

    vectors: np.ndarray  # (T, D), of its codes
    phone: str
    context: Hashable  # what stands around the phoneme; only segments with the same context are compared
    speaker: str


def abx_error(segments: Sequence[Segment], *, across: bool, seed: int = 0, most: int = MOST_TRIPLES) -> float:
    """How often a segment X of the phoneme of A is nearer to B, of another phoneme in the same context; 0 to 0.5 or so.

    A and B are of one speaker; X is of the same one, or `across` of another. Distances are mean angles along the best
    alignment (dynamic time warping); ties count half. Every pair of phonemes in every context counts alike, as far as `most`
    triples reach.

    Returns:
        The error rate; NaN where no triple can be formed.
    """
    cells: dict[Hashable, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, segment in enumerate(segments):
        cells[segment.context][segment.phone].append(place)
    rng = np.random.default_rng(seed)
    pairs = [
        (context, phone, other)
        for context, phones in cells.items()
        for phone in phones
        for other in phones
        if phone != other
    ]
    wrong: list[float] = []
    rounds = 0
    while pairs and len(wrong) < most and rounds < 10:
        rounds += 1
        for index in rng.permutation(len(pairs)):
            context, phone, other = pairs[index]
            triple = _draw(segments, cells[context][phone], cells[context][other], across, rng)
            if triple is None:
                continue
            a, b, x = (segments[place].vectors for place in triple)
            near, far = warped_angle(a, x), warped_angle(b, x)
            wrong.append(0.5 if near == far else float(near > far))
            if len(wrong) == most:
                break
        if not wrong:
            break
    return float(np.mean(wrong)) if wrong else math.nan


def _draw(
    segments: Sequence[Segment], alike: list[int], others: list[int], across: bool, rng: np.random.Generator
) -> tuple[int, int, int] | None:
    """Places of A, B and X, or None where the speakers do not allow it."""
    speakers = {segments[place].speaker for place in others}
    firsts = [place for place in alike if segments[place].speaker in speakers]
    for a in rng.permutation(firsts)[:5]:
        speaker = segments[a].speaker
        bs = [place for place in others if segments[place].speaker == speaker]
        xs = [place for place in alike if place != a and (segments[place].speaker != speaker) == across]
        if bs and xs:
            return int(a), int(rng.choice(bs)), int(rng.choice(xs))
    return None


def warped_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Mean angle (0 to 1, in units of pi) between (T, D) and (U, D) along their best alignment."""
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    cosines = np.clip(a @ b.T / np.maximum(norms, 1e-12), -1.0, 1.0)
    costs = np.where(cosines > 1.0 - 1e-9, 0.0, np.arccos(cosines) / math.pi)
    rows, columns = costs.shape
    best = np.full((rows + 1, columns + 1), np.inf)
    steps = np.zeros((rows + 1, columns + 1))
    best[0, 0] = 0.0
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            before = min((row - 1, column - 1), (row - 1, column), (row, column - 1), key=lambda place: best[place])
            best[row, column] = best[before] + costs[row - 1, column - 1]
            steps[row, column] = steps[before] + 1
    return float(best[-1, -1] / steps[-1, -1])


def speaker_leakage(
    codes: Sequence[np.ndarray], speakers: Sequence[str], groups: Sequence[Hashable], codebook_size: int, seed: int = 0
) -> float:
    """Accuracy of a linear probe that names the speaker from how often an utterance uses each code, 0 to 1.

    Half of the `groups` (sentences, as a rule) teach the probe and the other half ask it, so that it cannot know an utterance by
    its words; then the other way round. Chance is one over the number of speakers.

    Raises:
        ValueError: fewer than two speakers or groups.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kinds = sorted(set(groups), key=str)
    if len(set(speakers)) < 2 or len(kinds) < 2:
        raise ValueError(f"A probe needs two speakers and two groups; {len(set(speakers))} and {len(kinds)} came.")
    features = np.sqrt([np.bincount(item, minlength=codebook_size) / len(item) for item in codes])
    chosen = set(np.random.default_rng(seed).permutation(len(kinds))[: len(kinds) // 2].tolist())
    teaching = np.array([kinds.index(group) in chosen for group in groups])
    names, right = np.array(speakers), 0
    for part in (teaching, ~teaching):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000, random_state=seed))
        probe.fit(features[part], names[part])
        right += int((probe.predict(features[~part]) == names[~part]).sum())
    return right / len(names)


def _entropy(counts: np.ndarray) -> float:
    """Bits."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
