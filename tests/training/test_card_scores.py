"""Scores of a card: reports that are checked, the model index, the table, the commands."""

import json

import pytest
from card_testing import report

from triglot import TriglotError
from triglot.training.card_scores import check_pairs, check_report, commands, eval_results, load_reports, score_table


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_reports_are_found_by_folder_or_file(checkpoint):
    folder = checkpoint / "seen"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(report(checkpoint)))
    given = [str(folder), f"a b={folder}/results.json", f"c={folder}"]
    assert list(load_reports(given)) == ["seen", "a b", "c"]
    assert list(load_reports([f"{folder}/results.json"])) == ["seen"]
    with pytest.raises(TriglotError, match="no report 'nowhere'"):
        load_reports(["x=nowhere"])
    (folder / "results.json").write_text('{"tokenizers": []}')
    with pytest.raises(TriglotError, match="no report of a checkpoint"):
        load_reports([str(folder)])


def test_a_report_of_other_weights_is_refused(checkpoint, tmp_path_factory):
    measured = report(checkpoint)
    check_report("x", measured, checkpoint, measured["weights"])
    moved = tmp_path_factory.mktemp("moved")
    check_report("x", measured, moved, measured["weights"])  # the same weights elsewhere
    with pytest.raises(TriglotError, match="other weights"):
        check_report("x", measured, checkpoint, "another")
    older = {**measured, "weights": None}  # written before reports had a digest: the folder must be the same
    check_report("x", older, checkpoint, measured["weights"])
    with pytest.raises(TriglotError, match="other weights"):
        check_report("x", older, moved, measured["weights"])


def test_pairs_are_of_the_same_rows(checkpoint):
    check_pairs({"a": report(checkpoint)}, {"a": report(checkpoint, wrong=0), "b": report(checkpoint, rows=11)})
    with pytest.raises(TriglotError, match="of different rows"):
        check_pairs({"a": report(checkpoint)}, {"a": report(checkpoint, rows=11)})


def test_the_model_index_says_what_the_report_says(checkpoint):
    measured = report(checkpoint, wrong=2)
    found = {(each.task_type, each.metric_type): each for each in eval_results({"seen voices": measured})}
    assert set(found) == {
        ("automatic-speech-recognition", "wer"),
        ("automatic-speech-recognition", "cer"),
        ("translation", "bleu"),
        ("translation", "chrf"),
    }
    wer = found["automatic-speech-recognition", "wer"]
    assert wer.metric_value == 2.5  # 2 of 80 words
    assert (wer.dataset_name, wer.dataset_type, wer.metric_name) == ("seen voices", "seen-voices", "ASR, WER, %")
    low, high = wer.metric_args["interval_95"]
    assert 0 <= low < 2.5 < high
    bleu = found["translation", "bleu"].metric_value
    assert bleu == round(measured["tasks"]["AST"]["mean"]["bleu"]["value"], 3) and 80 < bleu < 100


def test_the_table_stands_before_beside_after(checkpoint):
    before, after = (
        {"mine": report(checkpoint, wrong=8)},
        {"mine": report(checkpoint, wrong=0), "a|b": report(checkpoint)},
    )
    lines = score_table(after, before).splitlines()
    assert lines[0] == "| | mine, before | mine | a\\|b |" and all(line.count("|") >= 5 for line in lines)
    wer = next(line for line in lines if line.startswith("| ASR, WER, % |"))
    assert wer.split(" | ")[1].startswith("10.0 [") and wer.split(" | ")[2].startswith("0.0 [")
    assert "; worst 10.0 (en)" in wer


def test_commands_tell_no_places(checkpoint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    line = f"triglot evaluate {tmp_path}/mine --rows /somebody/private/rows --out 'my report'"
    measured = {
        "a": report(checkpoint, command=line),
        "b": report(checkpoint, command=line),
        "c": report(checkpoint, command=None),
    }
    assert commands(measured) == ["triglot evaluate mine --rows rows --out 'my report'"]
