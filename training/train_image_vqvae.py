"""An image tokenizer by VQ-VAE, or, with an adversary, by VQGAN: from pictures alone.

    datasets.Dataset with "image", or drawn scenes ─ (B, 3, H, W) ─ ImageVqvae ─ folder
                                                        └─ patch discriminator, features of an encoder, where asked for

Papers: VQ-VAE (arXiv 1711.00937), VQGAN (arXiv 2012.09841).

Checkpoints lie in `output_dir/checkpoints`; a run that was cut off goes on from the last complete one. The finished tokenizer lies
in `output_dir` itself.

    python -m triglot.training.train_image_vqvae --dataset photos/ --out vqvae/ --image-size 256
    python -m triglot.training.train_image_vqvae --scenes 20000 --out vqvae/ --image-size 64 --patch-size 4 --block-out-channels "64 96"
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from transformers import set_seed

from ..command_output import run_script
from ..modeling.tokenizers.configuration_image_vqvae import ImageVqvaeConfig
from ..modeling.tokenizers.modeling_image_vqvae import ImageVqvae
from ..processing.errors import TriglotError
from .data.row_digests import dataset_digest
from .image_adversary import AdversaryArguments, VqganInTraining
from .image_tokenizer_run import ImageRunArguments, add_pictures, open_pictures, pictures_of, run_training
from .runs import add_settings, given_settings, open_run, whole_numbers

PARTS = ("reconstruction_loss", "commitment_loss", "perplexity", "psnr")
ADVERSARY_PARTS = ("adversarial_loss", "discriminator_loss", "adaptive_weight")
SIZES = (
    *(
        "codebook_size",
        "code_dim",
        "latent_channels",
        "layers_per_block",
        "norm_num_groups",
        "patch_size",
        "tile_encoder",
        "fit",
    ),
    *(
        "mid_block_add_attention",
        "l1_weight",
        "l2_weight",
        "contrast_weight",
        "commitment_weight",
        "ema_decay",
        "revive_after",
    ),
)


@dataclass(frozen=True)
class ImageVqvaeArguments(AdversaryArguments, ImageRunArguments):
    """Settings of `train_image_vqvae`. The sizes are those of `ImageVqvaeConfig`."""

    codebook_size: int = 1024
    code_dim: int = 256
    latent_channels: int = 0  # 0: those of code_dim
    block_out_channels: str = "128 128 256 256 512"  # each further resolution halves both sides
    layers_per_block: int = 2
    norm_num_groups: int = 32
    patch_size: int = 1  # pixels squared that are one position from the start
    tile_encoder: bool = (
        False  # sees the pixels of each code alone: codes are the same wherever a tile lies, and easier to predict
    )
    mid_block_add_attention: bool = True
    l1_weight: float = 1.0
    l2_weight: float = 0.0
    contrast_weight: float = 0.0  # of squares over the variance of their tile: faint things count as bold ones do
    commitment_weight: float = 0.25
    ema_decay: float = 0.99
    revive_after: int = 200  # steps

    def __post_init__(self):
        ImageRunArguments.__post_init__(self)
        AdversaryArguments.__post_init__(self)
        whole_numbers(self.block_out_channels, "block_out_channels", "64 96")

    def config(self) -> ImageVqvaeConfig:
        """That of the tokenizer.

        Raises:
            TriglotError: sizes that do not fit together.
        """
        widths = whole_numbers(self.block_out_channels, "block_out_channels", "64 96")
        sizes = {name: getattr(self, name) for name in SIZES}
        sizes["latent_channels"] = self.latent_channels or self.code_dim
        try:
            return ImageVqvaeConfig(image_size=self.shape, block_out_channels=widths, **sizes)
        except ValueError as error:
            raise TriglotError(str(error)) from error


def train_image_vqvae(
    dataset: Dataset | None,
    output_dir: str | os.PathLike,
    arguments: ImageVqvaeArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains an `ImageVqvae` and saves it.

    Args:
        dataset: Rows with "image": {"bytes": ..., "path": ...}, any format and size; not looked at where `arguments.scenes` are drawn.
        output_dir: Where the tokenizer and, under `checkpoints`, the state of the run go.
        arguments: Settings; default: `ImageVqvaeArguments()`.
        seed: Of weights, crops, the code book, scenes and the order of the data.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: no "image" column, no rows, a broken picture, sizes that do not fit together, a loss that is not finite, or
            checkpoints of other settings.
    """
    arguments = arguments or ImageVqvaeArguments()
    output_dir, config = Path(output_dir), arguments.config()
    pictures = pictures_of(dataset, arguments, seed)
    checkpoint = open_run(
        output_dir / "checkpoints", arguments, seed=seed, inputs={"dataset": dataset_digest(dataset)}
    )
    set_seed(seed)
    in_training = VqganInTraining(ImageVqvae(config), arguments)
    parts = PARTS + (ADVERSARY_PARTS if arguments.discriminator_weight else ())
    parts += ("feature_loss",) if arguments.feature_encoder else ()
    return run_training(
        in_training, pictures, output_dir, arguments, parts, seed=seed, checkpoint=checkpoint, built_on={}
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_pictures(parser)
    add_settings(parser, ImageVqvaeArguments)
    arguments = parser.parse_args(argv)
    dataset = open_pictures(arguments.dataset, arguments.split)
    settings = given_settings(arguments, ImageVqvaeArguments)
    print(train_image_vqvae(dataset, arguments.out, settings, seed=arguments.seed))


if __name__ == "__main__":
    run_script(main)
