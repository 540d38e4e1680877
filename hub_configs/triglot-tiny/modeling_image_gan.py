"""ImageGan: codes and noise -> pixels in one pass, trained against a discriminator of patches, which is the trainer's.

Paper: VQGAN (arXiv 2012.09841), whose decoder this is, told the codes of any tokenizer; noise stands for what they leave out.

    codes (B, h, w) ─ embedding (B, d, h, w) ┐
    noise           (B, n, h, w) ────────────┴─ decoder of diffusers ─ channels are patches ─ + draft, if any ─▶ pixels (B, 3, H, W)

diffusers (`pip install diffusers`) is imported when a model is built, and not before.

Shapes: B pictures, H x W pixels in 0..1, h x w codes, d of an embedding, n channels of noise, K codes.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers.utils import ModelOutput

from .configuration_image_gan import ImageGanConfig
from .diffusers_parts import diffusers_class
from .image_decoder import CodeEmbedding, ImageDecoder


@dataclass
class ImageGanOutput(ModelOutput):
    """What `ImageGan.forward` returns.

    Args:
        loss: `l1_weight` * mean absolute + `l2_weight` * mean squared difference of pixels in 0..1; the adversary's is the trainer's.
        pixels: What is drawn, float32 (B, 3, H, W), not clamped.
    """

    loss: torch.Tensor | None = None
    pixels: torch.Tensor | None = None


class ImageGan(ImageDecoder):
    """A decoder that draws at once.

    Example:
        >>> sizes = {"codebook_size": 16, "grid": [4, 4], "image_size": 16, "patch_size": 2}
        >>> model = ImageGan(ImageGanConfig(**sizes, block_out_channels=[8, 16], norm_num_groups=4)).eval()
        >>> [picture] = model.decode([torch.arange(16)], seed=1)
        >>> picture.shape
        torch.Size([3, 16, 16])
    """

    config: ImageGanConfig
    config_class = ImageGanConfig
    base_model_prefix = "image_gan"

    def __init__(self, config: ImageGanConfig):
        super().__init__(config)
        self.code_embedding = CodeEmbedding(config)
        depth = len(config.block_out_channels)
        self.generator: Any = diffusers_class("Decoder", "diffusers.models.autoencoders.vae")(
            in_channels=config.code_dim + config.noise_channels,
            out_channels=3 * config.patch_size**2,
            up_block_types=("UpDecoderBlock2D",) * depth,
            block_out_channels=tuple(config.block_out_channels),
            layers_per_block=config.layers_per_block,
            norm_num_groups=config.norm_num_groups,
            mid_block_add_attention=config.mid_block_add_attention,
        )
        self.post_init()

    @property
    def last_layer(self) -> Any:
        """The last convolution; at its weight the gradients of two losses of the pixels are compared."""
        return self.generator.conv_out

    def pixels_of(self, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """int64 (B, h, w) and float (B, n, h, w) -> float32 (B, 3, H, W), about 0..1."""
        told = self.code_embedding(codes).permute(0, 3, 1, 2)
        drawn = self.generator(torch.cat([told, noise.to(told)], 1))
        start = 0.5 if self.draft is None else self.draft_of(codes)
        return F.pixel_shuffle(drawn.float(), self.config.patch_size) * 0.5 + start

    def forward(self, codes: torch.Tensor, pixel_values: torch.Tensor) -> ImageGanOutput:
        """One step of training; the noise is drawn by torch's global generator.

        Args:
            codes: int64 (B, h w).
            pixel_values: float (B, 3, H, W) in 0..1.

        Raises:
            ValueError: another shape.
        """
        self.check_batch(codes, pixel_values)
        noise = torch.randn(len(codes), self.config.noise_channels, *self.grid)
        pixels = self.pixels_of(codes.view(-1, *self.grid), noise.to(codes.device))
        difference = pixels - pixel_values.float()
        loss = self.config.l1_weight * difference.abs().mean() + self.config.l2_weight * difference.square().mean()
        return ImageGanOutput(loss=loss, pixels=pixels)

    def draw(self, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # type: ignore[override]
        """int64 (1, h, w) -> (1, 3, H, W)."""
        noise = torch.randn((1, self.config.noise_channels, *self.grid), generator=generator)
        return self.pixels_of(codes, noise.to(codes.device))


__all__ = ["ImageGan", "ImageGanOutput"]
