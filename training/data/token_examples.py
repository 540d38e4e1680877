"""Token rows -> token examples: each row yields every task that its fields allow (AudioPaLM, section 4.1).

token row {speech_source: codes, text_source: str, ...}  ─▶  contents {slot: codes or text ids}
contents + task                                          ─▶  {"task", "input_ids", "labels"}
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tqdm.auto import tqdm

from ...processing.errors import TriglotError
from ...processing.processing_triglot import TriglotProcessor
from ...processing.task_formats import parse_chain

TEXT_SLOTS = ("text_source", "text_target")


def row_contents(row: Mapping[str, Any], processor: TriglotProcessor) -> dict[str, list[int]]:
    """Codes and text ids of whatever slots the row has."""
    contents = {slot: processor.text_ids(row[slot]) for slot in TEXT_SLOTS if row.get(slot)}
    for modality in processor.space.names[1:]:
        for slot in (f"{modality}_source", f"{modality}_target"):
            if row.get(slot):
                contents[slot] = row[slot]
    return contents


def row_examples(
    row: Mapping[str, Any], contents: Mapping[str, Sequence[int]], processor: TriglotProcessor, tasks: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """One example for each task that the contents allow; a recorded (noisy) source is heard but not imitated."""
    for task in tasks:
        chain = parse_chain(task)
        keys = [slot.key for slot in chain.outputs]
        if row.get("recorded") and "speech_source" in keys:
            continue
        if all(key in contents for key in (chain.source.key, *keys)):
            target = row.get("target_language") if chain.translates else None
            yield {"task": task, **processor.training_example(task, row["source_language"], target, contents)}


def token_examples(
    rows: Sequence[Mapping[str, Any]], processor: TriglotProcessor, tasks: Sequence[str]
) -> list[dict[str, Any]]:
    """All examples of all rows.

    Raises:
        TriglotError: a task that no row allows, or an unknown task or language.
    """
    examples: list[dict[str, Any]] = []
    for row in tqdm(rows, desc="examples", unit="row"):
        examples += row_examples(row, row_contents(row, processor), processor, tasks)
    absent = sorted(set(tasks) - {example["task"] for example in examples})
    if absent:
        raise TriglotError(
            f"No row has the fields that {absent} need; fields are {sorted(rows[0]) if len(rows) else []}."
        )
    return examples
