"""card.json of a checkpoint: where its parts come from, what it learnt from and what was measured; the card is written from it.

    a stage that makes a part ─▶ PART/card.json: what it was built on ─┐
    init, train, finetune ─────────────────────────────────────────────┴▶ CHECKPOINT/card.json ─ write_card ─▶ CHECKPOINT/README.md

A checkpoint that goes on learning takes the record along, so that the card of the third still names the parts of the first.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .licences import (
    CARD_FILE,
    PROCESSOR_FILE,
    UNKNOWN,
    card_licence,
    hub_file,
    hub_id,
    is_hub_id,
    licence_of,
    short_name,
    strictest,
)

RECORD_FILE = "card.json"
RUNS = ("init", "train", "finetune")


@dataclass(frozen=True)
class Part:
    """Where one part of a checkpoint comes from.

    Attributes:
        made_from: Hub id, or the name of a folder; "" for a part that was trained from nothing.
        hub_id: The same if it is one of the Hub, else "".
        licence: Of what it was made from; "" for a part that was trained from nothing, which has that of the checkpoint.
        licence_source: Who says so.
    """

    made_from: str = ""
    hub_id: str = ""
    licence: str = ""
    licence_source: str = ""

    @classmethod
    def of(cls, part: str | os.PathLike) -> "Part":
        """That of a folder or Hub id; of a component of another checkpoint, or of what a stage made, what the record there says.

        Of a part that is built on several the licence is the strictest of theirs.
        """
        path = Path(part)
        record = read_record(path.parent) if path.is_dir() else None
        if record is not None and path.name in record.parts:
            return record.parts[path.name]
        licence = licence_of(part)
        itself = cls(short_name(part), hub_id(part) or "", licence.id, licence.source)
        own = read_record(path) if path.is_dir() and not (path / PROCESSOR_FILE).is_file() else None
        if own is None:
            return itself
        known = [itself] if licence.id != UNKNOWN else []  # its own card asks for something as well
        below = list(dict.fromkeys([*(each for each in own.parts.values() if each.licence), *known]))
        binding = strictest(each.licence for each in below)
        first = next((each for each in below if each.licence == binding), cls())
        return dataclasses.replace(first, made_from=" and ".join(each.made_from for each in below))

    @classmethod
    def of_model(cls, text_model: str | os.PathLike) -> "Part":
        """That of a language model that goes on from a text LLM, or from the language model of another checkpoint."""
        record = read_record(text_model)
        return record.parts.get("language_model", cls.of(text_model)) if record is not None else cls.of(text_model)


@dataclass(frozen=True)
class Run:
    """One training or assembly.

    Attributes:
        kind: One of `RUNS`.
        name: Of the recipe, or of the folder that was made.
        seed: Of the run.
        base: Hub id or name of the checkpoint that a finetuning began with.
        base_id: The same if it is one of the Hub.
        base_weights: Digest of its weights, by which reports of it are known.
        settings: Those that matter to a reader.
        learnt: {what: how much}, e.g. {"ASR": "400 examples, ..."}.
        sources: Of the mixture: {"name", "dataset", "layout", "rows", "hours", "share"} each.
        stages: {stage: {"minutes", "hardware"}}.
    """

    kind: str
    name: str
    seed: int = 0
    base: str = ""
    base_id: str = ""
    base_weights: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    learnt: Mapping[str, str] = field(default_factory=dict)
    sources: list[Mapping[str, Any]] = field(default_factory=list)
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class CardRecord:
    """All that a card says of a checkpoint and that its other files do not.

    Attributes:
        name: The card's title.
        license: That its maker chose, as the Hub writes it; "" for none.
        repo_id: Where it lies on the Hub; "" while it does not.
        parts: {"language_model" or a component: where it comes from}.
        runs: What it went through, in order.
        reports: {name: results.json of `triglot evaluate`} of these weights.
        base_reports: The same of the checkpoint that the last run began with, under the same names.
        weights: Digest of the weights that the reports are of.
    """

    name: str
    license: str = ""
    repo_id: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    reports: Mapping[str, Any] = field(default_factory=dict)
    base_reports: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""

    def after(self, run: Run) -> "CardRecord":
        """That of what a run makes of this checkpoint: nothing is measured yet, and it lies nowhere yet."""
        runs = [*self.runs, run]
        return CardRecord(run.name, self.license, parts=self.parts, runs=runs, base_reports=self.reports)


def read_record(checkpoint: str | os.PathLike) -> CardRecord | None:
    """That of a folder or Hub id; None where there is none.

    Raises:
        TriglotError: a file that is no such record.
    """
    path: str | os.PathLike | None = Path(checkpoint) / RECORD_FILE
    if not os.path.isdir(checkpoint):
        path = hub_file(os.fspath(checkpoint), RECORD_FILE)
    if path is None or not os.path.isfile(path):
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        parts = {name: Part(**part) for name, part in content.pop("parts", {}).items()}
        record = CardRecord(**{**content, "parts": parts, "runs": [Run(**run) for run in content.pop("runs", [])]})
        _check(record)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise TriglotError(
            f"{os.fspath(path)!r} is no record of a checkpoint ({error}); delete it to begin a new one."
        ) from error
    return record


def _check(record: CardRecord) -> None:
    """Raises ValueError where a field is not of its type: a card of the Hub may be anybody's."""
    ids = (record.repo_id, *(part.hub_id for part in record.parts.values()), *(run.base_id for run in record.runs))
    everything: list[Any] = [record, *record.parts.values(), *record.runs]
    for of in everything:
        for each in dataclasses.fields(of):
            value, kind = getattr(of, each.name), str(each.type)
            wanted = list if kind.startswith("list") else dict if "Mapping" in kind else each.type
            if not isinstance(value, wanted):  # type: ignore[arg-type]
                raise ValueError(f"{each.name} is {value!r}")
    if wrong := [each for each in ids if each and not is_hub_id(each)]:
        raise ValueError(f"{wrong[0]!r} is no id of the Hub")
    for run in record.runs:
        if run.kind not in RUNS or not all(isinstance(each, dict) for each in (*run.sources, *run.stages.values())):
            raise ValueError(f"a run of the kind {run.kind!r}")
    for results in (*record.reports.values(), *record.base_reports.values()):
        if not isinstance(results, dict) or not isinstance(results.get("tasks"), dict):
            raise ValueError("a report without tasks")


def cleaned(value: Any) -> Any:
    """The same with no text in it that would end a line, a block or a mark of a card; of records, containers and texts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{each.name: cleaned(getattr(value, each.name)) for each in dataclasses.fields(value)}
        )
    if isinstance(value, Mapping):
        return {cleaned(key): cleaned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    return (
        " ".join(value.split()).replace("<!--", "<! --").replace("```", "` ` `") if isinstance(value, str) else value
    )


def write_record(record: CardRecord, folder: str | os.PathLike) -> None:
    """Writes it into a checkpoint's folder."""
    text = json.dumps(dataclasses.asdict(record), ensure_ascii=False, indent=1)
    with whole_file(Path(folder) / RECORD_FILE) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def part_record(part: Path, built_on: Mapping[str, str | os.PathLike]) -> CardRecord:
    """That of a part which a stage makes.

    Args:
        part: Its folder.
        built_on: {what: folder or Hub id} of the parts in it that were there before; of none, it was trained from nothing.
    """
    return CardRecord(part.name, parts={name: Part.of(where) for name, where in built_on.items()})


def record_of(checkpoint: str | os.PathLike, components: list[str]) -> CardRecord:
    """That of a checkpoint, or for one without: its parts may be anybody's, under the licence that its card names.

    Args:
        checkpoint: Folder or Hub id.
        components: Names of its codecs.
    """
    record = read_record(checkpoint)
    if record is not None:
        return record
    name = short_name(checkpoint)
    card = Path(checkpoint) / CARD_FILE if os.path.isdir(checkpoint) else hub_file(os.fspath(checkpoint), CARD_FILE)
    said = None if card is None else card_licence(Path(card))
    source = f"the card of {name}" if said else "no card says it"
    part = Part(name, hub_id(checkpoint) or "", said or UNKNOWN, source)
    return CardRecord(name.rpartition("/")[2], said or "", parts=dict.fromkeys(("language_model", *components), part))
