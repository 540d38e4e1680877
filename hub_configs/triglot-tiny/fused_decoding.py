"""Decoding step by step: a small Llama or Qwen3 without the cost of many small calls.

A model of some million parameters spends most of a step on calling, not on computing. Here a layer takes four products instead
of seven (query, key and value in one, gate and up in one), keys and values go into one buffer that is never copied, and a mask
is made only where rows are padded. On a CPU the steps of a few rows are NumPy's, on the same memory: each of its calls costs a
fraction of torch's. All of it computes in float32, whatever the weights are kept in: the ids are those of the ordinary loop in
float32, up to rounding in the sixth digit of the scores.

What is left of a step is reading the weights. `FusedWeights(int8=True)` has them as one byte each, with a scale for every output, for
the steps of a few rows on a CPU; prompts are still read in float32.

Shapes: B rows, T new ids, t ids so far, D width, H heads, G key/value heads, d of a head, V ids of the vocabulary.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen3ForCausalLM

MOST_PARAMETERS = 100_000_000  # above it, computing is what takes the time, and a copy of the weights is not small
LIGHT_ROWS = 8  # above it, torch's threads gain more than its calls cost


def can_fuse(model: Any) -> bool:
    """Whether `FusedDecoder` computes what this causal LM computes: exact class, plain linear layers, no hooks.

    In float32 anywhere, in half precision on a CPU only, which is slower in it.
    """
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
        and all(
            type(weight.data) is torch.Tensor for weight in model.parameters()
        )  # none that is quantised or sharded
        and all(weight.dtype == torch.float32 or _half_on_cpu(weight) for weight in model.parameters())
        and sum(weight.numel() for weight in model.parameters()) <= MOST_PARAMETERS
        and not any(hasattr(module, "_hf_hook") or module._forward_hooks for module in model.modules())
    )


def _half_on_cpu(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype in (torch.bfloat16, torch.float16)


class _Layer(NamedTuple):
    """Weights in float32, inputs times outputs, as a product reads fastest; those of a norm are in the product after it.

    Torch tensors, or NumPy arrays on the same memory.
    """

    qkv: Any  # (D, (H + 2 G) d)
    qkv_bias: Any
    qk_norm: Any  # (H + G, d)
    out: Any
    out_bias: Any
    gate_up: Any
    gate_up_bias: Any
    down: Any
    down_bias: Any

    @classmethod
    def of(cls, layer: Any, heads: int, kv_heads: int) -> "_Layer":
        attention, mlp = layer.self_attn, layer.mlp
        norms = None
        if hasattr(attention, "q_norm"):
            pair = attention.q_norm.weight, attention.k_norm.weight
            norms = torch.cat([pair[0].expand(heads, -1), pair[1].expand(kv_heads, -1)]).detach().float()
        return cls(
            *_product(attention.q_proj, attention.k_proj, attention.v_proj, norm=layer.input_layernorm.weight),
            norms,
            *_product(attention.o_proj),
            *_product(mlp.gate_proj, mlp.up_proj, norm=layer.post_attention_layernorm.weight),
            *_product(mlp.down_proj),
        )

    def numpy(self, int8: bool = False) -> "_Layer":
        parts = {name: None if part is None else part.numpy() for name, part in self._asdict().items()}
        if int8:
            parts |= {name: Int8Matrix(getattr(self, name)) for name in ("qkv", "out", "gate_up", "down")}
        return _Layer(**parts)


def _product(*layers: Any, norm: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Linear layers of the same input, after a norm with weights (I,), as one: (I, O) and its bias (O,) in float32."""
    weights, first = [layer.weight.detach() for layer in layers], layers[0]
    size = first.in_features, sum(len(weight) for weight in weights)
    whole = torch.empty(size, dtype=torch.float32, device=first.weight.device)
    torch.cat([weight.t() for weight in weights], 1, out=whole)
    if norm is not None:
        whole *= norm.detach()[:, None]
    bias = None if first.bias is None else torch.cat([layer.bias for layer in layers]).detach().float()
    return whole, bias


class Int8Matrix:
    """float32 (I, O) as int8 codes and a scale for each output, so that a product reads a quarter of the bytes.

    `x @ matrix` takes float32 NumPy (B, I) and gives (B, O); inside it inputs and results are rounded to bfloat16.
    """

    __array_ufunc__ = None  # NumPy leaves the product to __rmatmul__

    def __init__(self, weight: torch.Tensor):
        scale = (weight.abs().amax(0) / 127).clamp(min=torch.finfo(torch.bfloat16).tiny).bfloat16()
        self.codes = (weight / scale.float()).round().clamp(-127, 127).to(torch.int8).t().contiguous()  # (O, I)
        self.scale = scale

    def __rmatmul__(self, x: np.ndarray) -> np.ndarray:
        return torch._weight_int8pack_mm(torch.from_numpy(x).bfloat16(), self.codes, self.scale).float().numpy()


def has_int8() -> bool:
    """Whether this torch multiplies by int8 weights on a CPU, and does so rightly."""
    if not hasattr(torch, "_weight_int8pack_mm"):
        return False
    weight, x = torch.eye(32)[:, :16] * 2, torch.arange(32.0)[None]
    try:
        return bool(np.array_equal(x.numpy() @ Int8Matrix(weight), (x @ weight).numpy()))
    except (RuntimeError, NotImplementedError):
        return False


class FusedWeights:
    """A model's weights as the fused loop reads them; of use for as many calls as they stay what they are.

    Args:
        model: For which `can_fuse` holds.
        int8: The steps of a few rows on a CPU read int8 instead of float32.
    """

    def __init__(self, model: PreTrainedModel, int8: bool = False):
        inner: Any = model.model
        config: Any = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.layers = [_Layer.of(layer, self.heads, self.kv_heads) for layer in inner.layers]
        self.embedding = inner.embed_tokens.weight.detach().float()
        self.head, self.head_bias = _product(model.lm_head, norm=inner.norm.weight)
        self.rotary: Any = inner.rotary_emb
        self._made_of = self._state(model)
        self.light_layers: list[_Layer] | None = None
        self.light_head: Any = None
        if self.head.device.type == "cpu":
            self.light_layers = [layer.numpy(int8) for layer in self.layers]
            self.light_head = Int8Matrix(self.head) if int8 else self.head.numpy()

    def fit(self, model: PreTrainedModel) -> bool:
        """Whether the model's weights are still those that these were made of."""
        return self._made_of == self._state(model)

    @staticmethod
    def _state(model: PreTrainedModel) -> list[tuple[int, int]]:
        """Where each weight lies and how often it was written to."""
        return [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in model.parameters()]


class FusedDecoder:
    """Keys and values of one call of `generate`.

    Args:
        model: For which `can_fuse` holds.
        mask: (B, T) of the prompt: 1 for ids, 0 for padding on the left.
        length: Most ids of a row, the prompt's included.
        weights: The model's, where a call before has made them.
    """

    def __init__(self, model: PreTrainedModel, mask: torch.Tensor, length: int, weights: FusedWeights | None = None):
        self.weights = weights = weights or FusedWeights(model)
        self.heads, self.kv_heads, self.size, self.eps = weights.heads, weights.kv_heads, weights.size, weights.eps
        self.layers, self.embedding = weights.layers, weights.embedding
        self.head, self.head_bias = weights.head, weights.head_bias
        rows, device = mask.shape[0], mask.device
        self.first = (mask == 0).sum(1)  # (B,) padding before each row
        places = (torch.arange(length, device=device)[None] - self.first[:, None]).clamp(min=0)
        cos, sin = weights.rotary(self.embedding[:1, None], places)  # (B, length, d)
        half = self.size // 2
        self.cos = cos[:, :, None]
        self.sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)[:, :, None]  # halves change places with a sign
        shape = (len(self.layers), rows, self.kv_heads, length, self.size)
        self.keys, self.values = (torch.zeros(shape, dtype=torch.float32, device=device) for _ in range(2))
        self.padded = bool(self.first.any())
        self.done = 0
        self.light = _LightSteps(self) if device.type == "cpu" and rows <= LIGHT_ROWS else None

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T) that follow those of the steps before -> logits (B, V) after the last one."""
        rows, count = ids.shape
        start, end = self.done, self.done + count
        self.done = end
        if self.light is not None and count == 1:
            return torch.from_numpy(self.light.step(ids[:, 0].numpy(), start))
        cos, sin, mask = self.cos[:, start:end], self.sin[:, start:end], self._mask(start, end)
        rotated = self.heads + self.kv_heads
        x = functional.embedding(ids, self.embedding)
        width = (x.shape[-1],)
        for number, layer in enumerate(self.layers):
            normed = functional.rms_norm(x, width, None, self.eps)
            qkv = _linear(normed, layer.qkv, layer.qkv_bias).view(rows, count, -1, self.size)
            qk = qkv[:, :, :rotated]
            if layer.qk_norm is not None:
                qk = functional.rms_norm(qk, (self.size,), None, self.eps) * layer.qk_norm
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
            x = x + _linear(attended.transpose(1, 2).reshape(rows, count, -1), layer.out, layer.out_bias)
            normed = functional.rms_norm(x, width, None, self.eps)
            gate, up = _linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, -1)
            x = x + _linear(functional.silu(gate) * up, layer.down, layer.down_bias)
        return _linear(functional.rms_norm(x[:, -1], width, None, self.eps), self.head, self.head_bias)

    def _mask(self, start: int, end: int) -> torch.Tensor | None:
        """bool (B, 1, T, t): what each new id may see; None where there is no padding."""
        if not self.padded and (start == 0 or end - start == 1):
            return None
        keys = torch.arange(end, device=self.first.device)
        seen = keys[None] <= keys[start:, None]
        real = keys[None, None] >= self.first[:, None, None]
        own = keys[None] == keys[start:, None]  # padding sees itself: a row without any place would be nan
        return ((seen[None] & real) | own[None])[:, None]


class _LightSteps:
    """`FusedDecoder.step` for one id a row, in NumPy on the decoder's own memory."""

    def __init__(self, decoder: FusedDecoder):
        self.heads, self.kv_heads, self.size, self.eps = decoder.heads, decoder.kv_heads, decoder.size, decoder.eps
        self.layers: Any = decoder.weights.light_layers
        self.embedding, self.head = decoder.embedding.numpy(), decoder.weights.light_head
        self.head_bias = None if decoder.head_bias is None else decoder.head_bias.numpy()
        self.cos, self.sin = decoder.cos.numpy(), decoder.sin.numpy()
        self.keys, self.values = decoder.keys.numpy(), decoder.values.numpy()
        self.hidden = None  # float (B, 1, 1, length) to add to the scores: minus infinity where a row is padded
        if decoder.padded:
            places, first = np.arange(self.keys.shape[-2]), decoder.first.numpy()
            self.hidden = np.where(places < first[:, None], -np.inf, 0.0).astype(np.float32)[:, None, None]

    @np.errstate(over="ignore")  # where exp(-gate) is infinite, the quotient is 0, as it should be
    def step(self, ids: np.ndarray, place: int) -> np.ndarray:
        """ids (B,) at one place of the rows -> logits (B, V)."""
        rows, end, half, rotated = len(ids), place + 1, self.size // 2, self.heads + self.kv_heads
        cos, sin = self.cos[:, place], self.sin[:, place]
        x = self.embedding[ids]
        for layer, keys, values in zip(self.layers, self.keys, self.values):
            qkv = _linear(self._normed(x), layer.qkv, layer.qkv_bias).reshape(rows, -1, self.size)
            qk = qkv[:, :rotated]
            if layer.qk_norm is not None:
                qk = self._normed(qk) * layer.qk_norm
            qk = qk * cos + np.concatenate([qk[..., half:], qk[..., :half]], -1) * sin
            keys[:, :, place], values[:, :, place] = qk[:, self.heads :], qkv[:, rotated:]
            query = qk[:, : self.heads].reshape(rows, self.kv_heads, -1, self.size) * np.float32(self.size**-0.5)
            scores = query @ keys[:, :, :end].swapaxes(-1, -2)  # (B, G, H / G, t)
            if self.hidden is not None:
                scores += self.hidden[..., :end]
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            x = x + _linear((scores @ values[:, :, :end]).reshape(rows, -1), layer.out, layer.out_bias)
            both = _linear(self._normed(x), layer.gate_up, layer.gate_up_bias)
            gate, up = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
            x = x + _linear(gate / (1 + np.exp(-gate)) * up, layer.down, layer.down_bias)
        return _linear(self._normed(x), self.head, self.head_bias)

    def _normed(self, x: np.ndarray) -> np.ndarray:
        """x (..., n) over the root of its mean square."""
        squares = np.einsum("...i,...i->...", x, x)[..., None]
        return x / np.sqrt(squares / np.float32(x.shape[-1]) + np.float32(self.eps))


@cache
def _openblas() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")


def one_blas_thread(wanted: bool = True) -> Any:
    """Within it NumPy has one thread: its threads and torch's, in turn, wait for each other longer than they compute."""
    return _openblas().limit(limits=1) if wanted else nullcontext()


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    """x (..., I) by weight (I, O) plus bias (O,) or None; of torch or of NumPy."""
    y = x @ weight
    return y if bias is None else y + bias


def fused_sample(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    **model_kwargs: Any,
) -> torch.Tensor:
    """What `generate` does for greedy search and sampling, as its `custom_generate`: ids (B, T) -> ids (B, T + new).

    `model` has `language_model`, for which `can_fuse` holds, and `fused_weights`.
    """
    model._check_ids(input_ids)
    mask = model_kwargs.get("attention_mask")
    mask = torch.ones_like(input_ids) if mask is None else mask
    decoder = FusedDecoder(model.language_model, mask, generation_config.max_length, model.fused_weights())
    with one_blas_thread():
        return sample_loop(decoder.step, input_ids, logits_processor, stopping_criteria, generation_config)


def sample_loop(
    step: Callable[[torch.Tensor], torch.Tensor],
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
) -> torch.Tensor:
    """Greedy search or sampling over anything that gives the next logits.

    Args:
        step: The newest ids (B, T), at first all of them -> logits (B, V) after the last one.
        input_ids: (B, T).
        logits_processor, stopping_criteria, generation_config: As `generate` hands them to its `custom_generate`.

    Returns:
        ids (B, T + new), padded where a row ended before others.
    """
    going_on = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    newest = input_ids
    while True:
        scores = step(newest)
        for processor in logits_processor:  # the list itself would ask for each one's signature at every step
            scores = processor(input_ids, scores)
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


__all__ = ["FusedDecoder", "FusedWeights", "can_fuse", "fused_sample", "has_int8", "one_blas_thread", "sample_loop"]
