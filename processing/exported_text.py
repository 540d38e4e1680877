"""Ids as text that names its media tokens: what an exported model (`triglot export`) reads and writes over a text-only API.

    ids     [1, .. "[ASR English]" .., 2447, 2452, 2948, 2448]
    text    <s>[ASR English]<|speech|><|speech_3|><|speech_499|><|/speech|>

The exported tokenizer is the text tokenizer with one added token for every id behind its own, at that id. They are not
"special": engines drop special tokens from what they return. Names are turned into ids by that tokenizer alone.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from transformers import AddedToken

from .errors import TriglotError
from .token_space import TokenSpace

PREFIXES = ("", "triglot_")  # the second where the text tokenizer has a token of the first name already


def media_token_names(space: TokenSpace, taken: Iterable[str] = ()) -> list[str]:
    """The names of the ids R .. V-1, in order: <|sep|>, then of each modality <|name|>, <|/name|>, <|name_0|>, ...

    Args:
        space: The vocabulary.
        taken: Tokens of the text tokenizer; where it has one of the names, all of them begin with `triglot_`.

    Raises:
        TriglotError: two ids would have the same name.
    """
    taken = set(taken)
    for prefix in PREFIXES:
        names = [f"<|{prefix}sep|>"]
        for modality in space.names[1:]:
            first, last = space.range(modality)
            names += [f"<|{prefix}{modality}|>", f"<|/{prefix}{modality}|>"]
            names += [f"<|{prefix}{modality}_{code}|>" for code in range(last - first)]
        if len(set(names)) == len(names) and not taken & set(names):
            return names
    raise TriglotError(
        f"The modalities {space.names} cannot be told apart as <|name|> and <|name_17|>, or the text tokenizer has tokens "
        f"of these names with and without {PREFIXES[-1]!r}; rename a modality."
    )


def with_media_tokens(tokenizer: Any, space: TokenSpace) -> Any:
    """A copy of a fast text tokenizer that has all V ids: fillers for rows without a token, then `media_token_names`.

    Raises:
        TriglotError: the tokenizer has more tokens than the text modality has rows, or ids with gaps between them.
    """
    vocabulary = tokenizer.get_vocab()
    own = max(vocabulary.values()) + 1
    if own > space.sep_id:
        raise TriglotError(
            f"The text tokenizer has {own} ids but the text modality {space.sep_id} rows; it is not this checkpoint's."
        )
    names = media_token_names(space, vocabulary)
    fillers = [f"<|triglot_filler_{row}|>" for row in range(own, space.sep_id)]
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in fillers], special_tokens=True)
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in names])
    expected = range(own, space.size)
    given = tokenizer.convert_tokens_to_ids([*fillers, *names])
    if given != list(expected):
        wrong = next(place for place, (one, other) in enumerate(zip(given, expected)) if one != other)
        raise TriglotError(
            f"The text tokenizer gives the token {[*fillers, *names][wrong]!r} the id {given[wrong]}, its row is "
            f"{expected[wrong]}: its ids are not the numbers from 0 without gaps."
        )
    return tokenizer


class ExportedText:
    """ids <-> text for one checkpoint.

    Args:
        tokenizer: The text tokenizer.
        space: The vocabulary.
        control_ids: Ids of the text tokenizer that are no text.
    """

    def __init__(self, tokenizer: Any, space: TokenSpace, control_ids: frozenset[int]):
        self.text_tokenizer, self.space, self.control_ids = tokenizer, space, control_ids
        self.tokenizer = with_media_tokens(tokenizer, space)
        marks = self.tokenizer.decode([space.sep_id, *self._text_ids("a")], clean_up_tokenization_spaces=False)
        self.spaced = marks.endswith(" a")  # a SentencePiece tokenizer writes the space before its first word

    def text(self, ids: Sequence[int]) -> str:
        """Ids of a prompt -> the text that an engine's tokenizer reads as those ids.

        Raises:
            TriglotError: there is no such text, as where a user's own words hold the name of a media token.
        """
        ids = list(ids)
        said = self._pieces(ids)
        for skipped in (0, 1):  # <bos> is written out, unless the tokenizer begins with it by itself
            text = "".join(said[skipped:])
            if self.tokenizer(text)["input_ids"] == ids:
                return text
        raise TriglotError(
            f"No text is read as exactly these {len(ids)} ids (a user's words may hold the name of a media token, or join "
            "the tag before them); send the ids themselves, where the engine takes a list as its prompt."
        )

    def ids(self, text: str) -> list[int]:
        """What an engine wrote -> ids.

        A space before a text is dropped where the tokenizer writes one by itself, white space inside a span of codes always.

        Raises:
            TriglotError: not a str.
        """
        if not isinstance(text, str):
            raise TriglotError(f"text is a {type(text).__name__}; a str is needed.")
        read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = []
        end, inside = 0, False
        for token, (first, last) in zip(read["input_ids"], read["offset_mapping"]):
            if self._is_text(token):
                continue
            ids += self._text_between(text[end:first], inside)
            ids.append(token)
            end, inside = last, token > self.space.sep_id and not self._closes(token)
        return ids + self._text_between(text[end:], inside)

    # ---- helpers

    def _is_text(self, token: int) -> bool:
        return token < self.space.sep_id and token not in self.control_ids

    def _closes(self, token: int) -> bool:
        return any(token == self.space.span_ids(name)[1] for name in self.space.names[1:])

    def _text_ids(self, text: str) -> list[int]:
        return self.text_tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def _text_between(self, text: str, inside: bool) -> list[int]:
        if inside and not text.strip():
            return []
        return self._text_ids(text[1:] if self.spaced and text.startswith(" ") else text) if text else []

    def _pieces(self, ids: list[int]) -> list[str]:
        """Names of control and media ids, and what stands between them as text."""
        pieces: list[str] = []
        start = 0
        for place, token in enumerate([*ids, None]):
            if token is not None and self._is_text(token):
                continue
            if place > start:
                words = self.text_tokenizer.decode(
                    ids[start:place], skip_special_tokens=False, clean_up_tokenization_spaces=False
                )
                pieces.append(words)
            if token is not None:
                pieces.append(self.tokenizer.convert_ids_to_tokens(token))
            start = place + 1
        return pieces
