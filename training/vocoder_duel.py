"""What `train_code_hifigan` and `train_mel_hifigan` share: settings, and a vocoder and its discriminators as a `Duel`.

batch ─ vocoder ─ made ┬─ its own loss: STFT, log-mel (and durations)
                       └─ HiFi-GAN's discriminators: adversarial, features
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..processing.errors import TriglotError
from .adversarial_run import run_duel
from .runs import check_counts, check_dtype, whole_numbers
from .speech_adversary import (
    Heard,
    SpeechAdversaryArguments,
    SpeechDiscriminators,
    discriminator_loss,
    generator_losses,
    least_samples,
    set_weight_norm,
)


@dataclasses.dataclass(frozen=True)
class VocoderRunArguments(SpeechAdversaryArguments):
    """Settings of a run."""

    max_steps: int = 6_000
    batch_size: int = 8
    learning_rate: float = 2e-3  # peak, of the vocoder; cosine decay to 0
    discriminator_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_steps: int = 50
    max_grad_norm: float = 50.0  # of a loss of which the reconstruction alone counts twentyfold
    crop_seconds: float = 0.64  # s
    bf16: bool = False  # autocast: faster on a GPU; most CPUs gain nothing in convolutions
    dtype: str = "float32"  # of the saved weights: "float32" or "float16"
    save_steps: int = 500
    logging_steps: int = 50

    def __post_init__(self):
        super().__post_init__()
        check_dtype(self.dtype)
        check_counts(self, "max_steps", "batch_size", "save_steps", "logging_steps")
        if not self.crop_seconds > 0:
            raise TriglotError(f"crop_seconds is {self.crop_seconds}; it must be above 0.")

    def check_crop(self, stft_sizes: tuple[int, ...] | list[int], sampling_rate: int) -> None:
        """Raises TriglotError for crops that are too short for the losses."""
        least = least_samples(self, stft_sizes) / sampling_rate
        if self.crop_seconds < least:
            raise TriglotError(
                f"crop_seconds is {self.crop_seconds}; at least {least:.3f} s are needed for the losses."
            )


@dataclasses.dataclass(frozen=True)
class HifiGanArguments(VocoderRunArguments):
    """Those of a new HiFi-GAN as well; the sizes are those of its config."""

    upsample_initial_channel: int = 256
    upsample_rates: str = "5 4 4 4 2"
    upsample_kernel_sizes: str = "11 8 8 8 4"
    resblock_kernel_sizes: str = "3 7"
    resblock_dilations: str = "1 3"  # of every kernel

    def __post_init__(self):
        super().__post_init__()
        for name in ("upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes", "resblock_dilations"):
            self.numbers(name)

    def numbers(self, name: str) -> list[int]:
        """The whole numbers of a setting like "5 4 4 4 2"."""
        return whole_numbers(getattr(self, name), name, "5 4 4 4 2")

    def sizes(self) -> dict[str, Any]:
        """As the config of a HiFi-GAN has them."""
        kernels = self.numbers("resblock_kernel_sizes")
        return {
            "upsample_initial_channel": self.upsample_initial_channel,
            "upsample_rates": self.numbers("upsample_rates"),
            "upsample_kernel_sizes": self.numbers("upsample_kernel_sizes"),
            "resblock_kernel_sizes": kernels,
            "resblock_dilation_sizes": [self.numbers("resblock_dilations")] * len(kernels),
        }


class VocoderDuel:
    """A vocoder and its discriminators; see `Duel`.

    Args:
        model: Batch -> `VocoderOutput`; the batch has "waveforms" (B, S) and "mask", bool, of a part of them each.
        arguments: Of the run.
    """

    def __init__(self, model: nn.Module, arguments: SpeechAdversaryArguments):
        self.generator: Any = model
        self.discriminator: Any = SpeechDiscriminators(arguments)
        self.arguments = arguments

    def judged(self, batch: Any, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """float (B, S) of what was recorded and what was made."""
        heard = batch["mask"].repeat_interleave(batch["waveforms"].shape[1] // batch["mask"].shape[1], 1)
        return batch["waveforms"] * heard, output.waveforms

    def discriminator_loss(self, heard: Heard) -> torch.Tensor:
        return discriminator_loss(heard)

    def generator_loss(
        self, output: Any, recorded: Heard | None, made: Heard | None, parts: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        for name in ("stft_loss", "mel_loss", "duration_loss"):
            if output.get(name) is not None:
                parts[name] = output[name].detach()
        loss = self.arguments.reconstruction_weight * output.loss
        if recorded is not None and made is not None:
            adversarial, features = generator_losses(recorded, made)
            parts |= {"adversarial_loss": adversarial.detach(), "feature_loss": features.detach()}
            loss = loss + adversarial + self.arguments.feature_weight * features
        return loss


def train_vocoder(
    model: nn.Module,
    hifi_gan: str,
    rows: Any,
    collate: Callable[[list[Any]], Any],
    checkpoints: Path,
    arguments: VocoderRunArguments,
    *,
    seed: int,
    last: str | None,
    facts: Mapping[str, Any] | None = None,
) -> Any:
    """Trains a vocoder against new discriminators, its HiFi-GAN by direction and length.

    Args:
        model: As `VocoderDuel` takes it.
        hifi_gan: Name of its HiFi-GAN.
        rows, collate, checkpoints, arguments, seed, last: As of `run_duel`.
        facts: For the report, beside how many rows and parameters there are.

    Returns:
        The model on the CPU, with weights as they were before.
    """
    duel = VocoderDuel(model, arguments)
    set_weight_norm(getattr(model, hifi_gan), True)
    told = {
        "utterances": len(rows),
        "parameters": f"{sum(weight.numel() for weight in model.parameters()):,}",
        "of the discriminators": f"{sum(weight.numel() for weight in duel.discriminator.parameters()):,}",
        **(facts or {}),
    }
    run_duel(duel, rows, collate, checkpoints, arguments, seed=seed, last=last, facts=told)
    trained = duel.generator.cpu()
    set_weight_norm(getattr(trained, hifi_gan), False)
    return trained
