"""An image tokenizer as DALL-E's: a discrete VAE, from pictures alone; or a decoder for the codes of FLAVA's.

    datasets.Dataset with "image", or drawn scenes ─ (B, 3, H, W) ─ ImageDvae, its temperature falling ─ folder

Papers: DALL-E (arXiv 2102.12092, appendix A.2). The temperature falls from 1 to 1/16 and the weight of the KL divergence rises from 0 to
6.6, both along a cosine.

With `encoder`, a folder or Hub id of a `FlavaImageCodebook`, the codes are those of OpenAI's encoder: it stays as it is, and a decoder is
trained to draw from them, which FLAVA lacks.

    python -m triglot.training.train_image_dvae --dataset photos/ --out dvae/
    python -m triglot.training.train_image_dvae --dataset photos/ --out dvae/ --encoder facebook/flava-image-codebook
"""

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from transformers import set_seed
from transformers.utils import ModelOutput

from ..command_output import run_script
from ..modeling.tokenizers.configuration_image_dvae import ImageDvaeConfig
from ..modeling.tokenizers.modeling_image_dvae import ImageDvae
from ..processing.errors import TriglotError
from .data.row_digests import dataset_digest
from .image_metrics import psnr
from .image_tokenizer_run import ImageRunArguments, add_pictures, open_pictures, pictures_of, run_training
from .runs import add_settings, given_settings, open_run

PARTS = ("reconstruction_loss", "kl_loss", "perplexity", "psnr", "temperature", "kl_weight")


@dataclass(frozen=True)
class ImageDvaeArguments(ImageRunArguments):
    """Settings of `train_image_dvae`. The sizes are those of `ImageDvaeConfig`; the encoder's are its own where one is given."""

    encoder: str = ""  # folder or Hub id of a FlavaImageCodebook, which is kept as it is
    codebook_size: int = 8192
    hidden_size: int = 256
    num_blocks_per_group: int = 2
    code_dim: int = 128
    decoder_hidden_size: int = 256
    decoder_blocks_per_group: int = 2
    first_temperature: float = 1.0
    last_temperature: float = 1 / 16
    cooling_steps: int = 0  # until it has fallen; 0 for half of max_steps
    kl_weight: float = 6.6
    kl_steps: int = 0  # until it has risen to kl_weight; 0 for a tenth of max_steps

    def __post_init__(self):
        ImageRunArguments.__post_init__(self)
        if not 0 < self.last_temperature <= self.first_temperature:
            raise TriglotError(
                f"The temperature falls from {self.first_temperature} to {self.last_temperature}; the first must be the "
                "higher one, and both above 0."
            )

    def build(self) -> ImageDvae:
        """A new model.

        Raises:
            TriglotError: sizes that do not fit together, or an encoder that does not load.
        """
        names = ("code_dim", "decoder_hidden_size", "decoder_blocks_per_group", "kl_weight", "fit")
        settings = {"image_size": self.shape, "temperature": self.last_temperature}
        settings |= {name: getattr(self, name) for name in names}
        try:
            if self.encoder:
                return ImageDvae.from_flava_codebook(self.encoder, **settings)
            sizes = {name: getattr(self, name) for name in ("codebook_size", "hidden_size", "num_blocks_per_group")}
            return ImageDvae(ImageDvaeConfig(**sizes, **settings))
        except (OSError, ValueError) as error:
            raise TriglotError(str(error)) from error


@dataclass
class DvaeOutput(ModelOutput):
    """What `DvaeInTraining.forward` returns: the fields of `ImageDvaeOutput`, `psnr` in dB, and what is annealed; parts detached."""

    loss: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    kl_loss: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None
    psnr: torch.Tensor | None = None
    temperature: torch.Tensor | None = None
    kl_weight: torch.Tensor | None = None


class DvaeInTraining(nn.Module):
    """An `ImageDvae` whose temperature and KL weight follow the step.

    Args:
        tokenizer: What is trained; where its encoder is given, the decoder alone.
        arguments: The stage's.

    Attributes:
        step: Of the run; whoever trains keeps it.
    """

    def __init__(self, tokenizer: ImageDvae, arguments: ImageDvaeArguments):
        super().__init__()
        self.tokenizer, self.arguments, self.step = tokenizer, arguments, 0
        if arguments.encoder:
            tokenizer.encoder.requires_grad_(False)

    @property
    def temperature(self) -> float:
        """Of this step; 0, which takes the most probable codes, where the encoder is given."""
        given = self.arguments
        if given.encoder:
            return 0.0
        share = _risen(self.step, given.cooling_steps or given.max_steps // 2)
        return given.first_temperature + (given.last_temperature - given.first_temperature) * share

    @property
    def kl_weight(self) -> float:
        """Of this step."""
        given = self.arguments
        return 0.0 if given.encoder else given.kl_weight * _risen(self.step, given.kl_steps or given.max_steps // 10)

    def forward(self, pixel_values: torch.Tensor) -> DvaeOutput:
        """float (B, 3, H, W) in 0..1 -> losses."""
        output: Any = self.tokenizer(pixel_values, temperature=self.temperature, kl_weight=self.kl_weight)
        return DvaeOutput(
            loss=output.loss,
            reconstruction_loss=output.reconstruction_loss.detach(),
            kl_loss=output.kl_loss,
            perplexity=output.perplexity,
            psnr=psnr(output.pixels.detach(), pixel_values).mean(),
            temperature=torch.tensor(self.temperature),
            kl_weight=torch.tensor(self.kl_weight),
        )


def _risen(step: int, steps: int) -> float:
    """Along half a cosine from 0 at step 0 to 1 at `steps`."""
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, step / max(1, steps)))


def train_image_dvae(
    dataset: Dataset | None,
    output_dir: str | os.PathLike,
    arguments: ImageDvaeArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains an `ImageDvae` and saves it.

    Args:
        dataset: Rows with "image": {"bytes": ..., "path": ...}, any format and size; not looked at where `arguments.scenes` are drawn.
        output_dir: Where the tokenizer and, under `checkpoints`, the state of the run go.
        arguments: Settings; default: `ImageDvaeArguments()`.
        seed: Of weights, crops, Gumbel noise, scenes and the order of the data.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: no "image" column, no rows, a broken picture, sizes that do not fit together, a loss that is not finite, or
            checkpoints of other settings.
    """
    arguments, output_dir = arguments or ImageDvaeArguments(), Path(output_dir)
    set_seed(seed)
    tokenizer = arguments.build()
    pictures = pictures_of(dataset, arguments, seed)
    inputs = {"dataset": dataset_digest(dataset), **({"encoder": tokenizer.fingerprint} if arguments.encoder else {})}
    checkpoint = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs=inputs)
    in_training = DvaeInTraining(tokenizer, arguments)
    built_on = {"encoder": arguments.encoder} if arguments.encoder else {}
    return run_training(
        in_training, pictures, output_dir, arguments, PARTS, seed=seed, checkpoint=checkpoint, built_on=built_on
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_pictures(parser)
    add_settings(parser, ImageDvaeArguments)
    arguments = parser.parse_args(argv)
    dataset = open_pictures(arguments.dataset, arguments.split)
    settings = given_settings(arguments, ImageDvaeArguments)
    print(train_image_dvae(dataset, arguments.out, settings, seed=arguments.seed))


if __name__ == "__main__":
    run_script(main)
