"""The fused loop writes the ids of the ordinary one, and is only taken where it computes the same."""

import copy

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    Qwen3Config,
)

from triglot import extend_text_model
from triglot.modeling.language_model import generation_triglot
from triglot.modeling.language_model.fused_decoding import LIGHT_ROWS, FusedDecoder, Int8Matrix, can_fuse, has_int8

SIZES = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "grouped": LlamaConfig(**SIZES, num_key_value_heads=2, attention_bias=True, mlp_bias=True, rope_theta=500.0),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=4, head_dim=8, attention_bias=True, tie_word_embeddings=True),
    "wide heads": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
}


def build(config):
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config)
    for name, weight in base.named_parameters():
        if "bias" in name or "norm" in name:  # that start at 0 and 1, and would hide a mistake
            torch.nn.init.normal_(weight, float("norm" in name), 0.3)
    model = extend_text_model(base, [{"name": "speech", "size": 12}], "mean", inplace=True).eval()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    return model


@pytest.fixture
def calls(monkeypatch):
    """How often the fused loop was taken."""
    taken, loop = [], generation_triglot.fused_sample

    def counted(model, input_ids, logits_processor, stopping_criteria, generation_config, **kwargs):
        taken.append(len(input_ids))
        return loop(model, input_ids, logits_processor, stopping_criteria, generation_config, **kwargs)

    monkeypatch.setattr(generation_triglot, "fused_sample", counted)
    return taken


def ordinary(monkeypatch, model, **options):
    with monkeypatch.context() as patch:
        patch.setattr(generation_triglot, "can_fuse", lambda model: False)
        return model.generate(**options)


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_are_the_models_own(name):
    model = build(CONFIGS[name])
    ids = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    decoder = FusedDecoder(model.language_model, mask, 12)
    with torch.no_grad():
        came = [decoder.step(ids[:, :6]), decoder.step(ids[:, 6:7]), decoder.step(ids[:, 7:])]
        places = (mask.cumsum(1) - 1).clamp(min=0)
        wanted = model(ids, attention_mask=mask, position_ids=places).logits
    for logits, place in zip(came, (5, 6, 8)):
        torch.testing.assert_close(logits, wanted[:, place], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_ids_are_those_of_the_ordinary_loop(name, calls, monkeypatch):
    model = build(CONFIGS[name])
    ids = torch.randint(3, 40, (LIGHT_ROWS + 2, 7), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    for rows in (slice(0, 1), slice(0, 3), slice(0, LIGHT_ROWS + 2)):
        options = {"input_ids": ids[rows], "attention_mask": mask[rows], "max_new_tokens": 30, "do_sample": False}
        assert torch.equal(model.generate(**options), ordinary(monkeypatch, model, **options))
    assert calls == [1, 3, LIGHT_ROWS + 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_a_cpu_is_computed_in_float32(dtype, calls, monkeypatch):
    half = build(CONFIGS["qwen3"]).to(dtype)
    options = {"input_ids": torch.tensor([[5, 6, 7]]), "max_new_tokens": 30, "do_sample": False}
    fused = half.generate(**options)
    assert calls == [1]
    assert half.dtype == dtype
    assert torch.equal(fused, ordinary(monkeypatch, half.float(), **options))


def test_scores_beyond_what_exp_can_hold_are_no_warning_and_no_nan(recwarn):
    model = build(CONFIGS["llama"])
    with torch.no_grad():
        for layer in model.language_model.model.layers:
            layer.mlp.gate_proj.weight *= 1e3
    decoder = FusedDecoder(model.language_model, torch.ones(1, 2, dtype=torch.long), 8)
    with torch.no_grad():
        decoder.step(torch.tensor([[5, 6]]))
        assert decoder.step(torch.tensor([[7]])).isfinite().all()
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_sampling_draws_as_the_ordinary_loop_does(calls, monkeypatch):
    model = build(CONFIGS["qwen3"])
    options = {
        "input_ids": torch.tensor([[5, 6, 7]]), "max_new_tokens": 20, "do_sample": True, "top_k": 5, "temperature": 2.0,
        "num_return_sequences": 4,
    }  # fmt: skip
    torch.manual_seed(3)
    fused = model.generate(**options)
    torch.manual_seed(3)
    assert torch.equal(fused, ordinary(monkeypatch, model, **options))
    assert calls == [4]


def test_prompts_of_any_range_are_refused_as_ever():
    model = build(CONFIGS["llama"])
    with pytest.raises(ValueError, match="this model has 0 to"):
        model.generate(input_ids=torch.tensor([[5, 1_000]]), max_new_tokens=3)


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 2},
        {"use_cache": False},
        {"return_dict_in_generate": True, "output_scores": True},
        {"generation_config": GenerationConfig(num_beams=2, eos_token_id=2, pad_token_id=0)},
        {"prompt_lookup_num_tokens": 2},
    ],
)
def test_other_ways_to_generate_take_the_ordinary_loop(options, calls):
    model = build(CONFIGS["llama"])
    model.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=4, **options)
    assert calls == []


def test_beams_that_only_the_models_own_config_asks_for(calls):
    model = build(CONFIGS["llama"])
    model.generation_config.num_beams = 3
    ids = torch.tensor([[5, 6, 7]])
    model.generate(input_ids=ids, max_new_tokens=4)
    model.generate(input_ids=ids, max_new_tokens=4, generation_config=GenerationConfig(eos_token_id=2, pad_token_id=0))
    assert calls == []


def test_what_cannot_be_fused():
    model = build(CONFIGS["llama"]).language_model
    assert can_fuse(model)
    assert not can_fuse(build(CONFIGS["llama"]).language_model.train())
    assert not can_fuse(build(CONFIGS["llama"]).language_model.double())
    gpt2 = GPT2Config(vocab_size=40, n_embd=32, n_layer=1, n_head=4)
    assert not can_fuse(AutoModelForCausalLM.from_config(gpt2).eval())
    scaled = LlamaConfig(**SIZES, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})
    assert not can_fuse(AutoModelForCausalLM.from_config(scaled).eval())
    adapted = get_peft_model(build(CONFIGS["llama"]), LoraConfig(target_modules=["q_proj"])).eval()
    assert not can_fuse(adapted.base_model.model.language_model)
    model.register_forward_hook(lambda *_: None)
    assert not can_fuse(model)


class Quantised(torch.Tensor):
    """Like the weights that torchao puts in place of others: a tensor that is no plain one."""


def test_quantised_weights_are_not_fused():
    model = build(CONFIGS["llama"]).language_model
    projection = model.model.layers[0].mlp.up_proj
    projection.weight = torch.nn.Parameter(projection.weight.detach().as_subclass(Quantised))
    assert not can_fuse(model)


def test_int8_products_are_near_and_whole_numbers_exact():
    assert has_int8()
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(-127, 128, (64, 48), generator=generator).float()
    whole[0] = 127  # so that every scale is 1
    x = torch.randint(-1, 2, (3, 64), generator=generator).float().numpy()
    product = x @ Int8Matrix(whole)
    assert product.dtype == np.float32
    np.testing.assert_allclose(product, (torch.from_numpy(x) @ whole).bfloat16().float().numpy())
    weight, x = torch.randn(64, 48, generator=generator), torch.randn(3, 64, generator=generator)
    error = (x.numpy() @ Int8Matrix(weight)) - (x @ weight).numpy()
    assert 0 < np.abs(error).max() < 0.02 * float((x @ weight).abs().max())
    assert np.array_equal(np.ones((1, 64), np.float32) @ Int8Matrix(torch.zeros(64, 48)), np.zeros((1, 48)))


@pytest.mark.parametrize("name", CONFIGS)
def test_sped_up_the_ids_stay(name, monkeypatch, calls):
    """Without int8 exactly; with it the scores of each step stay near."""
    model = build(CONFIGS[name])
    ids = torch.tensor([[0, 0, 5, 6, 7], [8, 9, 10, 11, 12]])
    asked = {"input_ids": ids, "attention_mask": (ids > 0).long(), "max_new_tokens": 12, "do_sample": False}
    expected = ordinary(monkeypatch, model, **asked)
    assert model.speed_up(int8=False) == "float32"
    kept = model.fused_weights()
    assert torch.equal(model.generate(**asked), expected) and torch.equal(model.generate(**asked), expected)
    assert model.fused_weights() is kept and calls == [2, 2]

    assert model.speed_up() == "int8"
    mask = asked["attention_mask"]
    plain, quick = (
        FusedDecoder(model.language_model, mask, 12),
        FusedDecoder(model.language_model, mask, 12, model.fused_weights()),
    )
    assert torch.equal(plain.step(ids), quick.step(ids))  # prompts are read in float32
    for token in (3, 20):
        newest = torch.full((2, 1), token)
        right, near = plain.step(newest), quick.step(newest)
        assert not torch.equal(right, near)
        # random weights of this width make much of a rounding; what trained ones make of it, test_hub_configs says
        assert float((right - near).square().mean().sqrt()) < 0.15 * float(right.std())
    model.generate(**asked)


@pytest.mark.parametrize("int8", [False, True])
def test_weights_that_change_are_read_again(int8, monkeypatch):
    model = build(CONFIGS["qwen3"])
    fresh = copy.deepcopy(model)
    model.speed_up(int8)
    asked = {"input_ids": torch.tensor([[5, 6, 7]]), "max_new_tokens": 8, "do_sample": False}
    before = model.generate(**asked)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(-1)
    after = model.generate(**asked)
    with torch.no_grad():
        fresh.get_input_embeddings().weight.mul_(-1)
    fresh.speed_up(int8)
    assert torch.equal(after, fresh.generate(**asked)) and not torch.equal(after, before)
    assert set(model.state_dict()) == set(fresh.state_dict()) and not [
        key for key in model.state_dict() if "kept" in key
    ]


def test_a_model_that_the_loop_does_not_serve_cannot_be_sped_up():
    model = build(CONFIGS["llama"])
    with pytest.raises(ValueError, match="eval mode"):
        model.train().speed_up()
    model.eval().speed_up()
