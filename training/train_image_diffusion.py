"""An image decoder by diffusion, `ImageDiffusion` (arXiv 2006.11239): codes -> pixels, a UNet that is told the codes.

python -m triglot.training.train_image_diffusion --scenes 12000 --tokenizer vqvae/ --out diffusion/ --patch-size 4
python -m triglot.training.train_image_diffusion --dataset photos/ --tokenizer vqvae/ --out diffusion/ --image-size 256
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..command_output import run_script
from ..modeling.decoders.configuration_image_diffusion import ImageDiffusionConfig
from ..modeling.decoders.modeling_image_diffusion import ImageDiffusion
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from .image_decoder_run import ImageDecoderArguments, fit_image_decoder, numbers, run_command

PARTS = ("signal_loss",)


@dataclass(frozen=True)
class DiffusionArguments(ImageDecoderArguments):
    """Settings of a decoder by diffusion, whatever it draws in; the model's are fields of its config."""

    block_out_channels: str = "128 256 384"  # each further resolution halves both sides
    layers_per_block: int = 2
    norm_num_groups: int = 32
    mid_block_add_attention: bool = True
    unet: str = (
        ""  # folder or Hub id of a trained UNet of diffusers to begin with, in the place of the four settings before
    )
    beta_schedule: str = "squaredcos_cap_v2"
    prediction_type: str = "sample"  # patches of many channels are learnt far sooner than the noise in them
    sampling_steps: int = 8
    guidance_scale: float = 1.0
    condition_dropout: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        numbers(self.block_out_channels, "block_out_channels")

    def built_on(self) -> dict[str, str]:
        """What was there before, for `save_whole`."""
        return {"unet": self.unet} if self.unet else {}

    def of_network(self) -> dict[str, Any]:
        """The settings of the config that say what the network is and how it is trained and asked."""
        names = ("beta_schedule", "prediction_type", "sampling_steps", "guidance_scale", "condition_dropout")
        told = {name: getattr(self, name) for name in names}
        if self.unet:
            return told
        sizes = ("layers_per_block", "norm_num_groups", "mid_block_add_attention")
        widths = numbers(self.block_out_channels, "block_out_channels")
        return {**told, **{name: getattr(self, name) for name in sizes}, "block_out_channels": widths}


@dataclass(frozen=True)
class ImageDiffusionArguments(DiffusionArguments):
    """Settings of `train_image_diffusion`."""

    patch_size: int = 1  # pixels squared that are one position from the start
    pixel_mean: float = 0.5  # of the pictures, of pixels in 0..1
    pixel_std: float = 0.5

    def build(self, tokenizer: MediaTokenizer) -> ImageDiffusion:
        """A new decoder for the tokenizer's codes."""
        names = ("patch_size", "pixel_mean", "pixel_std")
        settings = {**self.of_codes(tokenizer), **self.of_network(), **{name: getattr(self, name) for name in names}}
        if self.unet:
            return ImageDiffusion.from_unet(self.unet, **settings)
        return ImageDiffusion(ImageDiffusionConfig(**settings))


def train_image_diffusion(
    dataset: Dataset | None,
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: ImageDiffusionArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains an `ImageDiffusion`; see `fit_image_decoder`."""
    arguments = arguments or ImageDiffusionArguments()
    return fit_image_decoder(
        arguments.build, dataset, tokenizer_dir, output_dir, arguments, PARTS, seed=seed, built_on=arguments.built_on()
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(__doc__, ImageDiffusionArguments, train_image_diffusion, argv)


if __name__ == "__main__":
    run_script(main)
