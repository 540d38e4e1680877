"""Each kind of image decoder, taught a batch by heart: it draws the pictures of these codes, whatever the noise."""

import functools

import pytest
import torch
from picture_rows_testing import picture_rows
from transformers import AutoModel

pytest.importorskip("diffusers")

from triglot.training.data.picture_rows import ImageRows
from triglot.training.image_decoder_run import PicturesWithCodes, codes_tokenizer
from triglot.training.image_metrics import psnr
from triglot.training.train_autoencoder_kl import AutoencoderKlArguments, train_autoencoder_kl
from triglot.training.train_image_diffusion import ImageDiffusionArguments, train_image_diffusion
from triglot.training.train_image_gan import ImageGanArguments, train_image_gan
from triglot.training.train_image_super_resolution import ImageSuperResolutionArguments, train_image_super_resolution
from triglot.training.train_latent_diffusion import LatentDiffusionArguments, train_latent_diffusion

RUN = {"image_size": 16, "batch_size": 4, "warmup_steps": 5, "save_steps": 1000, "logging_steps": 50, "bf16": False}
NETWORK = {"block_out_channels": "32 32", "layers_per_block": 1, "norm_num_groups": 4, "sampling_steps": 4}
PIXELS = {"pixel_mean": 0.75, "pixel_std": 0.3}
DIFFUSION = ImageDiffusionArguments(**RUN, **NETWORK, **PIXELS, patch_size=2, max_steps=150, learning_rate=5e-3)
GAN = ImageGanArguments(
    **RUN,
    block_out_channels="16 16",
    layers_per_block=1,
    norm_num_groups=4,
    l2_weight=10.0,
    discriminator_channels=8,
    discriminator_layers=1,
    adversary_start=60,
    max_steps=120,
    learning_rate=5e-3,
)
AUTOENCODER = AutoencoderKlArguments(
    **RUN,
    block_out_channels="16 32",
    layers_per_block=1,
    norm_num_groups=4,
    mid_block_add_attention=False,
    l2_weight=10.0,
    kl_weight=1e-5,
    max_steps=150,
    learning_rate=5e-3,
)
LATENT = LatentDiffusionArguments(**RUN, **NETWORK, max_steps=200, learning_rate=5e-3)
LARGER = ImageSuperResolutionArguments(
    **{**RUN, "image_size": 32},
    **NETWORK,
    **PIXELS,
    scales="2",
    patch_sizes="2",
    crop_size=0,
    max_steps=150,
    learning_rate=5e-3,
)


@pytest.fixture(scope="module")
def dataset():
    return picture_rows(4)


@pytest.fixture(scope="module")
def learnt(dataset, image_tokenizer, tmp_path_factory):
    """The decoder's folder of a kind, trained once."""
    root = tmp_path_factory.mktemp("decoders")

    @functools.cache
    def train(kind):
        folder = root / kind
        if kind == "diffusion":
            return train_image_diffusion(dataset, image_tokenizer, folder, DIFFUSION)
        if kind == "gan":
            return train_image_gan(dataset, image_tokenizer, folder, GAN)
        if kind == "latent":
            autoencoder = train_autoencoder_kl(dataset, root / "autoencoder", AUTOENCODER)
            return train_latent_diffusion(dataset, image_tokenizer, autoencoder, folder, LATENT)
        return train_image_super_resolution(picture_rows(4, 32), image_tokenizer, train("gan"), folder, LARGER)

    return train


@pytest.mark.parametrize("kind", ["diffusion", "gan", "latent", "super_resolution"])
def test_a_batch_learnt_by_heart_is_drawn(kind, dataset, learnt, image_tokenizer):
    decoder = AutoModel.from_pretrained(learnt(kind))
    tokenizer, pictures = codes_tokenizer(image_tokenizer), ImageRows(dataset)
    batch = PicturesWithCodes(tokenizer, DIFFUSION)([pictures[index] for index in range(4)])
    codes, wanted = list(batch["codes"]), batch["pixel_values"]
    if kind == "super_resolution":  # the same pictures at twice the size
        larger = ImageRows(picture_rows(4, 32))
        wanted = PicturesWithCodes(tokenizer, LARGER).pictures([larger[index] for index in range(4)])["pixel_values"]
    drawn = torch.stack(decoder.decode(codes, seed=3))
    others = torch.stack(decoder.decode(codes[1:] + codes[:1], seed=3))
    assert float(psnr(drawn, wanted).min()) > 18 > float(psnr(others, wanted).max())
