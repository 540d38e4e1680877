"""Trained parts from their folders, whatever their class: a new tokenizer or decoder needs no other code."""

import os
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModel

from ..modeling.decoders.image_decoder import ImageDecoder
from ..modeling.decoders.media_decoder import SpeechDecoder
from ..modeling.decoders.modeling_text_to_unit import TextToUnit
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError

# what to do where the command has the option
RUN_ITS_CODE = "read it, and if you trust it add --trust-remote-code (trust_remote_code=True)"


def load_tokenizer(folder: str | os.PathLike, dtype: torch.dtype | str = torch.float32) -> MediaTokenizer:
    """The tokenizer of a folder, of speech or images, in evaluation mode; `dtype` "auto" keeps that of the files.

    Raises:
        TriglotError: no such folder, or something else in it.
    """
    return _load(folder, dtype, "tokenizer", MediaTokenizer)


def load_image_tokenizer(folder: str | os.PathLike, dtype: torch.dtype | str = torch.float32) -> MediaTokenizer:
    """The image tokenizer of a folder, as `load_tokenizer`."""
    tokenizer = _load(folder, dtype, "image tokenizer", MediaTokenizer)
    if tokenizer.grid is None:
        raise TriglotError(f"{os.fspath(folder)!r} holds a tokenizer of other media than images.")
    return tokenizer


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


def load_image_decoder(folder: str | os.PathLike, dtype: torch.dtype | str = torch.float32) -> ImageDecoder:
    """The image decoder of a folder, as `load_speech_tokenizer`."""
    return _load(folder, dtype, "image decoder", ImageDecoder)


def load_text_to_unit(folder: str | os.PathLike, dtype: torch.dtype | str = torch.float32) -> TextToUnit:
    """The text-to-unit model of a folder, as `load_speech_tokenizer`."""
    return _load(folder, dtype, "text-to-unit model", TextToUnit)


def _load(folder: str | os.PathLike, dtype: torch.dtype | str, what: str, kind: type) -> Any:
    part = load_stock(AutoModel.from_pretrained, folder, what, dtype=dtype)
    if not isinstance(part, kind):
        raise TriglotError(f"{os.fspath(folder)!r} holds a {type(part).__name__}, which is no {what}.")
    return part


def load_stock(load: Callable[..., Any], folder: str | os.PathLike, what: str, **kwargs: Any) -> Any:
    """What `load` makes of the folder, ready for inference; a TriglotError says that it holds no `what`."""
    if getattr(load, "__name__", "") == "from_pretrained":
        kwargs["trust_remote_code"] = False  # left open, transformers asks on standard input
    try:
        loaded = load(os.fspath(folder), **kwargs)
    except (OSError, ValueError, KeyError, ImportError) as error:  # ImportError: a package that a part is built of
        raise TriglotError(f"{os.fspath(folder)!r} holds no {what} that loads: {load_reason(error)}") from error
    return loaded.eval() if hasattr(loaded, "eval") else loaded


def load_reason(error: Exception, cure: str = "take one of a class that transformers or Triglot has") -> str:
    """Why something does not load, in one line: the first of transformers' own, or that it would have run code of its own.

    Args:
        error: That loading raised.
        cure: What to do about foreign code.
    """
    said = str(error).strip()
    if "trust_remote_code" in said:
        return f"it needs Python code that comes with it, which is not run unasked; {cure}."
    return said.splitlines()[0] if said else type(error).__name__
