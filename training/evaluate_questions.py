"""What an evaluation asks: its tasks, the checks of the rows, and each question once.

rows (N)  ─▶  EvaluationTask.columns  ─▶  Asked (row, text, reference, languages), at most `limit` a direction
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..processing.errors import TriglotError
from ..processing.languages import resolve_language
from ..processing.task_formats import parse_chain

if TYPE_CHECKING:  # what is asked is known without it
    from datasets import Dataset

AUDIO_COLUMNS = ("audio", "translated_audio")
PICTURE_COLUMN = "image"


@dataclass(frozen=True)
class EvaluationTask:
    """What is asked of the checkpoint, and how its answers are scored.

    Attributes:
        chain: The tag's tasks; None asks nothing: the judge reads the recording itself.
        printed: Which output is the text that is scored; None if none.
        measures: Keys of report.MEASURES.
        side: "" reads a row's own columns, "translated_" its translation's.
    """

    chain: str | None
    printed: int | None
    measures: tuple[str, ...]
    side: str = ""

    @property
    def translates(self) -> bool:
        return self.chain is not None and parse_chain(self.chain).translates

    @property
    def hears(self) -> bool:
        return self.chain is None or parse_chain(self.chain).source.modality == "speech"

    @property
    def speaks(self) -> bool:
        return self.chain is not None and parse_chain(self.chain).outputs[-1].modality == "speech"

    @property
    def sees(self) -> bool:
        return self.chain is not None and parse_chain(self.chain).source.modality == "image"

    @property
    def draws(self) -> bool:
        return self.chain is not None and parse_chain(self.chain).outputs[-1].modality == "image"

    @property
    def columns(self) -> dict[str, str]:
        """{what: column of the rows}. A voice is taken if the rows have one. What is to be drawn is what has a picture."""
        language = "target_language" if self.side else "source_language"
        columns = {"text": f"{self.side}transcript", "source": language}
        if self.hears:
            columns["audio"] = f"{self.side}audio"
        if self.sees or self.draws:
            columns["image"] = PICTURE_COLUMN
        if self.translates:
            columns |= {"reference": "translated_transcript", "target": "target_language"}
        return columns


_SPOKEN = ("asr_bleu", "asr_wer", "speaker_similarity")
EVALUATION_TASKS: dict[str, EvaluationTask] = {
    "ASR": EvaluationTask("ASR", 0, ("wer", "cer")),
    "AST": EvaluationTask("ASR AST", 1, ("bleu", "chrf")),
    "AST direct": EvaluationTask("AST", 0, ("bleu", "chrf")),
    "MT": EvaluationTask("MT", 0, ("bleu", "chrf")),
    "S2ST": EvaluationTask("ASR AST S2ST", 1, ("bleu", "chrf", "asr_wer_own_text", *_SPOKEN)),
    "S2ST direct": EvaluationTask("S2ST", None, _SPOKEN),
    "TTS": EvaluationTask("TTS", None, ("asr_wer", "speaker_similarity")),
    "CAPTION": EvaluationTask("CAPTION", 0, ("scene_right", "bleu")),
    "T2I": EvaluationTask("T2I", None, ("scene_right",)),
    "speech to image": EvaluationTask("ASR T2I", 0, ("scene_right", "wer")),
    "image to speech": EvaluationTask("CAPTION TTS", 0, ("scene_right", "bleu", "asr_wer_own_text")),
}
# what the judge makes of true recordings: no spoken output can be expected to score better
CONTROL = "judge on recordings"
CONTROL_TASK = EvaluationTask(None, None, ("asr_wer",), side="translated_")


# ---- checks, before any long work


def check_tasks(tasks: Sequence[str]) -> list[str]:
    """The names, each once; a TriglotError lists the known ones where one is unknown."""
    names = list(dict.fromkeys([tasks] if isinstance(tasks, str) else tasks))
    unknown = [name for name in names if name not in EVALUATION_TASKS]
    if unknown or not names:
        came = f"Unknown task {unknown[0]!r}" if unknown else "No task"
        raise TriglotError(f"{came}; tasks of an evaluation are {', '.join(EVALUATION_TASKS)}.")
    return names


def check_rows(rows: Any, tasks: Mapping[str, EvaluationTask]) -> "Dataset":
    """The rows with audio and pictures as files: decoding audio would ask for torchcodec."""
    from datasets import Audio, Dataset, Image

    if not isinstance(rows, Dataset):
        splits = f" with the splits {sorted(rows)}: choose one" if isinstance(rows, Mapping) else ""
        raise TriglotError(f"rows is a {type(rows).__name__}{splits}; a datasets.Dataset is needed.")
    for name, task in tasks.items():
        missing = sorted(set(task.columns.values()) - set(rows.column_names))
        if missing:
            raise TriglotError(
                f"Task {name!r} needs the columns {missing}; the rows have {sorted(rows.column_names)}. Rename yours, or leave "
                "the task out."
            )
    if not len(rows):
        raise TriglotError("There are no rows; at least one is needed.")
    for column in AUDIO_COLUMNS:
        if isinstance(rows.features.get(column), Audio):
            rows = rows.cast_column(column, Audio(decode=False))
    if isinstance(rows.features.get(PICTURE_COLUMN), Image):
        rows = rows.cast_column(PICTURE_COLUMN, Image(decode=False))
    return rows


def check_languages(rows: "Dataset", tasks: Mapping[str, EvaluationTask], known: Sequence[str]) -> dict[str, str]:
    """{language as the rows write it: ISO code}."""
    resolved: dict[str, str] = {}
    columns = [task.columns.get(role) for task in tasks.values() for role in ("source", "target")]
    for column in dict.fromkeys(filter(None, columns)):
        written = rows[column][:]
        for language in dict.fromkeys(written):
            if language is not None:  # such a row does not count
                resolved[language] = resolve_language(language, known, f"{column} of row {written.index(language)}")
    if any(task.translates for task in tasks.values()):
        for number, (source, target) in enumerate(zip(rows["source_language"][:], rows["target_language"][:])):
            if source is not None and target is not None and resolved[source] == resolved[target]:
                raise TriglotError(f"Row {number} translates from {source!r} to itself; two languages are needed.")
    return resolved


# ---- questions


@dataclass(frozen=True)
class Asked:
    """A question without its audio and picture, which are read from the rows when its turn comes."""

    row: int
    text: str
    reference: str
    source_language: str
    target_language: str | None
    audio_column: str | None
    image_column: str | None = None


def questions(
    task: EvaluationTask, rows: Any, languages: Mapping[str, str], limit: int | None, seed: int
) -> list[Asked]:
    """Each question once, in the order of the rows; at most `limit` a direction."""
    columns = task.columns
    needed = {role: rows[column][:] for role, column in columns.items() if role not in ("audio", "image")}
    voice = f"{task.side}audio"
    uses_audio = (task.hears or task.speaks) and voice in rows.column_names
    sounds = _file_keys(rows, voice) if uses_audio else [None] * len(rows)
    pictured = task.sees or task.draws
    pictures = _file_keys(rows, PICTURE_COLUMN) if pictured else [None] * len(rows)
    directions: dict[tuple[str, str | None], dict[tuple, Asked]] = {}
    for row, (sound, picture) in enumerate(zip(sounds, pictures)):
        values = {role: column[row] for role, column in needed.items()}
        if any(value is None for value in values.values()) or (task.hears and sound is None):
            continue
        if pictured and picture is None:
            continue
        source = languages[values["source"]]
        target = languages[values["target"]] if task.translates else None
        asked = Asked(
            row=row,
            text=values["text"],
            reference=values.get("reference", values["text"]),
            source_language=source,
            target_language=target,
            audio_column=voice if sound is not None else None,
            image_column=PICTURE_COLUMN if task.sees else None,
        )
        key = asked.text, asked.reference, sound, picture if task.sees else None
        directions.setdefault((source, target), {}).setdefault(key, asked)
    generator, chosen = random.Random(seed), []
    for direction in sorted(directions, key=str):
        some = list(directions[direction].values())
        chosen += generator.sample(some, limit) if limit is not None and limit < len(some) else some
    return sorted(chosen, key=lambda asked: asked.row)


def _file_keys(rows: Any, column: str) -> list[Any]:
    """A key of each recording or picture, None where there is none: equal keys are equal sounds or pictures."""
    keys: list[Any] = []
    for number, sound in enumerate(rows[column]):
        if sound is None:
            keys.append(None)
        elif isinstance(sound, Mapping) and "path" in sound and "array" not in sound:  # a file, as datasets hold it
            content = sound.get("bytes")
            keys.append(sound["path"] if content is None else hashlib.sha256(content).digest())
        else:
            keys.append(number)
    return keys
