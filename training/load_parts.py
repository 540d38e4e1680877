"""Trained parts from their folders, whatever their class: a new tokenizer or decoder needs no other code."""

import os
from typing import Any, cast

import torch
from transformers import AutoModel

from ..modeling.decoders.media_decoder import SpeechDecoder
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError


def load_speech_tokenizer(folder: str | os.PathLike, dtype: torch.dtype | str = torch.float32) -> MediaTokenizer:
    """The speech tokenizer of a folder, in evaluation mode; `dtype` "auto" keeps that of the files.

    Raises:
        TriglotError: no such folder, or something else in it.
    """
    tokenizer = _load(folder, dtype, "speech tokenizer", MediaTokenizer)
    if tokenizer.frame_rate is None:
        raise TriglotError(f"{os.fspath(folder)!r} holds a tokenizer of other media than speech.")
    return tokenizer


def load_speech_decoder(folder: str | os.PathLike, dtype: torch.dtype | str = torch.float32) -> SpeechDecoder:
    """The speech decoder of a folder, as `load_speech_tokenizer`."""
    return _load(folder, dtype, "speech decoder", SpeechDecoder)


def _load(folder: str | os.PathLike, dtype: torch.dtype | str, what: str, kind: type) -> Any:
    try:
        part: Any = AutoModel.from_pretrained(folder, dtype=dtype)
    except (OSError, ValueError) as error:
        raise TriglotError(f"{os.fspath(folder)!r} holds no {what}: {error}") from error
    if not isinstance(part, kind):
        raise TriglotError(f"{os.fspath(folder)!r} holds a {type(part).__name__}, which is no {what}.")
    return cast(Any, part).eval()
