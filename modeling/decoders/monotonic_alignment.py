"""Which character is being said when, learnt without being told: the aligner of arXiv 2108.10447, as SeamlessM4T v2 has it.

    scores (B, T, N) of codes and characters ─┬─ forward sum over all monotonic paths ─▶ loss
                                              └─ the best one of them (arXiv 2005.11129) ─▶ path (B, T)

A path begins at the first character, ends at the last, and never goes back; each character gets a code at least. A text with more
characters than codes has no such path: its characters are spread evenly, and some get none.

Shapes: B items, T codes, N symbols (characters and borders).
"""

import torch
from torch.nn import functional as F

BLANK = -1.0  # score of belonging to no character, as in the paper
IMPOSSIBLE = -1e9  # of a score


def diagonal_prior(codes: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
    """Log-chance of each symbol at each code of someone who speaks evenly: a beta-binomial, as in the paper.

    Args:
        codes: int64 (B,), lengths T.
        symbols: int64 (B,), lengths N.

    Returns:
        float32 (B, max T, max N); `IMPOSSIBLE` where padded.
    """
    time = torch.arange(int(codes.max()), device=codes.device)[None, :, None]
    place = torch.arange(int(symbols.max()), device=codes.device)[None, None]
    last, length = (symbols - 1)[:, None, None], codes[:, None, None]
    inside = (time < length) & (place <= last)
    alpha, beta = (time + 1).float(), (length - time).clamp(min=1).float()
    k, n = torch.minimum(place, last).float(), last.float()

    def log_beta(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.lgamma(one) + torch.lgamma(other) - torch.lgamma(one + other)

    chance = log_beta(k + alpha, n - k + beta) - log_beta(alpha, beta) - log_beta(k + 1, n - k + 1) - (n + 1).log()
    return chance.masked_fill(~inside, IMPOSSIBLE)


def forward_sum_loss(scores: torch.Tensor, codes: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
    """Minus the log-chance of all monotonic paths together, a code, mean over items: CTC whose labels are the places 1..N.

    Args:
        scores: float (B, T, N), masked where padded.
        codes: int64 (B,), lengths T.
        symbols: int64 (B,), lengths N.
    """
    log_chances = F.pad(scores.float(), (1, 0), value=BLANK).log_softmax(-1).transpose(0, 1)
    labels = torch.arange(1, scores.shape[2] + 1, device=scores.device).expand(len(scores), -1)
    losses = F.ctc_loss(log_chances, labels, codes, symbols, reduction="none", zero_infinity=True)
    return (losses / codes).mean()


@torch.no_grad()
def best_path(scores: torch.Tensor, codes: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
    """The likeliest monotonic path.

    Args:
        scores: float (B, T, N) log-chances.
        codes: int64 (B,), lengths T.
        symbols: int64 (B,), lengths N.

    Returns:
        int64 (B, T), the symbol of each code; the last one where padded.
    """
    batch, length, width = scores.shape
    value = scores.new_full((batch, width), IMPOSSIBLE).float()
    value[:, 0] = scores[:, 0, 0].float()
    moved = torch.zeros(batch, length, width, dtype=torch.bool, device=scores.device)
    for time in range(1, length):
        come = F.pad(value[:, :-1], (1, 0), value=IMPOSSIBLE)
        moved[:, time] = (come > value) & (time < codes)[:, None]
        grown = torch.maximum(value, come) + scores[:, time].float()
        value = torch.where((time < codes)[:, None], grown, value)
    last = symbols - 1
    place, path = last.clone(), torch.zeros(batch, length, dtype=torch.long, device=scores.device)
    for time in range(length - 1, -1, -1):
        path[:, time] = place
        place = place - moved[:, time].gather(1, place[:, None])[:, 0].long()
    spread = (torch.arange(length, device=scores.device) * symbols[:, None]) // codes[:, None]
    return torch.where((symbols > codes)[:, None], torch.minimum(spread, last[:, None]), path)


def durations_of(path: torch.Tensor, codes: torch.Tensor, count: int) -> torch.Tensor:
    """How many codes each symbol has: path (B, T) with lengths (B,) -> int64 (B, `count`)."""
    real = (torch.arange(path.shape[1], device=path.device) < codes[:, None]).long()
    return torch.zeros(len(path), count, dtype=torch.long, device=path.device).scatter_add_(1, path, real)


def places_within(path: torch.Tensor) -> torch.Tensor:
    """Of each code, how many before it have the same symbol: (B, T) -> int64 (B, T)."""
    time = torch.arange(path.shape[1], device=path.device).expand_as(path)
    begins = torch.ones_like(path, dtype=torch.bool)
    begins[:, 1:] = path[:, 1:] != path[:, :-1]
    return time - time.masked_fill(~begins, 0).cummax(1).values
