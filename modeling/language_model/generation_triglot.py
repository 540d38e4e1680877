"""Span-constrained generation: whatever the weights say, what comes out parses.

Every task's outputs are a short list of spans. `SpanGrammar` knows how the ids of each kind of span may go on and
`SpanLogitsProcessor` masks everything else:

    text span that is followed by more    text ids ... <|sep|>
    text span at the end                  text ids ... <eos>
    media span                            <|name|> codes ... <|/name|>     (an image: exactly h*w codes)
    after the last media span             <eos>

A budget per span and the total of new tokens close spans in time. The state is read off the ids at each step, nothing
is remembered, so beams may be reordered and batches may mix tasks.

Shapes: B prompts, N rows (B times beams or returned sequences), S spans, L new ids, V ids of the vocabulary.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import GenerationMixin, LogitsProcessor

TEXT = 0  # index of text in the list of modalities
NO_SPAN = -1  # padding of `output_spans`
DEFAULT_TEXT_BUDGET = 256  # ids
DEFAULT_MEDIA_SECONDS = 30  # s of speech
DEFAULT_MEDIA_BUDGET = 1024  # codes, where a modality has neither rate nor grid


@dataclass(frozen=True)
class SpanGrammar:
    """What may follow what, for one vocabulary.

    Args:
        vocab_size: V.
        eos_token_id: Closes every sequence.
        sep_token_id: Closes a text span that is followed by more.
        ranges: (first id, last id + 1) of each modality, text first.
        borders: (begin id, end id) of each modality; the first entry, text's, is unused.
        minimum: Fewest ids or codes of a span, for each modality.
        maximum: Most ids or codes of a span.
        forbidden_text: Text ids that must not be produced: control tokens and padded rows.
    """

    vocab_size: int
    eos_token_id: int
    sep_token_id: int
    ranges: tuple[tuple[int, int], ...]
    borders: tuple[tuple[int, int], ...]
    minimum: tuple[int, ...]
    maximum: tuple[int, ...]
    forbidden_text: tuple[int, ...] = field(default=(), repr=False)

    @classmethod
    def from_config(cls, config: Any, generation_config: Any) -> "SpanGrammar":
        """Reads the layout from a TriglotConfig and the budgets from `generation_config.span_grammar`."""
        settings = getattr(generation_config, "span_grammar", None) or {}
        if generation_config.eos_token_id is None:
            raise ValueError("Constrained generation needs generation_config.eos_token_id; it is None.")
        all_eos = generation_config.eos_token_id
        all_eos = list(all_eos) if isinstance(all_eos, (list, tuple)) else [all_eos]
        names = [entry["name"] for entry in config.modalities]
        budgets = settings.get("budgets", {})
        unknown = sorted(set(budgets) - set(names))
        if unknown:
            raise ValueError(f"span_grammar.budgets names {unknown}; this model has {names}.")
        minimum, maximum = [], []
        for entry in config.modalities:
            low, high = _span_length(entry)
            minimum.append(low)
            maximum.append(max(low, int(budgets.get(entry["name"], high))) if entry.get("grid") is None else high)
        ranges, tokens = config.modality_ranges, config.span_tokens
        text_size = settings.get("text_size") or ranges["text"][1]
        forbidden = set(settings.get("forbidden_text", ())) | set(range(text_size, ranges["text"][1])) | set(all_eos)
        return cls(
            vocab_size=config.vocab_size,
            eos_token_id=int(all_eos[0]),
            sep_token_id=config.sep_token_id,
            ranges=tuple(ranges[name] for name in names),
            borders=((-1, -1), *(tokens[name] for name in names[1:])),
            minimum=tuple(minimum),
            maximum=tuple(maximum),
            forbidden_text=tuple(sorted(forbidden)),
        )

    def rows(self, output_spans: torch.Tensor) -> list[list[int]]:
        """int (B, S) -> the modalities of each prompt's spans, without padding.

        Raises:
            ValueError: not two-dimensional, or a modality that does not exist.
        """
        shape, last = tuple(output_spans.shape), len(self.ranges) - 1
        if len(shape) != 2 or output_spans.numel() == 0:
            raise ValueError(f"output_spans has the shape {shape}; (prompts, spans) is needed.")
        low, high = int(output_spans.min()), int(output_spans.max())
        if low < NO_SPAN or high > last:
            raise ValueError(f"output_spans holds {low} to {high}; modalities are 0 to {last}, {NO_SPAN} pads.")
        return [[kind for kind in row if kind != NO_SPAN] for row in output_spans.tolist()]

    def shortest(self, spans: Sequence[int]) -> int:
        """Fewest new ids that these spans and <eos> can take."""
        return self._length(spans, self.minimum)

    def longest(self, spans: Sequence[int]) -> int:
        """Most new ids that these spans and <eos> can take within their budgets."""
        return self._length(spans, self.maximum)

    def _length(self, spans: Sequence[int], sizes: Sequence[int]) -> int:
        length = sum(sizes[kind] + (1 if kind == TEXT else 2) for kind in spans)
        return length + (0 if spans and spans[-1] == TEXT else 1)  # the last text span's closer is <eos> itself


def _span_length(entry: dict[str, Any]) -> tuple[int, int]:
    """(fewest, most) ids of a span of this modality where the generation config says nothing."""
    if entry["name"] == "text":
        return 0, DEFAULT_TEXT_BUDGET
    if entry.get("grid") is not None:
        size = math.prod(entry["grid"])
        return size, size
    if entry.get("frame_rate") is not None:
        return 1, max(1, round(entry["frame_rate"] * DEFAULT_MEDIA_SECONDS))
    return 1, DEFAULT_MEDIA_BUDGET


class SpanLogitsProcessor(LogitsProcessor):
    """Masks all ids that the grammar does not allow next.

    Args:
        grammar: The vocabulary's grammar.
        output_spans: int (B, S), the modality of each span in order, NO_SPAN behind the last.
        prompt_length: Ids before the first new one.
        max_new_tokens: Bound on the new ids; spans are closed in time for it.

    Raises:
        ValueError: a modality that does not exist, or a bound below the shortest sequence that parses.
    """

    def __init__(self, grammar: SpanGrammar, output_spans: torch.Tensor, prompt_length: int, max_new_tokens: int):
        self.grammar, self.prompt_length, self.max_new_tokens = grammar, prompt_length, max_new_tokens
        self.spans = output_spans.cpu().long()
        rows = grammar.rows(self.spans)
        needed = max(grammar.shortest(row) for row in rows)
        if max_new_tokens < needed:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; the spans asked for take at least {needed}.")
        self._columns = [self._expand(rows, what) for what in ("kind", "after", "last")]
        self._table = self._allowed_table()

    def _expand(self, rows: list[list[int]], what: str) -> torch.Tensor:
        """(B, S+1): each span's kind, the fewest ids needed after it, and whether it is the last."""
        width = self.spans.shape[1] + 1
        table = torch.zeros(len(rows), width, dtype=torch.long)
        for index, row in enumerate(rows):
            for position in range(width):
                inside = position < len(row)
                if what == "kind":
                    table[index, position] = row[position] if inside else NO_SPAN
                elif what == "last":
                    table[index, position] = int(position == len(row) - 1)
                elif inside:
                    rest = row[position + 1 :]
                    done = not rest and row[position] == TEXT  # its closer is <eos>: nothing comes after
                    table[index, position] = 0 if done else self.grammar.shortest(rest)
        return table

    def _allowed_table(self) -> torch.Tensor:
        """bool (states, V). Three states a modality (open | open or close | close), twice for text, then begin, eos."""
        grammar, rows = self.grammar, []

        def state(*ids: int, span: int | None = None) -> None:
            row = torch.zeros(grammar.vocab_size, dtype=torch.bool)
            if span is not None:
                row[slice(*grammar.ranges[span])] = True
                if span == TEXT:
                    row[list(grammar.forbidden_text)] = False
            row[list(ids)] = True
            rows.append(row)

        for kind, (_, end) in enumerate(grammar.borders):
            closer = grammar.sep_token_id if kind == TEXT else end
            state(span=kind)
            state(closer, span=kind)
            state(closer)
        state(grammar.eos_token_id, span=TEXT)
        for begin, _ in grammar.borders[1:]:
            state(begin)
        state(grammar.eos_token_id)
        return torch.stack(rows)

    def states(self, input_ids: torch.Tensor) -> torch.Tensor:
        """int64 (N,): the row of the table that says what may come next, for ids (N, prompt + L)."""
        grammar, device = self.grammar, input_ids.device
        new = input_ids[:, self.prompt_length :]
        count, length = new.shape
        row = torch.arange(count, device=device) // (count // len(self.spans))
        kinds, after, last = (column.to(device) for column in self._columns)
        closers = torch.tensor([grammar.sep_token_id, *(end for _, end in grammar.borders[1:])], device=device)
        closed = torch.isin(new, closers)
        span = closed.sum(dim=1).clamp(max=kinds.shape[1] - 1)
        places = torch.arange(1, length + 1, device=device)
        since = (
            length - (closed * places).amax(dim=1) if length else torch.zeros(count, dtype=torch.long, device=device)
        )
        kind = kinds[row, span]

        modalities = len(grammar.ranges)
        first_begin, eos = 3 * modalities + 1, 4 * modalities
        low = torch.tensor([*grammar.minimum, 0], device=device)[kind]
        high = torch.tensor([*grammar.maximum, 0], device=device)[kind]
        size = torch.where(kind == TEXT, since, since - 1)
        # one more code must leave room for the closer and for all that has to follow
        room = self.max_new_tokens - length - 1 >= 1 + after[row, span]
        may_continue, may_close = (size < high) & room, size >= low
        shape = torch.where(may_continue, torch.where(may_close, 1, 0), torch.where(may_close, 2, 0))
        state = kind * 3 + shape
        final_text = (kind == TEXT) & last[row, span].bool()
        state = torch.where(final_text, torch.where(shape == 2, eos, 3 * modalities), state)
        state = torch.where((kind > TEXT) & (since == 0), first_begin + kind - 1, state)
        return torch.where(kind == NO_SPAN, eos, state)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._table = self._table.to(scores.device)
        allowed = self._table[self.states(input_ids)]
        if allowed.shape[1] < scores.shape[1]:  # a head padded beyond the vocabulary
            allowed = torch.nn.functional.pad(allowed, (0, scores.shape[1] - allowed.shape[1]))
        return scores.masked_fill(~allowed, -math.inf)


class SpanGenerationMixin(GenerationMixin):
    """`generate` that takes `output_spans` (as the processor returns) or `task` and keeps to the grammar."""

    def generate(
        self, inputs=None, generation_config=None, logits_processor=None, *args, task=None, output_spans=None, **kwargs
    ):
        """As `GenerationMixin.generate`, with two more arguments.

        Args:
            output_spans: int (B, S): the modality index of each output span, NO_SPAN behind the last; what
                `TriglotProcessor` returns beside `input_ids`.
            task: A task's name, or one per prompt, looked up in `generation_config.span_grammar["tasks"]`; instead of
                `output_spans`. With neither, generation is unconstrained.

        Raises:
            ValueError: an unknown task, one that fits no modality of this model, or too few `max_new_tokens`.
        """
        settings = generation_config if generation_config is not None else self.generation_config
        ids = kwargs.get("input_ids", inputs)
        if output_spans is None and task is not None:
            output_spans = self._spans_of_tasks(task, settings, 1 if ids is None else ids.shape[0])
        if output_spans is None:
            return super().generate(inputs, generation_config, logits_processor, *args, **kwargs)
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
        bound = longest if wanted is None else min(wanted, longest)
        processor = SpanLogitsProcessor(grammar, output_spans, ids.shape[1], bound)
        kwargs.pop("max_length", None)
        kwargs["max_new_tokens"] = bound
        return super().generate(inputs, generation_config, [*(logits_processor or []), processor], *args, **kwargs)

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


def _new_tokens_bound(kwargs: dict[str, Any], settings: Any, prompt_length: int) -> int | None:
    """The caller's own bound on new ids, if there is one."""
    for holder in (kwargs, vars(settings)):
        if holder.get("max_new_tokens") is not None:
            return int(holder["max_new_tokens"])
        if holder.get("max_length") is not None:
            return max(0, int(holder["max_length"]) - prompt_length)
    return None
