"""How likely the model itself finds a text as the caption of a picture: what best-of-n chooses by.

codes of a picture (N, h w), text ids (N)  ─▶  [CAPTION language] <|image|> codes <|/image|> text <eos>  ─▶  log p(text, <eos> | picture)
"""

from collections.abc import Sequence
from typing import Any

import torch

MOST_POSITIONS = 4096  # of one forward pass: rows times ids


@torch.no_grad()
def caption_likelihoods(
    model: Any, processor: Any, codes: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], language: str
) -> torch.Tensor:
    """The log-likelihood of each text under its picture, summed over its ids.

    Args:
        model: A `TriglotForConditionalGeneration`.
        processor: Its processor.
        codes: Of each picture.
        texts: Ids of each text.
        language: Of the texts, ISO code or English name.

    Returns:
        float32 (N,) on the CPU.
    """
    rows = [
        processor.training_example("CAPTION", language, None, {"image_source": picture, "text_source": text})
        for picture, text in zip(codes, texts)
    ]
    width = max(len(row["input_ids"]) for row in rows)
    first = min(row["labels"].count(-100) for row in rows)  # what stands before is never asked for
    at_once = max(1, MOST_POSITIONS // width)
    scores: list[torch.Tensor] = []
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        fill = {"input_ids": processor.pad_id, "labels": -100}  # on the right, where nothing looks back on it
        ids, labels = (
            torch.tensor([row[name] + [value] * (width - len(row[name])) for row in some], device=model.device)
            for name, value in fill.items()
        )
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=width - first + 1).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, first:], reduction="none")
        scores.append(-losses.sum(1).cpu())
    return torch.cat(scores)
