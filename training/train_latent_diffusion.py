"""An image decoder by latent diffusion, `LatentDiffusion` (arXiv 2112.10752): codes -> latents of an autoencoder -> pixels.

    python -m triglot.training.train_latent_diffusion --scenes 12000 --tokenizer vqvae/ --autoencoder autoencoder/ --out latent/

The autoencoder is one of `train_autoencoder_kl`, or any published `AutoencoderKL`; `--unet` begins with a published UNet.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..command_output import run_script
from ..modeling.decoders.configuration_latent_diffusion import LatentDiffusionConfig
from ..modeling.decoders.modeling_image_diffusion import plain_config
from ..modeling.decoders.modeling_latent_diffusion import LatentDiffusion, load_autoencoder
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer, weights_fingerprint
from .image_decoder_run import fit_image_decoder, run_command
from .load_parts import load_stock
from .train_image_diffusion import PARTS, DiffusionArguments


@dataclass(frozen=True)
class LatentDiffusionArguments(DiffusionArguments):
    """Settings of `train_latent_diffusion`."""

    def build(self, tokenizer: MediaTokenizer, autoencoder: Any) -> LatentDiffusion:
        """A new decoder for the tokenizer's codes, in the latents of an autoencoder."""
        settings = {**self.of_codes(tokenizer), **self.of_network()}
        if self.unet:
            return LatentDiffusion.from_unet(self.unet, autoencoder=autoencoder, **settings)
        config = LatentDiffusionConfig(**settings, autoencoder_config=plain_config(autoencoder.config))
        model = LatentDiffusion(config)
        model.take_autoencoder(autoencoder)
        return model


def train_latent_diffusion(
    dataset: Dataset | None,
    tokenizer_dir: str | os.PathLike,
    autoencoder_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: LatentDiffusionArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `LatentDiffusion` on an `AutoencoderKL`, which stays as it is; see `fit_image_decoder`.

    Raises:
        TriglotError: what `fit_image_decoder` raises, or no autoencoder in its folder.
    """
    given = arguments or LatentDiffusionArguments()
    autoencoder = load_stock(load_autoencoder, autoencoder_dir, "autoencoder")
    inputs = {"autoencoder": weights_fingerprint(autoencoder.state_dict(), {})}
    return fit_image_decoder(
        lambda tokenizer: given.build(tokenizer, autoencoder), dataset, tokenizer_dir, output_dir, given, PARTS, seed=seed, inputs=inputs,
        built_on={"autoencoder": autoencoder_dir, **given.built_on()},
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    told = {"autoencoder": "folder or Hub id of an AutoencoderKL"}
    run_command(__doc__, LatentDiffusionArguments, train_latent_diffusion, argv, **told)


if __name__ == "__main__":
    run_script(main)
