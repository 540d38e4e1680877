"""Token rows -> token examples: each row yields every task that its fields allow (AudioPaLM, section 4.1), some more often
than others.

token row {speech_source: codes, text_source: str, ...}  ─▶  contents {slot: codes or text ids}
contents + task                                          ─▶  {"task", "input_ids", "labels", "heard"}, the ids in 4 bytes each

"heard" says what is said in the speech that an example reads: (first, last + 1 position, text ids), where that is known.
"""

import random
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tqdm.auto import tqdm

from ...processing.errors import TriglotError
from ...processing.processing_triglot import TriglotProcessor
from ...processing.task_formats import TaskChain, parse_chain

TEXT_SLOTS = ("text_source", "text_target")


def row_contents(row: Mapping[str, Any], processor: TriglotProcessor) -> dict[str, list[int]]:
    """Codes and text ids of whatever slots the row has; a picture is in no language: it counts for source and target."""
    contents = {slot: processor.text_ids(row[slot]) for slot in TEXT_SLOTS if row.get(slot) is not None}
    for modality in processor.space.names[1:]:
        for slot in (f"{modality}_source", f"{modality}_target"):
            if row.get(slot):
                contents[slot] = row[slot]
    for entry in processor.modalities:
        slots = f"{entry['name']}_source", f"{entry['name']}_target"
        if entry.get("grid") is not None:
            contents |= {
                slot: row[other] for slot, other in (slots, slots[::-1]) if not row.get(slot) and row.get(other)
            }
    return contents


def turned_round(
    row: Mapping[str, Any], contents: Mapping[str, list[int]]
) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """A row and its contents, read from its target to its source."""
    other = {"source": "target", "target": "source"}
    turned = {
        "source_language": row["target_language"],
        "target_language": row["source_language"],
        "recorded": row.get("recorded_target"),
        "recorded_target": row.get("recorded"),
        "recorded_image": row.get("recorded_image"),
    }
    slots = {key: key.rpartition("_") for key in contents}
    return turned, {f"{what}_{other[side]}": contents[key] for key, (what, _, side) in slots.items()}


def allows(row: Mapping[str, Any], contents: Mapping[str, Any], chain: TaskChain) -> bool:
    """Whether a row with these contents gives examples of a task: there is something to read, and nothing noisy to say."""
    keys = [slot.key for slot in chain.outputs]
    noisy = (
        (row.get("recorded") and "speech_source" in keys)
        or (row.get("recorded_target") and "speech_target" in keys)
        or (row.get("recorded_image") and any(key.startswith("image_") for key in keys))
    )
    return not noisy and bool(contents.get(chain.source.key)) and all(key in contents for key in keys)


def draws(chain: TaskChain, processor: TriglotProcessor) -> bool:
    """Whether this is a single task that writes a picture: what guidance needs a prompt without content of."""
    grids = {entry["name"] for entry in processor.modalities if entry.get("grid") is not None}
    return [slot.modality in grids for slot in chain.outputs] == [True]


def row_examples(
    row: Mapping[str, Any],
    contents: Mapping[str, Sequence[int]],
    processor: TriglotProcessor,
    weights: Mapping[str, float],
    rng: random.Random,
    condition_dropout: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """The examples of one row; what was recorded (noisy) is heard but not imitated.

    Args:
        row: A token row; its "weight" of a mixture counts as well.
        contents: Its `row_contents`.
        processor: Makes ids of them.
        weights: {task: how many examples of it a row gives on average}; 0.25 gives one in a quarter of the rows, and the same
            quarter in every epoch, since rows are drawn here, before they are packed.
        rng: Draws those rows.
        condition_dropout: Share of the examples of single tasks that draw a picture whose input is left out, so that the model also
            learns what pictures look like at all: the twin of classifier-free guidance (arXiv 2207.12598, section 3.2).
    """
    for task, weight in weights.items():
        chain = parse_chain(task)
        weight *= row.get("weight", 1.0)
        times = int(weight) + (rng.random() < weight % 1)
        if times and allows(row, contents, chain):
            target = row.get("target_language") if chain.translates else None
            languages = row["source_language"], target
            example = compact_example(task, **processor.training_example(task, *languages, contents))
            twin = None
            if condition_dropout and draws(chain, processor):
                nothing = {**contents, chain.source.key: []}
                twin = compact_example(task, **processor.training_example(task, *languages, nothing))
            if chain.source.modality == "speech" and "text_source" in contents:
                begin = example["input_ids"].index(processor.space.span_ids("speech")[0]) + 1
                example["heard"] = (begin, begin + len(contents["speech_source"]), contents["text_source"])
            for _ in range(times):
                yield twin if twin is not None and rng.random() < condition_dropout else example


def compact_example(task: str, input_ids: Sequence[int], labels: Sequence[int]) -> dict[str, Any]:
    """An example as it is held for a whole training: 4 bytes an id and 4 a label, where lists of Python's numbers take 47 for both."""
    return {"task": task, "input_ids": array("i", input_ids), "labels": array("i", labels)}


def held_facts(examples: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """{task: "examples, share of the ids that carry loss"} for reports."""
    counts, labelled = Counter[str](), Counter[str]()
    for example in examples:
        counts[example["task"]] += 1
        labelled[example["task"]] += sum(label >= 0 for label in example["labels"])
    whole = sum(labelled.values())
    return {
        task: f"{count} examples, {labelled[task] / whole:.0%} of the ids that are learnt"
        for task, count in counts.items()
    }


def token_examples(
    rows: Sequence[Mapping[str, Any]],
    processor: TriglotProcessor,
    weights: Mapping[str, float],
    seed: int = 0,
    both_directions: bool = False,
    condition_dropout: float = 0.0,
) -> list[dict[str, Any]]:
    """All examples of all rows.

    Args:
        rows: Token rows.
        processor: Makes ids of them.
        weights: As in `row_examples`.
        seed: Of the draw where a weight is no whole number: which rows are left out of all epochs.
        both_directions: Whether rows with a target language are read a second time, from target to source.
        condition_dropout: As in `row_examples`.

    Raises:
        TriglotError: a task that no row allows, or an unknown task or language.
    """
    rng = random.Random(seed)
    examples: list[dict[str, Any]] = []
    for row in tqdm(rows, desc="examples", unit="row"):
        contents = row_contents(row, processor)
        examples += row_examples(row, contents, processor, weights, rng, condition_dropout)
        if both_directions and row.get("target_language"):
            examples += row_examples(*turned_round(row, contents), processor, weights, rng, condition_dropout)
    absent = sorted(set(weights) - {example["task"] for example in examples})
    if absent:
        raise TriglotError(
            f"No row gives an example of {absent}: it lacks the fields, or the weight is too small; fields are "
            f"{sorted(rows[0]) if len(rows) else []}."
        )
    return examples
