"""A text LM from nothing: its weights fit its width, its look-back heads start as a short convolution."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from triglot.processing.errors import TriglotError
from triglot.training.new_text_model import new_text_model

SIZES = {
    "vocab_size": 50, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "rope_theta": 500.0,
}  # fmt: skip


def attention(model, length=40):
    """Attention by distance, (layer, head, 8), mean over the later places."""
    model.set_attn_implementation("eager")
    layers = model(torch.arange(length)[None] % model.config.vocab_size, output_attentions=True).attentions
    by_distance = [
        torch.stack([layer[0].diagonal(-back, 1, 2)[:, 8:].mean(-1) for back in range(8)]) for layer in layers
    ]
    return torch.stack(by_distance).transpose(1, 2)


def test_weights_are_of_a_size_that_fits_the_width():
    torch.manual_seed(0)
    model = new_text_model(**SIZES)
    assert model.model.layers[0].self_attn.q_proj.weight.std().item() == pytest.approx(0.05, rel=0.05)
    assert model.model.layers[0].self_attn.q_proj.bias is None
    assert new_text_model(**SIZES, initializer_range=0.02).config.initializer_range == 0.02


def test_look_back_heads_start_one_two_and_three_places_back():
    torch.manual_seed(0)
    weights = attention(new_text_model(3, **SIZES))
    assert (weights[:, :3].argmax(-1) == torch.tensor([1, 2, 3])).all()
    assert weights[:, :3].amax(-1).min() > 0.4
    assert weights[:, 3].amax(-1).max() < 0.3  # the head that was not asked looks at everything


def test_with_qk_norm_scores_have_the_same_spread_at_any_size_of_weights():
    for deviation in (0.005, 0.05):
        torch.manual_seed(0)
        model = new_text_model(qk_norm=True, **SIZES, initializer_range=deviation)
        assert model.config.model_type == "qwen3"
        weights = attention(model)
        assert weights.amax() > 0.1  # of some 40 places: not an average over all


@pytest.mark.parametrize("qk_norm", [False, True])
def test_look_back_heads_survive_saving(tmp_path, qk_norm):
    model = new_text_model(2, qk_norm, **SIZES).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(attention(model), attention(loaded))


@pytest.mark.parametrize("heads", [-1, 5])
def test_more_look_back_heads_than_heads_are_an_error(heads):
    with pytest.raises(TriglotError, match="0 to num_attention_heads, 4"):
        new_text_model(heads, **SIZES)
