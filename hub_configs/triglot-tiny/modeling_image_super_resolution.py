"""ImageSuperResolution: codes -> a small picture by another image decoder -> larger ones by a cascade of diffusion, as in Imagen.

Papers: Imagen (arXiv 2205.11487, section 2.3), cascades and their augmentation by noise (arXiv 2106.15282), SR3 (arXiv 2104.07636).

    codes ─ base decoder ─ (B, 3, 64, 64) ─ stage ─ (B, 3, 128, 128) ─ stage ─▶ (B, 3, 256, 256)

    a stage:  small (B, 3, h, w) ─ noise of a deviation s ─ enlarged bilinearly ─┬─────────────────────────── + ─▶ clean
              large (B, 3, H, W) ─ noised ───────────────────────────────────────┴─ UNet, told the step and s ─┘

What a stage draws before it is its input is not what it will be given: in training the small picture gets noise of a random deviation
that the network is told, so that in a decode, with a little of it, it mends what the stage before drew wrongly.

diffusers (`pip install diffusers`) is imported when a model is built, and not before.

Shapes: B pictures, H x W pixels in 0..1, h x w those of the picture that is enlarged.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.utils import ModelOutput

from .configuration_image_diffusion import ImageDiffusionConfig
from .configuration_image_gan import ImageGanConfig
from .configuration_image_super_resolution import ImageSuperResolutionConfig
from .configuration_latent_diffusion import LatentDiffusionConfig
from .diffusion_process import DiffusionProcess, Network
from .image_decoder import ImageDecoder
from .modeling_image_diffusion import ImageDiffusion, build_unet
from .modeling_image_gan import ImageGan
from .modeling_latent_diffusion import LatentDiffusion

BASES: dict[str, tuple[Any, Any]] = {
    config.model_type: (config, model)
    for config, model in (
        (ImageDiffusionConfig, ImageDiffusion),
        (ImageGanConfig, ImageGan),
        (LatentDiffusionConfig, LatentDiffusion),
    )
}
LEVELS = 1000.0  # a deviation of 1, as a step that the network is told


@dataclass
class ImageSuperResolutionOutput(ModelOutput):
    """What `ImageSuperResolution.forward` returns.

    Args:
        loss: Sum over stages of the mean squared difference of normalised pixels.
        stage_losses: Of each stage, (stages,). Detached.
    """

    loss: torch.Tensor | None = None
    stage_losses: torch.Tensor | None = None


class ImageSuperResolution(ImageDecoder):
    """A decoder whose pictures are larger than those of the one within it.

    Example:
        >>> network = {"block_out_channels": [8], "norm_num_groups": 4}
        >>> base = {"model_type": "triglot_image_diffusion", "codebook_size": 16, "grid": [4, 4], "image_size": 16, "patch_size": 2}
        >>> config = ImageSuperResolutionConfig(base_config={**base, **network}, scales=[2], patch_sizes=[4], crop_size=0, **network)
        >>> [picture] = ImageSuperResolution(config).eval().decode([torch.arange(16)], steps=2)
        >>> picture.shape
        torch.Size([3, 32, 32])
    """

    config: ImageSuperResolutionConfig
    config_class = ImageSuperResolutionConfig
    base_model_prefix = "image_super_resolution"
    still = ("base",)

    def __init__(self, config: ImageSuperResolutionConfig):
        super().__init__(config)
        told = dict(config.base_config or {})
        kind = told.pop("model_type", "")
        if kind not in BASES:
            raise ValueError(f"base_config is of the model_type {kind!r}; allowed is one of {', '.join(BASES)}.")
        base_config, base_class = BASES[kind]
        self.base: Any = base_class(base_config(**told)).requires_grad_(False)
        self.stages = nn.ModuleList(build_unet(_stage_settings(config, patch)) for patch in config.patch_sizes)
        self.post_init()

    @classmethod
    def from_base(cls, base: ImageDecoder, **settings: Any) -> "ImageSuperResolution":
        """New stages on top of a trained decoder.

        Args:
            base: An `ImageDiffusion`, `ImageGan` or `LatentDiffusion`.
            settings: Of the config.

        Raises:
            ValueError: a base of another kind, or sizes that do not fit together.
        """
        kept = {name: value for name, value in base.config.to_diff_dict().items() if name not in NOT_KEPT}
        model = cls(cls.config_class(base_config={**kept, "model_type": base.config.model_type}, **settings))
        model.base.load_state_dict(base.state_dict())
        return model

    @functools.cached_property
    def process(self) -> DiffusionProcess:
        """Noise, losses and samples of every stage."""
        return DiffusionProcess(self.config)

    def network(self, stage: int, small: torch.Tensor, levels: torch.Tensor) -> Network:
        """What the UNet of a stage says of the enlarged picture.

        Args:
            stage: From 0.
            small: Normalised pixels (B, 3, h, w), with the noise of their levels.
            levels: Deviation of that noise, (B,).
        """
        patch = self.config.patch_sizes[stage]
        enlarged = F.interpolate(small, scale_factor=self.config.scales[stage], mode="bilinear", align_corners=False)
        seen, told = F.pixel_unshuffle(enlarged, patch).to(self.dtype), levels * LEVELS

        def adding(noised: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            folded = F.pixel_unshuffle(noised, patch).to(seen.dtype)
            said = self.stages[stage](torch.cat([folded, seen], 1), steps, class_labels=told.to(seen)).sample
            return F.pixel_shuffle(said.float() + seen.float(), patch)

        return adding

    def forward(self, pixel_values: torch.Tensor, codes: torch.Tensor | None = None) -> ImageSuperResolutionOutput:
        """One step of training of all stages, each by itself; crops, levels, steps and noise by torch's global generator.

        Args:
            pixel_values: float (B, 3, H, W) in 0..1, of the size of the last stage.
            codes: int64 (B, h w), not looked at: a stage is told the picture alone.

        Raises:
            ValueError: another shape.
        """
        if codes is None:
            codes = torch.zeros(len(pixel_values), self.grid[0] * self.grid[1], dtype=torch.long)
        self.check_batch(codes, pixel_values)
        losses = []
        for stage, (shape, scale) in enumerate(zip(self.config.stage_shapes, self.config.scales)):
            large = F.adaptive_avg_pool2d(pixel_values.float(), shape)
            if self.config.crop_size:
                large = self._cropped(large, scale)
            large = (large - self.config.pixel_mean) / self.config.pixel_std
            levels = self.config.most_augmented * torch.rand(len(large)).to(large)
            small = F.avg_pool2d(large, scale)
            small = small + levels.view(-1, 1, 1, 1) * torch.randn(small.shape).to(small)
            losses.append(self.process.loss(self.network(stage, small, levels), large)[0])
        return ImageSuperResolutionOutput(loss=torch.stack(losses).sum(), stage_losses=torch.stack(losses).detach())

    def _cropped(self, pixels: torch.Tensor, scale: int) -> torch.Tensor:
        """The same random crop of a batch, its edges on those of the small picture's pixels."""
        side = self.config.crop_size
        top, left = (scale * int(torch.randint((whole - side) // scale + 1, ())) for whole in pixels.shape[2:])
        return pixels[:, :, top : top + side, left : left + side]

    def draw(  # type: ignore[override]
        self, codes: torch.Tensor, generator: torch.Generator, steps: int | None = None, **conditions: Any
    ) -> torch.Tensor:
        """int64 (1, h, w) -> (1, 3, H, W).

        Args:
            codes: What to draw.
            generator: Of all noise.
            steps: Of each stage; default: `config.sampling_steps`.
            conditions: Of the base decoder.

        Raises:
            ValueError: a number of steps that cannot be.
        """
        drawn = self.base.draw(codes, generator, **conditions).float().clamp(0.0, 1.0)
        levels = torch.full((1,), float(self.config.augmented), device=codes.device)
        for stage, shape in enumerate(self.config.stage_shapes):
            small = (drawn - self.config.pixel_mean) / self.config.pixel_std
            small = small + levels * torch.randn(small.shape, generator=generator).to(small)
            noise = torch.randn((1, 3, *shape), generator=generator).to(small)
            large = self.process.sample(self.network(stage, small, levels), noise, steps, guidance_scale=1.0)
            drawn = (large * self.config.pixel_std + self.config.pixel_mean).clamp(0.0, 1.0)
        return drawn


NOT_KEPT = (
    "architectures",
    "auto_map",
    "dtype",
    "transformers_version",
    "_name_or_path",
)  # of a config within another


def _stage_settings(config: ImageSuperResolutionConfig, patch: int) -> dict[str, Any]:
    """Config of one stage's UNet."""
    depth, channels = len(config.block_out_channels), 3 * patch**2
    return {
        "_class_name": "UNet2DModel",
        "in_channels": 2 * channels,
        "out_channels": channels,
        "down_block_types": ["DownBlock2D"] * depth,
        "up_block_types": ["UpBlock2D"] * depth,
        "block_out_channels": list(config.block_out_channels),
        "layers_per_block": config.layers_per_block,
        "norm_num_groups": config.norm_num_groups,
        "add_attention": False,
        "class_embed_type": "timestep",
    }


__all__ = ["ImageSuperResolution", "ImageSuperResolutionOutput"]
