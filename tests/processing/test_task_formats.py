"""Task formats: the seven tasks, every chain whose ends fit, tags and languages."""

import itertools

import pytest

from triglot import TriglotError
from triglot.processing.languages import LANGUAGES, resolve_language
from triglot.processing.task_formats import TASKS, TaskFormat, parse_chain, register_task


@pytest.mark.parametrize(
    ("name", "source", "outputs"),
    [
        ("ASR", "speech_source", ["text_source"]),
        ("AST", "speech_source", ["text_target"]),
        ("S2ST", "speech_source", ["speech_target"]),
        ("TTS", "text_source", ["speech_source"]),
        ("MT", "text_source", ["text_target"]),
        ("CAPTION", "image_source", ["text_source"]),
        ("T2I", "text_source", ["image_source"]),
        ("ASR AST S2ST", "speech_source", ["text_source", "text_target", "speech_target"]),
        ("ASR MT TTS", "speech_source", ["text_source", "text_target", "speech_target"]),
        ("CAPTION MT TTS", "image_source", ["text_source", "text_target", "speech_target"]),
        ("CAPTION TTS", "image_source", ["text_source", "speech_source"]),
        ("ASR T2I", "speech_source", ["text_source", "image_source"]),
    ],
)
def test_what_is_read_and_written(name, source, outputs):
    chain = parse_chain(name)
    assert chain.source.key == source
    assert [slot.key for slot in chain.outputs] == outputs
    assert chain.name == name


def test_every_pair_of_tasks_either_chains_or_says_what_is_missing():
    for pair in itertools.permutations(TASKS, 2):
        try:
            chain = parse_chain(" ".join(pair))
        except TriglotError as error:
            assert "reads" in str(error) or "a second time" in str(error)
        else:
            assert len(chain.outputs) == 2


def test_tags_are_the_papers():
    assert parse_chain("ASR").tag("French") == "[ASR French]"
    assert parse_chain("ASR").tag("French", "English") == "[ASR French]"
    assert parse_chain("S2ST").tag("English", "French") == "[S2ST English French]"
    assert parse_chain("ASR AST S2ST").tag("English", "French") == "[ASR AST S2ST English French]"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "no task"),
        ("SING", "unknown task 'SING'"),
        ("ASR CAPTION", "reads image"),
        (None, "no task"),
        ("MT MT", "a second time"),
    ],
)
def test_refused_chains(name, message):
    with pytest.raises(TriglotError, match=message):
        parse_chain(name)


def test_a_new_task_is_one_line(monkeypatch):
    monkeypatch.setattr("triglot.processing.task_formats.TASKS", TASKS.copy())
    register_task(TaskFormat("LIPREAD", "video", "text"))
    assert parse_chain("LIPREAD MT").outputs[1].key == "text_target"
    with pytest.raises(TriglotError, match="registered already"):
        register_task(TaskFormat("ASR", "video", "text"))
    with pytest.raises(TriglotError, match="one word"):
        register_task(TaskFormat("LIP READ", "video", "text"))


def test_languages_by_code_and_name():
    for code, name in LANGUAGES.items():
        assert resolve_language(code) == resolve_language(name.upper()) == resolve_language(f" {name} ") == code
    assert len(set(LANGUAGES.values())) == len(LANGUAGES)


@pytest.mark.parametrize("language", ["Klingon", "fr", "", None, 7])
def test_unknown_languages_list_the_known_ones(language):
    with pytest.raises(TriglotError, match=r"en \(English\), es \(Spanish\)"):
        resolve_language(language, ["en", "es"])


def test_a_typing_error_names_the_nearest():
    with pytest.raises(TriglotError, match="Did you mean 'spanish'"):
        resolve_language("Spansih", ["en", "es"])
