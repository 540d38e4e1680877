"""The grammar of outputs: what may follow what, and the mask that keeps generation to it.

Every task's outputs are a short list of spans. `SpanGrammar` knows how the ids of each kind of span may go on and
`SpanLogitsProcessor` masks everything else:

    text span that is followed by more    text ids ... <|sep|>
    text span at the end                  text ids ... <eos>
    media span                            <|name|> codes ... <|/name|>     (an image: exactly h*w codes)
    after the last media span             <eos>

A budget per span and the total of new tokens close spans in time. Batches may mix tasks, and beams may change places: the
state is read off the ids, and only the newest id is looked at where the ones before are as they were.
Where no task is asked for, `TextLogitsProcessor` keeps what continues a text to text.

Shapes: B prompts, N rows (B times beams or returned sequences), S spans, L new ids, V ids of the vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessor

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

    @property
    def closers(self) -> frozenset[int]:
        """Ids that close a span, <eos> aside."""
        return frozenset((self.sep_token_id, *(end for _, end in self.borders[1:])))

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
        sampled: Modalities (indices) whose spans may be sampled; the others keep their likeliest id alone. None for all.

    Raises:
        ValueError: a modality that does not exist, or a bound below the shortest sequence that parses.
    """

    def __init__(
        self,
        grammar: SpanGrammar,
        output_spans: torch.Tensor,
        prompt_length: int,
        max_new_tokens: int,
        sampled: frozenset[int] | None = None,
    ):
        self.grammar, self.prompt_length, self.max_new_tokens = grammar, prompt_length, max_new_tokens
        count = len(grammar.ranges)
        # states of the table in which something may be sampled
        self._free = (
            None
            if sampled is None
            else {3 * kind + place for kind in sampled for place in range(3)}
            | ({3 * count} if TEXT in sampled else set())
        )
        self.spans = output_spans.cpu().long()
        rows = grammar.rows(self.spans)
        needed = max(grammar.shortest(row) for row in rows)
        if max_new_tokens < needed:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; the spans asked for take at least {needed}.")
        self._rows = rows
        self._after = [[self._needed_after(row, index) for index in range(len(row))] for row in rows]
        self._closers = grammar.closers
        self._banned = ~self._allowed_table()
        self._seen: torch.Tensor | None = None
        self._places: list[tuple[int, int]] = []

    def _needed_after(self, row: list[int], index: int) -> int:
        """Fewest ids that must follow the closer of one span."""
        rest = row[index + 1 :]
        return 0 if not rest and row[index] == TEXT else self.grammar.shortest(rest)  # a last text's closer is <eos>

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

    def states(self, input_ids: torch.Tensor) -> list[int]:
        """For each of N rows, the row of the table that says what may come next, for ids (N, prompt + L)."""
        new = input_ids[:, self.prompt_length :]
        before, self._seen = self._seen, new
        if before is not None and new.shape[1] == before.shape[1] + 1 and torch.equal(new[:, :-1], before):
            fresh = new[:, -1:].tolist()
        else:  # the first step, or beams have changed places: read all ids again
            self._places, fresh = [(0, 0)] * len(new), new.tolist()
        self._places = [self._advance(place, ids) for place, ids in zip(self._places, fresh)]
        copies = len(new) // len(self._rows)  # beams or returned sequences of one prompt stand side by side
        return [self._state(index // copies, place, new.shape[1]) for index, place in enumerate(self._places)]

    def _advance(self, place: tuple[int, int], ids: list[int]) -> tuple[int, int]:
        """(spans closed so far, ids since then), after some more ids."""
        closed, since = place
        for token in ids:
            closed, since = (closed + 1, 0) if token in self._closers else (closed, since + 1)
        return closed, since

    def _state(self, index: int, place: tuple[int, int], length: int) -> int:
        row, (span, since) = self._rows[index], place
        modalities = len(self.grammar.ranges)
        final_text, first_begin, eos = 3 * modalities, 3 * modalities + 1, 4 * modalities
        if span >= len(row):
            return eos
        kind = row[span]
        if kind != TEXT and since == 0:
            return first_begin + kind - 1
        size = since if kind == TEXT else since - 1
        # one more code must leave room for the closer and for all that has to follow
        room = self.max_new_tokens - length - 1 >= 1 + self._after[index][span]
        may_continue, may_close = size < self.grammar.maximum[kind] and room, size >= self.grammar.minimum[kind]
        if kind == TEXT and span == len(row) - 1:
            return final_text if may_continue else eos
        return 3 * kind + (int(may_close) if may_continue else 2)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        beyond = scores.shape[1] - self._banned.shape[1]
        if beyond:  # a head padded beyond the vocabulary
            self._banned = torch.nn.functional.pad(self._banned, (0, beyond), value=True)
        self._banned = self._banned.to(scores.device)
        states = self.states(input_ids)
        alike = len(set(states)) == 1
        scores = scores.masked_fill(self._banned[states[0] if alike else states], -math.inf)
        if self._free is None:
            return scores
        steady = torch.tensor([state not in self._free for state in states], device=scores.device)
        likeliest = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, scores.argmax(1, keepdim=True), True)
        return scores.masked_fill(steady[:, None] & ~likeliest, -math.inf)


class TextLogitsProcessor(LogitsProcessor):
    """Masks all that is neither text nor an end: a text that is continued without a task stays one.

    Args:
        config: A TriglotConfig.
        generation_config: With `eos_token_id` and, if there is one, `span_grammar`.
    """

    def __init__(self, config: Any, generation_config: Any):
        settings, (first, last) = (
            getattr(generation_config, "span_grammar", None) or {},
            config.modality_ranges["text"],
        )
        ends = generation_config.eos_token_id
        self._banned = torch.ones(config.vocab_size, dtype=torch.bool)
        self._banned[first : settings.get("text_size") or last] = False
        self._banned[list(settings.get("forbidden_text", ()))] = True
        self._banned[ends if isinstance(ends, (list, tuple)) else [] if ends is None else [ends]] = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        banned = self._banned.to(scores.device)
        banned = torch.nn.functional.pad(banned, (0, scores.shape[1] - len(banned)), value=True)
        return scores.masked_fill(banned, -math.inf)


__all__ = ["NO_SPAN", "TEXT", "SpanGrammar", "SpanLogitsProcessor", "TextLogitsProcessor"]
