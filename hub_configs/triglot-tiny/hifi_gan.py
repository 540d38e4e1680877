"""What the HiFi-GANs here have in common (arXiv 2010.05646): sizes that fit, weights to begin with, and how far they look.

The generators themselves are transformers' own, `SeamlessM4Tv2HifiGan` for units and `FastSpeech2ConformerHifiGan` for log-mel. Their
configs have the same fields: upsample_initial_channel, upsample_rates, upsample_kernel_sizes, resblock_kernel_sizes,
resblock_dilation_sizes.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.utils import ModelOutput

POST_KERNEL = 7  # of a generator's first and last convolution
QUIET = 0.1  # share of its size that a residual branch, and the output, begins with


@dataclass
class VocoderOutput(ModelOutput):
    """What a vocoder in training returns.

    Args:
        loss: Sum of the parts; None without target waveforms.
        waveforms: float32 (B, S).
        stft_loss, mel_loss: Spectral convergence + L1 of log-magnitudes over all FFT sizes; L1 of log-mel.
    """

    loss: torch.Tensor | None = None
    waveforms: torch.Tensor | None = None
    stft_loss: torch.Tensor | None = None
    mel_loss: torch.Tensor | None = None


def check_hifi_gan_sizes(config: Any, samples: int, what: str) -> None:
    """Raises ValueError for sizes that do not fit together.

    Args:
        config: Of the generator.
        samples: That the rates must multiply to.
        what: Has so many samples: "a code" or "a frame".
    """
    rates, kernels = list(config.upsample_rates), list(config.upsample_kernel_sizes)
    if not rates or math.prod(rates) != samples:
        raise ValueError(
            f"upsample_rates is {rates}, whose product is {math.prod(rates)}; {what} has {samples} samples."
        )
    if len(kernels) != len(rates) or any(size < rate or (size - rate) % 2 for size, rate in zip(kernels, rates)):
        raise ValueError(
            f"upsample_kernel_sizes is {kernels} for the rates {rates}; one each is needed, as long or longer by an even number."
        )
    if config.upsample_initial_channel % 2 ** len(rates):
        raise ValueError(
            f"upsample_initial_channel is {config.upsample_initial_channel}; it must divide by {2 ** len(rates)}, since {len(rates)} "
            "rates halve it."
        )
    if len(config.resblock_kernel_sizes) != len(config.resblock_dilation_sizes) or not config.resblock_kernel_sizes:
        raise ValueError(
            f"resblock_dilation_sizes has {len(config.resblock_dilation_sizes)} entries for {len(config.resblock_kernel_sizes)} "
            "kernels; one list of dilations each is needed."
        )
    if any(size % 2 == 0 for size in config.resblock_kernel_sizes):
        raise ValueError(f"resblock_kernel_sizes is {list(config.resblock_kernel_sizes)}; they must be odd.")


def hifi_gan_context(config: Any) -> int:
    """Codes or frames to both sides that a sample may depend on."""
    rate, reach = 1, float(POST_KERNEL // 2)
    for factor, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes):
        reach += -(-kernel // factor) / rate
        rate *= factor
        blocks = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes)
        reach += max((size // 2) * sum(step + 1 for step in steps) for size, steps in blocks) / rate
    return math.ceil(reach + POST_KERNEL // 2 / rate) + 1


def quiet_layers(generator: Any) -> list[nn.Module]:
    """Layers whose output begins small: the last of every residual branch, and the last of all."""
    return [generator.conv_post, *(layer for block in generator.resblocks for layer in block.convs2)]


@torch.no_grad()
def begin_convolution(layer: nn.Module, quiet: bool) -> None:
    """Weights of a generator's convolution: what goes through keeps its size, or a `QUIET` share of it."""
    assert isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d))
    taps = layer.kernel_size[0] / (layer.stride[0] if isinstance(layer, nn.ConvTranspose1d) else 1)
    init.normal_(layer.weight, std=(QUIET if quiet else 1.0) * math.sqrt(2.0 / (layer.in_channels * taps)))
