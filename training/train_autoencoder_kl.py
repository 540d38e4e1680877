"""The autoencoder of latent diffusion, diffusers' `AutoencoderKL`: from pictures alone, by reconstruction and a little KL.

Paper: latent diffusion (arXiv 2112.10752, section 3.1; here without its adversary).

    pictures (B, 3, H, W) ─ patches are channels ─ encoder ─ a Gaussian ─ drawn from it (B, C, H', W') ─ decoder ─ folder

The folder is diffusers' own: `AutoencoderKL.from_pretrained` loads it. Its `scaling_factor`, one over the deviation of the latents, is
measured when training is over.

    python -m triglot.training.train_autoencoder_kl --scenes 12000 --out autoencoder/ --image-size 64 --patch-size 2
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import nn
from transformers import set_seed
from transformers.utils import ModelOutput

from ..command_output import run_script
from ..modeling.decoders.diffusers_parts import diffusers_class
from ..processing.errors import TriglotError
from .data.row_digests import dataset_digest
from .image_decoder_run import numbers
from .image_metrics import psnr
from .image_tokenizer_run import (
    ImageRunArguments,
    PictureCollator,
    add_pictures,
    fit_to_pictures,
    fitting,
    open_pictures,
    pictures_of,
    told_pictures,
)
from .runs import add_settings, check_counts, given_settings, open_run, save_trained
from .seeded_data import drawn_by

PARTS = ("reconstruction_loss", "kl_loss", "psnr")
MEASURED = 64  # pictures that the scaling factor is measured on


@dataclass(frozen=True)
class AutoencoderKlArguments(ImageRunArguments):
    """Settings of `train_autoencoder_kl`."""

    patch_size: int = 1  # pixels squared that are channels of one position from the start; published ones have 1
    block_out_channels: str = "128 256 512 512"  # each further resolution halves both sides
    layers_per_block: int = 2
    norm_num_groups: int = 32
    latent_channels: int = 4
    mid_block_add_attention: bool = True
    l1_weight: float = 1.0
    l2_weight: float = 0.0
    kl_weight: float = 1e-4  # of the KL divergence from the normal distribution, nats a number

    def __post_init__(self):
        super().__post_init__()
        numbers(self.block_out_channels, "block_out_channels")
        check_counts(self, "patch_size", "layers_per_block", "norm_num_groups", "latent_channels")

    def build(self) -> Any:
        """A new `AutoencoderKL`.

        Raises:
            TriglotError: sizes that do not fit together.
        """
        widths = numbers(self.block_out_channels, "block_out_channels")
        stride = self.patch_size * 2 ** (len(widths) - 1)
        if any(side % stride for side in self.shape) or any(width % self.norm_num_groups for width in widths):
            raise TriglotError(
                f"The picture has {self.shape[0]} x {self.shape[1]} pixels and the autoencoder {widths} channels; multiples of {stride} and "
                f"of norm_num_groups, {self.norm_num_groups}, are needed."
            )
        names = ("layers_per_block", "norm_num_groups", "latent_channels", "mid_block_add_attention")
        return diffusers_class("AutoencoderKL")(
            in_channels=3 * self.patch_size**2,
            out_channels=3 * self.patch_size**2,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=tuple(widths),
            sample_size=max(self.shape) // self.patch_size,
            force_upcast=False,
            **{name: getattr(self, name) for name in names},
        )


@dataclass
class AutoencoderOutput(ModelOutput):
    """What `AutoencoderInTraining.forward` returns; parts are detached, `psnr` in dB."""

    loss: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    kl_loss: torch.Tensor | None = None
    psnr: torch.Tensor | None = None


class AutoencoderInTraining(nn.Module):
    """An `AutoencoderKL` with its losses."""

    def __init__(self, autoencoder: Any, arguments: AutoencoderKlArguments):
        super().__init__()
        self.autoencoder, self.arguments = autoencoder, arguments

    def latents(self, pixel_values: torch.Tensor) -> Any:
        """float (B, 3, H, W) in 0..1 -> diffusers' Gaussian of (B, C, H', W')."""
        return self.autoencoder.encode(F.pixel_unshuffle(2 * pixel_values - 1, self.arguments.patch_size)).latent_dist

    def forward(self, pixel_values: torch.Tensor) -> AutoencoderOutput:
        """float (B, 3, H, W) in 0..1 -> losses."""
        told = self.latents(pixel_values)
        noise = torch.randn(told.mean.shape).to(told.mean)  # drawn on the CPU: the same on every device
        drawn = self.autoencoder.decode(told.mean + told.std * noise).sample.float()
        pixels = F.pixel_shuffle(drawn, self.arguments.patch_size) * 0.5 + 0.5
        difference = pixels - pixel_values
        reconstruction = (
            self.arguments.l1_weight * difference.abs().mean() + self.arguments.l2_weight * difference.square().mean()
        )
        divergence = told.kl().float().mean() / told.mean[0].numel()
        return AutoencoderOutput(
            loss=reconstruction + self.arguments.kl_weight * divergence,
            reconstruction_loss=reconstruction.detach(),
            kl_loss=divergence.detach(),
            psnr=psnr(pixels.detach(), pixel_values).mean(),
        )


def train_autoencoder_kl(
    dataset: Dataset | None,
    output_dir: str | os.PathLike,
    arguments: AutoencoderKlArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains an `AutoencoderKL` and saves it.

    Args:
        dataset: Rows with "image"; not looked at where `arguments.scenes` are drawn.
        output_dir: Becomes its folder, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings; default: `AutoencoderKlArguments()`.
        seed: Of weights, crops, noise, scenes and the order of the data.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: no pictures, sizes that do not fit together, a loss that is not finite, or checkpoints of other settings.
    """
    arguments, output_dir = arguments or AutoencoderKlArguments(), Path(output_dir)
    pictures = pictures_of(dataset, arguments, seed)
    set_seed(seed)
    in_training = AutoencoderInTraining(arguments.build(), arguments).train()
    checkpoint = open_run(
        output_dir / "checkpoints", arguments, seed=seed, inputs={"dataset": dataset_digest(dataset)}
    )
    collate = PictureCollator(fitting(arguments.shape, arguments.fit), arguments)
    facts = {
        "pictures": told_pictures(pictures, arguments),
        "parameters": f"{sum(weight.numel() for weight in in_training.parameters()):,}",
    }
    trained = fit_to_pictures(
        in_training, pictures, collate, output_dir, arguments, PARTS, facts, seed=seed, checkpoint=checkpoint
    )
    trained = trained.float().cpu().eval()
    with torch.no_grad(), drawn_by(seed):
        seen = collate([pictures[place % len(pictures)] for place in range(MEASURED)])["pixel_values"]
        deviation = float(trained.latents(seen).mean.std())
    trained.autoencoder.register_to_config(scaling_factor=1.0 / max(deviation, 1e-6))
    return save_trained(trained.autoencoder, output_dir, arguments, {})


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_pictures(parser)
    add_settings(parser, AutoencoderKlArguments)
    given = parser.parse_args(argv)
    settings = given_settings(given, AutoencoderKlArguments)
    print(train_autoencoder_kl(open_pictures(given.dataset, given.split), given.out, settings, seed=given.seed))


if __name__ == "__main__":
    run_script(main)
