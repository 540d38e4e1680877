"""`triglot card DIR`: README.md of a checkpoint, written from its files, its card.json and the reports of its evaluations.

    CardRecord + CardFacts ─ metadata, sections ─▶ ---               what the Hub reads: licence, languages, base, model index
                                                   # name
                                                   <!-- triglot card: parts -->    a section for each of `card_sections`,
                                                   <!-- triglot card: end -->      written anew every time

What stands outside of these marks is its author's and stays. A card without any keeps its whole text, and its own metadata where it
has them; one mark and the end below it are enough for a section to be written there.
"""

import argparse
import dataclasses
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .card_facts import LANGUAGE_MODEL, CardFacts, read_facts, whole_licence
from .card_record import CardRecord, Part, cleaned, read_record, write_record
from .card_scores import METRIC_TYPES, check_report, eval_results, load_reports
from .card_sections import card_sections
from .checkpoint_files import weights_digest
from .licences import CARD_FILE, UNKNOWN, card_licence, check_licence, is_hub_id
from .named_parts import named_parts

END = "<!-- triglot card: end -->"
_SECTION = re.compile(r"<!-- triglot card: (\w+) -->\n(?:.*?\n)??<!-- triglot card: end -->", re.S)
_BEGIN = re.compile(r"<!-- triglot card: (?!end)\w+ -->")
_METADATA = re.compile(r"\A\s*---\s*\n(.*?)\n---[^\S\n]*\n?", re.S)


def write_card(
    folder: str | os.PathLike,
    record: CardRecord | None = None,
    *,
    reports: Mapping[str, Any] | None = None,
    base_reports: Mapping[str, Any] | None = None,
    parts: Mapping[str, str] | None = None,
    **changes: str,
) -> list[str]:
    """Writes README.md and card.json of a checkpoint, or of an adapter.

    Args:
        folder: Of the checkpoint.
        record: What is known of it; None for its card.json, or to begin one.
        reports: {name: results.json} of its evaluations; they join those that the record has, and take the place of namesakes.
        base_reports: The same of the checkpoint that its last training began with.
        parts: {"language_model" or a component: folder or Hub id} of those that were taken from elsewhere since.
        changes: Fields of the record: `name`, `license`, `repo_id`.

    Returns:
        What its maker should know about the licences.

    Raises:
        TriglotError: no checkpoint, no such part, a report of other weights, pairs of reports that are not of the same rows, no licence
            or Hub id, or a card whose metadata or marks are broken; nothing is written then.
    """
    root = Path(folder)
    if changes.get("license"):
        changes["license"] = check_licence(changes["license"])
    if changes.get("repo_id") and not is_hub_id(changes["repo_id"]):
        raise TriglotError(f"repo_id is {changes['repo_id']!r}; owner/name is needed.")
    given = record if record is not None else read_record(root)
    begun = given if given is not None else CardRecord(root.absolute().name)
    names = read_facts(root, begun).configs  # nothing else is looked at before it is a checkpoint
    if wrong := [name for name in parts or () if name not in names]:
        raise TriglotError(f"{os.fspath(root)!r} has no part {wrong[0]!r}; it has {', '.join(names)}.")
    taken = {
        name: (Part.of_model if name == LANGUAGE_MODEL else Part.of)(place) for name, place in (parts or {}).items()
    }
    weights = weights_digest(root) or ""
    if weights != begun.weights and begun.weights:  # what was measured were other weights
        begun = dataclasses.replace(begun, reports={})
    for name, results in (reports or {}).items():
        check_report(name, results, root, weights)
    base = begun.runs[-1] if begun.runs else None
    for name, results in (base_reports or {}).items():
        if base is None or not base.base:
            raise TriglotError(
                f"{os.fspath(root)!r} has no record of what it was trained from; reports of that have no place."
            )
        if base.base_weights:
            check_report(name, results, base.base_id or base.base, base.base_weights)
    said = card_licence(root / CARD_FILE) or ""
    chosen = changes.get("license") or begun.license or (said if said != UNKNOWN else "")
    written = cleaned(
        dataclasses.replace(
            begun,
            name=changes.get("name") or begun.name,
            license=chosen,
            repo_id=changes.get("repo_id") or begun.repo_id,
            parts={**begun.parts, **taken},
            reports={**begun.reports, **(reports or {})},
            base_reports={**begun.base_reports, **(base_reports or {})},
            weights=weights,
        )
    )
    facts = read_facts(root, written)
    text = _text(root / CARD_FILE, facts)
    with whole_file(root / CARD_FILE) as partial:
        partial.write_text(text, encoding="utf-8")
    if given is not None or reports or base_reports or parts or any(changes.values()):
        write_record(written, root)
    return whole_licence(written)[1]


def card_beside(before: str | os.PathLike, folder: Path, record: CardRecord) -> None:
    """Writes the card of a checkpoint that is about to take the place of an older one, with all that somebody wrote into that one's.

    A run of hours does not fail because of its card: what is wrong is printed.

    Args:
        before: The folder whose place it takes; it need not be there.
        folder: Of the new checkpoint.
        record: What is known of it. Reports of the older one stay where the weights are the same.
    """
    try:
        old = read_record(before) if os.path.isdir(before) else None  # a name that is no folder yet is none of the Hub
        weights = weights_digest(folder)
        if old is not None and old.weights == weights:
            record = dataclasses.replace(
                record,
                license=record.license or old.license,
                repo_id=old.repo_id,
                reports=old.reports,
                base_reports=old.base_reports,
            )
        card = Path(before) / CARD_FILE
        if card.is_file():
            shutil.copyfile(card, folder / CARD_FILE)
        told(write_card(folder, record))
    except (TriglotError, OSError) as error:
        print(f"The card was not written: {error}", file=sys.stderr)


# ---- the file


def _text(file: Path, facts: CardFacts) -> str:
    """The whole card, the author's words among it."""
    sections = card_sections(facts)
    if not file.is_file():
        body = "\n\n".join([f"# {facts.record.name}", *(_marked(name, text) for name, text in sections.items())])
        return f"---\n{_metadata(facts).to_yaml()}\n---\n\n{body}\n"
    content = file.read_text(encoding="utf-8-sig")
    try:
        before: Any = ModelCard(content).data
    except (ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise TriglotError(f"The metadata of {file} cannot be read ({error}); mend or delete the card.") from error
    found = _METADATA.match(content)
    body = content[found.end() :] if found else content
    if len(_SECTION.findall(body)) != len(_BEGIN.findall(body)) or body.count(END) != len(_BEGIN.findall(body)):
        raise TriglotError(
            f"The marks of {file} are broken: every `<!-- triglot card: ... -->` needs its own `{END}` below it."
        )
    own = _BEGIN.search(body) is None

    def renewed(match: re.Match[str]) -> str:
        return _marked(match[1], sections[match[1]]) if match[1] in sections else match[0]

    body = _SECTION.sub(renewed, body)
    merged = _merged(before, _metadata(facts), own)
    order = list(yaml.safe_load(found[1]) or ()) if found else None
    return f"---\n{merged.to_yaml(original_order=order)}\n---\n{body}"


def _marked(name: str, text: str) -> str:
    return f"<!-- triglot card: {name} -->\n{text}\n{END}"


def _metadata(facts: CardFacts) -> ModelCardData:
    record = facts.record
    measured = eval_results(record.reports)
    bases = [part.hub_id for part in record.parts.values() if part.hub_id]
    run = record.runs[-1] if record.runs else None
    relation = None
    if run is not None and run.base_id:
        bases, relation = [run.base_id], "adapter" if facts.adapter else "finetune"
    datasets = [str(source["dataset"]) for run in record.runs for source in run.sources if source.get("dataset")]
    return ModelCardData(
        language=list(facts.languages) or None,
        license=whole_licence(record)[0],
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag=None if facts.adapter else facts.pipeline_tag,
        tags=["triglot", *(["lora"] if facts.adapter else facts.abilities)],
        base_model=list(dict.fromkeys(bases)) or None,
        base_model_relation=relation,
        datasets=list(dict.fromkeys(datasets)) or None,
        metrics=list(dict.fromkeys(METRIC_TYPES[key] for key in _keys(record))) or None,
        model_name=record.name if measured else None,
        eval_results=measured or None,
    )


def _keys(record: CardRecord) -> list[str]:
    return [
        key
        for results in record.reports.values()
        for task in results["tasks"].values()
        for key in task["mean"]
        if key in METRIC_TYPES
    ]


def _merged(before: ModelCardData, made: ModelCardData, own: bool) -> ModelCardData:
    """Metadata of a card that is there: what Triglot does not write stays; of what it writes too, the author's stays in their own card.

    The licence is always that of the whole, and the figures are always those of the record; in a card of their own, authors' figures of
    other data stay beside them.
    """
    old, new = before.to_dict(), made.to_dict()
    index = new.pop("model-index", None)
    there = old.pop("model-index", None)
    merged = {**old, **new} if not own else {**new, **old}
    merged["tags"] = list(dict.fromkeys([*_list(old.get("tags")), *_list(new.get("tags"))]))
    if new.get("license"):
        merged["license"] = new["license"]
    if own and there and index:
        name, results = model_index_to_eval_results(there)
        made_here = {result.dataset_name for result in made.eval_results or ()}
        kept = [result for result in results if result.dataset_name not in made_here]
        return ModelCardData(**merged, model_name=name, eval_results=[*kept, *(made.eval_results or ())])
    index = index or (there if own else None)
    return ModelCardData(**merged, **({"model-index": index} if index else {}))


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


# ---- command line


def told(warnings: list[str]) -> None:
    """What `write_card` returned, on the screen."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def run(arguments: argparse.Namespace) -> Path:
    """`triglot card`, with the arguments of `card_arguments.add_arguments`."""
    told(
        write_card(
            arguments.folder,
            reports=load_reports(arguments.report),
            base_reports=load_reports(arguments.base_report),
            parts=named_parts(arguments.part),
            name=arguments.name or "",
            license=arguments.license or "",
            repo_id=arguments.repo_id or "",
        )
    )
    card = Path(arguments.folder) / CARD_FILE
    print(card)
    return card
