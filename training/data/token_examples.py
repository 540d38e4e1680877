"""Rows of sound and text -> token examples: each row yields every task that its fields allow (AudioPaLM, section 4.1).

row {audio, transcript, translated_audio, ...} -> contents {"speech_source": codes, "text_source": ids, ...}
contents + task -> {"input_ids", "labels", "task"}
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tqdm.auto import tqdm

from ...processing.errors import TriglotError
from ...processing.processing_triglot import TriglotProcessor
from ...processing.task_formats import parse_chain

# column of a row -> slot of an example
SOUND_COLUMNS = {"audio": "speech_source", "translated_audio": "speech_target"}
TEXT_COLUMNS = {"transcript": "text_source", "translated_transcript": "text_target"}


def row_contents(row: Mapping[str, Any], processor: TriglotProcessor) -> dict[str, list[int]]:
    """Text ids and codes of whatever fields the row has."""
    contents = {slot: processor.text_ids(row[column]) for column, slot in TEXT_COLUMNS.items() if row.get(column)}
    for column, slot in SOUND_COLUMNS.items():
        if row.get(column) is not None:
            wave = processor.load_audio(row[column], name=column)
            contents[slot] = processor.codecs.encode("speech", [wave])[0].tolist()
    return contents


def row_examples(
    row: Mapping[str, Any], contents: Mapping[str, Sequence[int]], processor: TriglotProcessor, tasks: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """One example for each task that the contents allow."""
    for task in tasks:
        chain = parse_chain(task)
        if all(slot.key in contents for slot in (chain.source, *chain.outputs)):
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
    for row in tqdm(rows, desc="tokenising"):
        examples += row_examples(row, row_contents(row, processor), processor, tasks)
    absent = sorted(set(tasks) - {example["task"] for example in examples})
    if absent:
        raise TriglotError(
            f"No row has the fields that {absent} need; columns are {sorted(rows[0]) if len(rows) else []}."
        )
    return examples
