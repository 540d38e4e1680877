"""What the arms of `triglot ablate` say about AudioPaLM's claims (arXiv 2306.12925, section 5): one table, JSON and a plot.

items of two arms, the same questions ─▶ paired bootstrap over sentences and seeds ─▶ gain, interval ─▶ holds | does not hold | undecided

Shapes: K seeds, R resamples.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..processing.errors import TriglotError
from .ablation_arms import Arm, Workplace, results_of
from .card_report import table, write_cards
from .metrics import percentile_interval
from .report import MEASURES, EvaluatedItem, measure_items
from .train_lm import LmArguments

RESAMPLES = 1000
HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOTES = f"""Each line: two arms asked the same test items, and the gain in points of BLEU or WER, above 0 where it speaks for the claim.
In brackets its 95 % interval, of a bootstrap that draws test sentences, the same for both arms, and seeds; with one seed it says
nothing about another training. A claim {HOLDS!r} where the whole interval is above 0, {FAILS!r} where it is below, and is
{UNDECIDED!r} otherwise. Values are means over directions, then over seeds."""


@dataclass(frozen=True)
class Claim:
    """That one arm answers better than another.

    Attributes:
        name: What is claimed to help.
        helped: (arm, key of EVALUATION_TASKS) that is claimed to be better.
        plain: Likewise, to be worse.
        measure: Key of report.MEASURES.
    """

    name: str
    helped: tuple[str, str]
    plain: tuple[str, str]
    measure: str


@dataclass(frozen=True)
class ClaimCard:
    """A claim and what was measured: a line of the table."""

    name: str
    measure: str  # its title
    helped: float  # in points, mean over seeds
    plain: float
    gain: float
    low: float
    high: float
    interval: str
    verdict: str
    seeds: int


COLUMNS = {  # field: (title, factor, digits)
    "measure": ("measure", 1, 0),
    "helped": ("with", 1, 1),
    "plain": ("without", 1, 1),
    "gain": ("gain, points", 1, 1),
    "interval": ("95 %", 1, 1),
    "verdict": ("here", 1, 0),
    "seeds": ("seeds", 1, 0),
}


@dataclass(frozen=True)
class ArmCard:
    """An arm and what its models answered."""

    name: str
    tokenizer: str
    tasks: str
    text_steps: int
    steps: int
    epochs: float
    wer: float | None
    chain_bleu: float | None
    bleu: float | None
    spoken_chain: float | None
    spoken: float | None
    seeds: int
    minutes: float
    device: str


ARM_COLUMNS = {
    "tokenizer": ("tokens", 1, 0),
    "tasks": ("tasks", 1, 0),
    "text_steps": ("text steps", 1, 0),
    "steps": ("steps", 1, 0),
    "epochs": ("passes over the examples", 1, 2),
    "wer": ("ASR, WER in %", 1, 1),
    "chain_bleu": ("AST by transcript, BLEU", 1, 1),
    "bleu": ("AST direct, BLEU", 1, 1),
    "spoken_chain": ("S2ST by texts, ASR-BLEU", 1, 1),
    "spoken": ("S2ST direct, ASR-BLEU", 1, 1),
    "seeds": ("seeds", 1, 0),
    "minutes": ("minutes a model", 1, 1),
    "device": ("on", 1, 0),
}


def suite_claims(arms: Mapping[str, Arm]) -> list[Claim]:
    """AudioPaLM's claims about these arms."""
    steps, more = arms["together"].arguments.max_steps, arms["longer"].arguments.max_steps
    claims: list[Claim] = []

    def claim(name: str, helped: str, plain: str, *measured: tuple[str, str, str]) -> None:
        claims.extend(Claim(name, (helped, asked), (plain, other), measure) for asked, other, measure in measured)

    ast, asr = ("AST direct", "AST direct", "bleu"), ("ASR", "ASR", "wer")
    chain = ("AST", "AST direct", "bleu")
    claim(f"start from a text LM, {steps} steps with speech each", "text-start", "together", ast, asr)
    claim(f"start from a text LM, {more} steps each in all", "text-start", "longer", ast, asr)
    claim("chained tasks, one model asked both ways", "chain", "chain", chain)
    claim("chained tasks, beside a model without", "chain", "together", chain)
    claim(f"ASR and MT beside AST, {steps} steps for {steps}", "together", "alone", ast)
    claim(f"ASR and MT beside AST, {more} steps for {steps}", "longer", "alone", ast)
    for name, arm in arms.items():
        if arm.tokenizer != arms["together"].tokenizer:
            claim(f"tokens of {arms['together'].tokenizer} instead of {arm.tokenizer}", "together", name, ast, asr)
    if "speech" in arms:
        claim(
            "texts before speech, one model asked both ways", "speech", "speech", ("S2ST", "S2ST direct", "asr_bleu")
        )
    return claims


def scores_of(items: Sequence[Mapping[str, Any]], measure: str, seed: int) -> tuple[float, np.ndarray]:
    """The mean over directions in points, and of resampled items, float64 (R,); the same draws for the same questions."""
    groups: dict[str, list[EvaluatedItem]] = {}
    for item in (EvaluatedItem(**one) for one in items):
        groups.setdefault(item.direction, []).append(item)
    scale = 100.0 if MEASURES[measure].error else 1.0
    found = [
        measure_items(MEASURES[measure], groups[name], [seed, number], RESAMPLES)
        for number, name in enumerate(sorted(groups))
    ]
    value = float(np.mean([np.nan if one["value"] is None else one["value"] for one, _ in found]))
    return scale * value, scale * np.mean([scores for _, scores in found], axis=0)


def difference(
    helped: Sequence[Sequence[Mapping[str, Any]]],
    plain: Sequence[Sequence[Mapping[str, Any]]],
    measure: str,
    seed: int = 0,
) -> dict[str, float]:
    """How much better one arm's answers are than another's.

    Args:
        helped, plain: The items of each of K seeds; the same questions in both.
        measure: Key of report.MEASURES.
        seed: Of the bootstrap.

    Returns:
        {"helped", "plain", "gain", "low", "high"} in points; a gain above 0 speaks for `helped`.

    Raises:
        TriglotError: no seeds, or other questions.
    """
    asked = {tuple((item["row"], item["reference"]) for item in items) for items in (*helped, *plain)}
    if not helped or len(helped) != len(plain) or len(asked) != 1:
        raise TriglotError(
            f"{len(helped)} and {len(plain)} seeds with {len(asked)} different sets of questions cannot be compared; the same "
            "seeds and questions are needed."
        )
    values, resampled = zip(
        *(scores_of(items, measure, seed) for arm in (helped, plain) for items in arm), strict=True
    )
    count = len(helped)
    sign = -1.0 if MEASURES[measure].error else 1.0
    gains = sign * (np.array(resampled[:count]) - np.array(resampled[count:]))  # (K, R)
    if count > 1:
        # a few seeds drawn with replacement spread too little, by this much
        centre, spread = gains.mean(0), np.sqrt(count / (count - 1))
        drawn = np.random.default_rng(seed).integers(count, size=gains.shape)
        gains = centre + spread * (np.take_along_axis(gains, drawn, 0) - centre)
    low, high = percentile_interval(gains.mean(0))
    means = {"helped": float(np.mean(values[:count])), "plain": float(np.mean(values[count:]))}
    return {**means, "gain": sign * (means["helped"] - means["plain"]) + 0.0, "low": low, "high": high}


def verdict(low: float, high: float) -> str:
    """Of the gain's interval."""
    return HOLDS if low > 0 else FAILS if high < 0 else UNDECIDED


def claim_cards(claims: Sequence[Claim], found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[ClaimCard]:
    """The claims whose arms are there.

    Args:
        claims: All.
        found: {arm: {seed: what `Workplace.run` returned}}.
    """
    cards = []
    for claim in claims:
        (helped, asked), (plain, other) = claim.helped, claim.plain
        seeds = sorted(set(found.get(helped, ())) & set(found.get(plain, ())))
        if not seeds:
            continue
        better, worse = (
            results_of([found[arm][seed] for seed in seeds], task) for arm, task in ((helped, asked), (plain, other))
        )
        gain = difference(better, worse, claim.measure)
        low, high = gain["low"], gain["high"]
        cards.append(
            ClaimCard(
                name=f"{asked.split()[0]}: {claim.name}", measure=MEASURES[claim.measure].title, **gain,
                interval=f"[{low:.1f}, {high:.1f}]", verdict=verdict(low, high), seeds=len(seeds),
            )
        )  # fmt: skip
    return cards


def arm_cards(found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[ArmCard]:
    """The arms that are there."""
    cards = []
    for name, by_seed in found.items():
        results = list(by_seed.values())
        one = results[0]
        cards.append(
            ArmCard(
                name=name, tokenizer=one["tokenizer"], tasks=one["tasks"], text_steps=one["text_steps"], steps=one["steps"],
                epochs=one["epochs"], wer=_mean(results, "ASR", "wer"), chain_bleu=_mean(results, "AST", "bleu"),
                bleu=_mean(results, "AST direct", "bleu"), spoken_chain=_mean(results, "S2ST", "asr_bleu"),
                spoken=_mean(results, "S2ST direct", "asr_bleu"),
                seeds=len(results), minutes=float(np.mean([result["minutes"] for result in results])),
                device=", ".join(dict.fromkeys(result["device"] for result in results)),
            )
        )  # fmt: skip
    return cards


def _mean(results: Sequence[Mapping[str, Any]], task: str, measure: str) -> float | None:
    """Over seeds, in points; None for what an arm is not asked."""
    items = [one for one in results_of(results, task) if one]
    return float(np.mean([scores_of(one, measure, 0)[0] for one in items])) if items else None


def write_report(
    place: Workplace, arms: Mapping[str, Arm], found: Mapping[str, Any], arguments: LmArguments, text_steps: int
) -> list[ClaimCard]:
    """Writes `report/` and returns the lines of its table; without a line, nothing is written.

    Args:
        place: Where.
        arms: All.
        found: {arm: {seed: what `Workplace.run` returned}} of those that are finished.
        arguments: Of the small models.
        text_steps: Of the text LM.
    """
    cards, rows = claim_cards(suite_claims(arms), found), arm_cards(found)
    if not cards:
        return []
    size = f"{arguments.num_hidden_layers} layers of {arguments.hidden_size}"
    notes = [
        NOTES,
        f"Every arm: {size}, steps of {arguments.batch_size} rows of {arguments.pack_length} ids; a text LM of {text_steps} steps.",
        table(rows, ARM_COLUMNS, "arm"),
    ]
    facts = {"lm": dataclasses.asdict(arguments), "text_steps": text_steps, "limit": place.limit,
             "arms": [dataclasses.asdict(arm) for arm in rows]}  # fmt: skip
    write_cards(
        place.output_dir / "report", cards, COLUMNS, {"gain": "more"},
        kind="ablation", facts=facts, notes="\n\n".join(notes), intervals={"gain": ("low", "high")},
    )  # fmt: skip
    return cards
