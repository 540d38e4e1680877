"""card.json: written, read and handed on; records that are none."""

import json

import pytest

from triglot import TriglotError
from triglot.training.card_record import (
    CardRecord,
    Part,
    Run,
    cleaned,
    part_record,
    read_record,
    record_of,
    write_record,
)


def test_it_comes_back(tmp_path):
    run = Run("finetune", "mine", 3, "base", "owner/base", "abc", {"lora_rank": 16}, {"ASR": "8 examples"}, [{"name": "s"}], {"finetune": {"minutes": 1.5}})  # fmt: skip
    record = CardRecord("mine", "mit", "me/mine", {"language_model": Part("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "apache-2.0", "its card")}, [run], {"a": {"tasks": {}}})  # fmt: skip
    assert read_record(tmp_path) is None and read_record("nobody/nothing") is None
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record
    later = record.after(Run("finetune", "more"))
    assert (later.name, later.repo_id, later.reports, later.base_reports) == ("more", "", {}, record.reports)
    assert (
        [each.name for each in later.runs] == ["mine", "more"]
        and later.parts == record.parts
        and later.license == "mit"
    )


@pytest.mark.parametrize(
    "content",
    [
        "[1]",
        "{",
        '{"title": "x"}',
        '{"name": 3}',
        '{"name": "x", "repo_id": "\\"); import os"}',
        '{"name": "x", "parts": {"a": {"hub_id": "a b"}}}',
        '{"name": "x", "runs": [{"kind": "magic", "name": "y"}]}',
        '{"name": "x", "runs": [{"kind": "train", "name": "y", "stages": {"lm": 3}}]}',
        '{"name": "x", "reports": {"a": {"tasks": []}}}',
    ],
)
def test_what_is_no_record(content, tmp_path):
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(TriglotError, match="no record of a checkpoint"):
        read_record(tmp_path)


def test_a_checkpoint_without_a_record_is_under_its_cards_licence(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    part = record_of(folder, ["speech_tokenizer"]).parts["speech_tokenizer"]
    assert (part.made_from, part.licence) == ("mine", "unknown")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    record = record_of(folder, ["speech_tokenizer"])
    assert record.license == record.parts["language_model"].licence == "cc-by-nc-4.0"
    assert record_of("owner/some", []).parts["language_model"].hub_id == "owner/some"


def test_a_component_tells_what_it_was_made_from(tmp_path):
    part = Part("utter-project/mHuBERT-147", "utter-project/mHuBERT-147", "cc-by-nc-sa-4.0", "its card")
    (tmp_path / "speech_tokenizer").mkdir()
    write_record(CardRecord("x", parts={"speech_tokenizer": part, "language_model": Part()}), tmp_path)
    assert Part.of(tmp_path / "speech_tokenizer") == part and Part.of_model(tmp_path) == Part()


def test_a_part_that_a_stage_made_tells_what_it_was_built_on(tmp_path):
    units, decoder, whole = (tmp_path / name for name in ("units", "decoder", "whole"))
    for folder in (units, decoder, whole):
        folder.mkdir()
    write_record(part_record(units, {"encoder": "utter-project/mHuBERT-147"}), units)
    hubert = Part.of(units)
    assert (hubert.made_from, hubert.licence) == ("utter-project/mHuBERT-147", "cc-by-nc-sa-4.0")
    write_record(part_record(decoder, {}), decoder)
    assert Part.of(decoder) == Part()  # from nothing
    (decoder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    assert Part.of(decoder).licence == "cc-by-4.0"  # but its maker asks for something
    write_record(part_record(whole, {"base": decoder, "codec": "kyutai/mimi", "encoder": units}), whole)
    both = Part.of(whole)
    assert (both.made_from, both.licence) == (f"decoder and kyutai/mimi and {hubert.made_from}", hubert.licence)


def test_no_text_ends_a_line_or_a_mark():
    run = Run("train", "x\n# y", settings={"a\n": ["<!-- triglot card: end -->", 3, None]}, learnt={"b": "```"})
    plain = json.dumps([cleaned(run).name, cleaned(run).settings, cleaned(run).learnt])
    assert (
        not any(mark in plain for mark in ("\\n", "<!--", "```"))
        and '["<! -- triglot card: end -->", 3, null]' in plain
    )
