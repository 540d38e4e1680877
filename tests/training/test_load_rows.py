"""Rows from wherever they lie."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from triglot.processing.audio_io import load_audio, write_audio
from triglot.processing.errors import TriglotError
from triglot.training.data.load_rows import open_rows


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
