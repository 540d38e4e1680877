"""Conformer blocks with rotary positions (arXiv 2005.08100, 2104.09864), looking both ways.

    (B, N, D) ─ half a feed-forward ─ attention ─ gated depthwise convolution ─ half a feed-forward ─ norm ─▶ (B, N, D)

The convolution is followed by a layer norm instead of a batch norm: a batch of one is decoded as it was trained.
Shapes: B items, N frames, D width, H heads of D / H.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class FeedForward(nn.Module):
    """Norm, wide layer, SiLU, narrow layer; (..., D) -> (..., D)."""

    def __init__(self, config: Any):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.contract = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.contract(F.silu(self.expand(self.norm(hidden)))))


class RotaryAttention(nn.Module):
    """Attention of every frame to every real one, (B, N, D) -> (B, N, D)."""

    def __init__(self, config: Any):
        super().__init__()
        self.heads, self.rate = config.num_attention_heads, config.dropout
        self.norm = nn.LayerNorm(config.hidden_size)
        self.project = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.merge = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, hidden: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        batch, frames, width = hidden.shape
        projected = self.project(self.norm(hidden)).view(batch, frames, 3, self.heads, width // self.heads)
        query, key = rotate(projected[:, :, :2].permute(2, 0, 3, 1, 4), angles)  # both at once
        value = projected[:, :, 2].transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.dropout(self.merge(mixed.transpose(1, 2).reshape(batch, frames, width)))


class GatedConvolution(nn.Module):
    """What lies around a frame, (B, N, D) -> (B, N, D); padding counts as zeros, as it does beyond the ends."""

    def __init__(self, config: Any):
        super().__init__()
        width, kernel = config.hidden_size, config.kernel_size
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner_norm = nn.LayerNorm(width)
        self.merge = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        gated = F.glu(self.gate(self.norm(hidden)), -1)
        if real is not None:
            gated = gated * real[..., None]
        mixed = self.depthwise(gated.transpose(1, 2)).transpose(1, 2)
        return self.dropout(self.merge(F.silu(self.inner_norm(mixed))))


class ConformerBlock(nn.Module):
    """One block."""

    def __init__(self, config: Any):
        super().__init__()
        self.before, self.after = FeedForward(config), FeedForward(config)
        self.attention, self.convolution = RotaryAttention(config), GatedConvolution(config)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(
        self, hidden: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], real: torch.Tensor | None
    ) -> torch.Tensor:
        hidden = hidden + 0.5 * self.before(hidden)
        hidden = hidden + self.attention(hidden, angles, None if real is None else real[:, None, None])
        hidden = hidden + self.convolution(hidden, real)
        return self.norm(hidden + 0.5 * self.after(hidden))


class Conformer(nn.Module):
    """`num_hidden_layers` blocks.

    Args:
        config: Has hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, kernel_size, rope_theta, dropout.
    """

    def __init__(self, config: Any):
        super().__init__()
        self.width, self.theta = config.hidden_size // config.num_attention_heads, config.rope_theta
        self.blocks = nn.ModuleList(ConformerBlock(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        """(B, N, D) -> (B, N, D); `real` is bool (B, N), False where padded, None for none."""
        angles = rotary_angles(hidden.shape[1], self.width, self.theta, hidden)
        for block in self.blocks:
            hidden = block(hidden, angles, real)
        return hidden


def rotary_angles(frames: int, width: int, theta: float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (N, width / 2), in the dtype and on the device of `like`."""
    rates = theta ** -(torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    angles = torch.arange(frames, device=like.device, dtype=torch.float32)[:, None] * rates
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotate(heads: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Turns each pair (first half, second half) of (..., N, width) by its frame's angle."""
    cosine, sine = angles
    first, second = heads.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)
