"""What evaluations found, for a model card: checked reports -> the Hub's model index, a table, the commands that gave it.

NAME=FOLDER of `triglot evaluate` ─ load_reports ─ check_report ─▶ {name: results} ─▶ eval_results, score_table, commands
"""

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from ..processing.errors import TriglotError
from .evaluate_questions import CONTROL
from .named_parts import named_parts
from .report import MEASURES, cell

RESULTS_FILE = "results.json"
TASK_TYPES = {  # tasks as the Hub calls them
    "ASR": "automatic-speech-recognition", "AST": "translation", "AST direct": "translation", "MT": "translation",
    "S2ST": "audio-to-audio", "S2ST direct": "audio-to-audio", "TTS": "text-to-speech", "CAPTION": "image-to-text",
    "T2I": "text-to-image", "speech to image": "any-to-any", "image to speech": "any-to-any",
}  # fmt: skip
METRIC_TYPES = {
    "wer": "wer", "cer": "cer", "bleu": "bleu", "chrf": "chrf", "asr_bleu": "bleu", "asr_wer": "wer", "asr_wer_own_text": "wer",
    "speaker_similarity": "cosine_similarity", "scene_right": "accuracy",
}  # fmt: skip

Reports = Mapping[str, Mapping[str, Any]]


def load_reports(given: Sequence[str]) -> dict[str, dict[str, Any]]:
    """["seen=report_seen", "report_unseen/results.json"] -> {"seen": its results, "report_unseen": its results}.

    Raises:
        TriglotError: a report that is not there or is none, or a name that comes twice.
    """
    entries = [entry.removesuffix(RESULTS_FILE).rstrip("/") if "=" not in entry else entry for entry in given]
    return {name: _load(Path(place)) for name, place in named_parts(entries).items()}


def _load(place: Path) -> dict[str, Any]:
    file = place / RESULTS_FILE if place.is_dir() else place
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TriglotError(f"There is no report {str(place)!r}; name the folder of a `triglot evaluate`.") from error
    if not isinstance(results, dict) or not isinstance(results.get("tasks"), dict) or "checkpoint" not in results:
        raise TriglotError(f"{str(file)!r} is no report of a checkpoint; name the folder of a `triglot evaluate`.")
    return results


def check_report(name: str, results: Mapping[str, Any], checkpoint: str | os.PathLike, weights: str | None) -> None:
    """A card must not carry another model's figures.

    Args:
        name: Of the report.
        results: What it holds.
        checkpoint: That it should be of: a folder, or a Hub id.
        weights: Its digest; None where it is not at hand.

    Raises:
        TriglotError: a report of other weights.
    """
    said, told = results.get("weights"), str(results["checkpoint"])
    same_place = told == os.fspath(checkpoint) or Path(told).resolve() == Path(checkpoint).resolve()
    if said != weights if said and weights else not same_place:
        raise TriglotError(
            f"The report {name!r} is of {told!r}, with other weights than {os.fspath(checkpoint)!r}; measure these with "
            "`triglot evaluate`."
        )


def check_pairs(before: Reports, after: Reports) -> None:
    """Raises TriglotError where two reports of one name are not of the same rows."""
    for name in before.keys() & after.keys():
        asked = [
            {key: each["settings"].get(key) for key in ("rows", "limit", "seed")}
            for each in (before[name], after[name])
        ]
        if asked[0] != asked[1]:
            raise TriglotError(
                f"The reports {name!r} before and after are of different rows ({asked[0]} and {asked[1]}); give them two names."
            )


def _measured(results: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(task, measure, {"value", "interval"}) of all that has a value, in the order of the reports."""
    for task, found in results["tasks"].items():
        for key in MEASURES:
            mean = found["mean"].get(key)
            if mean is not None and mean["value"] is not None:
                yield task, key, mean


def eval_results(reports: Reports) -> list[EvalResult]:
    """Entries of the Hub's model index: the means over languages or directions; error rates and shares in percent."""
    found = []
    for name, results in reports.items():
        for task, key, mean in _measured(results):
            if task == CONTROL:
                continue
            measure = MEASURES[key]
            factor = 100 if measure.error or measure.percent else 1
            ends = mean.get("interval")
            found.append(
                EvalResult(
                    task_type=TASK_TYPES.get(task, "any-to-any"),
                    dataset_type=re.sub(r"\W+", "-", name.lower()).strip("-") or "rows",
                    dataset_name=name,
                    metric_type=METRIC_TYPES[key],
                    metric_value=round(factor * mean["value"], 3),
                    metric_name=f"{task}, {_title(key)}",
                    metric_args={"interval_95": [round(factor * end, 3) for end in ends]} if ends else None,
                )
            )
    return found


def _title(key: str) -> str:
    measure = MEASURES[key]
    return f"{measure.title}, %" if measure.error else measure.title


def score_table(reports: Reports, before: Reports) -> str:
    """In markdown: a line a measure; a column a report, and beside it that of the checkpoint that training began with."""
    columns: list[tuple[str, Mapping[str, Any]]] = []
    for name in dict.fromkeys((*before, *reports)):
        columns += [(f"{name}, before", before[name])] if name in before else []
        columns += [(name, reports[name])] if name in reports else []
    lines = dict.fromkeys((task, key) for _, results in columns for task, key, _ in _measured(results))
    table = [f"| | {' | '.join(escaped(title) for title, _ in columns)} |", f"|---|{'---|' * len(columns)}"]
    for task, key in lines:
        cells = [_cell_with_worst(results["tasks"].get(task), key) for _, results in columns]
        table.append(f"| {task}, {_title(key)} | {' | '.join(cells)} |")
    return "\n".join(table)


def escaped(text: str) -> str:
    """Of a cell of a table."""
    return text.replace("|", "\\|")


def _cell_with_worst(found: Mapping[str, Any] | None, key: str) -> str:
    """ "0.4 [0.1, 0.8]; worst 0.7 (hi)"."""
    if found is None:
        return ""
    text = cell(key, found["mean"].get(key))
    worst = cell(key, found["worst"].get(key)) if len(found["directions"]) > 1 else ""
    return f"{text}; worst {worst}" if text and worst else text


def commands(reports: Reports) -> list[str]:
    """Those that gave the reports, each once; absolute paths are cut short, since they are nobody's business."""
    lines = [results.get("command") for results in reports.values()]
    return list(dict.fromkeys(shlex.join(map(_shown, shlex.split(line))) for line in lines if isinstance(line, str)))


def _shown(word: str) -> str:
    path = Path(word)
    if not path.is_absolute():
        return word
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
