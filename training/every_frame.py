"""Codes of a tokenizer before repeats are dropped: they alone are aligned with time."""

from collections.abc import Sequence
from typing import Any

import torch


def deduplicates(tokenizer: Any) -> bool:
    """Whether it drops repeats."""
    return bool(getattr(getattr(tokenizer, "config", None), "deduplicate", False))


def every_frame(tokenizer: Any, waves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """`tokenizer.encode`, with all repeats."""
    if not deduplicates(tokenizer):
        return tokenizer.encode(waves)
    tokenizer.config.deduplicate = False
    try:
        return tokenizer.encode(waves)
    finally:
        tokenizer.config.deduplicate = True
