"""Model cards: valid metadata, sections that are renewed around what an author wrote, licences, what is refused."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import soundfile
from card_testing import checkpoint_copy, report
from conftest import buzz
from huggingface_hub import ModelCard, metadata_load

from triglot import TriglotError
from triglot.cli import main
from triglot.training.card_facts import read_facts, whole_licence
from triglot.training.card_record import CardRecord, Part, Run, read_record, write_record
from triglot.training.card_sections import card_sections
from triglot.training.data.picture_rows import training_scenes
from triglot.training.data.scene_pictures import draw_scene
from triglot.training.model_card import END, card_beside, write_card

MHUBERT = Part("utter-project/mHuBERT-147", "utter-project/mHuBERT-147", "cc-by-nc-sa-4.0", "its card")
QWEN = Part("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "apache-2.0", "its card")
SOURCE = {
    "name": "cv|fr",
    "dataset": "mozilla-foundation/common_voice_17_0",
    "layout": "common_voice",
    "rows": 8,
    "hours": 1.5,
    "share": 1.0,
}
TRAINED = CardRecord(
    "mine",
    parts={"language_model": QWEN, "speech_tokenizer": Part(), "speech_decoder": Part()},
    runs=[
        Run(
            "train",
            "tiny",
            1,
            stages={"data": {"minutes": 1.8, "hardware": "2 threads of a CPU"}, "lm": {"minutes": 131.0}},
        ),
        Run(
            "finetune",
            "mine",
            0,
            "owner/base",
            "owner/base",
            settings={"lora_rank": 16},
            learnt={"ASR": "8 examples"},
            sources=[SOURCE],
        ),
    ],
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A checkpoint without a card. Do not write into it."""
    return checkpoint_copy(tmp_path_factory.mktemp("card") / "tiny")


@pytest.fixture
def checkpoint(tiny, tmp_path):
    """The same, to write into: its files are links."""
    folder = tmp_path / "tiny"
    for path in tiny.rglob("*"):
        if path.is_file():
            place = folder / path.relative_to(tiny)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return folder


def blocks(card: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", card.read_text(encoding="utf-8"), re.S)


def test_a_card_from_files_record_and_reports(checkpoint):
    measured = report(checkpoint, wrong=2)
    assert (
        write_card(checkpoint, TRAINED, reports={"seen voices": measured}, license="apache-2.0", repo_id="me/mine")
        == []
    )
    card = ModelCard.load(checkpoint / "README.md")
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "transformers", "any-to-any")
    assert data.language == ["en", "es", "hi"] and data.datasets == [SOURCE["dataset"]]
    assert (data.base_model, data.base_model_relation) == (["owner/base"], "finetune")
    assert "speech-to-speech-translation" in data.tags and data.metrics == ["wer", "cer", "bleu", "chrf"]
    values = {(each.task_type, each.metric_type): each.metric_value for each in data.eval_results}
    assert data.model_name == "mine" and values["automatic-speech-recognition", "wer"] == 2.5
    assert metadata_load(checkpoint / "README.md") == json.loads(json.dumps(data.to_dict()))  # as the Hub reads it
    text = card.text
    for said in (
        "# mine\n", "6.1M parameters", "| speech tokenizer | feature_units of best_rq, layer 4; 500 codes, 25/s | 2.4M | 4.8 MB, F16 |",
        "[Qwen/Qwen3-0.6B](https://huggingface.co/Qwen/Qwen3-0.6B) | apache-2.0 (its card)", 'model = "me/mine"',
        "| ASR, WER, % | 2.5 [", "seen voices: 40 items of 10 rows", "| data | 1.8 | 2 threads of a CPU |", "| lm | 131.0 | not recorded |",
        "2. `triglot finetune` went on from [owner/base]", "| cv\\|fr | mozilla-foundation/common_voice_17_0 | 8 | 1.50 | 100.0 |",
        "* ASR: 8 examples", "Not measured: AST direct, MT, S2ST, S2ST direct, TTS, CAPTION, T2I, speech to image and image to speech.",
    ):  # fmt: skip
        assert said in text, said
    assert measured["command"].replace(str(checkpoint), checkpoint.name) in blocks(checkpoint / "README.md", "bash")[0]
    assert read_record(checkpoint).reports.keys() == {"seen voices"}


def test_the_snippet_runs(checkpoint, monkeypatch, capsys):
    write_card(checkpoint)
    monkeypatch.chdir(checkpoint)
    soundfile.write("in.wav", buzz(0.6), 16_000)
    draw_scene(training_scenes(1)[0]).save("in.png")
    [snippet] = blocks(checkpoint / "README.md", "python")
    names: dict = {}
    exec(compile(snippet, "README.md", "exec"), names)
    assert names["out"]["sampling_rate"] == 16_000 and "->" in capsys.readouterr().out
    assert not (checkpoint / "card.json").exists()  # nothing is known that the other files do not say


def test_what_an_author_wrote_stays(checkpoint):
    write_card(checkpoint, TRAINED, license="mit")
    card = checkpoint / "README.md"
    begin = "<!-- triglot card: licence -->"
    text = (
        card.read_text()
        .replace(begin, f"## Thanks\n\nTo the speakers.\n\n{begin}")
        .replace("license: mit", "license: mit\nwidget: []")
    )
    text = re.sub(rf"<!-- triglot card: limits -->.*?{END}\n", "", text, flags=re.S).replace("# mine", "# Ours")
    card.write_text(text)
    write_card(checkpoint, reports={"seen": report(checkpoint)})
    renewed = card.read_text()
    assert "## Thanks\n\nTo the speakers.\n\n" in renewed and "# Ours" in renewed and "## Limits" not in renewed
    assert (
        "| ASR, WER, % |" in renewed
        and ModelCard(renewed).data.widget == []
        and ModelCard(renewed).data.license == "mit"
    )
    write_card(checkpoint)
    assert card.read_text() == renewed


def test_a_card_without_marks_keeps_its_text_and_its_metadata(checkpoint):
    body = "\n# By hand\n\nMy own words.\n"
    card = checkpoint / "README.md"
    card.write_text(f"---\nlanguage: [en]\nlicense: apache-2.0\npipeline_tag: translation\ntags: [mine]\n---\n{body}")
    write_card(checkpoint, reports={"seen": report(checkpoint)})
    again = ModelCard.load(card)
    assert again.text.strip() == body.strip() and again.data.license == "apache-2.0"
    assert (again.data.language, again.data.pipeline_tag) == (["en"], "translation")
    assert again.data.tags[:2] == ["mine", "triglot"] and len(again.data.eval_results) == 4
    renewed = card.read_text()
    write_card(checkpoint)
    assert card.read_text() == renewed
    assert list(metadata_load(card))[:4] == ["language", "license", "pipeline_tag", "tags"]  # in the author's order
    # figures of other data stay, those of the same are renewed, and a marked section is filled
    card.write_text(
        card.read_text().replace("My own words.", f"My own words.\n\n<!-- triglot card: scores -->\n{END}")
    )
    write_card(checkpoint, reports={"unseen": report(checkpoint, wrong=3)})
    last = ModelCard.load(card)
    assert {each.dataset_name for each in last.data.eval_results} == {"seen", "unseen"} and len(
        last.data.eval_results
    ) == 8
    assert "My own words." in last.text and "| | seen | unseen |" in last.text


def test_figures_of_other_weights_do_not_stay(checkpoint, tmp_path):
    write_card(checkpoint, TRAINED, reports={"seen": report(checkpoint)})
    other = checkpoint_copy(tmp_path / "other")
    weights = other / "speech_decoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    (other / "README.md").write_text((checkpoint / "README.md").read_text())
    (other / "card.json").write_text((checkpoint / "card.json").read_text())
    write_card(other)
    assert (
        "model-index" not in metadata_load(other / "README.md")
        and "Nothing was measured yet" in (other / "README.md").read_text()
    )
    with pytest.raises(TriglotError, match="other weights"):
        write_card(other, reports={"seen": report(checkpoint)})


def test_a_checkpoint_that_is_made_again_keeps_its_card(checkpoint, tiny, tmp_path):
    write_card(checkpoint, TRAINED, reports={"seen": report(checkpoint)}, repo_id="me/mine")
    card = checkpoint / "README.md"
    card.write_text(card.read_text() + "\nMy own words.\n")
    again = checkpoint_copy(tmp_path / "again")
    card_beside(checkpoint, again, TRAINED)
    assert (again / "README.md").read_text() == card.read_text()
    card.write_text("---\nlicense: [\n---\n")
    card_beside(checkpoint, again, TRAINED)  # a run of hours does not fail because of its card


def test_before_and_after(checkpoint, tiny):
    base = dataclasses.replace(TRAINED.runs[1], base_weights=report(tiny)["weights"])
    record = dataclasses.replace(TRAINED, runs=[base])
    write_card(
        checkpoint, record, reports={"mine": report(checkpoint, wrong=0)}, base_reports={"mine": report(tiny, wrong=8)}
    )  # the same weights here, under two roles
    text = (checkpoint / "README.md").read_text()
    assert "| | mine, before | mine |" in text and '"before" is [owner/base]' in text
    assert "interval_95" in text and "10.0 [" in text
    with pytest.raises(TriglotError, match="of different rows"):
        write_card(checkpoint, reports={"mine": report(checkpoint, rows=11)})
    with pytest.raises(TriglotError, match="other weights"):
        write_card(checkpoint, base_reports={"mine": {**report(tiny), "weights": "another"}})
    assert (checkpoint / "README.md").read_text() == text


def test_the_licence_of_the_whole():
    def whole(license="", **parts):
        return whole_licence(CardRecord("x", license, parts=parts))

    assert whole() == (None, []) and whole("mit", language_model=Part()) == ("mit", [])
    assert whole("mit", language_model=QWEN) == ("mit", []) and whole(language_model=QWEN) == ("apache-2.0", [])
    licence, warnings = whole("apache-2.0", language_model=QWEN, speech_tokenizer=MHUBERT)
    assert licence == "cc-by-nc-sa-4.0" and len(warnings) == 2
    assert "utter-project/mHuBERT-147, of which this has the speech tokenizer, is under cc-by-nc-sa-4.0" in warnings[0]
    assert "chosen was apache-2.0" in warnings[1]
    unknown = Part("my_encoder", "", "unknown", "no card says it")
    assert whole(speech_tokenizer=unknown)[0] == "unknown" == whole("mit", speech_tokenizer=unknown)[0]
    warning, chosen = whole("mit", speech_tokenizer=unknown, language_model=unknown)[1]
    assert "licence of my_encoder, of which this has the speech tokenizer and language model, is unknown" in warning
    assert "chosen was mit; it holds when" in chosen
    assert whole(speech_tokenizer=unknown, language_model=MHUBERT)[0] == "cc-by-nc-sa-4.0"


def test_a_non_commercial_part_is_told_in_the_card_and_on_the_screen(checkpoint, capsys):
    write_card(checkpoint, dataclasses.replace(TRAINED, parts={"speech_tokenizer": MHUBERT}))
    assert main(["card", str(checkpoint), "--license", "Apache-2.0"]) == 0
    printed = capsys.readouterr()
    assert (
        printed.out.strip() == str(checkpoint / "README.md")
        and "warning: utter-project/mHuBERT-147, of which" in printed.err
    )
    card = ModelCard.load(checkpoint / "README.md")
    assert card.data.license == "cc-by-nc-sa-4.0" and card.text.count("> **Warning:**") == 2


def test_a_part_that_was_taken_from_elsewhere(checkpoint, tmp_path, capsys):
    write_card(checkpoint, TRAINED, license="apache-2.0")
    decoder = tmp_path / "my_decoder"
    decoder.mkdir()
    command = ["card", str(checkpoint), "--part", f"speech_decoder={decoder}"]
    assert main(command) == 0  # a folder that says nothing of itself
    assert metadata_load(checkpoint / "README.md")["license"] == "unknown"
    write_record(CardRecord("my_decoder"), decoder)  # trained from nothing
    assert main(command) == 0 and metadata_load(checkpoint / "README.md")["license"] == "apache-2.0"
    write_record(CardRecord("my_decoder", parts={"codec": MHUBERT}), decoder)
    assert main(command) == 0 and metadata_load(checkpoint / "README.md")["license"] == "cc-by-nc-sa-4.0"
    assert "no commercial use" in capsys.readouterr().err
    assert main([*command[:-1], f"vocoder={decoder}"]) == 1
    assert "has no part 'vocoder'; it has language_model, speech_tokenizer" in capsys.readouterr().err


def test_sections_follow_what_the_checkpoint_can(checkpoint):
    facts = read_facts(checkpoint, TRAINED)
    trimodal = dataclasses.replace(facts, weights={**facts.weights, "image_tokenizer": None})
    assert (trimodal.pipeline_tag, trimodal.draws) == ("any-to-any", True)
    assert all(task in card_sections(trimodal)["use"] for task in ("CAPTION", "text-to-image", "speech-to-speech"))
    assert (
        "2048 codes, 8 x 8 |  | no weights here | not recorded | unknown: not recorded |"
        in card_sections(trimodal)["parts"]
    )
    looking = dataclasses.replace(
        trimodal, configs={**facts.configs, "image_tokenizer": {"model_type": "triglot_feature_units"}}
    )
    assert not looking.draws and "text-to-image" not in card_sections(looking)["use"]
    configs = {name: config for name, config in facts.configs.items() if name != "image_tokenizer"}
    speaking = dataclasses.replace(facts, configs=configs)
    assert (speaking.pipeline_tag, speaking.draws) == ("audio-to-audio", False)
    configs = {name: config for name, config in configs.items() if name != "speech_decoder"}
    listening = dataclasses.replace(facts, configs=configs)
    assert listening.pipeline_tag == "automatic-speech-recognition" and "s2st" not in card_sections(listening)["use"]
    alone = dataclasses.replace(speaking, languages=["en"])
    assert alone.pipeline_tag == "text-to-speech" and "voice-text-to-speech" in card_sections(alone)["use"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--license", "a licence"], "as the Hub writes it"),
        (["--repo-id", "mine"], "owner/name is needed"),
        (["--report", "x=nowhere"], "no report 'nowhere'"),
    ],
)
def test_what_is_refused(options, message, checkpoint, capsys):
    assert main(["card", str(checkpoint), *options]) == 1
    assert message in capsys.readouterr().err and not (checkpoint / "README.md").exists()


def test_cards_that_are_broken_and_folders_that_are_none(checkpoint, tmp_path):
    card = checkpoint / "README.md"
    for content in ("---\nlicense: [\n---\n", "---\n- a\n---\n", "<!-- triglot card: scores -->\n", f"{END}\n"):
        card.write_text(content)
        with pytest.raises(TriglotError, match=r"cannot be read|are broken"):
            write_card(checkpoint)
        assert card.read_text() == content
    with pytest.raises(TriglotError, match="no Triglot checkpoint"):
        write_card(tmp_path)
    card.unlink()
    with pytest.raises(TriglotError, match="have no place"):
        write_card(checkpoint, base_reports={"x": report(checkpoint)})
