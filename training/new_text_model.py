"""A text LM from nothing that soon listens: weights of a size that fits its width, queries and keys of one length, heads that
may start as a short convolution."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from ..processing.errors import TriglotError
from .runs import fitting_deviation

LOOK_BACK_SHARPNESS = 4.0  # length of a frequency's key bias: scores fall by some 2 one place off, by 8 two places off


def new_text_model(
    look_back_heads: int = 0, qk_norm: bool = False, **config: Any
) -> LlamaForCausalLM | Qwen3ForCausalLM:
    """A Llama, or a Qwen3, with random weights.

    Their deviation is `fitting_deviation` unless `initializer_range` is given.

    Args:
        look_back_heads: So many heads of every layer start by reading the id 1, 2, 3, ... places back, as a causal
            convolution does: biases of query and key that RoPE turns into a peak at that distance
            (a positional start as in arXiv 2103.10697, section 3, for relative positions in one dimension).
        qk_norm: Normalise queries and keys of every head, so that scores have the same spread at any width
            (arXiv 2302.05442, section 2.2): a Qwen3, which is a Llama with just that.
        config: Of `LlamaConfig`.

    Raises:
        TriglotError: more look-back heads than there are.
    """
    heads = config["num_attention_heads"]
    if not 0 <= look_back_heads <= heads:
        raise TriglotError(f"look_back_heads is {look_back_heads}; allowed is 0 to num_attention_heads, {heads}.")
    config = {
        "initializer_range": fitting_deviation(config["hidden_size"]),
        "num_key_value_heads": heads,
        "head_dim": config["hidden_size"] // heads,
        "attention_bias": look_back_heads > 0,
        **config,
    }
    model = Qwen3ForCausalLM(Qwen3Config(**config)) if qk_norm else LlamaForCausalLM(LlamaConfig(**config))
    frequencies = model.model.rotary_emb.get_buffer("inv_freq")  # of the pairs (j, j + half) of a head's dimensions
    size = 2 * len(frequencies)
    with torch.no_grad():
        for layer in model.model.layers:
            for head in range(look_back_heads):
                rows, turn = slice(head * size, (head + 1) * size), (head + 1) * frequencies
                # score of places m and n: the sum over frequencies f of cos((m - n - distance) f)
                query = torch.cat([turn.cos(), -turn.sin()])
                key = torch.cat([torch.ones_like(turn), torch.zeros_like(turn)])
                layer.get_parameter("self_attn.q_proj.bias")[rows] = LOOK_BACK_SHARPNESS * query
                layer.get_parameter("self_attn.k_proj.bias")[rows] = LOOK_BACK_SHARPNESS * key
    return model
