"""Attention over packed rows on a CPU, example by example: nobody computes what a mask would take away.

    row of 432 ids    a a a a b b b c c . .      a mask over the row: 432 x 432 pairs a head
                      each example by itself:    4 x 4 + 3 x 3 + 2 x 2 + ...

transformers' own way is one mask over the whole row, which a CPU computes in full; a GPU has variable-length kernels. This is
the same idea as those, with PyTorch's CPU flash kernel (arXiv 2205.14135) called once for each example.

Shapes: B rows, H heads, T ids of a row, D width of a head.
"""

from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel

from ..processing.errors import TriglotError

NAME = "triglot_packed"  # of the attention implementation


def _examples(position_ids: torch.Tensor, rows: int) -> list[tuple[int, int, int]]:
    """(row, first, end) of every example: position_ids (B or 1, T) restart at 0 with each."""
    starts = position_ids.expand(rows, -1) == 0
    starts[:, 0] = True
    length = starts.shape[1]
    firsts = starts.flatten().nonzero().flatten().tolist()
    ends = [*firsts[1:], rows * length]
    return [
        (first // length, first % length, first % length + end - first)
        for first, end in zip(firsts, ends, strict=True)
    ]


@torch.library.custom_op("triglot::packed_attention", mutates_args=())
def packed_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, position_ids: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal attention inside each example.

    Args:
        query, key, value: (B, H, T, D) of one dtype.
        position_ids: int64 (B or 1, T), 0 where an example begins.
        scale: Of the scores.

    Returns:
        (B, T, H, D), and the log of the scores' sums (B, T, H), float32 at least, for the way back.
    """
    output, sums = _empty(query)
    for row, first, end in _examples(position_ids, len(query)):
        place = (slice(row, row + 1), slice(None), slice(first, end))
        attended, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query[place], key[place], value[place], 0.0, True, scale=scale
        )
        output[row, first:end] = attended[0].transpose(0, 1)
        sums[row, first:end] = logsumexp[0].transpose(0, 1)
    return output, sums


@packed_attention.register_fake
def _(query, key, value, position_ids, scale):
    return _empty(query)


def _empty(query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rows, heads, length, width = query.shape
    precise = torch.promote_types(query.dtype, torch.float32)
    return query.new_empty(rows, length, heads, width), query.new_empty(rows, length, heads, dtype=precise)


@torch.library.custom_op("triglot::packed_attention_backward", mutates_args=())
def packed_attention_backward(
    gradient: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    output: torch.Tensor,
    sums: torch.Tensor,
    position_ids: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`packed_attention`'s inputs and results and the gradient of its output (B, T, H, D) -> those of query, key, value."""
    results = _empty_like_inputs(query)
    for row, first, end in _examples(position_ids, len(query)):
        place = (slice(row, row + 1), slice(None), slice(first, end))
        parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            gradient[row : row + 1, first:end].transpose(1, 2), query[place], key[place], value[place],
            output[row : row + 1, first:end].transpose(1, 2), sums[row : row + 1, first:end].transpose(1, 2),
            0.0, True, scale=scale,
        )  # fmt: skip
        for result, part in zip(results, parts, strict=True):
            result[place] = part
    return results


@packed_attention_backward.register_fake
def _(gradient, query, key, value, output, sums, position_ids, scale):
    return _empty_like_inputs(query)


def _empty_like_inputs(query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three (B, H, T, D) that lie in memory as (B, T, H, D), as projections give them."""
    rows, heads, length, width = query.shape
    return tuple(query.new_empty(rows, length, heads, width).transpose(1, 2) for _ in range(3))  # type: ignore[return-value]


def _remember(ctx, inputs, output):
    query, key, value, position_ids, scale = inputs
    ctx.save_for_backward(query, key, value, *output, position_ids)
    ctx.scale = scale


def _backward(ctx, gradient, _):
    query, key, value, output, sums, position_ids = ctx.saved_tensors
    gradients = packed_attention_backward(
        gradient.contiguous(), query, key, value, output, sums, position_ids, ctx.scale
    )
    return *gradients, None, None


packed_attention.register_autograd(_backward, setup_context=_remember)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_ids: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers: query (B, H, T, D), key and value (B, H or fewer, T, D) -> (B, T, H, D)."""
    if attention_mask is not None or position_ids is None or dropout or key.shape[2] != query.shape[2]:
        raise ValueError("Packed attention is for training on packed rows: no mask, no cache, no dropout.")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    # float32: the kernel's way back on examples of 100 ids takes four times as long in bfloat16
    output, _ = packed_attention(query.float(), key.float(), value.float(), position_ids, scale)
    return output.to(value.dtype), None


def use_packed_attention(model: PreTrainedModel, device: torch.device | str = "cpu") -> bool:
    """Switches a model to attention example by example, for training on packed rows on a CPU.

    Args:
        model: Its text config says what its attention is.
        device: Where it will be trained.

    Returns:
        False, with the model as it was, where this attention would be another one or no faster: not on a CPU, sliding
        windows, dropout, scores that are capped.

    Raises:
        TriglotError: the model has no exchangeable attention.
    """
    config = model.config.get_text_config()
    windows = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    dropout = getattr(config, "attention_dropout", None)  # models without this name know other attention
    if (
        torch.device(device).type != "cpu"
        or windows
        or dropout != 0
        or getattr(config, "attn_logit_softcapping", None)
    ):
        return False
    AttentionInterface.register(NAME, _attend)
    try:
        model.set_attn_implementation(NAME)
    except ValueError as error:
        raise TriglotError(f"{type(model).__name__} cannot take another attention: {error}") from error
    return True
