"""An image decoder by a GAN, `ImageGan`: codes and noise -> pixels, against a discriminator of patches (VQGAN, arXiv 2012.09841).

pictures with codes ─ ImageGan ─ drawn ─┬─ its own loss: difference of pixels
                                        └─ PatchDiscriminator ─ hinge loss, its weight adaptive

python -m triglot.training.train_image_gan --scenes 12000 --tokenizer vqvae/ --out gan/ --patch-size 2 --block-out-channels "48 96 128"
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from ..command_output import run_script
from ..modeling.decoders.configuration_image_gan import ImageGanConfig
from ..modeling.decoders.modeling_image_gan import ImageGan
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError
from .adversarial_run import run_duel
from .image_adversary import PatchDiscriminator, adaptive_weight, hinge_loss
from .image_decoder_run import ImageDecoderArguments, begin_run, numbers, run_command
from .runs import check_counts, save_trained


@dataclass(frozen=True)
class ImageGanArguments(ImageDecoderArguments):
    """Settings of `train_image_gan`; the sizes are those of `ImageGanConfig`."""

    noise_channels: int = 8
    block_out_channels: str = "128 128 256 256 512"  # each further resolution halves both sides
    layers_per_block: int = 2
    norm_num_groups: int = 32
    mid_block_add_attention: bool = True
    patch_size: int = 1  # pixels squared that are one position to the end
    l1_weight: float = 1.0
    l2_weight: float = 0.0
    discriminator_weight: float = 0.8  # of the adversarial loss, times its adaptive weight
    discriminator_rate: float = 1e-3  # its learning rate
    discriminator_channels: int = 64
    discriminator_layers: int = 3  # that halve both sides
    adversary_start: int = 500  # steps before it counts: a generator first learns to draw

    def __post_init__(self):
        super().__post_init__()
        numbers(self.block_out_channels, "block_out_channels")
        check_counts(self, "discriminator_channels", "discriminator_layers")
        if self.optimizer != "adamw":
            raise TriglotError(
                f"optimizer is {self.optimizer!r}; two networks against each other are trained by adamw."
            )
        for name in ("discriminator_weight", "adversary_start"):
            if getattr(self, name) < 0:
                raise TriglotError(f"{name} is {getattr(self, name)}; 0 or more is needed.")

    def build(self, tokenizer: MediaTokenizer) -> ImageGan:
        """A new decoder for the tokenizer's codes."""
        names = ("noise_channels", "layers_per_block", "norm_num_groups", "mid_block_add_attention", "patch_size")
        sizes = {name: getattr(self, name) for name in (*names, "l1_weight", "l2_weight")}
        widths = numbers(self.block_out_channels, "block_out_channels")
        return ImageGan(ImageGanConfig(**self.of_codes(tokenizer), **sizes, block_out_channels=widths))


class PictureDuel:
    """An `ImageGan` and its discriminator; see `Duel`."""

    def __init__(self, model: ImageGan, arguments: ImageGanArguments):
        self.generator: Any = model
        self.discriminator: Any = PatchDiscriminator(arguments.discriminator_channels, arguments.discriminator_layers)
        self.last, self.arguments = model.last_layer.weight, arguments

    def judged(self, batch: Any, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """float (B, 3, H, W) of what is to be drawn and what was."""
        return batch["pixel_values"], output.pixels

    def discriminator_loss(self, heard: torch.Tensor) -> torch.Tensor:
        return hinge_loss(*heard.chunk(2))

    def generator_loss(
        self, output: Any, recorded: torch.Tensor | None, made: torch.Tensor | None, parts: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        parts["reconstruction_loss"] = output.loss.detach()
        if made is None:
            return output.loss
        adversarial = -made.float().mean()
        weight = adaptive_weight(output.loss, adversarial, self.last)
        parts |= {"adversarial_loss": adversarial.detach(), "adaptive_weight": weight}
        return output.loss + self.arguments.discriminator_weight * weight * adversarial


def train_image_gan(
    dataset: Dataset | None,
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: ImageGanArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains an `ImageGan`; what comes and what is raised is as for `fit_image_decoder`."""
    arguments, output_dir = arguments or ImageGanArguments(), Path(output_dir)
    begun = begin_run(arguments.build, dataset, tokenizer_dir, output_dir, arguments, seed=seed)
    duel = PictureDuel(begun.decoder, arguments)
    facts = {
        **begun.facts,
        "of the discriminator": f"{sum(weight.numel() for weight in duel.discriminator.parameters()):,}",
    }
    run_duel(
        duel, begun.pictures, begun.collate, output_dir / "checkpoints", arguments, seed=seed, last=begun.checkpoint, facts=facts
    )  # fmt: skip
    return save_trained(duel.generator, output_dir, arguments, {})


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(__doc__, ImageGanArguments, train_image_gan, argv)


if __name__ == "__main__":
    run_script(main)
