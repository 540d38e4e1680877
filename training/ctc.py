"""What trainings with CTC share: targets as padded ids, and the loss of a padded batch."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

IMPOSSIBLE = -1e4  # log-probability in place of minus infinity, which would make the loss NaN


def character_ids(text: str, characters: str) -> list[int]:
    """1 + the place in `characters` of each character of the text; 0 is the blank.

    Raises:
        ValueError: a character that is not among them.
    """
    return [1 + characters.index(character) for character in text]


def pad_targets(targets: Sequence[Sequence[int] | torch.Tensor]) -> torch.Tensor:
    """Ids of each item -> int64 (N, L), L at least 1, -100 after the last."""
    width = max([1, *(len(target) for target in targets)])
    padded = torch.full((len(targets), width), -100)
    for row, target in zip(padded, targets):
        row[: len(target)] = torch.as_tensor(target, dtype=torch.long)
    return padded


def ctc_loss(logits: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, blank: int = 0) -> torch.Tensor:
    """Mean CTC loss a target id, in float32.

    Args:
        logits: (N, T, V).
        lengths: int64 (N,), steps of each item.
        targets: int64 (N, L), as `pad_targets` makes them.
        blank: Index of the blank.

    Returns:
        (); an item with more targets than its steps can hold adds nothing.
    """
    with torch.autocast(device_type=logits.device.type, enabled=False):
        return F.ctc_loss(
            logits.float().log_softmax(-1).clamp(min=IMPOSSIBLE).transpose(0, 1), targets.clamp(min=0), lengths,
            (targets >= 0).sum(1), blank=blank, zero_infinity=True,
        )  # fmt: skip
