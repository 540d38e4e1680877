"""Decoding step by step: a small Llama or Qwen3 without the cost of many small calls.

A model of some million parameters spends most of a step on calling, not on computing. Here a layer takes three products instead
of seven (query, key and value in one, gate and up in one), keys and values go into one buffer that is never copied, and a mask
is made only where rows are padded. The ids are those of the ordinary loop, up to rounding in the sixth digit of the scores.

Shapes: B rows, T new ids, t ids so far, D width, H heads, G key/value heads, d of a head, V ids of the vocabulary.
"""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen3ForCausalLM

MOST_PARAMETERS = 100_000_000  # above it, computing is what takes the time, and a copy of the weights is not small


def can_fuse(model: Any) -> bool:
    """Whether `FusedDecoder` computes what this causal LM computes: exact class, plain linear layers, float32, no hooks."""
    if type(model) not in (LlamaForCausalLM, Qwen3ForCausalLM) or model.training:
        return False
    config = model.config
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return (
        rope == "default"
        and kinds == {"full_attention"}
        and config.hidden_act == "silu"
        and all(type(layer) is nn.Linear for layer in layers)
        and len(layers) == 7 * config.num_hidden_layers + 1
        and all(weight.dtype == torch.float32 for weight in model.parameters())
        and sum(weight.numel() for weight in model.parameters()) <= MOST_PARAMETERS
        and not any(hasattr(module, "_hf_hook") or module._forward_hooks for module in model.modules())
    )


class _Layer(NamedTuple):
    before: torch.Tensor  # (D,) weight of the norm before attention
    qkv: torch.Tensor  # ((H + 2 G) d, D)
    qkv_bias: torch.Tensor | None
    q_norm: torch.Tensor | None  # (d,)
    k_norm: torch.Tensor | None
    out: torch.Tensor
    out_bias: torch.Tensor | None
    between: torch.Tensor  # (D,) weight of the norm before the MLP
    gate_up: torch.Tensor
    gate_up_bias: torch.Tensor | None
    down: torch.Tensor
    down_bias: torch.Tensor | None


class FusedDecoder:
    """Keys, values and weights of one call of `generate`.

    Args:
        model: For which `can_fuse` holds.
        mask: (B, T) of the prompt: 1 for ids, 0 for padding on the left.
        length: Most ids of a row, the prompt's included.
    """

    def __init__(self, model: PreTrainedModel, mask: torch.Tensor, length: int):
        inner: Any = model.model
        config: Any = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.layers = [_fused(layer) for layer in inner.layers]
        self.embedding, self.norm, self.head = inner.embed_tokens.weight, inner.norm.weight, model.lm_head
        rows, device = mask.shape[0], mask.device
        self.first = (mask == 0).sum(1)  # (B,) padding before each row
        places = (torch.arange(length, device=device)[None] - self.first[:, None]).clamp(min=0)
        cos, sin = inner.rotary_emb(self.embedding[:1, None], places)  # (B, length, d)
        half = self.size // 2
        self.cos = cos[:, :, None]
        self.sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)[:, :, None]  # halves change places with a sign
        shape = (len(self.layers), rows, self.kv_heads, length, self.size)
        self.keys, self.values = (torch.zeros(shape, device=device) for _ in range(2))
        self.padded = bool(self.first.any())
        self.done = 0

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T) that follow those of the steps before -> logits (B, V) after the last one."""
        rows, count = ids.shape
        start, end = self.done, self.done + count
        cos, sin, mask = self.cos[:, start:end], self.sin[:, start:end], self._mask(start, end)
        rotated = self.heads + self.kv_heads
        x = functional.embedding(ids, self.embedding)
        width = (x.shape[-1],)
        for number, layer in enumerate(self.layers):
            normed = functional.rms_norm(x, width, layer.before, self.eps)
            qkv = functional.linear(normed, layer.qkv, layer.qkv_bias).view(rows, count, -1, self.size)
            qk = qkv[:, :, :rotated]
            if layer.q_norm is not None and layer.k_norm is not None:
                q, k = qk[:, :, : self.heads], qk[:, :, self.heads :]
                q = functional.rms_norm(q, (self.size,), layer.q_norm, self.eps)
                k = functional.rms_norm(k, (self.size,), layer.k_norm, self.eps)
                qk = torch.cat([q, k], 2)
            qk = qk * cos + qk.roll(self.size // 2, -1) * sin
            self.keys[number, :, :, start:end] = qk[:, :, self.heads :].transpose(1, 2)
            self.values[number, :, :, start:end] = qkv[:, :, rotated:].transpose(1, 2)
            attended = functional.scaled_dot_product_attention(
                qk[:, :, : self.heads].transpose(1, 2),
                self.keys[number, :, :, :end],
                self.values[number, :, :, :end],
                attn_mask=mask,
                is_causal=mask is None and count > 1,
                enable_gqa=self.heads != self.kv_heads,
            )
            x = x + functional.linear(attended.transpose(1, 2).reshape(rows, count, -1), layer.out, layer.out_bias)
            normed = functional.rms_norm(x, width, layer.between, self.eps)
            gate, up = functional.linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, -1)
            x = x + functional.linear(functional.silu(gate) * up, layer.down, layer.down_bias)
        self.done = end
        return self.head(functional.rms_norm(x[:, -1], width, self.norm, self.eps))

    def _mask(self, start: int, end: int) -> torch.Tensor | None:
        """bool (B, 1, T, t): what each new id may see; None where there is no padding."""
        if not self.padded and (start == 0 or end - start == 1):
            return None
        keys = torch.arange(end, device=self.first.device)
        seen = keys[None] <= keys[start:, None]
        real = keys[None, None] >= self.first[:, None, None]
        own = keys[None] == keys[start:, None]  # padding sees itself: a row without any place would be nan
        return ((seen[None] & real) | own[None])[:, None]


def _fused(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, gate_up = (attention.q_proj, attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj)
    return _Layer(
        layer.input_layernorm.weight,
        torch.cat([part.weight for part in qkv]),
        None if attention.q_proj.bias is None else torch.cat([part.bias for part in qkv]),
        attention.q_norm.weight if hasattr(attention, "q_norm") else None,
        attention.k_norm.weight if hasattr(attention, "k_norm") else None,
        attention.o_proj.weight,
        attention.o_proj.bias,
        layer.post_attention_layernorm.weight,
        torch.cat([part.weight for part in gate_up]),
        None if mlp.gate_proj.bias is None else torch.cat([part.bias for part in gate_up]),
        mlp.down_proj.weight,
        mlp.down_proj.bias,
    )


def fused_sample(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    **model_kwargs: Any,
) -> torch.Tensor:
    """What `generate` does for greedy search and sampling, as its `custom_generate`: ids (B, T) -> ids (B, T + new).

    `model` has `language_model`, for which `can_fuse` holds.
    """
    model._check_ids(input_ids)
    mask = model_kwargs.get("attention_mask")
    mask = torch.ones_like(input_ids) if mask is None else mask
    decoder = FusedDecoder(model.language_model, mask, generation_config.max_length)
    going_on = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    newest = input_ids
    while True:
        scores = logits_processor(input_ids, decoder.step(newest))
        if generation_config.do_sample:
            newest = torch.multinomial(scores.softmax(-1), 1)
        else:
            newest = scores.argmax(-1, keepdim=True)
        if not going_on.all():
            newest = torch.where(going_on[:, None], newest, generation_config._pad_token_tensor)
        input_ids = torch.cat([input_ids, newest], 1)
        going_on = going_on & ~stopping_criteria(input_ids, None)
        if not going_on.any():
            return input_ids


__all__ = ["FusedDecoder", "can_fuse", "fused_sample"]
