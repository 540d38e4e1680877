"""Licences: a part's own card first, then the table, then "unknown"; the strictest of several."""

import pytest

from triglot import TriglotError
from triglot.training.licences import (
    PUBLISHED,
    UNKNOWN,
    check_licence,
    hub_id,
    licence_of,
    non_commercial,
    short_name,
    strictest,
)


@pytest.mark.parametrize(
    ("part", "licence"),
    [
        ("facebook/w2v-bert-2.0", "mit"),
        ("utter-project/mHuBERT-147", "cc-by-nc-sa-4.0"),
        ("facebook/mms-300m", "cc-by-nc-4.0"),
        ("kyutai/mimi", "cc-by-4.0"),
        ("Qwen/Qwen3-0.6B", "apache-2.0"),
        ("meta-llama/Llama-3.2-1B", "llama3.2"),
        ("facebook/flava-full", "bsd-3-clause"),
        ("facebook/encodec_24khz", UNKNOWN),  # its card names none
        ("somebody/something", UNKNOWN),
    ],
)
def test_published_parts(part, licence):
    found = licence_of(part)
    assert found.id == licence and (found.source or licence == UNKNOWN)


def test_the_card_of_a_folder_goes_before_its_name(tmp_path):
    folder = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    assert hub_id(folder) == short_name(folder) == "Qwen/Qwen3-0.6B" and licence_of(folder).id == "apache-2.0"
    (folder / "README.md").write_text("---\nlicense: MIT\n---\n# x\n")
    assert licence_of(folder).id == "mit" and "card of Qwen/Qwen3-0.6B" in licence_of(folder).source
    for broken in (
        "---\nlicense: [a, b]\n---\n",
        "---\n: :\n  - {\n---\n",
        "no metadata",
        "---\nlicense: 'a b'\n---\n",
    ):
        (folder / "README.md").write_text(broken)
        assert licence_of(folder).id == "apache-2.0", broken


def test_a_component_has_the_licence_of_its_checkpoint(tmp_path):
    part = tmp_path / "mine" / "speech_tokenizer"
    part.mkdir(parents=True)
    (tmp_path / "mine" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    assert licence_of(part).id == UNKNOWN and short_name(part) == "speech_tokenizer"
    (tmp_path / "mine" / "processor_config.json").write_text("{}")
    assert licence_of(part).id == "cc-by-4.0" and short_name(part) == "mine/speech_tokenizer"
    assert hub_id(part) is None


def test_the_strictest():
    assert strictest([]) is None
    for weaker, stronger in (
        ("mit", "cc-by-sa-4.0"),
        ("gpl-3.0", "llama3.2"),
        ("gemma", UNKNOWN),
        (UNKNOWN, "cc-by-nc-4.0"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
    ):
        assert strictest([weaker, stronger]) == strictest([stronger, weaker]) == stronger
    assert [
        name for name in ("mit", "cc-by-nc-4.0", "qwen-research", "cc-by-4.0", "apache-2.0") if non_commercial(name)
    ] == [
        "cc-by-nc-4.0",
        "qwen-research",
    ]


def test_names_of_licences():
    assert check_licence("Apache-2.0") == "apache-2.0"
    assert all(licence == check_licence(licence) for licence, _ in PUBLISHED.values())
    for wrong in ("", "a licence", "mit\nx: y"):
        with pytest.raises(TriglotError, match="as the Hub writes it"):
            check_licence(wrong)
