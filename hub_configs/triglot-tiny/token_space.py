"""TokenSpace: (modality, code) <-> id, by offset arithmetic alone, and ids -> runs of one modality.

    0 .. R-1        text, the text LLM's embedding rows
    R               <|sep|>
    then, for each media modality in order:  <|name|>, <|/name|>, code 0 .. code K-1

The same rule as `TriglotConfig`, which the language model reads; a test keeps the two together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import TriglotError


@dataclass(frozen=True)
class Run:
    """A stretch of ids of one modality: text ids, or the codes between <|name|> and <|/name|>."""

    modality: str
    codes: tuple[int, ...]  # ids for text, 0..K-1 for media


class TokenSpace:
    """The one vocabulary of all modalities.

    Args:
        modalities: Ordered entries with `name` and `size`, text first; as in `TriglotConfig.modalities`.

    Example:
        >>> space = TokenSpace([{"name": "text", "size": 100}, {"name": "speech", "size": 50}, {"name": "image", "size": 16}])
        >>> space.sep_id, space.span_ids("speech"), space.range("speech"), space.size
        (100, (101, 102), (103, 153), 171)
        >>> space.span("speech", [0, 7, 7])
        [101, 103, 110, 110, 102]
        >>> space.split([5, 6, 100, 101, 103, 110, 110, 102])
        [Run(modality='text', codes=(5, 6)), Run(modality='speech', codes=(0, 7, 7))]
        >>> space.modality_of(110), space.modality_of(101)
        ('speech', None)
    """

    def __init__(self, modalities: Sequence[Mapping[str, Any]]):
        self.modalities = [dict(entry) for entry in modalities]
        self.names = [entry["name"] for entry in self.modalities]
        if not self.names or self.names[0] != "text" or len(set(self.names)) != len(self.names):
            raise TriglotError(f"Modalities must have different names with 'text' first; came {self.names}.")
        for entry in self.modalities:
            if isinstance(entry.get("size"), bool) or not isinstance(entry.get("size"), int) or entry["size"] < 1:
                raise TriglotError(
                    f"Modality {entry['name']!r} has the size {entry.get('size')!r}; at least 1 is needed."
                )
        position = self.modalities[0]["size"] + 1
        self._ranges = {"text": (0, position - 1)}
        for entry in self.modalities[1:]:
            self._ranges[entry["name"]] = (position + 2, position + 2 + entry["size"])
            position += 2 + entry["size"]
        self.size = position
        self._begins = {self.span_ids(name)[0]: name for name in self.names[1:]}

    @property
    def sep_id(self) -> int:
        """Id of <|sep|>, which stands between text and whatever follows it."""
        return self._ranges["text"][1]

    def range(self, modality: str) -> tuple[int, int]:
        """(first id, last id + 1) of a modality's codes."""
        if modality not in self._ranges:
            raise TriglotError(f"There is no modality {modality!r}; this checkpoint has {', '.join(self.names)}.")
        return self._ranges[modality]

    def span_ids(self, modality: str) -> tuple[int, int]:
        """(id of <|name|>, id of <|/name|>) of a media modality."""
        first, _ = self.range(modality)
        if modality == "text":
            raise TriglotError("Text has no border ids; <|sep|> closes it.")
        return first - 2, first - 1

    def index(self, modality: str) -> int:
        """Position in the list of modalities, as `output_spans` holds it."""
        self.range(modality)
        return self.names.index(modality)

    def ids(self, modality: str, codes: Iterable[int]) -> list[int]:
        """Codes -> ids, without borders.

        Raises:
            TriglotError: a code outside 0..K-1, or an unknown modality.
        """
        first, last = self.range(modality)
        ids = [first + int(code) for code in codes]
        if ids and (min(ids) < first or max(ids) >= last):
            raise TriglotError(
                f"{modality} codes run from {min(ids) - first} to {max(ids) - first}; allowed is 0 to {last - first - 1}."
            )
        return ids

    def span(self, modality: str, codes: Iterable[int]) -> list[int]:
        """Codes -> <|name|> ids <|/name|>."""
        begin, end = self.span_ids(modality)
        return [begin, *self.ids(modality, codes), end]

    def modality_of(self, token_id: int) -> str | None:
        """The modality whose code this id is; None for <|sep|> and borders.

        Raises:
            TriglotError: an id outside the vocabulary.
        """
        if not 0 <= token_id < self.size:
            raise TriglotError(f"Id {token_id} is outside the vocabulary of 0 to {self.size - 1}.")
        for name, (first, last) in self._ranges.items():
            if first <= token_id < last:
                return name
        return None

    def split(self, ids: Iterable[int], ignore: Iterable[int] = ()) -> list[Run]:
        """ids -> runs in order. A text run ends at <|sep|> (and is kept even if empty), at a border or at the end.

        Args:
            ids: What the model read or wrote.
            ignore: Ids to drop first: <bos>, <eos>, padding.

        Raises:
            TriglotError: an id outside the vocabulary, a code outside its span, a span that is not closed or empty.
        """
        ignored = frozenset(ignore)
        runs: list[Run] = []
        codes: list[int] = []
        inside = "text"
        for token_id in (int(token) for token in ids):
            if token_id in ignored and inside == "text":
                continue
            modality = self.modality_of(token_id)
            if modality is not None and modality == inside:
                codes.append(token_id - self._ranges[modality][0])
            elif inside == "text" and token_id == self.sep_id:
                runs.append(Run("text", tuple(codes)))
                codes = []
            elif inside == "text" and token_id in self._begins:
                if codes:
                    runs.append(Run("text", tuple(codes)))
                inside, codes = self._begins[token_id], []
            elif inside != "text" and token_id == self.span_ids(inside)[1] and codes:
                runs.append(Run(inside, tuple(codes)))
                inside, codes = "text", []
            else:
                what = f"a code of {modality}" if modality else "a control id"
                raise TriglotError(f"Id {token_id} ({what}) cannot stand in a {inside} span after {len(codes)} codes.")
        if inside != "text":
            raise TriglotError(
                f"The last {inside} span is not closed: <|/{inside}|> is missing after {len(codes)} codes."
            )
        if codes:
            runs.append(Run("text", tuple(codes)))
        return runs
