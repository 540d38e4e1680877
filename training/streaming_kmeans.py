"""Mini-batch k-means over a stream of frames, of which only the first ones and the newest batch are held.

Papers: Sculley, "Web-scale k-means clustering" (WWW 2010); k-means++ (Arthur and Vassilvitskii, SODA 2007).

    frames (n, D) ─ the first `init_frames`: k-means++, then rounds over all of them ─ centroids (K, D)
                  ─ after that, batch by batch: each centroid goes to the mean of all frames that ever chose it

A centroid that none of the last 20 K frames chose is dead and starts anew at a frame of the batch, drawn by its squared
distance from the nearest centroid, as in k-means++. What comes out depends on the frames, their order and the seed alone: not on
how they were cut into pieces, nor on interruptions (`state`).

Shapes: n frames, D width, K centroids.
"""

from collections.abc import Mapping

import torch
from sklearn.cluster import kmeans_plusplus

from ..processing.errors import TriglotError

LLOYD_ROUNDS = 10  # over the first frames
PATIENCE = 20  # frames a centroid, in all, after which one that nobody chose is dead
LARGEST_BLOCK = 2**24  # distances computed at a time: 64 MB


class StreamingKmeans:
    """Takes frames with `add` until `finish` gives the centroids.

    Args:
        codebook_size: K.
        width: D.
        batch_size: Frames of a step, at least K for steady steps.
        init_frames: Frames that k-means++ sees, at least K.
        seed: Of k-means++ and of where dead centroids start anew.
        device: Where to compute.

    Attributes:
        frames: How many were taken into account.
        reseeded: How many dead centroids were started anew.
    """

    def __init__(
        self,
        codebook_size: int,
        width: int,
        *,
        batch_size: int,
        init_frames: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ):
        self.batch_size, self.init_frames, self.seed = batch_size, max(init_frames, codebook_size), seed
        self.centroids = torch.zeros(codebook_size, width, device=device)
        self.counts = torch.zeros(codebook_size, dtype=torch.long, device=device)
        self.recent = torch.zeros_like(self.counts)  # as `counts`, since dead centroids were last looked for
        self.frames = self.reseeded = 0
        self.generator = torch.Generator().manual_seed(seed)
        self._waiting = [self.centroids[:0]]

    @property
    def waiting(self) -> int:
        """Frames that are held until they make a batch."""
        return sum(len(piece) for piece in self._waiting)

    def add(self, frames: torch.Tensor) -> None:
        """Takes float (n, D), finite."""
        self._waiting.append(frames.to(self.centroids))
        while self.waiting >= (needed := self.batch_size if self.frames else self.init_frames):
            whole = torch.cat(self._waiting)
            self._waiting = [whole[needed:].clone()]
            self._take(whole[:needed])

    def finish(self) -> torch.Tensor:
        """Takes the frames left over into account and returns the centroids, float32 (K, D), on the device.

        Raises:
            TriglotError: fewer frames than centroids were ever added.
        """
        if self.frames + self.waiting < len(self.centroids):
            raise TriglotError(
                f"There are {self.frames + self.waiting} frames, fewer than the {len(self.centroids)} codes asked for; give "
                "more sound or a smaller codebook_size."
            )
        if self.waiting:
            whole, self._waiting = torch.cat(self._waiting), [self.centroids[:0]]
            self._take(whole)
        return self.centroids.clone()

    def state(self) -> dict[str, torch.Tensor]:
        """All that `load_state` needs to go on as if nothing had happened, on the CPU."""
        tensors = {
            "centroids": self.centroids,
            "counts": self.counts,
            "recent": self.recent,
            "waiting": torch.cat(self._waiting),
            "generator": self.generator.get_state(),
            "progress": torch.tensor([self.frames, self.reseeded]),
        }
        return {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes what `state` gave, of the same sizes."""
        device = self.centroids.device
        self.centroids, self.counts, self.recent, waiting = (
            state[name].to(device) for name in ("centroids", "counts", "recent", "waiting")
        )
        self._waiting = [waiting]
        self.generator.set_state(state["generator"])
        self.frames, self.reseeded = state["progress"].tolist()

    def _take(self, frames: torch.Tensor) -> None:
        if not self.frames:
            self._start(frames)
        else:
            self._step(frames)
        self.frames += len(frames)

    def _start(self, frames: torch.Tensor) -> None:
        """k-means++, then rounds of Lloyd's over the first frames, each centroid without frames going to the farthest one."""
        chosen, _ = kmeans_plusplus(frames.cpu().numpy(), len(self.centroids), random_state=self.seed)
        self.centroids = torch.from_numpy(chosen).to(self.centroids)
        for _ in range(LLOYD_ROUNDS):
            codes, distances = self._nearest(frames)
            sums, self.counts = self._sums(frames, codes)
            empty = (self.counts == 0).nonzero()[:, 0]
            self.centroids = sums / self.counts.clamp(min=1)[:, None]
            self.centroids[empty] = frames[distances.topk(len(empty)).indices]

    def _step(self, frames: torch.Tensor) -> None:
        codes, distances = self._nearest(frames)
        sums, counts = self._sums(frames, codes)
        self.counts += counts
        self.recent += counts
        moves = (sums - counts[:, None] * self.centroids) / self.counts.clamp(min=1)[:, None]
        self.centroids += moves
        if int(self.recent.sum()) >= PATIENCE * len(self.centroids):
            dead = (self.recent == 0).nonzero()[:, 0]
            self.recent.zero_()
            dead = dead[: int((distances > 0).sum())]
            if len(dead):
                places = torch.multinomial(distances.cpu(), len(dead), generator=self.generator)
                self.centroids[dead], self.counts[dead] = frames[places.to(frames.device)], 0
                self.reseeded += len(dead)

    def _nearest(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, D) -> the nearest centroid of each, int64 (n,), and its squared distance (n,)."""
        codes, distances = [], []
        mean = self.centroids.mean(
            0
        )  # seen from there, frames with a large part in common keep the digits that differ
        centroids = self.centroids - mean
        norms = centroids.square().sum(1)
        for block in (frames - mean).split(max(1, LARGEST_BLOCK // len(centroids))):
            nearest = (norms - 2 * block @ centroids.T).min(1)
            codes.append(nearest.indices)
            distances.append((nearest.values + block.square().sum(1)).clamp(min=0))
        return torch.cat(codes), torch.cat(distances)

    def _sums(self, frames: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum (K, D) and number (K,) of the frames of each code."""
        sums = torch.zeros_like(self.centroids).index_add_(0, codes, frames)
        return sums, torch.bincount(codes, minlength=len(self.centroids))
