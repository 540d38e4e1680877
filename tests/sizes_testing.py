"""The folders of hub_configs without weights: small twins of them, and every task through the pipelines."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from codec_testing import build_codec
from conftest import buzz
from environments import ROOT
from PIL import Image
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, MimiConfig, pipeline

from triglot.modeling.tokenizers.modeling_codec_units import codec_settings
from triglot.training.assemble import assemble_checkpoint
from triglot.training.train_lm import LmArguments, make_model, make_processor
from triglot.training.train_text_tokenizer import TextTokenizerArguments, train_text_tokenizer

SIZES = [path.parent for path in sorted((ROOT / "hub_configs").glob("*/recipe.yaml"))]
# numbers of the same config classes
SMALL_TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "max_window_layers": 2, "layer_types": None,
}  # fmt: skip
SMALL_ENCODER = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
SMALL_UNITS = {"layer": 2, "codebook_size": 20, "feature_dim": 16}
SMALL_STORM = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "iterations": 2, "codebook_size": 20, "prompt_seconds": 0.48, "context_seconds": 0.16, "window_seconds": 0.96,
}  # fmt: skip
SMALL_DVAE = {
    "image_size": [32, 32], "codebook_size": 24, "hidden_size": 8, "decoder_hidden_size": 8, "code_dim": 8,
    "num_blocks_per_group": 1, "decoder_blocks_per_group": 1,
}  # fmt: skip
TEXTS = [
    "a small red circle is above a big blue square",
    "ein kleiner roter Kreis",
    "un círculo rojo",
    "un cercle rouge",
]
# what depends on the place and the weights, not on the kind of the model
FREE = {
    "dtype",
    "fingerprint",
    "codec_fingerprint",
    "transformers_version",
    "text_llm",
    "_name_or_path",
    "label2id",
    "id2label",
}
SOUND = {"raw": buzz(0.6), "sampling_rate": 16_000}


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def shrunken(folder: Path, **numbers: Any) -> Any:
    """The config of a folder with small numbers."""
    settings = {name: value for name, value in read(folder, "config.json").items() if name not in FREE | {"auto_map"}}
    return AutoConfig.for_model(settings.pop("model_type"), **{**settings, **numbers})


def save_text_tokenizer(folder: Path) -> Path:
    train_text_tokenizer(TEXTS, folder, TextTokenizerArguments(vocab_size=400, hard_vocab_limit=False))
    return folder


def build_twin(folder: Path, root: Path) -> Path:
    """Random parts of the classes that the folder's configs name, saved as its recipe would save them."""
    torch.manual_seed(0)
    whole, encoder = read(folder, "config.json"), read(folder / "speech_tokenizer", "config.json")["encoder_config"]
    units = AutoModel.from_config(
        shrunken(folder / "speech_tokenizer", **SMALL_UNITS, encoder_config={**encoder, **SMALL_ENCODER})
    )
    units.set_centroids(torch.randn(20, 16))
    codec = build_codec("mimi")
    storm = AutoModel.from_config(
        shrunken(
            folder / "speech_decoder", **SMALL_STORM, **codec_settings(codec.config, 4), fingerprint=units.fingerprint
        )
    )
    storm.take_codec(codec)
    parts = {"units": units, "storm": storm}
    if (folder / "image_tokenizer").is_dir():
        parts["dvae"] = AutoModel.from_config(shrunken(folder / "image_tokenizer", **SMALL_DVAE)).eval()
        parts["dvae"].config.fingerprint = parts["dvae"].compute_fingerprint()
    for name, part in parts.items():
        part.save_pretrained(root / name)
    text = save_text_tokenizer(root / "text")
    languages = read(folder, "processor_config.json")["languages"]
    settings = LmArguments(languages=" ".join(languages), image_codes=0, text_budget=6, speech_budget=12)
    processor = make_processor(text, units, 450, settings, parts.get("dvae"))
    config = {**whole["text_config"], **SMALL_TEXT, "vocab_size": 450}
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    base.generation_config.eos_token_id = processor.eos_id
    model = make_model(base, processor, settings)
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.5)
    model.save_pretrained(root / "lm")
    return assemble_checkpoint(
        root / "lm", text, root / "units", root / "storm", root / "checkpoint", languages,
        root / "dvae" if "dvae" in parts else None,
    )  # fmt: skip


def same_shape(one: Any, other: Any, where: str = "") -> None:
    """Whether two JSON files have the same keys, whatever the numbers; lists alone where they are of equal length."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [set(each) - FREE for each in (one, other)]
        assert names[0] == names[1], f"{where}: {sorted(names[0] ^ names[1])}"
        for name in names[0]:
            same_shape(one[name], other[name], f"{where}/{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other)):
            same_shape(*pair, f"{where}/{number}")
    elif where.endswith(("model_type", "name", "_class", "architectures", "auto_map", "tie_word_embeddings")):
        assert one == other, where


def same_layout(folder: Path, checkpoint: Path) -> None:
    """Whether a checkpoint with weights is laid out as the folder without says."""
    for path in folder.rglob("*.json"):
        name = path.relative_to(folder)
        if name.name == "generation_config.json":  # the text LLM's own, with what follows
            continue
        same_shape(read(folder, str(name)), read(checkpoint, str(name)), str(name))
        if name.name == "config.json":
            assert (checkpoint / name.parent / "model.safetensors").is_file()
    assert read(folder, "processor_config.json")["parts"] == read(checkpoint, "processor_config.json")["parts"]
    ours, theirs = (read(each, "generation_config.json") for each in (folder, checkpoint))
    assert (
        ours.get("drawing") == theirs.get("drawing")
        and ours["span_grammar"]["tasks"] == theirs["span_grammar"]["tasks"]
    )
    assert set(ours["span_grammar"]) == set(theirs["span_grammar"]) and set(ours) <= set(theirs)


def run_every_task(checkpoint: Path) -> list[str]:
    """Each task the checkpoint knows through a pipeline that a user would take, loaded from its folder; the tasks that ran."""
    sees = "image_tokenizer" in read(checkpoint, "processor_config.json")["parts"]
    pipes = {"speech-recognition": "ASR", "speech-to-text-translation": "AST", "speech-to-speech-translation": "S2ST"}
    both = {"source_language": "en", "target_language": "de"}
    chain = pipeline("task-chain", model=str(checkpoint))
    shared = {"model": chain.model, "processor": chain.processor, "tokenizer": chain.processor.tokenizer}
    ran = []
    for task, name in pipes.items():
        pipe = pipeline(task, **shared)
        result = pipe(SOUND, **({"language": "en"} if name == "ASR" else both))
        assert isinstance(result["text"], str)
        if name == "S2ST":
            check_sound(result)
            direct = pipe(SOUND, **both, chain=False, voice_prompt=SOUND)
            check_sound(direct)
        ran.append(name)
    assert isinstance(pipeline("text-translation", **shared)("a red circle", **both)["text"], str)
    check_sound(pipeline("voice-text-to-speech", **shared)("ein Kreis", language="de", voice_prompt=SOUND))
    ran += ["MT", "TTS"]
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8))
    chains = {"ASR AST": SOUND, "ASR AST S2ST": SOUND}
    if sees:
        [drawn] = pipeline("text-to-image", **shared)("a red circle", seed=0)
        assert drawn.size == (32, 32)
        chains |= {"CAPTION": picture, "T2I": "a red circle", "ASR T2I": SOUND}
        chains |= {"CAPTION TTS": picture, "CAPTION MT TTS": picture}
    for tasks, inputs in chains.items():
        pieces = chain(inputs, tasks=tasks, **both)
        assert [piece["task"] for piece in pieces] == tasks.split()
        for piece in pieces:
            assert isinstance(piece.get("text", ""), str)
            if "audio" in piece:
                check_sound(piece)
        ran.append(tasks)
    return ran


def check_sound(result: dict[str, Any]) -> None:
    assert result["sampling_rate"] == MimiConfig().sampling_rate == 24_000
    assert len(result["audio"]) >= 960 and np.isfinite(result["audio"]).all()
