"""Line-aligned texts become a speech corpus: files, speakers, recordings, token rows, and a recipe of them."""

import gzip
import os
from pathlib import Path

import pytest

from triglot.processing.errors import TriglotError
from triglot.training.data.spoken_text import SpokenTextArguments, SpokenTextRows, parallel_sentences, spoken_text
from triglot.training.run_recipe import load_recipe, run_recipe

TOKENIZER = str(Path(__file__).parents[2] / "hub_configs" / "triglot-tiny" / "speech_tokenizer")
TEXTS = {
    "en": ["A dog runs.", "Two men sit.", "A girl reads a book."],
    "de": ["Ein Hund rennt.", "Zwei Männer sitzen.", "Ein Mädchen liest ein Buch."],
    "fr": ["Un chien court.", "Deux hommes sont assis.", "Une fille lit un livre."],
}


@pytest.fixture
def folder(tmp_path):
    for language, lines in TEXTS.items():
        content = "".join(f"{line}\n" for line in lines).encode()
        if language == "de":
            (tmp_path / f"train.{language}").write_bytes(content)
        else:
            (tmp_path / f"train.{language}.gz").write_bytes(gzip.compress(content))
    return tmp_path


def arguments_for(folder, **more):
    return SpokenTextArguments(**{"folder": str(folder), "languages": "en de fr", **more})


def test_lines_stay_together(folder):
    sentences = parallel_sentences(arguments_for(folder))
    assert list(sentences) == [dict(zip(TEXTS, line)) for line in zip(*TEXTS.values())]
    assert len(parallel_sentences(arguments_for(folder, sentences=2))) == 2


def test_a_line_that_is_empty_in_one_language_is_left_out(folder):
    (folder / "train.de").write_text("Ein Hund rennt.\n\nEin Mädchen liest ein Buch.\n", encoding="utf-8")
    assert [row["en"] for row in parallel_sentences(arguments_for(folder))] == ["A dog runs.", "A girl reads a book."]


@pytest.mark.parametrize(
    "more, message",
    [
        ({"split": "val"}, "val.en"),
        ({"languages": "en de", "voices": "all"}, "voices"),
        ({"languages": "en"}, "two or more"),
        ({"languages": "en xx"}, "unknown"),
        ({"spoken_pairs": 3}, "spoken_pairs"),
        ({"directions": "all"}, "directions"),
    ],
)
def test_wrong_settings_are_refused(folder, more, message):
    with pytest.raises(TriglotError, match=message):
        parallel_sentences(arguments_for(folder, **more))


def test_files_of_different_lengths_and_broken_ones_are_refused(folder):
    (folder / "train.de").write_text("Ein Hund rennt.\n", encoding="utf-8")
    with pytest.raises(TriglotError, match="line by line"):
        parallel_sentences(arguments_for(folder))
    (folder / "train.fr.gz").write_bytes(b"no gzip")
    with pytest.raises(TriglotError, match="cannot be read"):
        parallel_sentences(arguments_for(folder, sentences=1))


def test_recordings_go_round_the_languages_or_come_from_the_first(folder):
    ring = spoken_text(arguments_for(folder))
    assert [(row["source_language"], row["target_language"]) for row in ring] == [
        ("en", "de"), ("de", "fr"), ("fr", "en"),
    ]  # fmt: skip
    assert ring[1]["transcript"] == "Zwei Männer sitzen." and ring[1]["translated_transcript"] == TEXTS["fr"][1]
    first = spoken_text(arguments_for(folder, directions="first", recordings=2))
    assert [row["target_language"] for row in first] == ["de", "fr"] * 2
    assert first[0]["audio"]["bytes"] == first[1]["audio"]["bytes"] != first[2]["audio"]["bytes"]
    both = spoken_text(arguments_for(folder, directions="both", recordings=1))
    pairs = [(row["source_language"], row["target_language"]) for row in both]
    assert pairs == [("en", "de"), ("en", "fr"), ("de", "en"), ("fr", "en")]


def test_two_processes_speak_as_one(folder):
    one, two = (spoken_text(arguments_for(folder, workers=workers)) for workers in (1, 2))
    assert one.to_list() == two.to_list()


def test_token_rows_speak_the_first_language_always_and_the_others_in_turn(folder):
    rows_of = SpokenTextRows(TOKENIZER, arguments_for(folder), seed=1)
    rows = rows_of(0, rows_of.count())
    assert len(rows) == 6 and all(row["speech_source"] for row in rows)
    assert [bool(row["speech_target"]) for row in rows] == [True, False, False, True, True, False]
    assert rows[0]["speech_source"] == rows[1]["speech_source"]
    assert rows_of(3, 5) == rows[3:5]  # a row depends on its number alone


def test_the_smoke_recipe_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    os.symlink(folder, folder / "multi30k")
    checkpoint = run_recipe(load_recipe("multi30k_speech_smoke"))
    assert (checkpoint / "config.json").is_file()


def test_a_recipe_has_one_kind_of_data(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("data: {}\nspoken_text: {}\n")
    with pytest.raises(TriglotError, match="one of them"):
        load_recipe(recipe)
    recipe.write_text("spoken_text: {}\ntokens: {rows: 5}\n")
    with pytest.raises(TriglotError, match="demo world"):
        load_recipe(recipe)
