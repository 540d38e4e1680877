"""Packing: examples of different lengths -> rows of one length, with nothing seen across borders.

    row:  input_ids     a a a a b b b c c . .
          position_ids  0 1 2 3 0 1 2 0 1 0 1     each example, and the padding, starts again at 0
          labels        - - A A - B B - C - -     -100 on inputs and padding

          tasks         0 0 0 0 2 2 2 1 1 . .     for the log: which task each id belongs to, NO_TASK on padding

With `attention_mask=None` the model keeps the examples of a row apart by their positions.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...processing.errors import TriglotError
from ...processing.processing_triglot import IGNORE

NO_TASK = 255  # of padding
OPEN_ROWS = 256  # rows that are tried before a new one is begun


def pack(examples: Sequence[Mapping[str, Any]], length: int, seed: int = 0) -> list[list[Mapping[str, Any]]]:
    """Examples -> groups that fit a row each. First fit, among the last `OPEN_ROWS`, on a seeded shuffle.

    Raises:
        TriglotError: an example longer than a row, or no examples.
    """
    if not examples:
        raise TriglotError("There are no examples to pack.")
    longest = max(len(example["input_ids"]) for example in examples)
    if longest > length:
        raise TriglotError(
            f"The longest example has {longest} ids; pack_length is {length}: make it at least as long."
        )
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    groups: list[list[Mapping[str, Any]]] = []
    room: list[int] = []
    open_from = 0  # rows before this one are as good as full
    shortest = min(len(example["input_ids"]) for example in examples)
    for index in order:
        size = len(examples[index]["input_ids"])
        tried = range(max(open_from, len(groups) - OPEN_ROWS), len(groups))
        place = next((i for i in tried if room[i] >= size), None)
        if place is None:
            groups.append([])
            room.append(length)
            place = len(groups) - 1
        groups[place].append(examples[index])
        room[place] -= size
        while open_from < len(groups) and room[open_from] < shortest:
            open_from += 1
    return groups


class PackedRows(torch.utils.data.Dataset):
    """A map-style dataset of packed rows for Trainer.

    With `with_heard` a row also has "heard", the spans of speech that its examples read and the text ids said in them; with the
    names of `tasks`, "tasks", uint8, the place in them of each id's task.
    """

    def __init__(
        self,
        examples: Sequence[Mapping[str, Any]],
        length: int,
        pad_id: int,
        seed: int = 0,
        with_heard: bool = False,
        tasks: Sequence[str] = (),
    ):
        if len(tasks) > NO_TASK:
            raise TriglotError(f"There are {len(tasks)} tasks; at most {NO_TASK} can be told apart.")
        self.with_heard, self.task_places = with_heard, {task: place for place, task in enumerate(tasks)}
        self.groups, self.length, self.pad_id = pack(examples, length, seed), length, pad_id

    @property
    def fill(self) -> float:
        """Share of ids that are no padding."""
        used = sum(len(example["input_ids"]) for group in self.groups for example in group)
        return used / (len(self.groups) * self.length)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> dict[str, Any]:
        heard: list[tuple[int, int, list[int]]] = []
        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        tasks = torch.full((self.length,), NO_TASK, dtype=torch.uint8)
        for example in self.groups[index]:
            if "heard" in example:
                first, last, text = example["heard"]
                heard.append((len(ids) + first, len(ids) + last, text))
            if self.task_places:
                tasks[len(ids) : len(ids) + len(example["input_ids"])] = self.task_places[example["task"]]
            ids += example["input_ids"]
            labels += example["labels"]
            positions += range(len(example["input_ids"]))
        padding = self.length - len(ids)
        return {
            "input_ids": torch.tensor(ids + [self.pad_id] * padding),
            "labels": torch.tensor(labels + [IGNORE] * padding),
            "position_ids": torch.tensor(positions + list(range(padding))),
            **({"heard": heard} if self.with_heard else {}),
            **({"tasks": tasks} if self.task_places else {}),
        }


class InTwoParts(torch.utils.data.Dataset):
    """So many rows of one dataset, then so many of another: a curriculum for a Trainer that samples in order.

    Each part goes through its dataset in a random order, and in another one each time it starts again.

    Args:
        first: Map-style dataset of the first part.
        then: Of the second part.
        first_count: Rows of the first part.
        count: Rows in all.
        seed: Of the orders.
    """

    def __init__(
        self,
        first: torch.utils.data.Dataset,
        then: torch.utils.data.Dataset,
        first_count: int,
        count: int,
        seed: int = 0,
    ):
        rng = random.Random(seed)
        self.places = [(first, place) for place in _in_turns(len(first), min(first_count, count), rng)]  # type: ignore[arg-type]
        self.places += [(then, place) for place in _in_turns(len(then), max(0, count - first_count), rng)]  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Any:
        dataset, place = self.places[index]
        return dataset[place]


def _in_turns(size: int, count: int, rng: random.Random) -> list[int]:
    """`count` places below `size`: all of them in a random order, then in another, and so on."""
    places: list[int] = []
    while len(places) < count:
        places += rng.sample(range(size), size)
    return places[:count]
