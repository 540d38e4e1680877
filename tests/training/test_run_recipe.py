"""Recipes: every packaged one is valid, the smoke recipe runs every stage in seconds, and a killed run goes on."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from conftest import buzz
from environments import ROOT
from huggingface_hub import ModelCard
from safetensors import safe_open
from transformers import AutoModel, AutoProcessor, pipeline

from triglot import TriglotError
from triglot.training import ranks
from triglot.training.data.token_rows import TokensArguments, write_shards
from triglot.training.data.token_shards import read_rows
from triglot.training.recipe import parse_arguments
from triglot.training.run_recipe import IMAGE_DECODERS, STAGE_FILE, _Runner, load_recipe, run_once, run_recipe
from triglot.training.runs import save_whole
from triglot.training.train_lm import LmArguments

RECIPES = sorted((ROOT / "training" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_packaged_recipes_are_valid_and_found_by_name(path):
    assert load_recipe(path) == load_recipe(path.stem)


SMOKE_STAGES = list(load_recipe("tiny_smoke").stages)


@pytest.mark.parametrize("stage", SMOKE_STAGES)
def test_a_stage_runs_with_what_it_needs_and_no_more(stage, tmp_path, capsys):
    start = time.monotonic()
    folder = run_recipe(load_recipe("tiny_smoke", tmp_path), stage)
    assert time.monotonic() - start < 60
    assert folder == tmp_path / stage and (folder / STAGE_FILE).is_file()
    done = {path.parent.name for path in tmp_path.glob(f"*/{STAGE_FILE}")}
    assert done == set(SMOKE_STAGES[: SMOKE_STAGES.index(stage) + 1])


def test_a_killed_run_goes_on_and_ends_complete(tmp_path):
    command = [sys.executable, "-m", "triglot", "train", "tiny_smoke", "--output-dir", str(tmp_path)]
    for stage in ("encoder", "lm"):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (tmp_path / stage).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "checkpoint").exists()
    checkpoint = run_recipe(load_recipe("tiny_smoke", tmp_path))
    assert AutoModel.from_pretrained(checkpoint).can_generate()
    assert AutoProcessor.from_pretrained(checkpoint).codecs.names == [
        "speech_tokenizer",
        "speech_decoder",
        "image_tokenizer",
    ]
    kinds = {"model": "BF16", "speech_tokenizer/model": "F16", "speech_decoder/model": "F16"}  # as the recipe says
    for part, kind in kinds.items():
        with safe_open(checkpoint / f"{part}.safetensors", framework="pt") as tensors:
            assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {kind}  # noqa: SIM118
    card = ModelCard.load(checkpoint / "README.md")
    assert (card.data.pipeline_tag, card.data.license, card.data.base_model) == ("any-to-any", None, None)
    assert (
        "`triglot train tiny_smoke`, seed 0." in card.text
        and card.text.count("nothing: trained for this checkpoint") == 4
    )
    assert all(f"| {stage} | " in card.text for stage in SMOKE_STAGES) and "CPU (" in card.text
    assert "* ASR: " in card.text and "made by espeak-ng" in card.text
    card_file = checkpoint / "README.md"
    card_file.write_text(card_file.read_text() + "\nMy own words.\n")
    run_recipe(load_recipe("tiny_smoke", tmp_path))  # assembles it again
    assert "My own words." in card_file.read_text()
    assert not [
        path for path in checkpoint.parent.iterdir() if "partial" in path.name and path.name.startswith(".checkpoint")
    ]


def test_a_finished_stage_with_other_settings_is_not_silently_kept(tmp_path):
    run_recipe(load_recipe("tiny_smoke", tmp_path), "text_tokenizer")
    record = tmp_path / "data" / STAGE_FILE
    before = json.loads(record.read_text())
    assert before["stage"] == "data" and before["minutes"] >= 0
    recipe = tmp_path / "other.yaml"
    recipe.write_text("data: {sentences: 3}")
    with pytest.raises(TriglotError, match="other settings"):
        run_recipe(load_recipe(recipe, tmp_path))


def test_a_setting_that_came_later_does_not_undo_a_finished_stage(tmp_path, capsys):
    recipe = load_recipe("tiny_smoke", tmp_path)
    run_recipe(recipe, "data")
    record = tmp_path / "data" / STAGE_FILE
    older = json.loads(record.read_text())
    del older["settings"]["held_out"]
    record.write_text(json.dumps(older))
    run_recipe(recipe, "data")
    assert "finished before" in capsys.readouterr().out


def test_of_two_processes_the_first_makes_what_is_not_trained(tmp_path, monkeypatch):
    """What the second one does; the first works while it waits."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    ran = []
    for stage, expected in (("kmeans", []), ("lm", ["lm"])):
        folder = tmp_path / stage

        def first(_, folder=folder):
            folder.mkdir()
            (folder / STAGE_FILE).write_text("the first one's")

        monkeypatch.setattr(ranks, "sleep", first)
        run_once(folder, stage, TokensArguments(), 0, lambda stage=stage: ran.append(stage))
        assert ran == expected and (folder / STAGE_FILE).read_text() == "the first one's"
    save_whole(None, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_of_two_processes_each_makes_its_share_of_the_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    runner, folder = _Runner(load_recipe("tiny_smoke", tmp_path)), tmp_path / "tokens"

    def make_rows(first, last):
        return [{"text_source": str(number)} for number in range(first, last)]

    def first(_):
        assert [path.name for path in folder.iterdir()] == ["shard-00001.parquet"]
        write_shards(folder, 5, 2, make_rows, rank=0, ranks=2)

    monkeypatch.setattr(runner, "_token_rows", lambda arguments: (make_rows, 5))
    monkeypatch.setattr(ranks, "sleep", first)
    runner._tokens(TokensArguments(shard_rows=2))
    assert [row["text_source"] for row in read_rows(folder)] == list("01234")


def test_parts_alone_with_a_tokenizer_that_is_there(random_checkpoint, tmp_path):
    """Only the stages that are named and the data: no encoder, no code book, no checkpoint."""
    recipe = tmp_path / "parts.yaml"
    smoke = yaml.safe_load((ROOT / "training" / "recipes" / "tiny_smoke.yaml").read_text())
    content = {name: smoke[name] for name in ("data", "codec", "audiolm")}
    recipe.write_text(yaml.safe_dump({**content, "speech_tokenizer": str(random_checkpoint / "speech_tokenizer")}))
    assert run_recipe(load_recipe(recipe, tmp_path / "out")) == tmp_path / "out"
    assert {path.parent.name for path in (tmp_path / "out").glob(f"*/{STAGE_FILE}")} == set(content)
    assert AutoModel.from_pretrained(tmp_path / "out" / "audiolm").codebook_size == 30


def test_fastspeech2_is_made_in_three_stages_and_both_decoders_stay(tmp_path):
    out = run_recipe(load_recipe("tiny_fastspeech2_smoke", tmp_path))
    before, after = (AutoModel.from_pretrained(out / name) for name in ("fastspeech2", "fastspeech2_finetuned"))
    assert before.fingerprint == after.fingerprint == AutoModel.from_pretrained(out / "kmeans").fingerprint
    same = {name for name, weight in before.state_dict().items() if torch.equal(weight, after.state_dict()[name])}
    assert {name.split(".")[0] for name in set(before.state_dict()) - same} == {"vocoder"}
    content = (
        "{mel_hifigan: {}, fastspeech2: {}, fastspeech2_finetuned: {}, lm: {}, speech_decoder: fastspeech2_finetuned}"
    )
    (tmp_path / "whole.yaml").write_text(content)
    whole = load_recipe(tmp_path / "whole.yaml")  # a checkpoint that speaks by it needs no other decoder
    assert "decoder" not in whole.stages and "codec" not in whole.stages


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("soundstorm: {}", "need a codec"),
        ("fastspeech2: {}", "name the stage mel_hifigan"),
        ("{mel_hifigan: {}, fastspeech2_finetuned: {}}", "name the stage fastspeech2 as"),
        ("{speech_tokenizer: nowhere, codec: {}}", "no config.json in it"),
        ("{lm: {}, speech_decoder: audiolm}", "this recipe makes decoder"),
        ("{lm: {}, speech_decoder: codec}", "this recipe makes decoder"),
        ("{text_to_unit: {}}", "name the stage tokens"),
        ("{codecs: {}}", "unknown stage 'codecs'"),
        ("{lm_more: {}}", "both must be there"),
        ("{lm: {}, lm_more: {hidden_size: 8, languages: en}}", "sets hidden_size, languages"),
        ("{license: as you like}", "as the Hub writes it"),
    ],
)
def test_recipes_that_cannot_be(content, message, tmp_path):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(TriglotError, match=message):
        load_recipe(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_text("lm: {}")
    with pytest.raises(TriglotError, match="no stage 'codec'"):
        run_recipe(load_recipe(tmp_path / "y.yaml", tmp_path / "out"), "codec")


def test_the_language_model_goes_on_with_other_settings(tmp_path):
    smoke = yaml.safe_load((ROOT / "training" / "recipes" / "tiny_smoke.yaml").read_text())
    content = {name: smoke[name] for name in ("data", "text_tokenizer", "encoder", "kmeans", "decoder", "lm")}
    still = {"learning_rate": 0.0, "max_steps": 1, "tasks": "ASR"}
    content["lm"] |= {"first_tasks": "MT", "first_steps": 2}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({**content, "lm_more": still}))
    recipe = load_recipe(tmp_path / "more.yaml", tmp_path / "out")
    more = recipe.stages["lm_more"]
    assert (more.tasks, more.first_steps, more.pack_length) == ("ASR", 0, content["lm"]["pack_length"])
    checkpoint = run_recipe(recipe)
    kept, gone_on = (
        AutoModel.from_pretrained(folder).state_dict() for folder in (tmp_path / "out" / "lm", checkpoint)
    )
    assert all(torch.equal(kept[name], gone_on[name]) for name in kept)
    assert [path.name for path in (tmp_path / "out" / "lm_more" / "checkpoints").glob("checkpoint-*")] == [
        "checkpoint-1"
    ]


@pytest.mark.parametrize("decoder", ["soundstorm", "audiolm"])
def test_the_decoder_of_the_checkpoint_is_chosen(decoder, tmp_path):
    recipe = tmp_path / "chosen.yaml"
    smoke = (ROOT / "training" / "recipes" / "tiny_smoke.yaml").read_text()
    recipe.write_text(f"{smoke}\nspeech_decoder: {decoder}\n")
    checkpoint = run_recipe(load_recipe(recipe, tmp_path / "out"))
    processor = AutoProcessor.from_pretrained(checkpoint)
    kind = processor.codecs.speech_decoder.config.model_type
    assert kind == f"triglot_{decoder}"
    s2st = pipeline("speech-to-speech-translation", model=str(checkpoint))
    spoken = s2st({"array": buzz(1.2), "sampling_rate": 16_000}, source_language="en", target_language="es")
    assert spoken["sampling_rate"] == 16_000 and np.isfinite(spoken["audio"]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_step": 3}, "did you mean 'max_steps'"),
        ({"max_steps": "3"}, "a int is needed"),
        ({"learning_rate": "fast"}, "a float is needed"),
        ({"bf16": 1}, "a bool is needed"),
    ],
)
def test_arguments_are_checked_by_name_and_type(values, message):
    with pytest.raises(TriglotError, match=message):
        parse_arguments(LmArguments, values, "x.yaml, stage lm")
    assert parse_arguments(LmArguments, {"learning_rate": 1}, "x").learning_rate == 1.0
    assert parse_arguments(LmArguments, None, "x") == LmArguments()


def test_image_decoders_are_made_without_sound(tmp_path):
    recipe = load_recipe("tiny_image_decoders_smoke", tmp_path)
    assert next(iter(recipe.stages)) == "image_tokenizer" and set(IMAGE_DECODERS) < set(recipe.stages)
    assert run_recipe(recipe) == tmp_path
    fingerprint = AutoModel.from_pretrained(tmp_path / "image_tokenizer").fingerprint
    for stage in IMAGE_DECODERS:
        assert AutoModel.from_pretrained(tmp_path / stage).fingerprint == fingerprint


def test_an_image_decoder_of_a_tokenizer_that_is_there_needs_nothing_else(image_tokenizer, tmp_path):
    smoke = yaml.safe_load((ROOT / "training" / "recipes" / "tiny_image_decoders_smoke.yaml").read_text())[
        "image_diffusion"
    ]
    (tmp_path / "draw.yaml").write_text(
        yaml.safe_dump({"image_tokenizer": str(image_tokenizer), "image_diffusion": {**smoke, "max_steps": 1}})
    )
    recipe = load_recipe(tmp_path / "draw.yaml", tmp_path / "out")
    assert list(recipe.stages) == ["image_diffusion"]
    run_recipe(recipe)
    assert AutoModel.from_pretrained(tmp_path / "out" / "image_diffusion").codebook_size == 8
    for content, message in (
        ("image_diffusion: {scenes: 4}", "name the stage image_tokenizer"),
        ("{image_tokenizer: nowhere, image_diffusion: {}}", "image_tokenizer is 'nowhere'"),
        ("{image_tokenizer: {scenes: 4}, image_decoder: image_diffusion}", "this recipe makes none"),
    ):
        (tmp_path / "x.yaml").write_text(content)
        with pytest.raises(TriglotError, match=message):
            load_recipe(tmp_path / "x.yaml")
