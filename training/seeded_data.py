"""Rows and batches whose chances depend on seed, epoch and place alone, so that a run that was cut off goes on bit for bit.

Trainers draw crops, conditions and neighbours from torch's global generator, in a dataset or a collator. A loader fetches ahead of the
step: the state of that generator in a checkpoint is not the one that the next batch was drawn with. Here every row and every batch is
drawn from a generator state of its own, and the global one is left as it was.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback


def seeded_data(dataset: Any, collate: Callable[[list[Any]], Any], seed: int) -> dict[str, Any]:
    """train_dataset, data_collator and callbacks for a `Trainer`.

    Args:
        dataset: With len and [index]; what it draws from torch's global generator will be drawn by seed, epoch and index.
        collate: Items -> batch; what it draws will be drawn by the batch's first item.
        seed: Of the run.
    """
    rows = _SeededRows(dataset, seed)
    return {"train_dataset": rows, "data_collator": _SeededCollator(collate), "callbacks": [_TellsEpoch(rows)]}


@contextmanager
def drawn_by(seed: int) -> Iterator[None]:
    """Within it, torch's global generator of the CPU starts at `seed`; after it, it is where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@dataclass(frozen=True)
class _Row:
    value: Any
    seed: int


class _SeededRows(torch.utils.data.Dataset):
    def __init__(self, dataset: Any, seed: int):
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> _Row:
        digest = hashlib.blake2b(f"{self.seed} {self.epoch} {int(index)}".encode(), digest_size=7).digest()
        seed = int.from_bytes(digest, "big")
        with drawn_by(seed):
            return _Row(self.dataset[index], seed)


class _SeededCollator:
    def __init__(self, collate: Callable[[list[Any]], Any]):
        self.collate = collate

    def __call__(self, rows: Sequence[_Row]) -> Any:
        with drawn_by(rows[0].seed + 1):  # not what the first row has drawn
            return self.collate([row.value for row in rows])


class _TellsEpoch(TrainerCallback):
    """`set_epoch` of accelerate reaches the sampler or the dataset, not both."""

    def __init__(self, rows: _SeededRows):
        self.rows = rows

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.rows.epoch = int(state.epoch or 0)
