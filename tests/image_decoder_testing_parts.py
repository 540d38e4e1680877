"""Untrained image decoders for a tokenizer's codes, for the tests of what takes a decoder."""

from triglot.modeling.decoders.configuration_image_diffusion import ImageDiffusionConfig
from triglot.modeling.decoders.configuration_image_gan import ImageGanConfig
from triglot.modeling.decoders.configuration_latent_diffusion import LatentDiffusionConfig
from triglot.modeling.decoders.modeling_image_diffusion import ImageDiffusion
from triglot.modeling.decoders.modeling_image_gan import ImageGan
from triglot.modeling.decoders.modeling_image_super_resolution import ImageSuperResolution
from triglot.modeling.decoders.modeling_latent_diffusion import LatentDiffusion

NETWORK = {"block_out_channels": [8], "layers_per_block": 1, "norm_num_groups": 4}
AUTOENCODER = {
    "down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"], "block_out_channels": [8],
    "norm_num_groups": 4,
}  # fmt: skip


def _sizes(grid, codebook_size, fingerprint):
    return {
        "codebook_size": codebook_size,
        "grid": list(grid),
        "fingerprint": fingerprint,
        "image_size": [2 * side for side in grid],
    }


def tiny_decoders(grid, codebook_size, fingerprint=""):
    """{kind: decoder} of pictures with twice as many pixels as codes along a side, the last one's twice as large again."""
    sizes = {**_sizes(grid, codebook_size, fingerprint), **NETWORK}
    base = ImageDiffusion(ImageDiffusionConfig(**sizes, patch_size=2, sampling_steps=2)).eval()
    return {
        "diffusion": base,
        "gan": ImageGan(ImageGanConfig(**sizes, patch_size=2)).eval(),
        "latent": LatentDiffusion(
            LatentDiffusionConfig(**sizes, autoencoder_config=AUTOENCODER, sampling_steps=2)
        ).eval(),
        "super-resolution": ImageSuperResolution.from_base(
            base, **NETWORK, scales=[2], patch_sizes=[2], crop_size=0
        ).eval(),
    }


def tiny_gan(tokenizer):
    """An `ImageGan` for the codes of a tokenizer."""
    return tiny_decoders(tokenizer.grid, tokenizer.codebook_size, tokenizer.fingerprint)["gan"]
