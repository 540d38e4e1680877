"""Muon for the matrices inside the layers, AdamW for all else, as one optimizer whose state a Trainer saves and resumes.

Muon (K. Jordan et al., 2024; scaled to AdamW's step as in "Muon is Scalable for LLM Training", arXiv 2502.16982, section 2.2)
makes the momentum of a matrix nearly orthogonal, so that rare directions move as far as frequent ones. A small model that
must learn to look up a thousand words, most of them rare, learns it in markedly fewer steps (docs/experiments.md).

`torch.optim.Muon` orthogonalises matrix by matrix and knows no AdamW beside it; here all matrices of one shape go through one
batched product, a third of the time on a CPU.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic that the authors of Muon chose
STEPS = 5
ADAMW_RMS = 0.2  # root mean square of an AdamW update, which Muon's is scaled to


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """(N, rows, columns) -> the same with all singular values near 1 (0.7 to 1.2), in bfloat16."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)).bfloat16()
    a, b, c = NEWTON_SCHULZ
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with AdamW beside it; one learning rate serves both.

    Args:
        model: Its matrices within repeated layers are Muon's; embeddings, code books, output matrix, biases and norms AdamW's.
        lr: Learning rate.
        betas: Of AdamW.
        momentum: Of Muon, with Nesterov's look ahead.
        weight_decay: Of all matrices, decoupled.
        eps: Of AdamW.
        convolutions: Whether kernels of convolutions over several channels, wherever they stand, are Muon's as well, each as one
            matrix of (first channels, other channels times taps).
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.98),
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        eps: float = 1e-8,
        convolutions: bool = False,
    ):
        trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        layers = [weight for name, weight in trained.items() if weight.ndim == 2 and _in_a_layer(name)]
        if convolutions:
            layers += [weight for weight in trained.values() if weight.ndim == 3 and min(weight.shape[:2]) > 1]
        known = {id(weight) for weight in layers}
        others = [weight for weight in trained.values() if id(weight) not in known]
        groups: list[dict[str, Any]] = [
            {"params": layers, "muon": True},
            {"params": [weight for weight in others if weight.ndim > 1], "muon": False},
            {"params": [weight for weight in others if weight.ndim < 2], "muon": False, "weight_decay": 0.0},
        ]
        defaults = {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": weight_decay, "eps": eps}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every weight that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            (self._muon if group["muon"] else self._adamw)(weights, group)
        return loss

    def _muon(self, weights: list[torch.Tensor], group: dict[str, Any]) -> None:
        shapes: dict[torch.Size, list[torch.Tensor]] = {}
        for weight in weights:
            shapes.setdefault(weight.shape, []).append(weight)
        for shape, alike in shapes.items():
            ahead = []
            for weight in alike:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"]
                momentum.lerp_(weight.grad, 1 - group["momentum"])
                ahead.append(torch.lerp(weight.grad, momentum, group["momentum"]))  # type: ignore[arg-type]
            updates = torch.stack(ahead).flatten(2)
            scale = ADAMW_RMS * math.sqrt(max(updates.shape[1:]))
            updates = orthogonal(updates).to(alike[0].dtype).view(len(alike), *shape)
            for weight, update in zip(alike, updates):
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)

    def _adamw(self, weights: list[torch.Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for weight in weights:
            state = self.state[weight]
            if not state:
                state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
            state["step"] += 1
            state["mean"].lerp_(weight.grad, 1 - first)
            state["square"].mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
            deviation = (state["square"] / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
            size = group["lr"] / (1 - first ** state["step"])
            weight.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(state["mean"], deviation, value=-size)


def _in_a_layer(name: str) -> bool:
    """Whether a weight belongs to one of many equal layers: a number stands in its name, and it is no table or output matrix."""
    parts = name.split(".")
    return any(part.isdigit() for part in parts) and not {"heads", "codebook"} & set(parts)
