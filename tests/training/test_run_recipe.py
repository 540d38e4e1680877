"""Recipes: every packaged one is valid, the smoke recipe runs every stage in seconds, and a killed run goes on."""

import json
import signal
import subprocess
import sys
import time

import pytest
from environments import ROOT
from safetensors import safe_open
from transformers import AutoModel, AutoProcessor

from triglot import TriglotError
from triglot.training.recipe import parse_arguments
from triglot.training.run_recipe import STAGE_FILE, STAGES, load_recipe, run_recipe
from triglot.training.train_lm import LmArguments

RECIPES = sorted((ROOT / "training" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_packaged_recipes_are_valid_and_found_by_name(path):
    assert load_recipe(path) == load_recipe(path.stem)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_with_what_it_needs_and_no_more(stage, tmp_path, capsys):
    start = time.monotonic()
    folder = run_recipe(load_recipe("tiny_smoke", tmp_path), stage)
    assert time.monotonic() - start < 60
    assert folder == tmp_path / stage and (folder / STAGE_FILE).is_file()
    done = {path.parent.name for path in tmp_path.glob(f"*/{STAGE_FILE}")}
    assert done == set(list(STAGES)[: list(STAGES).index(stage) + 1])


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
    assert AutoProcessor.from_pretrained(checkpoint).codecs.names == ["speech_tokenizer", "speech_decoder"]
    kinds = {"model": "BF16", "speech_tokenizer/model": "F16", "speech_decoder/model": "F16"}  # as the recipe says
    for part, kind in kinds.items():
        with safe_open(checkpoint / f"{part}.safetensors", framework="pt") as tensors:
            assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {kind}  # noqa: SIM118
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
