"""Settings of LatentDiffusion: those of ImageDiffusion, and the autoencoder whose latents are drawn."""

import math
from typing import Any

from huggingface_hub.dataclasses import strict

from .configuration_image_diffusion import ImageDiffusionConfig

SMALLEST = {  # what diffusers takes an AutoencoderKL to be where its config does not say
    "in_channels": 3, "block_out_channels": [64], "latent_channels": 4, "scaling_factor": 0.18215, "shift_factor": None,
}  # fmt: skip


@strict
class LatentDiffusionConfig(ImageDiffusionConfig):
    """Settings of `LatentDiffusion`, beside those of `ImageDiffusionConfig`.

    Args:
        autoencoder_config: Config of an `AutoencoderKL` of diffusers. `patch_size`, `pixel_mean` and `pixel_std` follow from it: pixels
            are -1..1 for it, and one of more than 3 channels sees patches of them.

    Raises:
        ValueError: sizes that do not fit together, or channels that are no squares of pixels.
    """

    model_type = "triglot_latent_diffusion"

    autoencoder_config: dict[str, Any] | None = None

    def __post_init__(self, **kwargs):
        self.autoencoder_config = {**SMALLEST, **(self.autoencoder_config or {})}
        channels = self.autoencoder_config["in_channels"]
        self.patch_size, self.pixel_mean, self.pixel_std = math.isqrt(max(channels, 3) // 3), 0.5, 0.5
        if 3 * self.patch_size**2 != channels:
            raise ValueError(
                f"The autoencoder has {channels} channels; 3 are needed, or 3 for each of a square of pixels."
            )
        super().__post_init__(**kwargs)

    @property
    def signal_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the latents."""
        assert self.autoencoder_config is not None
        stride = self.patch_size * 2 ** (len(self.autoencoder_config["block_out_channels"]) - 1)
        return self.autoencoder_config["latent_channels"], *self.divided(stride)


__all__ = ["LatentDiffusionConfig"]
