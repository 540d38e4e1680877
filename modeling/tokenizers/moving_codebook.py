"""A code book that learns by moving averages, not by gradients, and gives codes that nobody uses another chance.

Papers: VQ-VAE (arXiv 1711.00937, appendix A.1), Jukebox (arXiv 2005.00341, section 3.1: codes that die are drawn anew).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init


class MovingCodebook(nn.Module):
    """K vectors that follow the moving average of what is given to each of them (arXiv 1711.00937, appendix A.1).

    A code that was not used for `revive_after` steps starts anew at a vector of the batch, drawn from torch's global generator.

    Args:
        config: With `codebook_size`, `code_dim`, `ema_decay` and `revive_after`.
        revive_far: Vectors are then drawn by their squared distance from their code, as k-means++ does, not all alike: where most
            vectors are one and the same, as those of a plain background, dead codes would only become its doubles.
    """

    vectors: torch.Tensor
    sums: torch.Tensor
    counts: torch.Tensor
    idle: torch.Tensor

    def __init__(self, config: Any, revive_far: bool = False):
        super().__init__()
        size, width = config.codebook_size, config.code_dim
        self.decay, self.revive_after, self.revive_far = config.ema_decay, config.revive_after, revive_far
        self.register_buffer("vectors", torch.full((size, width), float("nan")))
        self.register_buffer("sums", torch.zeros(size, width))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("idle", torch.zeros(size, dtype=torch.long))  # steps since it was last used

    @property
    def is_set(self) -> bool:
        """Whether any batch was seen."""
        return bool(self.vectors.isfinite().all())

    def empty(self) -> None:
        """As before training; for `_init_weights`. NaN, not zeros: a code book that was never set must not give codes."""
        init.constant_(self.vectors, float("nan"))
        for buffer in (self.sums, self.counts, self.idle):
            init.zeros_(buffer)

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, d) -> the nearest code of each, int64 (n,)."""
        with torch.autocast(vectors.device.type, enabled=False):
            book = self.vectors.float()
            return (vectors.float() @ book.T - book.square().sum(1) / 2).argmax(1)

    @torch.no_grad()
    def learn(self, vectors: torch.Tensor) -> None:
        """Moves the codes after one step's vectors, float32 (n, d) of all processes."""
        vectors = _of_all_processes(vectors.detach().float())
        if not self.is_set:
            self._draw(torch.ones_like(self.idle, dtype=torch.bool), vectors)
        codes = self.nearest(vectors)
        used = torch.bincount(codes, minlength=len(self.vectors)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, codes, vectors)
        self.counts.lerp_(used, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self.idle = torch.where(used > 0, 0, self.idle + 1)
        moved = self.counts > 1e-6
        self.vectors = torch.where(moved[:, None], self.sums / self.counts.clamp(min=1e-6)[:, None], self.vectors)
        dead = self.idle >= self.revive_after
        if bool(dead.any()):
            self._draw(dead, vectors)

    def _draw(self, which: torch.Tensor, vectors: torch.Tensor) -> None:
        """Puts the codes of bool (K,) on random vectors, as if each had been used once."""
        drawn = torch.randint(len(vectors), (len(self.vectors),))
        if self.revive_far and self.is_set:
            weights = (vectors - self.vectors[self.nearest(vectors)]).square().sum(1).cpu()
            dead = which.cpu().nonzero()[:, 0]
            far = int((weights > 0).sum())
            if far:
                drawn[dead] = torch.multinomial(weights, len(dead), replacement=far < len(dead))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            drawn = drawn.to(vectors.device)
            torch.distributed.broadcast(drawn, 0)
        chosen = vectors[drawn.to(vectors.device)]
        self.vectors = torch.where(which[:, None], chosen, self.vectors)
        self.sums = torch.where(which[:, None], chosen, self.sums)
        self.counts = torch.where(which, 1.0, self.counts)
        self.idle = torch.where(which, 0, self.idle)


def _of_all_processes(vectors: torch.Tensor) -> torch.Tensor:
    """(n, d) of this process -> those of all processes, whose n may differ, in the same order everywhere."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return vectors
    world = torch.distributed.get_world_size()
    sizes = [torch.zeros(1, dtype=torch.long, device=vectors.device) for _ in range(world)]
    torch.distributed.all_gather(sizes, torch.tensor([len(vectors)], device=vectors.device))
    longest = max(int(size) for size in sizes)
    padded = F.pad(vectors, (0, 0, 0, longest - len(vectors)))
    gathered = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(gathered, padded)
    return torch.cat([part[: int(size)] for part, size in zip(gathered, sizes)])
