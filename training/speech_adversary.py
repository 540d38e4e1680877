"""HiFi-GAN's adversary (arXiv 2010.05646, sections 2.3 and 2.4): discriminators of periods and of scales, and their losses.

    waveform (B, S) ─┬─ folded to (B, 1, S / p, p) for each period p ─ convolutions along time ─┐
                     └─ halved 0, 1, 2 times ─ grouped convolutions ────────────────────────────┴─▶ logits, features of every layer

The paper's has 32 channels to begin with; what judges speech of 16 kHz for some minutes of training needs an eighth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from ..processing.errors import TriglotError
from .runs import whole_numbers

SLOPE = 0.1  # of the leaky ReLUs
PERIOD_WIDTHS = (1, 4, 16, 32, 32)  # times the channels
SCALE_LAYERS = ((4, 15, 1, 1), (4, 41, 2, 4), (8, 41, 2, 16), (16, 41, 4, 16), (32, 41, 4, 16), (32, 41, 1, 16),
                (32, 5, 1, 1))  # fmt: skip  # width, kernel, stride, groups


@dataclass(frozen=True)
class SpeechAdversaryArguments:
    """Settings of the adversary and its losses."""

    discriminator_channels: int = 4  # the paper's is 32
    periods: str = "2 3 5 7 11"  # samples
    scales: int = 3
    adversary_start: int = 0  # steps before it counts: a vocoder first learns to be heard at all
    feature_weight: float = 2.0  # of the distance between the discriminators' features
    reconstruction_weight: float = 20.0  # of the vocoder's own loss, beside 1 of the adversarial one

    def __post_init__(self):
        if self.discriminator_channels < 4 or self.discriminator_channels % 4:
            raise TriglotError(f"discriminator_channels is {self.discriminator_channels}; a multiple of 4 is needed.")
        if self.scales < 0 or not (self.period_numbers or self.scales):
            raise TriglotError(f"periods is {self.periods!r} and scales {self.scales}; one discriminator is needed.")
        for name in ("adversary_start", "feature_weight", "reconstruction_weight"):
            if getattr(self, name) < 0:
                raise TriglotError(f"{name} is {getattr(self, name)}; 0 or more is needed.")

    @property
    def period_numbers(self) -> list[int]:
        """`periods`, as numbers."""
        return whole_numbers(self.periods, "periods", "2 3 5 7 11", some=False)


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample: (B, S) -> logits (B, n) and the features of each layer."""

    def __init__(self, period: int, channels: int):
        super().__init__()
        self.period = period
        widths = [1, *(channels * width for width in PERIOD_WIDTHS)]
        strides = [3] * (len(PERIOD_WIDTHS) - 1) + [1]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(width, wider, (5, 1), (stride, 1), padding=(2, 0)))
            for width, wider, stride in zip(widths, widths[1:], strides)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        missing = -waveforms.shape[1] % self.period
        hidden = F.pad(waveforms[:, None], (0, missing), "reflect").unflatten(2, (-1, self.period))
        return _through(self.layers, self.last, hidden)


class ScaleDiscriminator(nn.Module):
    """Looks at the waveform after `halvings` means over two samples: as `PeriodDiscriminator`."""

    def __init__(self, halvings: int, channels: int):
        super().__init__()
        self.halvings = halvings
        norm = weight_norm if halvings else spectral_norm  # as in the paper
        width, layers = 1, []
        for wider, kernel, stride, groups in SCALE_LAYERS:
            layers.append(
                norm(
                    nn.Conv1d(width, channels * wider, kernel, stride, padding=kernel // 2, groups=min(groups, width))
                )
            )
            width = channels * wider
        self.layers = nn.ModuleList(layers)
        self.last = norm(nn.Conv1d(width, 1, 3, padding=1))

    def forward(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = waveforms[:, None]
        for _ in range(self.halvings):
            hidden = F.avg_pool1d(hidden, 4, 2, padding=2)
        return _through(self.layers, self.last, hidden)


def _through(layers: nn.ModuleList, last: nn.Module, hidden: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    features = []
    for layer in layers:
        hidden = F.leaky_relu(layer(hidden), SLOPE)
        features.append(hidden)
    hidden = last(hidden)
    return hidden.flatten(1), [*features, hidden]


Heard = list[tuple[torch.Tensor, list[torch.Tensor]]]  # logits and features of each discriminator


class SpeechDiscriminators(nn.Module):
    """All of them: (B, S) -> logits and features of each."""

    def __init__(self, arguments: SpeechAdversaryArguments):
        super().__init__()
        channels = arguments.discriminator_channels
        self.parts = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, channels) for period in arguments.period_numbers),
                *(ScaleDiscriminator(halvings, channels) for halvings in range(arguments.scales)),
            ]
        )

    def forward(self, waveforms: torch.Tensor) -> Heard:
        return [part(waveforms) for part in self.parts]


def discriminator_loss(heard: Heard) -> torch.Tensor:
    """Least squares: what was recorded is 1, what was made 0.

    Args:
        heard: Of a batch (2 B, S) of which the first half was recorded, the second made.
    """
    losses = []
    for logits, _ in heard:
        recorded, made = logits.float().chunk(2)
        losses.append((1 - recorded).square().mean() + made.square().mean())
    return torch.stack(losses).sum()


def generator_losses(recorded: Heard, made: Heard) -> tuple[torch.Tensor, torch.Tensor]:
    """The adversarial loss of the generator, and the distance of the features, a mean for each layer, as sums."""
    adversarial = torch.stack([(1 - logits.float()).square().mean() for logits, _ in made]).sum()
    gaps = [
        (ours.float() - theirs.float().detach()).abs().mean()
        for (_, there), (_, here) in zip(recorded, made)
        for theirs, ours in zip(there, here)
    ]
    return adversarial, torch.stack(gaps).sum()


def set_weight_norm(module: nn.Module, on: bool) -> None:
    """Convolutions of a generator by direction and length, as HiFi-GAN trains them; off again, they are what they were to become."""
    for layer in list(module.modules()):
        if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
            if on:
                weight_norm(layer)
            else:
                nn.utils.parametrize.remove_parametrizations(layer, "weight")


def least_samples(arguments: SpeechAdversaryArguments, sizes: Sequence[int]) -> int:
    """Samples that a crop needs at least for these discriminators and STFT sizes."""
    return max([*sizes, *(2 * period for period in arguments.period_numbers)])
