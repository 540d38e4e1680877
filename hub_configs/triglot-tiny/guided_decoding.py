"""Classifier-free guidance of pictures (arXiv 2207.12598, section 3.2, on logits): what the condition adds is added `scale` times.

    logits = null + scale * (conditional - null)

Every row has a twin whose prompt says nothing (the tag alone), and row and twin take each step together, in one batch with one
cache. The guided span comes first: what a chain writes before it is part of the prompt by then, which the twin has never seen.

Shapes: N rows, T ids, V ids of the vocabulary.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import DynamicCache

from .fused_decoding import FusedDecoder, can_fuse, one_blas_thread, sample_loop
from .span_grammar import SpanGrammar, SpanLogitsProcessor


@dataclass(frozen=True)
class Guidance:
    """How the first span of a call is guided.

    Attributes:
        scale: 1 changes nothing; above, samples keep closer to the condition and vary less.
        null_ids: int64 (B, T), prompts that say nothing, padded on the left; one each for N / B neighbouring rows.
        null_mask: (B, T): 1 for ids, 0 for padding.
        length: New ids that are guided; from then on the twins are asked no more.
    """

    scale: float
    null_ids: torch.Tensor
    null_mask: torch.Tensor
    length: int


class CachedSteps:
    """Any causal LM step by step, as `FusedDecoder`: ids (N, T) that follow those before -> logits (N, V) after the last one."""

    def __init__(self, model: Any, mask: torch.Tensor):
        self.model, self.mask, self.cache = model, mask, DynamicCache()

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        if self.cache.get_seq_length():
            self.mask = torch.cat([self.mask, self.mask.new_ones(ids.shape)], 1)
        places = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.model(
            ids,
            attention_mask=self.mask,
            position_ids=places,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()


def guided_sample(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    guidance: Guidance,
    **model_kwargs: Any,
) -> torch.Tensor:
    """Greedy search or sampling under guidance, as `generate`'s `custom_generate`: ids (N, T) -> ids (N, T + new)."""
    model._check_ids(input_ids)
    rows = len(input_ids)
    mask = model_kwargs.get("attention_mask")
    mask = torch.ones_like(input_ids) if mask is None else mask
    copies = rows // len(guidance.null_ids)
    nulls = guidance.null_ids, guidance.null_mask
    null_ids, null_mask = (part.to(input_ids.device).repeat_interleave(copies, 0) for part in nulls)
    width = max(input_ids.shape[1], null_ids.shape[1])
    prompt = torch.cat([_widened(input_ids, width), _widened(null_ids, width)])
    mask = torch.cat([_widened(mask, width), _widened(null_mask, width)])
    length = generation_config.max_length + width - input_ids.shape[1]
    fused = can_fuse(model.language_model)
    steps = (
        FusedDecoder(model.language_model, mask, length, model.fused_weights()) if fused else CachedSteps(model, mask)
    )
    taken = 0

    def step(newest: torch.Tensor) -> torch.Tensor:
        nonlocal taken
        both = steps.step(torch.cat([newest, newest]) if taken else prompt)
        taken += 1
        conditional, null = both[:rows], both[rows:]
        return null + guidance.scale * (conditional - null) if taken <= guidance.length else conditional

    with one_blas_thread(fused):
        return sample_loop(step, input_ids, logits_processor, stopping_criteria, generation_config)


def _widened(part: torch.Tensor, width: int) -> torch.Tensor:
    """(N, T) -> (N, width), zeros on the left."""
    return torch.nn.functional.pad(part, (width - part.shape[1], 0))


class _ClosedSpans:
    """Stops a row when so many of its spans are closed; for `stopping_criteria`."""

    def __init__(self, grammar: SpanGrammar, prompt_length: int, count: int):
        self.closers = torch.tensor(sorted(grammar.closers))
        self.prompt_length, self.count = prompt_length, count

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        new = input_ids[:, self.prompt_length :]
        return torch.isin(new, self.closers.to(new.device)).sum(1) >= self.count


class GuidedPlan:
    """One call of `generate` with guidance: what stands before a picture is decoded as ever, then the picture is guided.

    Before each picture the rows are aligned again, so that it starts in all of them at once.
    """

    def __init__(
        self,
        model: Any,
        grammar: SpanGrammar,
        output_spans: torch.Tensor,
        bound: int,
        scale: float,
        null_ids: torch.Tensor | None,
        null_mask: torch.Tensor | None,
        sampled: frozenset[int] | None = None,
    ):
        rows = grammar.rows(output_spans)
        grids = [index for index, entry in enumerate(model.config.modalities) if entry.get("grid") is not None]
        pictures = [place for place, kind in enumerate(rows[0]) if kind in grids]
        if any(row != rows[0] for row in rows):
            raise ValueError("guidance_scale is for batches of one task; these prompts ask for different spans.")
        if not pictures:
            raise ValueError("guidance_scale guides pictures, and this task writes none.")
        if null_ids is None:
            raise ValueError("guidance_scale needs negative_prompt_ids, the prompts that say nothing.")
        if len(null_ids) != len(rows):
            raise ValueError(
                f"negative_prompt_ids has {len(null_ids)} rows for {len(rows)} prompts; one each is needed."
            )
        if not math.isfinite(scale) or scale < 0:
            raise ValueError(f"guidance_scale is {scale}; at least 0 is needed.")
        self.model, self.grammar, self.spans, self.pictures = model, grammar, rows[0], pictures
        self.bound, self.scale, self.sampled = bound, scale, sampled
        self.null_ids, self.null_mask = null_ids, torch.ones_like(null_ids) if null_mask is None else null_mask

    def run(
        self, ids: torch.Tensor, generation_config: Any, logits_processor: Any, kwargs: dict[str, Any], *args: Any
    ) -> torch.Tensor:
        """ids (B, T) -> ids (N, T + new), where N counts returned sequences."""
        settings = generation_config if generation_config is not None else self.model.generation_config
        if (kwargs.get("num_beams") or settings.num_beams or 1) > 1:
            raise ValueError("guidance_scale goes with greedy search or sampling, not with beams.")
        if args or kwargs.get("return_dict_in_generate") or kwargs.get("streamer") is not None:
            raise ValueError(
                "With guidance_scale, generate gives ids and nothing else, and takes its arguments by name."
            )
        copies = kwargs.pop("num_return_sequences", None) or settings.num_return_sequences or 1
        kwargs.pop("input_ids", None)
        mask = kwargs.pop("attention_mask", None)
        mask = torch.ones_like(ids) if mask is None else mask
        ids, mask = (part.repeat_interleave(copies, 0) for part in (ids, mask))
        self.prompts = [row[kept.bool()].tolist() for row, kept in zip(ids, mask)]
        self.new: list[list[int]] = [[] for _ in self.prompts]
        self.settings, self.processors, self.kwargs, self.device = (
            generation_config,
            logits_processor,
            kwargs,
            ids.device,
        )
        done = 0
        for place in self.pictures:
            if place > done:
                self._spans(done, place, guided=False)
            done = len(self.spans) if place == self.pictures[-1] else place + 1
            self._spans(place, done, guided=True)
        pad, longest = self._pad(), max(map(len, self.new))
        new = [row + [pad] * (longest - len(row)) for row in self.new]
        return torch.cat([ids, torch.tensor(new, dtype=ids.dtype, device=ids.device)], 1)

    def _spans(self, first: int, last: int, guided: bool) -> None:
        """Decodes the spans first .. last-1 of all rows, and <eos> behind the last of all."""
        rows = [prompt + new for prompt, new in zip(self.prompts, self.new)]
        width = max(map(len, rows))
        ids = torch.tensor([[self._pad()] * (width - len(row)) + row for row in rows], device=self.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.device)
        spans = torch.tensor([self.spans[first:]] * len(rows))
        kwargs = dict(
            self.kwargs,
            max_new_tokens=self.bound - max(map(len, self.new)),
            attention_mask=mask,
            num_return_sequences=1,  # the rows are there already
        )
        grammar = SpanLogitsProcessor(self.grammar, spans, width, kwargs["max_new_tokens"], self.sampled)
        if last < len(self.spans):
            mine = _ClosedSpans(self.grammar, width, last - first)
            kwargs["stopping_criteria"] = [*(kwargs.get("stopping_criteria") or []), mine]
        if guided:
            length = self.grammar.minimum[self.spans[first]] + 2  # its borders; what follows is not guided
            guidance = Guidance(self.scale, self.null_ids, self.null_mask, length)
            kwargs["custom_generate"] = partial(guided_sample, guidance=guidance)
        processors = [*(self.processors or []), grammar]
        output = self.model._generate(ids, self.settings, processors, **kwargs)[:, width:].tolist()
        for row, new in zip(self.new, output, strict=True):
            row += new[: self._end(new, last - first, last == len(self.spans))]

    def _end(self, new: list[int], count: int, final: bool) -> int:
        """Where the padding behind <eos>, or behind `count` spans, starts."""
        if final:
            return new.index(self.grammar.eos_token_id) + 1
        closed = [place for place, token in enumerate(new) if token in self.grammar.closers]
        return closed[count - 1] + 1

    def _pad(self) -> int:
        pad = getattr(self.model.generation_config, "pad_token_id", None)
        return self.grammar.eos_token_id if pad is None else pad


__all__ = ["CachedSteps", "Guidance", "GuidedPlan", "guided_sample"]
