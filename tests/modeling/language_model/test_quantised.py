"""Checkpoints in fewer bits: torchao's int8 weights and inputs run through `generate`, by transformers' own loop."""

import pytest
import torch
from transformers import AutoProcessor

from triglot import TriglotForConditionalGeneration
from triglot.modeling.language_model.fused_decoding import can_fuse

quantization = pytest.importorskip("torchao.quantization")


@pytest.mark.parametrize("name", ["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"])
def test_torchao(name, random_checkpoint):
    model = TriglotForConditionalGeneration.from_pretrained(random_checkpoint, dtype=torch.bfloat16).eval()
    assert can_fuse(model.language_model)
    processor = AutoProcessor.from_pretrained(random_checkpoint)
    inputs = processor("hola", source_language="es")
    with torch.no_grad():
        plain = model(inputs.input_ids).logits.float()
    quantization.quantize_(model.language_model, getattr(quantization, name)())
    assert not can_fuse(model.language_model)
    with torch.no_grad():
        error = model(inputs.input_ids).logits.float() - plain
    assert 0 < float(error.abs().max()) < 0.2 * float(plain.abs().max())
    ids = model.generate(**inputs)[0, inputs.input_ids.shape[1] :]
    assert [run.modality for run in processor.runs(ids.tolist())] == ["speech"]
