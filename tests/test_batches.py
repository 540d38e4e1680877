"""Many inputs of one command: what is found, what the files are called, and what happens when some of it fails."""

import argparse
import json
from types import SimpleNamespace

import pytest

from triglot import TriglotError
from triglot.batches import Input, find_files, output_names, run_batches, several_files
from triglot.command_output import Output


def output(**settings):
    return Output(argparse.Namespace(**{"verb": "try", "json": False, "quiet": False, **settings}))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.wav", "a.wav", "x/a.wav", "x/y/c.wav", "[1].wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()


def test_wildcards_are_sorted_and_files_are_taken_once(tree):
    assert find_files(["*.wav"]) == ["[1].wav", "a.wav", "b.wav"]
    assert find_files(["b.wav", "./b.wav", "?.wav"]) == ["b.wav", "a.wav"]
    assert find_files(["x/**/*.wav"]) == ["x/a.wav", "x/y/c.wav"]
    assert find_files(["[1].wav", "no.wav"]) == [
        "[1].wav",
        "no.wav",
    ]  # one that is missing is told when its turn comes
    assert find_files(["x/*"]) == ["x/a.wav"]
    for word in ("*.ogg", "x"):
        with pytest.raises(TriglotError):
            find_files([word])


def test_names_do_not_collide():
    assert output_names(["-"]) == ["stdin"]
    assert output_names(["in/a.wav", "other/b.mp3"]) == ["a", "b"]
    assert output_names(["in/a.wav", "other/a.wav", "in/deep/b.wav"]) == ["in/a", "other/a", "in/deep/b"]
    assert output_names(["in/A.wav", "other/a.wav"]) == ["in/A", "other/a"]
    assert output_names(["in/a.wav", "in/a.mp3"]) == ["a.wav", "a.mp3"]
    assert several_files("x.png", 1) == ["x.png"] and several_files("d/x.png", 2) == ["d/x-1.png", "d/x-2.png"]


class Work:
    """Doubles numbers, refuses odd ones; remembers the batches."""

    def __init__(self):
        self.batches = []

    def __call__(self, contents):
        self.batches.append(list(contents))
        if any(number % 2 for number in contents):
            raise TriglotError("odd")
        return [2 * number for number in contents]


def run(numbers, as_json=False, batch_size=4, keep=lambda item, result: ({"twice": result}, str(result))):
    work = Work()
    inputs = [Input(f"n{number}", number) for number in numbers]
    return run_batches(inputs, work, keep, output(json=as_json), batch_size), work.batches


def test_a_batch_is_one_call(capsys):
    assert run([2, 4, 6, 8, 10]) == (0, [[2, 4, 6, 8], [10]])
    assert capsys.readouterr().out.splitlines() == ["n2\t4", "n4\t8", "n6\t12", "n8\t16", "n10\t20"]


def test_those_that_fail_are_found_and_the_others_are_done(capsys):
    code, batches = run([2, 4, 6, 7, 8], as_json=True)
    out, err = capsys.readouterr()
    assert code == 3 and batches == [[2, 4, 6, 7], [2, 4], [6, 7], [6], [7], [8]]
    found = [json.loads(line) for line in out.splitlines()]
    assert found[2:4] == [{"input": "n6", "twice": 12}, {"input": "n7", "error": "odd"}] and len(found) == 5
    assert err.splitlines() == ["triglot try: n7: odd", "triglot try: 1 of 5 inputs failed"]
    assert run([1, 3])[0] == 1
    with pytest.raises(TriglotError, match="odd"):
        run([1])


def test_a_file_that_cannot_be_written_is_one_that_failed(capsys):
    def keep(item, result):
        if result == 4:
            raise OSError("no room")
        return {}, ""

    assert run([2, 4, 6], keep=keep)[0] == 3 and "n2: no room" in capsys.readouterr().err


def test_inputs_are_taken_as_they_come():
    taken = []

    def numbers():
        for number in range(0, 12, 2):
            taken.append(number)
            yield Input(str(number), number)

    seen = []
    code = run_batches(numbers(), Work(), lambda item, _: seen.append(len(taken)) or ({}, ""), output(), 2)
    assert code == 0 and seen == [2, 2, 4, 4, 6, 6]


def test_a_bar_only_for_several_inputs_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.stderr", SimpleNamespace(isatty=lambda: True, write=(said := []).append, flush=lambda: None)
    )
    inputs = [Input("a", 2), Input("b", 4)]
    for settings, some, bar in (({}, inputs, True), ({"quiet": True}, inputs, False), ({}, inputs[:1], False)):
        said.clear()
        run_batches(some, Work(), lambda item, result: ({}, str(result)), output(**settings), 1)
        assert ("try:" in "".join(said)) is bar
    assert "a\t4\n" in capsys.readouterr().out
