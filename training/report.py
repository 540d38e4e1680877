"""What an evaluation found: items -> measures with intervals -> results.json, report.md, items.jsonl.

EvaluatedItem (N)  ─▶  per task and direction: value, 95 % interval, counts  ─▶  mean over directions, worst direction
"""

import dataclasses
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .metrics import (
    Bleu,
    CharacterErrorRate,
    ChrF,
    CorpusMetric,
    WordErrorRate,
    bootstrap_scores,
    percentile_interval,
    ratio,
)
from .text_normaliser import normalise_text


@dataclass(frozen=True)
class EvaluatedItem:
    """One thing a checkpoint was asked and what came of it; a line of items.jsonl.

    Attributes:
        id: "<task>-<row>", unique.
        row: Number of the row in the data.
        task: Name of the evaluation task.
        source_language: ISO code.
        target_language: ISO code; None for a task of one language.
        speaker: As the row says, if it does.
        input_text: The words that were read or heard.
        reference: The words that should have come out.
        hypothesis: The text the model printed; None where it prints none.
        judge: What the judge heard in the spoken output; None without speech or judge.
        codes: Speech or image codes of the output.
        seconds: Length of the spoken output, s.
        audio: Path of its wav in the output folder, where it was kept.
        speaker_similarity: Cosine to the voice that was asked for, where an embedding was given.
        scene_right: 1.0 where the caption or the picture has the whole scene right, 0.0 where not; None for other sentences.
        image: Path of the picture that was drawn, in the output folder, where it was kept.
    """

    id: str
    row: int
    task: str
    source_language: str
    target_language: str | None
    speaker: str | None
    input_text: str
    reference: str
    hypothesis: str | None = None
    judge: str | None = None
    codes: list[int] | None = None
    seconds: float | None = None
    audio: str | None = None
    speaker_similarity: float | None = None
    scene_right: float | None = None
    image: str | None = None

    @property
    def direction(self) -> str:
        """ "en" or "en-es"."""
        return f"{self.source_language}-{self.target_language}" if self.target_language else self.source_language


@dataclass(frozen=True)
class Measure:
    """One number of the table.

    Attributes:
        title: Head of its column.
        metric: None for what the items hold as numbers: the speaker similarity, whether a scene is right.
        prediction: Field of the item that is scored.
        reference: Field it is scored against.
        error: An error rate: lower is better, printed in percent.
        normalised: Score `normalise_text` of both sides.
        percent: A share, printed in percent.
    """

    title: str
    metric: type[CorpusMetric] | None
    prediction: str
    reference: str = "reference"
    error: bool = False
    normalised: bool = False
    percent: bool = False

    def make(self) -> CorpusMetric | None:
        """The metric, set up for this measure."""
        if self.metric is None:
            return None
        return self.metric(normalise=normalise_text) if self.normalised else self.metric()


# text is scored as printed by BLEU and chrF; a judge writes no case and no punctuation, so ASR-BLEU has neither
MEASURES: dict[str, Measure] = {
    "wer": Measure("WER", WordErrorRate, "hypothesis", error=True, normalised=True),
    "cer": Measure("CER", CharacterErrorRate, "hypothesis", error=True, normalised=True),
    "bleu": Measure("BLEU", Bleu, "hypothesis"),
    "chrf": Measure("chrF", ChrF, "hypothesis"),
    "asr_bleu": Measure("ASR-BLEU", Bleu, "judge", normalised=True),
    "asr_wer": Measure("ASR-WER", WordErrorRate, "judge", error=True, normalised=True),
    "asr_wer_own_text": Measure(
        "ASR-WER to own text", WordErrorRate, "judge", reference="hypothesis", error=True, normalised=True
    ),
    "speaker_similarity": Measure("speaker similarity", None, "speaker_similarity"),
    "scene_right": Measure("whole scene right, %", None, "scene_right", percent=True),
}


SCENES_NOTE = (
    "A scene is right with both objects' size, colour and shape and with their relation, told from either object; BLEU is against the "
    "order that is nearer. Pictures are read from their pixels by `scene_checker`, which is no model."
)


def summarise(items: Sequence[EvaluatedItem], measures: Sequence[str], seed: int, resamples: int) -> dict[str, Any]:
    """The numbers of one task.

    Args:
        items: Of one task, at least one.
        measures: Keys of MEASURES; those for which the items hold nothing (no judge) are left out.
        seed: Of the bootstrap.
        resamples: Of the bootstrap.

    Returns:
        {"items", "mean": {measure: {"value", "interval"}}, "worst": {measure: {"value", "direction"}},
        "directions": {direction: {"items", "sentences", measure: {"value", "interval", counts}}}}; a value that is
        undefined is None.
    """
    groups: dict[str, list[EvaluatedItem]] = {}
    for item in items:
        groups.setdefault(item.direction, []).append(item)
    directions: dict[str, dict[str, Any]] = {
        name: {"items": len(group), "sentences": len({item.reference for item in group})}
        for name, group in sorted(groups.items())
    }
    summary: dict[str, Any] = {"items": len(items), "mean": {}, "worst": {}, "directions": directions}
    for key in measures:
        measure = MEASURES[key]
        if any(getattr(item, field) is None for item in items for field in (measure.prediction, measure.reference)):
            continue
        resampled = []
        for number, name in enumerate(directions):
            directions[name][key], scores = measure_items(measure, groups[name], [seed, number], resamples)
            resampled.append(scores)
        values = {name: directions[name][key]["value"] for name in directions}
        defined = {name: value for name, value in values.items() if value is not None}
        summary["mean"][key] = {
            "value": sum(defined.values()) / len(defined) if len(defined) == len(values) else None,
            "interval": _interval(np.mean(resampled, axis=0)),
        }
        if defined:
            worst = (max if measure.error else min)(defined, key=lambda name: defined[name])
            summary["worst"][key] = {"value": defined[worst], "direction": worst}
    return summary


def measure_items(
    measure: Measure, items: Sequence[EvaluatedItem], seed: Sequence[int], resamples: int
) -> tuple[dict[str, Any], np.ndarray]:
    """{"value", "interval", counts} of one measure, and its resampled scores (R,)."""
    metric = measure.make()
    predictions = [getattr(item, measure.prediction) for item in items]
    if metric is None:
        statistics, score = np.stack([np.asarray(predictions, dtype=np.float64), np.ones(len(items))], -1), ratio
    else:
        statistics = metric.item_statistics(predictions, [getattr(item, measure.reference) for item in items])
        score = metric.score
    value = float(score(statistics.sum(0)))
    scores = bootstrap_scores(
        statistics, score, seed=seed, resamples=resamples, clusters=[item.reference for item in items]
    )
    found: dict[str, Any] = {"value": None if math.isnan(value) else value, "interval": _interval(scores)}
    if metric is not None and found["value"] is not None:
        counts = metric.result(statistics.sum(0))
        found |= {name: count for name, count in counts.items() if name not in (*MEASURES, "signature")}
    return found, scores


def _interval(scores: np.ndarray) -> list[float] | None:
    low, high = percentile_interval(scores)
    return None if math.isnan(low) else [low, high]


def signatures(measures: Sequence[str]) -> dict[str, str]:
    """What must be known of each measure to compare its numbers with others'."""
    metrics = {key: MEASURES[key].make() for key in measures}
    return {key: metric.signature for key, metric in metrics.items() if metric is not None}


# ---- files


def write_results(folder: Path, results: Mapping[str, Any], items: Sequence[EvaluatedItem]) -> None:
    """results.json, report.md and items.jsonl into an existing folder."""
    text = json.dumps(results, ensure_ascii=False, indent=2, allow_nan=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(results) + drawings(items), encoding="utf-8")
    with open(folder / "items.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(dataclasses.asdict(item), ensure_ascii=False) + "\n" for item in items)


def markdown(results: Mapping[str, Any]) -> str:
    """The report: one table, then what must be known to read it."""
    tasks: Mapping[str, Any] = results["tasks"]
    columns = [key for key in MEASURES if any(key in task["mean"] for task in tasks.values())]
    head = ["task", "direction", "items", *(MEASURES[key].title for key in columns)]
    lines = [_row(head), _row(["---", "---", *["---:"] * (len(head) - 2)])]
    for name, task in tasks.items():
        mean, worst = task["mean"], task["worst"]
        lines.append(_row([name, "**mean**", str(task["items"]), *(cell(key, mean.get(key)) for key in columns)]))
        if len(task["directions"]) > 1:
            lines.append(_row([name, "worst", "", *(cell(key, worst.get(key)) for key in columns)]))
        for direction, found in task["directions"].items():
            cells = (cell(key, found.get(key)) for key in columns)
            lines.append(_row([name, direction, str(found["items"]), *cells]))
    settings = results["settings"]
    judged = (
        "The spoken output was read by the judge; its own errors are counted against the model (see the task "
        "`judge on recordings`, where it reads the true recordings)."
        if settings["judge"]
        else "No judge was given: what the model spoke was not read, and ASR-BLEU and ASR-WER are left out."
    )
    return "\n".join(
        [
            f"# Evaluation of {results['checkpoint']}",
            "",
            *lines,
            "",
            "In brackets: 95 % intervals of a percentile bootstrap over sentences; recordings of one sentence are drawn "
            "together. Error rates are in percent, BLEU and chrF from 0 to 100. A mean is over languages or directions.",
            "",
            judged,
            "",
            *([SCENES_NOTE, ""] if "scene_right" in columns else []),
            *(f"* {MEASURES[key].title}: `{signature}`" for key, signature in results["signatures"].items()),
            f"* settings: {', '.join(f'{key} {value}' for key, value in settings.items())}",
            f"* versions: {', '.join(f'{key} {value}' for key, value in results['versions'].items())}",
            "",
        ]
    )


def drawings(items: Sequence[EvaluatedItem], columns: int = 5) -> str:
    """What was drawn, of the items whose pictures were kept: a grid of prompts and pictures for each task, "" where there are none."""
    kept: dict[str, list[str]] = {}
    for item in items:
        if item.image is not None:
            mark = {None: "", 1.0: " ✓", 0.0: " ✗"}[item.scene_right]
            prompt = html.escape(" ".join(item.input_text.split())).replace("|", "&#124;")
            kept.setdefault(item.task, []).append(f'<img src="{item.image}" width="128"><br>{prompt}{mark}')
    lines = []
    for task, cells in kept.items():
        lines += ["", f"## Drawings: {task}", "", _row([""] * columns), _row(["---"] * columns)]
        cells += [""] * (-len(cells) % columns)
        lines += [_row(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    return "\n".join([*lines, ""]) if lines else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(key: str, found: Mapping[str, Any] | None) -> str:
    """ "1.3 [0.8, 2.0]", with the direction behind it where `found` names one; "" where nothing was measured."""
    if found is None or found["value"] is None:
        return ""
    measure = MEASURES[key]
    scale, digits = (100, 1) if measure.error or measure.percent else (1, 2 if measure.metric is None else 1)
    text = f"{scale * found['value']:.{digits}f}"
    if found.get("interval"):
        low, high = (scale * bound for bound in found["interval"])
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{text} ({found['direction']})" if "direction" in found else text
