"""Speed on paper: the published table of docs/sizing.md, the formulas by hand, and what cannot be asked."""

import argparse
import importlib.util
import re

import pytest
from environments import ROOT
from transformers import LlamaConfig, Qwen3Config

from triglot.processing.errors import TriglotError
from triglot.training.memory_plan import TrainingSetup
from triglot.training.throughput import (
    Accelerator,
    cache_bytes,
    reading_tokens,
    training_tokens,
    writing_tokens,
)

SMALL = Qwen3Config(
    vocab_size=1_000, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=32
)


def test_the_table_of_the_sizing_page_is_what_the_benchmark_prints():
    spec = importlib.util.spec_from_file_location("sizing", ROOT / "benchmarks" / "sizing.py")
    sizing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sizing)
    arguments = argparse.Namespace(peak=989, utilisation=0.4, length=2048, batch=4, new_rows=2048)
    rows = re.findall(
        r"^\| (\w+) \| (.*?) \| (\d+) \| (\d+).*? \| ([\d,]+) \|", (ROOT / "docs" / "sizing.md").read_text(), re.M
    )
    assert len(rows) == 12
    for size, way, gpus, memory, tokens in rows:
        if size == "8B" and gpus == "64":
            continue  # as the others, and the largest to build
        each, pace = sizing.plan(size, sizing.WAYS[way], int(gpus), arguments)
        assert (f"{each:.0f}", f"{pace:,.0f}") == (memory, tokens)


def test_by_hand():
    gpu = Accelerator(peak=100.0, bandwidth=1.0, utilisation=0.5, bandwidth_share=0.5)
    count, wide = 10_000_000, 4 * 32
    setup = TrainingSetup(length=512)
    flops = 6 * count + 6 * 3 * wide * 512
    assert training_tokens(count, SMALL, setup, 2, gpu) == pytest.approx(2 * 50e12 / flops)
    again = TrainingSetup(length=512, gradient_checkpointing=True, trainable="lora")
    assert training_tokens(count, SMALL, again, 1, gpu) == pytest.approx(50e12 / (6 * count + 8 * 3 * wide * 512))
    assert reading_tokens(count, gpu) == pytest.approx(50e12 / (2 * count))
    assert cache_bytes(SMALL) == 2 * 3 * 2 * 32 * 2 and cache_bytes(SMALL, "float32") == 2 * cache_bytes(SMALL)
    read = 2 * (count - 64_000) + 8 * 100 * cache_bytes(SMALL)
    assert writing_tokens(count, SMALL, 100, 8, gpu) == pytest.approx(8 * 0.5e12 / read)
    assert writing_tokens(count, SMALL, 1, 10**6, gpu) == reading_tokens(count, gpu), "never faster than reading"


def test_heads_without_a_width_of_their_own():
    config = LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    assert cache_bytes(config) == 2 * 2 * 64 * 2


@pytest.mark.parametrize(
    "change", [{"peak": 0.0}, {"bandwidth": -1.0}, {"utilisation": 1.2}, {"bandwidth_share": 0.0}]
)
def test_refused(change):
    with pytest.raises(TriglotError, match=next(iter(change))):
        Accelerator(**change)
