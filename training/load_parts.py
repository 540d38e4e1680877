"""Trained parts from their folders, whatever their class: a new tokenizer or decoder needs no other code."""

import os
from typing import Any

import torch
from transformers import AutoModel

from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError


def load_speech_tokenizer(folder: str | os.PathLike, dtype: torch.dtype | str = torch.float32) -> MediaTokenizer:
    """The speech tokenizer of a folder, in evaluation mode; `dtype` "auto" keeps that of the files.

    Raises:
        TriglotError: no such folder, or something else in it.
    """
    try:
        tokenizer: Any = AutoModel.from_pretrained(folder, dtype=dtype)
    except (OSError, ValueError) as error:
        raise TriglotError(f"{os.fspath(folder)!r} holds no speech tokenizer: {error}") from error
    if not isinstance(tokenizer, MediaTokenizer) or tokenizer.frame_rate is None:
        raise TriglotError(f"{os.fspath(folder)!r} holds a {type(tokenizer).__name__}, which is no speech tokenizer.")
    return tokenizer.eval()
