"""Attention example by example: the same results and gradients as the mask over the row, compiled or not, and when it declines."""

import copy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from triglot import extend_text_model
from triglot.training.new_text_model import new_text_model
from triglot.training.packed_attention import NAME, packed_attention, use_packed_attention

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def model_of(qk_norm: bool, **more):
    torch.manual_seed(0)
    base = new_text_model(0 if more else 2, qk_norm, **SIZES, **more)
    return extend_text_model(base, [{"name": "speech", "size": 20, "frame_rate": 25.0}], init="mean").train()


def rows():
    """Three packed rows of 40 ids: examples of many lengths, one of a single id, and a row that is one example."""
    lengths = [(17, 1, 12, 10), (40,), (33, 7)]
    position_ids = torch.stack([torch.cat([torch.arange(length) for length in row]) for row in lengths])
    ids = torch.randint(80, (3, 40), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids, "position_ids": position_ids}


def gradients(model, batch, autocast=False):
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(**batch)["loss"]
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("more", [{}, {"num_key_value_heads": 2}], ids=["heads", "grouped"])
@pytest.mark.parametrize("qk_norm", [False, True], ids=["llama", "qwen3"])
def test_same_loss_and_gradients_as_with_a_mask(qk_norm, more):
    masked = model_of(qk_norm, **more)
    packed = copy.deepcopy(masked)
    assert use_packed_attention(packed)
    assert packed.config.text_config._attn_implementation == NAME
    wanted, found = gradients(masked, rows()), gradients(packed, rows())
    torch.testing.assert_close(found[0], wanted[0])
    for name, gradient in wanted[1].items():
        torch.testing.assert_close(found[1][name], gradient, atol=2e-6, rtol=1e-4, msg=name)


def test_compiled_and_in_half_precision():
    plain = model_of(True)
    packed = copy.deepcopy(plain)
    use_packed_attention(packed)
    packed.language_model.compile()
    wanted, found = gradients(plain, rows(), autocast=True), gradients(packed, rows(), autocast=True)
    assert float(found[0]) == pytest.approx(float(wanted[0]), rel=2e-3)
    total = sum(g.square().sum() for g in wanted[1].values()).sqrt()
    difference = sum((g - wanted[1][name]).square().sum() for name, g in found[1].items()).sqrt()
    assert difference < 0.05 * total


def test_the_operator_keeps_its_promises():
    parts = [torch.randn(2, 3, 9, 8, requires_grad=True) for _ in range(3)]
    position_ids = torch.tensor([[0, 1, 2, 3, 0, 1, 0, 1, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8]])
    torch.library.opcheck(packed_attention, (*parts, position_ids, 0.3))


def test_what_it_would_change_is_left_alone(tmp_path):
    windows = MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=4, sliding_window=8))
    assert not use_packed_attention(windows) and windows.config._attn_implementation == "sdpa"
    dropped = MistralForCausalLM(
        MistralConfig(**SIZES, num_key_value_heads=4, sliding_window=None, attention_dropout=0.1)
    )
    assert not use_packed_attention(dropped)
    assert not use_packed_attention(model_of(True), "cuda")
    other = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=32, n_layer=1, n_head=4))
    assert not use_packed_attention(other)


def test_a_model_is_saved_as_it_always_was(tmp_path):
    model = model_of(True)
    use_packed_attention(model)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config.text_config._attn_implementation == "sdpa"
    assert again.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=3).shape == (1, 6)
