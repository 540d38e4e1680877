"""`hub_configs/` of real sizes: built on the meta device, their cards true, their small twins doing every task."""

import re
import shutil

import pytest
import torch
import yaml
from environments import ROOT
from sizes_testing import SIZES, build_twin, read, run_every_task, same_layout, save_text_tokenizer
from transformers import AutoConfig, AutoModel, AutoProcessor

from triglot import TriglotError
from triglot.checkpoint_check import card_problems
from triglot.cli import parse
from triglot.training.data.sources import load_sources
from triglot.training.describe import as_text, describe
from triglot.training.memory_plan import TrainingSetup
from triglot.training.run_assembly import load_assembly
from triglot.training.throughput import training_tokens

PUBLISHED = {
    "triglot-1.7b": 1_720_574_976,
    "triglot-1.7b-images": 1_720_574_976,
    "triglot-8b": 8_190_735_360,
}  # of Qwen3


@pytest.fixture(params=SIZES, ids=lambda folder: folder.name)
def size(request):
    return request.param


def test_there_are_three():
    assert {folder.name for folder in SIZES} == set(PUBLISHED)


def test_it_is_built_on_the_meta_device(size):
    config = AutoConfig.from_pretrained(size)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    assert model.can_generate() and all(weight.is_meta for weight in model.parameters())
    rows = config.vocab_size - config.modalities[0]["size"]
    matrices = 1 if config.tie_word_embeddings else 2
    count = sum({id(weight): weight.numel() for weight in model.parameters()}.values())
    assert count == PUBLISHED[size.name] + matrices * rows * config.text_config.hidden_size
    for part in read(size, "processor_config.json")["parts"]:
        with torch.device("meta"):
            built = AutoModel.from_config(AutoConfig.from_pretrained(size, subfolder=part))
        entry = next(entry for entry in config.modalities if entry["name"] == part.split("_")[0])
        assert built.codebook_size == entry["size"]
        if part.endswith("tokenizer"):
            described = built.describe_modality()
            assert {**described, "fingerprint": ""} == {**entry, "fingerprint": ""}


def test_configs_alone_agree_with_the_recipe(size):
    assert not list(size.rglob("*.safetensors")) and not list(size.rglob("*.py"))
    recipe, settings = load_assembly(size / "recipe.yaml"), read(size, "processor_config.json")
    assert settings["text_llm"] == recipe.parts["text_llm"]
    assert settings["languages"] == recipe.stages["init"].languages.split()
    units, storm = (AutoConfig.from_pretrained(size, subfolder=f"speech_{kind}") for kind in ("tokenizer", "decoder"))
    kmeans, stage = recipe.stages["kmeans"], recipe.stages["soundstorm"]
    assert (units.layer, units.codebook_size, units.frame_rate) == (
        kmeans.layer,
        kmeans.codebook_size,
        kmeans.frame_rate,
    )
    for name in (
        "levels",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "prompt_seconds",
    ):
        assert getattr(storm, name) == getattr(stage, name)
    assert storm.window_seconds == stage.stretch_seconds - stage.prompt_seconds - stage.context_seconds
    assert len(load_sources(recipe.parts["sources"]).sources) >= 8
    if "image_dvae" in recipe.stages:
        dvae = AutoConfig.from_pretrained(size, subfolder="image_tokenizer")
        assert dvae.image_size == recipe.stages["image_dvae"].shape and dvae.grid == [32, 32]
        assert dvae.codebook_size == 8192


def test_the_card_says_that_there_are_no_weights_and_what_describe_says(size):
    card = (size / "README.md").read_text(encoding="utf-8")
    header = card.split("---")[1]
    assert not list(card_problems(card))
    assert "license: apache-2.0" in header and "base_model: Qwen/" in header and "library_name: transformers" in header
    assert "**no weights**" in card and "## What to run" in card and "## Data, hours and memory" in card
    [said] = re.findall(r"```\n(triglot-.*?)\n```", card, re.S)
    assert said == as_text(describe(size))
    commands = re.findall(r"^triglot (.*)$", "\n".join(re.findall(r"```bash\n(.*?)```", card, re.S)), re.M)
    assert len(commands) >= 4
    for command in commands:
        parse(command.split())
    for part in load_assembly(size / "recipe.yaml").parts.values():
        assert part in card or not re.fullmatch(r"[\w-]+/[\w.-]+", part), part


def test_the_plan_is_what_its_command_makes(size):
    card, stage = (
        (size / "README.md").read_text(encoding="utf-8"),
        load_assembly(size / "recipe.yaml").stages["finetune"],
    )
    [launch] = re.findall(r"`(accelerate launch [^`]*)`", card)
    config_file = yaml.safe_load((ROOT / re.search(r"--config_file (\S+)", launch)[1]).read_text())
    said = re.search(r"--num_processes (\d+)", launch)
    gpus = int(said[1]) if said else config_file["num_processes"]
    ids = gpus * stage.batch_size * stage.accumulation * stage.pack_length * stage.max_steps
    config = AutoConfig.from_pretrained(size).text_config
    setup = TrainingSetup(length=stage.pack_length, gradient_checkpointing=stage.gradient_checkpointing)
    speed = training_tokens(int(re.search(r"P = ([\d,]+)", card)[1].replace(",", "")), config, setup, gpus)
    [(planned, many, hours)] = re.findall(
        r"\*\*Hours\*\*: ([\d.]+)B ids.*; (\d+) H100s read them in about ([\d.]+) hours", card
    )
    assert (float(planned), int(many)) == (round(ids / 1e9, 1), gpus)
    assert float(hours) == pytest.approx(ids / speed / 3600, abs=0.051)


def test_its_small_twin_does_every_task(size, tmp_path):
    checkpoint = build_twin(size, tmp_path)
    same_layout(size, checkpoint)
    known = set(read(size, "generation_config.json")["span_grammar"]["tasks"])
    assert set(run_every_task(checkpoint)) >= known


def test_the_processor_takes_the_text_models_tokenizer(size, tmp_path):
    with pytest.raises(TriglotError, match="configs alone and takes the tokenizer of 'Qwen/Qwen3-"):
        AutoProcessor.from_pretrained(size)
    folder = shutil.copytree(size, tmp_path / "copy")
    text = save_text_tokenizer(tmp_path / "text")
    settings = (folder / "processor_config.json").read_text()
    (folder / "processor_config.json").write_text(re.sub(r'"Qwen/[^"]*"', f'"{text}"', settings))
    processor = AutoProcessor.from_pretrained(folder)
    ids = processor(text="un círculo", task="TTS", source_language="es").input_ids[0]
    assert processor.decode(ids[:-1], skip_special_tokens=True) == "[TTS Spanish] un círculo"
    assert int(ids[-1]) == 151_936 and processor.codecs.loaded == []
    with pytest.raises(TriglotError, match=r"speech_tokenizer .* cannot be loaded"):
        processor(audio=[0.1] * 16_000, sampling_rate=16_000)
