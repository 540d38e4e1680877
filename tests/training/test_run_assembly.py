"""The recipe of hub_configs/triglot-1.7b-images with small parts, from the parts' folders to a checkpoint that hears, speaks and draws."""

import json
import re

import pytest
import torch
import yaml
from codec_testing import build_codec
from picture_rows_testing import picture_rows
from sizes_testing import SIZES, SMALL_ENCODER, SMALL_TEXT, run_every_task, same_layout, save_text_tokenizer
from speech_rows import sound_bytes, speech_rows
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    FlavaImageCodebook,
    FlavaImageCodebookConfig,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
)

from triglot import TriglotError, TriglotForConditionalGeneration
from triglot.cli import main
from triglot.training import run_assembly as module
from triglot.training.card_record import read_record
from triglot.training.data import source_rows
from triglot.training.licences import card_licence
from triglot.training.run_assembly import load_assembly, run_assembly
from triglot.training.run_recipe import STAGE_FILE

[SEES] = [folder for folder in SIZES if folder.name == "triglot-1.7b-images"]
SHORT = {"bf16": False, "save_steps": 10, "warmup_steps": 0, "batch_size": 2}
SMALL = {  # over the recipe's own settings
    "kmeans": {"layer": 2, "codebook_size": 12, "max_frames": 2_000, "batch_size": 64},
    "soundstorm": {
        **SHORT, "levels": 4, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "prompt_seconds": 0.48, "context_seconds": 0.16, "stretch_seconds": 1.6, "iterations": 2, "max_steps": 1,
    },
    "image_dvae": {
        **SHORT, "image_size": 32, "decoder_hidden_size": 8, "decoder_blocks_per_group": 1, "code_dim": 8, "max_steps": 1,
        "num_workers": 0,
    },
    "init": {"dtype": "float32"},
    "tokenize": {"workers": 1},
    "finetune": {**SHORT, "pack_length": 256, "max_steps": 1, "decay_steps": 0, "dtype": "float32"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_opened():
    yield
    source_rows._opened.cache_clear()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe's file beside its parts and data, which are found relative to it."""
    root = tmp_path_factory.mktemp("recipe")
    torch.manual_seed(0)
    tokenizer = save_text_tokenizer(root / "llm")
    whole = json.loads((SEES / "config.json").read_text())["text_config"] | SMALL_TEXT | {"vocab_size": 450}
    llm = AutoModelForCausalLM.from_config(AutoConfig.for_model(whole.pop("model_type"), **whole))
    llm.save_pretrained(tokenizer)
    Wav2Vec2BertModel(Wav2Vec2BertConfig(**SMALL_ENCODER)).save_pretrained(root / "encoder")
    SeamlessM4TFeatureExtractor().save_pretrained(root / "encoder")
    build_codec("mimi").save_pretrained(root / "codec")
    sizes = {"vocab_size": 24, "hidden_size": 8, "num_blocks_per_group": 1}
    FlavaImageCodebook(FlavaImageCodebookConfig(**sizes)).save_pretrained(root / "flava")
    speech_rows(6).save_to_disk(root / "speech")
    picture_rows(4).save_to_disk(root / "photos")
    lines = ["file\ttext\ttranslation\tspoken\tpicture"]
    for number, row in enumerate(picture_rows(3)):
        for name in ("", "t"):
            (root / f"{name}{number}.wav").write_bytes(sound_bytes(0.5 + 0.1 * number))
        (root / f"{number}.png").write_bytes(row["image"]["bytes"])
        lines.append(f"{number}.wav\ta circle {number}\tein Kreis {number}\tt{number}.wav\t{number}.png")
    (root / "mine.tsv").write_text("\n".join(lines))
    columns = {
        "audio": "file", "transcript": "text", "translated_audio": "spoken", "translated_transcript": "translation",
        "image": "picture", "source_language": "=en", "target_language": "=de",
    }  # fmt: skip
    (root / "sources.yaml").write_text(yaml.safe_dump({"sources": [{"dataset": "mine.tsv", "columns": columns}]}))
    content = yaml.safe_load((SEES / "recipe.yaml").read_text())
    for stage, settings in SMALL.items():
        content[stage] |= settings
    content["finetune"]["tasks"] = re.sub(
        r": [\d.]+", "", content["finetune"]["tasks"]
    )  # of three rows each gives one
    parts = {"text_llm": "llm", "speech_encoder": "encoder", "codec": "codec", "image_encoder": "flava"}
    content |= {name: str(root / folder) for name, folder in parts.items()} | {"output_dir": str(root / "run")}
    content["license"] = "apache-2.0"
    for name, licence in {"llm": "apache-2.0", "encoder": "cc-by-nc-sa-4.0", "codec": "cc-by-4.0", "flava": "bsd-3-clause"}.items():  # fmt: skip
        (root / name / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    (root / "recipe.yaml").write_text(yaml.safe_dump(content))
    return root / "recipe.yaml"


def test_the_recipe_of_the_real_size_runs_with_small_parts(recipe, capsys):
    checkpoint = run_assembly(load_assembly(recipe))
    assert checkpoint == recipe.parent / "run" / "finetune" / "checkpoint"
    same_layout(SEES, checkpoint)
    assert set(run_every_task(checkpoint)) >= {"ASR", "AST", "S2ST", "TTS", "MT", "CAPTION", "T2I", "CAPTION MT TTS"}
    begun = TriglotForConditionalGeneration.from_pretrained(recipe.parent / "run" / "init" / "checkpoint")
    learnt = TriglotForConditionalGeneration.from_pretrained(checkpoint)
    assert [entry["size"] for entry in learnt.config.modalities] == [450, 12, 24]
    assert not torch.equal(begun.get_input_embeddings().weight, learnt.get_input_embeddings().weight)
    # every part keeps its licence, and the strictest holds, whatever was chosen
    record = read_record(checkpoint)
    assert {name: (part.made_from, part.licence) for name, part in record.parts.items()} == {
        "language_model": ("llm", "apache-2.0"),
        "speech_tokenizer": ("encoder", "cc-by-nc-sa-4.0"),
        "speech_decoder": ("codec", "cc-by-4.0"),
        "image_tokenizer": ("flava", "bsd-3-clause"),
    }
    assert record.license == "apache-2.0" and card_licence(checkpoint / "README.md") == "cc-by-nc-sa-4.0"
    assert "encoder, of which this has the speech tokenizer, is under cc-by-nc-sa-4.0" in capsys.readouterr().err
    # once more: nothing runs again, and other settings are refused
    capsys.readouterr()
    assert main(["train", str(recipe), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"out": str(checkpoint)} and err.count("finished before") == 6
    other = recipe.with_name("other.yaml")
    other.write_text(recipe.read_text().replace("codebook_size: 12", "codebook_size: 13"))
    assert main(["train", str(other)]) == 1
    assert "finished with other settings" in capsys.readouterr().err


def test_one_stage_alone(recipe, tmp_path, capsys):
    assert main(["train", str(recipe), "--output-dir", str(tmp_path), "--stage", "kmeans"]) == 0
    assert [path.parent.name for path in tmp_path.glob(f"*/{STAGE_FILE}")] == ["kmeans"]
    assert main(["train", str(recipe), "--output-dir", str(tmp_path), "--stage", "lm"]) == 1
    assert "stages of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": None}, "lacks codec"),
        ({"pictures": ""}, "lacks pictures"),
        ({"vocoder": {}}, "unknown stage 'vocoder'"),
        ({"kmeans": {"codebook": 3}}, "did you mean 'codebook_size'"),
        ({"finetune": {"max_steps": 0}}, "max_steps is 0; it must be at least 1"),
        ({"init": {"languages": "klingon"}}, "klingon"),
        ({"license": "no licence"}, "as the Hub writes it"),
        ({"sources": "none.yaml"}, "There is no sources"),
    ],
)
def test_refused_before_anything_runs(recipe, tmp_path, change, message, monkeypatch):
    monkeypatch.setattr(module, "run_once", lambda *_: pytest.fail("a stage ran"))
    content = yaml.safe_load(recipe.read_text()) | {"output_dir": str(tmp_path / "run")}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | change))
    with pytest.raises(TriglotError, match=message):
        run_assembly(load_assembly(tmp_path / "recipe.yaml"))
