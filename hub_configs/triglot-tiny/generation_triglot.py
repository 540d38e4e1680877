"""Span-constrained generation: whatever the weights say, what comes out parses (see `span_grammar`).

Greedy search and sampling of a small model go through `fused_decoding`, pictures under guidance through `guided_decoding`;
all else is transformers' own `generate`.

Shapes: B prompts, S spans.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationMixin
from transformers.generation import GenerationMode

from .fused_decoding import FusedWeights, can_fuse, fused_sample, has_int8
from .guided_decoding import GuidedPlan
from .span_grammar import NO_SPAN, SpanGrammar, SpanLogitsProcessor, TextLogitsProcessor

# what transformers calls the modalities of an output
GENERATION_MODES = {"text": "text", "audio": "speech", "image": "image"}
# arguments of `generate` that the fused loop does not know
NOT_FUSED = frozenset(
    [
        "assistant_model",
        "inputs_embeds",
        "past_key_values",
        "position_ids",
        "streamer",
        "synced_gpus",
        "tokenizer",
    ]
)


class SpanGenerationMixin(GenerationMixin):
    """`generate` that takes `output_spans` (as the processor returns) or `task` and keeps to the grammar."""

    def generate(
        self,
        inputs=None,
        generation_config=None,
        logits_processor=None,
        *args,
        task=None,
        output_spans=None,
        generation_mode=None,
        **kwargs,
    ):
        """As `GenerationMixin.generate`, with three more arguments.

        Args:
            output_spans: int (B, S): the modality index of each output span, NO_SPAN behind the last; what
                `TriglotProcessor` returns beside `input_ids`.
            task: A task's name, or one per prompt, looked up in `generation_config.span_grammar["tasks"]`; instead of
                `output_spans`. With neither, a text is continued as text, and ids that hold media go on freely.
            generation_mode: What the caller will take out of the ids, "text", "audio" or "image", as the stock any-to-any
                pipeline says it; checked against the spans and otherwise without effect.
            guidance_scale: Above 1: pictures are drawn under classifier-free guidance (`guided_decoding`), all else as without.
                It takes `negative_prompt_ids` and `negative_prompt_attention_mask` (B, T), prompts that say nothing, as the
                processor gives them; one task a batch, greedy search or sampling.

        Where the model's generation config has `drawing` ({"temperature", "top_k", "top_p", "guidance_scale"}, each as it likes), spans of
        pictures are sampled so unless the call says otherwise; greedily drawn pictures are mostly background. What a chain writes beside
        them stays greedy. Pictures are sampled from all codes where neither the call nor `drawing` says less: the 50 likeliest,
        transformers' default `top_k`, are few of a code book of thousands. (Chains with texts, by a model without `drawing`, keep it.)

        Raises:
            ValueError: an unknown task, one that fits no modality of this model or writes nothing of the `generation_mode`, too few
                `max_new_tokens`, a prompt beyond the model's context, or guidance where there is nothing to guide.
        """
        settings = generation_config if generation_config is not None else self.generation_config
        ids = kwargs.get("input_ids", inputs)
        if output_spans is None and task is not None:
            output_spans = self._spans_of_tasks(task, settings, 1 if ids is None else ids.shape[0])
        self._check_mode(generation_mode, output_spans)
        if output_spans is None:
            media = (
                kwargs.get("inputs_embeds") is not None
                if ids is None
                else bool((ids >= self.config.sep_token_id).any())
            )
            if not media:
                settings = settings if settings.eos_token_id is not None else self.generation_config
                written = TextLogitsProcessor(self.config, self._with_span_grammar(settings))
                logits_processor = [*(logits_processor or []), written]
            return self._generate(inputs, generation_config, logits_processor, *args, **kwargs)
        if ids is None:
            raise ValueError(
                "Constrained generation needs input_ids; inputs_embeds alone do not tell the prompt's length."
            )
        if output_spans.shape[0] != ids.shape[0]:
            raise ValueError(
                f"output_spans has {output_spans.shape[0]} rows for {ids.shape[0]} prompts; one each is needed."
            )
        if getattr(settings, "eos_token_id", None) is None:
            settings = self.generation_config
        grammar = SpanGrammar.from_config(self.config, self._with_span_grammar(settings))
        longest = max(grammar.longest(row) for row in grammar.rows(output_spans))
        wanted = _new_tokens_bound(kwargs, settings, ids.shape[1])
        room = self.check_context(_mask_of(kwargs, ids), output_spans, settings)
        bound = min(bound for bound in (wanted, room, longest) if bound is not None)
        kwargs.pop("max_length", None)
        sampled = self._draw_as_told(grammar, output_spans, generation_config, kwargs)
        scales = kwargs.pop("guidance_scale", None), getattr(settings, "guidance_scale", None), 1.0
        scale = next(scale for scale in scales if scale is not None)
        nulls = [kwargs.pop(name, None) for name in ("negative_prompt_ids", "negative_prompt_attention_mask")]
        if scale != 1.0:
            kwargs["guidance_scale"] = 1.0  # transformers' own would run the twins one by one, over text as well
            plan = GuidedPlan(self, grammar, output_spans, bound, float(scale), nulls[0], nulls[1], sampled)
            return plan.run(ids, generation_config, logits_processor, kwargs, *args)
        processor = SpanLogitsProcessor(grammar, output_spans, ids.shape[1], bound, sampled)
        kwargs["max_new_tokens"] = bound
        return self._generate(inputs, generation_config, [*(logits_processor or []), processor], *args, **kwargs)

    def _check_mode(self, generation_mode: str | None, output_spans: torch.Tensor | None) -> None:
        if generation_mode is None:
            return
        names = [entry["name"] for entry in self.config.modalities]
        if generation_mode not in GENERATION_MODES:
            raise ValueError(f"generation_mode is {generation_mode!r}; allowed is {', '.join(GENERATION_MODES)}.")
        kinds = {0} if output_spans is None else {int(kind) for kind in output_spans.flatten() if kind != NO_SPAN}
        written = [names[kind] for kind in sorted(kinds) if 0 <= kind < len(names)]
        if GENERATION_MODES[generation_mode] not in written:
            raise ValueError(
                f"generation_mode is {generation_mode!r}, but the task writes {' and '.join(written)}; choose a task that writes "
                f"{GENERATION_MODES[generation_mode]}."
            )

    def speed_up(self, int8: bool = True) -> str:
        """Makes `generate` faster: the fused loop keeps its weights from call to call.

        Worth a copy of the weights in float32; for small models that the loop serves (see `can_fuse`). Weights that are
        changed later are read again.

        Args:
            int8: On a CPU the steps of up to eight rows read the weights as int8: faster by far, with scores that are
                off by some hundredths of their spread. Where this torch cannot, float32 is kept.

        Returns:
            What the steps will read: "int8" or "float32".

        Raises:
            ValueError: the loop does not serve this model.
        """
        if not can_fuse(self.language_model):
            raise ValueError(
                f"The fast loop serves Llama and Qwen3 models of up to 100M plain weights in eval mode, not this "
                f"{type(self.language_model).__name__}: use it as it is, or pass cache_implementation='static' to generate."
            )
        self._kept_int8 = int8 and self.device.type == "cpu" and has_int8()
        self._kept_weights = FusedWeights(self.language_model, self._kept_int8)
        return "int8" if self._kept_int8 else "float32"

    def fused_weights(self) -> FusedWeights | None:
        """What `speed_up` keeps for the fused loop, made anew where the weights have changed since; None without it."""
        kept = getattr(self, "_kept_weights", None)
        if kept is not None and not kept.fit(self.language_model):
            kept = self._kept_weights = FusedWeights(
                self.language_model, self._kept_int8 and self.device.type == "cpu"
            )
        return kept

    def _draw_as_told(
        self, grammar: SpanGrammar, output_spans: torch.Tensor, generation_config: Any, kwargs: dict[str, Any]
    ) -> frozenset[int] | None:
        """Fills in how pictures are drawn where the call leaves it open; returns the modalities that are then sampled."""
        drawing = getattr(self.generation_config, "drawing", None)
        grids = {index for index, entry in enumerate(self.config.modalities) if entry.get("grid") is not None}
        written = {kind for row in grammar.rows(output_spans) for kind in row}
        if not written & grids or kwargs.get("do_sample") is False or (kwargs.get("num_beams") or 1) > 1:
            return None
        if not drawing or generation_config is not None:
            told = generation_config if generation_config is not None else self.generation_config
            sampling = kwargs.get("do_sample") or told.do_sample
            if sampling and written <= grids and kwargs.get("top_k") is None and told.top_k is None:
                kwargs["top_k"] = 0
            return None
        kwargs["do_sample"] = True
        for name, default in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0)):
            if kwargs.get(name) is None:
                kwargs[name] = drawing.get(name, default)
        if kwargs.get("guidance_scale") is None and kwargs.get("negative_prompt_ids") is not None:
            kwargs["guidance_scale"] = drawing.get("guidance_scale", 1.0)
        return frozenset(grids)

    def check_context(
        self, attention_mask: torch.Tensor, output_spans: torch.Tensor, settings: Any = None
    ) -> int | None:
        """Whether prompts and what they ask for fit into what the model can look back on.

        Args:
            attention_mask: (B, T) of the prompts, or the ids themselves where nothing is padded.
            output_spans: As in `generate`.
            settings: A generation config; default: the model's own.

        Returns:
            Most new ids that the longest prompt leaves room for; None for a model without a limit.

        Raises:
            ValueError: a prompt that is too long.
        """
        context = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        if not context:
            return None
        grammar = SpanGrammar.from_config(self.config, self._with_span_grammar(settings or self.generation_config))
        lengths = (attention_mask != 0).sum(1).tolist()
        for length, row in zip(lengths, grammar.rows(output_spans)):
            if length + grammar.shortest(row) > context:
                raise ValueError(
                    f"The prompt has {length} ids and the answer at least {grammar.shortest(row)}, but the model's context is "
                    f"{context} ids: shorten the input."
                )
        return context - max(lengths)

    def _generate(self, inputs: Any, generation_config: Any, *args: Any, **kwargs: Any) -> Any:
        """`GenerationMixin.generate`, with the fused loop where that computes the same."""
        if "custom_generate" in kwargs:
            return super().generate(inputs, generation_config, *args, **kwargs)
        if len(args) == 1 and not NOT_FUSED & set(kwargs) and can_fuse(self.language_model):
            wanted = copy.copy(self.generation_config)
            for settings in (vars(generation_config) if generation_config is not None else {}, kwargs):
                for name, value in settings.items():
                    if value is not None and hasattr(wanted, name):
                        setattr(wanted, name, value)
            if (
                wanted.get_generation_mode() in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
                and wanted.use_cache is not False
                and not wanted.return_dict_in_generate
                and wanted.cache_implementation is None
            ):
                kwargs["custom_generate"] = fused_sample
        return super().generate(inputs, generation_config, *args, **kwargs)

    def _with_span_grammar(self, settings: Any) -> Any:
        """A user's own generation config need not repeat the model's grammar."""
        if getattr(settings, "span_grammar", None) is None and hasattr(self.generation_config, "span_grammar"):
            settings = copy.copy(settings)
            settings.span_grammar = self.generation_config.span_grammar
        return settings

    def _spans_of_tasks(self, task: str | Sequence[str], settings: Any, batch: int) -> torch.Tensor:
        known = (getattr(self._with_span_grammar(settings), "span_grammar", None) or {}).get("tasks", {})
        tasks = [task] * batch if isinstance(task, str) else list(task)
        names = [entry["name"] for entry in self.config.modalities]
        rows = []
        for name in tasks:
            if name not in known:
                raise ValueError(f"Unknown task {name!r}; generation_config.span_grammar knows {sorted(known)}.")
            missing = sorted(set(known[name]) - set(names))
            if missing:
                raise ValueError(f"Task {name!r} writes {missing}, which this model does not have; it has {names}.")
            rows.append([names.index(modality) for modality in known[name]])
        width = max(len(row) for row in rows)
        return torch.tensor([row + [NO_SPAN] * (width - len(row)) for row in rows])


def _mask_of(kwargs: dict[str, Any], ids: torch.Tensor) -> torch.Tensor:
    mask = kwargs.get("attention_mask")
    return torch.ones_like(ids) if mask is None else mask


def _new_tokens_bound(kwargs: dict[str, Any], settings: Any, prompt_length: int) -> int | None:
    """The caller's own bound on new ids, if there is one."""
    for holder in (kwargs, vars(settings)):
        if holder.get("max_new_tokens") is not None:
            return int(holder["max_new_tokens"])
        if holder.get("max_length") is not None:
            return max(0, int(holder["max_length"]) - prompt_length)
    return None
