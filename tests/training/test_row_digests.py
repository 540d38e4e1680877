"""What tells one set of rows from another."""

import numpy as np
import pytest
from datasets import Audio, Dataset, IterableDataset

from triglot.training.data.row_digests import dataset_digest, rows_digest


def spoken(count, **changed):
    rows = [{"bytes": bytes([number % 250]), "path": changed.get(f"path{number}")} for number in range(count)]
    texts = [changed.get(f"text{number}", f"row {number}") for number in range(count)]
    return Dataset.from_dict({"audio": rows, "transcript": texts})


def test_a_dataset_is_known_by_its_size_and_rows_all_over_it():
    digest = dataset_digest(spoken(500))
    assert digest == dataset_digest(spoken(500)) == dataset_digest(spoken(500).cast_column("audio", Audio()))
    others = [spoken(501), spoken(500, text0="another"), spoken(500, text499="another"), spoken(500, path0="a.wav")]
    assert len({digest, *map(dataset_digest, others)}) == 5
    assert dataset_digest(spoken(20, text7="another")) != dataset_digest(spoken(20))  # few rows are all looked at


@pytest.mark.parametrize("nothing", [None, [], IterableDataset.from_generator(lambda: iter([{"a": 1}]))])
def test_of_a_stream_nothing_is_known(nothing):
    assert dataset_digest(nothing) == ""


def test_rows_are_told_apart_by_what_they_hold():
    rows = [{"codes": [1, 2], "text": "hallo", "sound": b"\x00\x01", "wave": np.zeros(3, np.float32)}]
    same = [{"wave": np.zeros(3, np.float32), "sound": b"\x00\x01", "text": "hallo", "codes": [1, 2]}]
    assert rows_digest(rows) == rows_digest(same)
    for name, value in (
        ("codes", [2, 1]),
        ("sound", b"\x00"),
        ("wave", np.zeros(3)),
        ("wave", np.ones(3, np.float32)),
    ):
        assert rows_digest([{**rows[0], name: value}]) != rows_digest(rows), name
    assert rows_digest([{"a": object()}]) == rows_digest([{"a": object()}])  # no address gets in
