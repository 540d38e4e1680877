"""What the command line says and where, and its exit codes."""

import io
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from environments import ROOT

from triglot import TriglotError, cli
from triglot.cli import main, parse
from triglot.command_output import BAR_SWITCHES, run_script, told


def verbs():
    """{verb: its parser}."""
    return next(action for action in cli._parser()._actions if action.dest == "verb").choices


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_every_verb_shows_examples_that_are_understood(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        parse([*verb.split(), "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    examples = shown.partition("examples:\n")[2].splitlines()
    assert examples and shown.rstrip().endswith(examples[-1])
    understood = [parse(shlex.split(re.sub(r" [<>] \S+", "", line))[1:]) for line in examples]
    assert any(each.verb == verb for each in understood)
    assert "--json" in shown and "--quiet" in shown


def run_instead(monkeypatch, run):
    """`triglot describe x` does this."""
    monkeypatch.setattr(cli.training_verbs, "describe", run)


def test_exit_codes_and_one_line_errors(monkeypatch, capsys):
    def raises(error):
        def run(arguments, output):
            raise error

        return run

    for error, code, line in (
        (TriglotError("no such thing"), 1, "triglot describe: no such thing"),
        (FileNotFoundError(2, "No such file", "x"), 1, "triglot describe: [Errno 2] No such file: 'x'"),
        (KeyboardInterrupt(), 130, "triglot describe: stopped"),
        (BrokenPipeError(), 141, ""),
    ):
        run_instead(monkeypatch, raises(error))
        assert main(["describe", "x"]) == code
        assert capsys.readouterr().err.strip() == line
    run_instead(monkeypatch, raises(ZeroDivisionError("by zero\nand more")))
    assert main(["describe", "x"]) == 1
    err = capsys.readouterr().err
    assert (
        err.startswith("triglot describe: ZeroDivisionError: by zero (unforeseen, cli.py line ")
        and err.count("\n") == 1
    )
    monkeypatch.setenv("TRIGLOT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["describe", "x"])
    assert told(TriglotError()) == "TriglotError"


def test_scripts_of_their_own_end_likewise(monkeypatch, capsys):
    def refuses():
        raise TriglotError("no rows")

    monkeypatch.setattr(sys, "argv", ["/somewhere/train_kmeans.py"])
    for script, code, line in ((refuses, 1, "train_kmeans: no rows\n"), (lambda: "a folder", 0, "")):
        with pytest.raises(SystemExit) as ended:
            run_script(script)
        assert ended.value.code == code and capsys.readouterr().err == line
    for path in (ROOT / "training").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "__main__" not in text or "    run_script(main)\n" in text, path.name


def test_json_is_alone_on_stdout(monkeypatch, capsys):
    def run(arguments, output):
        print("on the way")
        output.show({"loss": float("nan"), "words": "é", "all": [1, (2.5, float("inf"))]}, "for people")

    run_instead(monkeypatch, run)
    assert main(["describe", "x", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"loss": None, "words": "é", "all": [1, [2.5, None]]} and out.count("\n") == 1
    assert err == "on the way\n" and "é" in out
    assert main(["describe", "x"]) == 0
    assert capsys.readouterr().out == "on the way\nfor people\n"
    monkeypatch.setenv("RANK", "1")  # under torchrun the first process alone tells
    assert main(["describe", "x", "--json"]) == 0 and capsys.readouterr().out == ""


def test_no_library_shows_bars_in_a_log_or_when_asked_for_quiet(monkeypatch):
    for name in BAR_SWITCHES:
        monkeypatch.delenv(name, raising=False)
    seen = []
    run_instead(monkeypatch, lambda arguments, output: seen.append([os.environ.get(name) for name in BAR_SWITCHES]))
    main(["describe", "x"])
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    main(["describe", "x"])
    main(["describe", "x", "--quiet"])
    assert seen == [["1"] * 3, [None] * 3, ["1"] * 3] and not set(BAR_SWITCHES) & set(os.environ)


def test_a_reader_that_leaves_is_no_error():
    """`triglot ... | head -1`, with the bars of a library in a process of its own."""
    code = (
        "import sys\n"
        "from triglot import cli\n"
        "def run(arguments, output):\n"
        "    from tqdm.auto import tqdm\n"
        "    for number in tqdm(range(100_000), desc='bar'):\n"
        "        output.show({}, 'x' * 100)\n"
        "cli.training_verbs.describe = run\n"
        "sys.exit(cli.main(['describe', 'x']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name not in BAR_SWITCHES},
    )  # fmt: skip
    assert process.stdout.readline() == b"x" * 100 + b"\n"
    process.stdout.close()
    assert process.wait(60) == 141 and process.stderr.read() == b""
    process.stderr.close()
