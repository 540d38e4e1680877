"""Token rows: shards that are whole or absent, the same rows however they are made, and the demo world on the fly."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from triglot import FeatureUnits, TriglotError
from triglot.processing.audio_io import load_audio
from triglot.training.data import token_rows
from triglot.training.data.demo_world import DemoWorldArguments, demo_world, speak
from triglot.training.data.token_rows import (
    DatasetRows,
    DemoWorldRows,
    TokensArguments,
    write_shards,
)
from triglot.training.data.token_shards import read_rows, shard_path


def world(random_checkpoint, recorded_share=0.5, seed=0, **counts):
    folder = str(random_checkpoint / "speech_tokenizer")
    arguments = TokensArguments(**(counts or {"rows": 1_000}), recorded_share=recorded_share)
    return DemoWorldRows(folder, ("en", "es", "hi"), arguments, seed)


def test_a_row_on_the_fly_depends_on_its_number_alone(random_checkpoint):
    make = world(random_checkpoint)
    rows = make(0, 6)
    assert make(4, 6) == rows[4:] and make(0, 6) == rows
    assert world(random_checkpoint, seed=1)(0, 6) != rows
    assert len({row["text_source"] for row in rows}) == 6
    for row in rows:
        assert row["source_language"] != row["target_language"]
        assert len(row["speech_source"]) > 20 and max(row["speech_source"]) < 30


def test_rows_after_the_spoken_ones_hold_text_alone(random_checkpoint, tmp_path):
    make = world(random_checkpoint, rows=1, text_rows=2)
    write_shards(tmp_path, 3, 2, make)
    spoken, *silent = read_rows(tmp_path)
    assert spoken["speech_source"] and spoken["speech_target"]
    assert [row["text_target"] for row in silent] == [row["text_target"] for row in world(random_checkpoint)(1, 3)]
    assert all(row["speech_source"] is None and row["speech_target"] is None for row in silent)


def test_a_word_of_one_quick_sound_is_a_row_too(random_checkpoint, monkeypatch):
    quick = np.full(2_000, 0.1, np.float32), 22_050
    monkeypatch.setattr("triglot.training.data.token_rows.speak", lambda *_: quick)
    rows = world(random_checkpoint, fragment_rows=4)(0, 4)
    assert all(len(row["speech_source"]) >= 4 for row in rows)  # 0.2 s of 25 Hz; 0.09 s is no audio at all


def test_fragments_are_words_of_a_sentence_or_of_the_dictionary(random_checkpoint):
    rows = world(random_checkpoint, fragment_rows=60)(0, 60)
    neighbours = [row for row in rows if "target_language" not in row]
    listed = [row for row in rows if "target_language" in row]
    assert len(neighbours) > 15 and len(listed) > 15
    counts = [len(row["text_source"].split()) for row in neighbours]
    assert set(counts) == {1, 2, 3, 4} and counts.count(1) > counts.count(4)
    assert all(row["text_target"] and row["source_language"] != row["target_language"] for row in listed)
    assert {row["source_language"] for row in neighbours} == {"en", "es", "hi"}
    assert all(row["speech_source"] and "speech_target" not in row for row in rows)
    assert {row["recorded"] for row in rows} == {True, False}


def test_words_as_text_alone_come_last(random_checkpoint):
    rows = world(random_checkpoint, text_rows=1, text_fragment_rows=20)(0, 21)
    assert len(rows[0]["text_source"].split()) >= 3
    assert all(1 <= len(row["text_source"].split()) <= 6 and row["text_target"] for row in rows[1:])
    assert not any("speech_source" in row for row in rows)


def test_of_several_phrases_the_one_with_the_rarest_word_is_taken(random_checkpoint):
    def items(choice):
        rows = world(random_checkpoint, text_rows=400, rare_choice=choice, rare_share=1.0)(0, 400)
        return [row["text_source"] for row in rows]

    plain, rare = items(1), items(3)
    scene = {text for text in plain if text.split()[0] in ("a", "un", "una", "एक") and text in rare}
    assert len(scene) > 100, "scenes stay as they are"
    counts = token_rows._word_counts()

    def mean_of_rarest(texts):
        return np.mean([min(counts[word] for word in text.split()) for text in texts if text not in scene])

    assert mean_of_rarest(rare) < 0.6 * mean_of_rarest(plain)


def test_patterns_of_frequent_words_keep_their_place(random_checkpoint):
    def often(**arguments):
        rows = world(random_checkpoint, text_rows=3_000, **arguments)(0, 3_000)
        return sum(
            words in row[side] for row in rows for side in ("text_source", "text_target")
            for words in ("speaks a little", "habla un poco de", "थोड़ी")
        )  # fmt: skip

    natural, mixed = often(), often(rare_choice=3)
    assert natural > 25 and mixed > 0.35 * natural
    assert often(rare_choice=3, rare_share=1.0) < 0.2 * natural


def test_other_rows_are_sounds_in_which_nothing_is_said(random_checkpoint):
    rows = world(random_checkpoint, wordless_rows=12)(0, 12)
    assert all(row["text_source"] == row["text_target"] == "" and row["recorded"] for row in rows)
    assert len({len(row["speech_source"]) for row in rows}) > 6
    assert {len(row["speech_target"]) for row in rows} == {6}


def test_targets_are_clean_and_recorded_sources_are_not(random_checkpoint):
    units = FeatureUnits.from_pretrained(random_checkpoint / "speech_tokenizer")

    def clean(text, language, speaker):
        wave, rate = speak(text, language, speaker)
        return units.encode([load_audio_tensor(wave, rate)])[0].tolist()

    recorded = world(random_checkpoint, recorded_share=1.0)(0, 4)
    (plain,) = world(random_checkpoint, recorded_share=0.0)(0, 1)
    assert all(row["recorded"] for row in recorded) and not plain["recorded"]
    for row in (*recorded, plain):
        assert row["speech_target"] == clean(row["text_target"], row["target_language"], row["speaker"])
    assert plain["speech_source"] == clean(plain["text_source"], plain["source_language"], plain["speaker"])
    changed = [
        row["speech_source"] != clean(row["text_source"], row["source_language"], row["speaker"]) for row in recorded
    ]
    assert any(changed), "some rooms are quiet, not all"


def load_audio_tensor(wave, rate):
    import torch

    return torch.from_numpy(load_audio(wave, rate, target_rate=16_000))


def test_missing_shards_are_made_and_the_others_kept(random_checkpoint, tmp_path):
    calls = []

    def make(first, last):
        calls.append((first, last))
        return world(random_checkpoint)(first, last)

    paths = write_shards(tmp_path, 5, 2, make)
    assert calls == [(0, 2), (2, 4), (4, 5)] and len(paths) == 3
    rows = read_rows(tmp_path)
    assert rows == world(random_checkpoint)(0, 5)
    shard_path(tmp_path, 1).unlink()  # as after a kill
    write_shards(tmp_path, 5, 2, make)
    assert calls[3:] == [(2, 4)] and read_rows(tmp_path) == rows
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in paths]


def test_a_kill_inside_a_shard_leaves_none(random_checkpoint, tmp_path):
    def fail(first, last):
        if first:
            raise RuntimeError("killed")
        return world(random_checkpoint)(first, last)

    with pytest.raises(RuntimeError):
        write_shards(tmp_path, 4, 2, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.parquet"]


def test_more_processes_make_the_same_shards(random_checkpoint, tmp_path):
    make = world(random_checkpoint)
    write_shards(tmp_path / "two", 4, 2, make, workers=2)
    assert read_rows(tmp_path / "two") == make(0, 4)


def test_a_dataset_gives_its_rows_in_order(random_checkpoint, tmp_path):
    rows = demo_world(DemoWorldArguments(sentences=2))
    rows.save_to_disk(str(tmp_path / "rows"))
    made = DatasetRows(str(tmp_path / "rows"), str(random_checkpoint / "speech_tokenizer"))(1, 4)
    assert [row["text_source"] for row in made] == rows["transcript"][1:4]
    assert not any(row["recorded"] for row in made)


def test_refused(tmp_path):
    with pytest.raises(TriglotError, match="no shards"):
        read_rows(tmp_path)
    with pytest.raises(TriglotError, match="recorded_share"):
        TokensArguments(recorded_share=2.0)


def test_an_error_leaves_the_shards_that_were_not_begun(tmp_path, monkeypatch):
    made = []

    def make(first, last):
        if first == 0:
            raise TriglotError("a source of no use")
        time.sleep(0.02)
        made.append(first)
        return [{"text_source": "a", "source_language": "en"}]

    monkeypatch.setattr(token_rows, "ProcessPoolExecutor", lambda workers, *_: ThreadPoolExecutor(workers))
    with pytest.raises(TriglotError, match="of no use"):
        write_shards(tmp_path, 100, 1, make, workers=2)
    assert len(made) < 99
