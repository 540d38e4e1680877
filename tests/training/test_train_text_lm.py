"""A text LM on the texts of token rows: what it reads, that it learns, and that it can be grown."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from triglot import TriglotProcessor
from triglot.processing.errors import TriglotError
from triglot.training.train_lm import LmArguments
from triglot.training.train_text_lm import text_examples, train_text_lm

ROWS = [
    {
        "text_source": "a red circle",
        "text_target": "un círculo rojo",
        "source_language": "en",
        "target_language": "es",
    },
    {
        "text_source": "un círculo rojo",
        "text_target": "a red circle",
        "source_language": "es",
        "target_language": "en",
    },
    {"text_source": "a blue square", "source_language": "en"},
    {"speech_source": [1, 2], "text_source": "", "source_language": "en"},
]
TINY = LmArguments(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, qk_norm=True,
                   pack_length=64, max_steps=60, batch_size=2, learning_rate=1e-2, bf16=False)  # fmt: skip


def test_each_text_and_each_pair_in_both_directions_once(random_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(random_checkpoint)
    processor = TriglotProcessor(tokenizer, [{"name": "text", "size": len(tokenizer)}], ["en", "es"])
    examples = text_examples(ROWS, processor)
    said = [
        (example["task"], tokenizer.decode(example["input_ids"], skip_special_tokens=True)) for example in examples
    ]
    assert sorted(said) == sorted([
        ("text", "a red circle"), ("text", "un círculo rojo"), ("text", "a blue square"),
        ("MT", "[MT English Spanish] a red circle = un círculo rojo"), ("MT", "[MT Spanish English] un círculo rojo = a red circle"),
    ])  # fmt: skip
    for example in examples:
        ids, labels = example["input_ids"], example["labels"]
        assert labels[0] == -100 and labels[1:] == ids[1:] and ids[-1] == tokenizer.eos_token_id
    with pytest.raises(TriglotError, match="No row has a text"):
        text_examples([{"speech_source": [1]}], processor)


def test_it_learns_and_loads_as_a_plain_causal_lm(random_checkpoint, tmp_path):
    train_text_lm(ROWS, random_checkpoint, tmp_path / "lm", TINY)
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "lm"),
        AutoTokenizer.from_pretrained(random_checkpoint),
    )
    assert model.config.model_type == "qwen3" and model.config.use_cache
    start = tokenizer("[MT English Spanish]", add_special_tokens=False)["input_ids"]
    start = [tokenizer.bos_token_id, *start, *tokenizer("a red circle", add_special_tokens=False)["input_ids"]]
    written = model.generate(torch.tensor([start]), max_new_tokens=40, do_sample=False)[0]
    assert tokenizer.decode(written, skip_special_tokens=True).endswith("a red circle = un círculo rojo")
    told = json.loads((tmp_path / "lm" / "checkpoints" / "summary.json").read_text())
    assert told["steps"] == 60 and told["epochs"] > 1 and set(told["facts"]) == {"text", "MT"}
