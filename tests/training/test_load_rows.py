"""Rows from wherever they lie."""

import json

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from test_sources import write_samples

from triglot.processing.audio_io import load_audio, write_audio
from triglot.processing.errors import TriglotError
from triglot.training.data import load_rows
from triglot.training.data.load_rows import BROKEN, open_rows


def test_what_datasets_saves_and_what_it_finds_in_a_folder(tmp_path):
    rows = Dataset.from_dict({"transcript": ["a", "b"]})
    rows.save_to_disk(str(tmp_path / "rows"))
    rows.to_parquet(str(tmp_path / "rows.parquet"))
    DatasetDict(train=rows, test=rows.select([1])).save_to_disk(str(tmp_path / "splits"))
    assert open_rows(str(tmp_path / "rows"))["transcript"][:] == ["a", "b"]
    assert open_rows(str(tmp_path / "rows.parquet"))["transcript"][:] == ["a", "b"]
    assert open_rows(str(tmp_path / "splits"), "test")["transcript"][:] == ["b"]
    (tmp_path / "sounds").mkdir()
    write_audio(tmp_path / "sounds" / "one.wav", np.full(8_000, 0.1, np.float32), 16_000)
    (tmp_path / "sounds" / "more").mkdir()
    write_audio(tmp_path / "sounds" / "more" / "TWO.WAV", np.full(4_000, 0.1, np.float32), 16_000)
    (tmp_path / "sounds" / "readme.txt").write_text("no sound")
    sounds = open_rows(str(tmp_path / "sounds"), streaming=True)
    lengths = [len(load_audio(row["audio"], target_rate=16_000)) for row in sounds]
    assert sounds.column_names == ["audio"] and sorted(lengths) == [4_000, 8_000]


@pytest.mark.parametrize("streaming", [False, True])
def test_nothing_there(tmp_path, streaming):
    Dataset.from_dict({"transcript": ["a"]}).save_to_disk(str(tmp_path / "rows"))
    DatasetDict(train=Dataset.from_dict({"transcript": ["a"]})).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(TriglotError, match="There are no rows 'train' in"):
        open_rows(str(tmp_path / "nowhere"), streaming=streaming)
    with pytest.raises(TriglotError, match=r"There are no rows 'test' in .*test"):
        open_rows(str(tmp_path / "splits"), "test", streaming=streaming)


def test_lines_of_json_end_at_line_feeds_alone(tmp_path):
    rows = [{"text": "one\u2028line\x85"}, {"text": "another"}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\ufeff" + "\n\n".join(lines) + "\n", encoding="utf-8")
    assert list(open_rows(str(tmp_path / "rows.jsonl"))) == rows


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_large_samples_of_an_archive_are_not_unpacked(mode, tmp_path, monkeypatch):
    monkeypatch.setattr(load_rows, "MOST_BYTES", 1_000)
    halves = {"a": bytes(600), "b": bytes(600)}
    write_samples(
        tmp_path / "rows.tar", {"0": {"a": b"x"}, "1": {"a": bytes(10**6)}, "2": halves, "3": {"b": b"y"}}, mode
    )
    first, large, both, last = open_rows(str(tmp_path / "rows.tar"))
    assert (first["a"]["bytes"], last["b"]["bytes"]) == (b"x", b"y")
    assert "1: 1000000 bytes" in large[BROKEN] and "2: 1200 bytes" in both[BROKEN]
