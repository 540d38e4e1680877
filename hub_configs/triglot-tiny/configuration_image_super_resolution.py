"""Settings of ImageSuperResolution: the decoder that draws small pictures, and the stages that make them larger."""

import math
from typing import Any

from huggingface_hub.dataclasses import strict

from .configuration_diffusion import DiffusionConfig
from .configuration_image_decoder import ImageDecoderConfig


@strict
class ImageSuperResolutionConfig(ImageDecoderConfig, DiffusionConfig):
    """Settings of `ImageSuperResolution`, beside those of `ImageDecoderConfig`, which follow from the base, and of `DiffusionConfig`.

    Args:
        base_config: Config of the image decoder that draws the small picture, with its `model_type`.
        scales: How many times longer the sides are after each stage; (2, 2) makes 64 -> 128 -> 256.
        patch_sizes: Of each stage: neighbouring pixels, squared, that are channels of one position.
        block_out_channels: Channels of each stage's UNet at each resolution, the highest first; each further one halves both sides.
        layers_per_block: Residual blocks at each resolution.
        norm_num_groups: Groups of the group norms; every entry of `block_out_channels` is a multiple of it.
        pixel_mean: Subtracted from pixels in 0..1 before noise is added.
        pixel_std: They are then divided by it.
        most_augmented: Deviation of the noise, in units of `pixel_std`, that the picture to be enlarged gets at most in training.
        augmented: That which it gets in a decode, 0 to `most_augmented`: what the stage before drew wrongly is then not taken for true.
        crop_size: Pixels of the crops that a stage learns from, of its output; 0 for whole pictures. The networks are convolutions, so
            whole pictures are made by what was learnt from crops (arXiv 2205.11487, section 2.3).

    Raises:
        ValueError: sizes that do not fit together, or a prediction other than "sample".
    """

    model_type = "triglot_image_super_resolution"
    _auto_class = "AutoConfig"

    prediction_type: str = "sample"
    condition_dropout: float = 0.0
    base_config: dict[str, Any] | None = None
    scales: list[int] | tuple[int, ...] = (2, 2)
    patch_sizes: list[int] | tuple[int, ...] = (4, 4)
    block_out_channels: list[int] | tuple[int, ...] = (64, 128)
    layers_per_block: int = 1
    norm_num_groups: int = 8
    pixel_mean: float | int = 0.5
    pixel_std: float | int = 0.5
    most_augmented: float | int = 0.4
    augmented: float | int = 0.1
    crop_size: int = 64

    def __post_init__(self, **kwargs):
        base = dict(self.base_config or {"model_type": "triglot_image_diffusion", "image_size": [64, 64]})
        self.base_config, self.scales, self.patch_sizes = base, list(self.scales), list(self.patch_sizes)
        self.block_out_channels = list(self.block_out_channels)
        for name in ("codebook_size", "grid", "code_dim", "seed", "modality", "fingerprint"):
            if name in base:
                setattr(self, name, base[name])
        side = base.get("image_size", 64)
        sides = [side, side] if isinstance(side, int) else list(side)
        self.image_size = [math.prod(self.scales) * each for each in sides]
        super().__post_init__(**kwargs)
        if self.draft_config is not None:
            raise ValueError("draft_config is set; it belongs into base_config, whose pictures the stages enlarge.")
        if not self.scales or min(self.scales) < 2 or len(self.patch_sizes) != len(self.scales):
            raise ValueError(
                f"scales are {self.scales} and patch_sizes {self.patch_sizes}; one patch size for each scale, and scales of at least 2, "
                "are needed."
            )
        widths, halved = self.block_out_channels, 2 ** (len(self.block_out_channels) - 1)
        if not widths or self.norm_num_groups < 1 or any(size < 1 or size % self.norm_num_groups for size in widths):
            raise ValueError(
                f"block_out_channels are {widths}; multiples of norm_num_groups, {self.norm_num_groups}, are needed."
            )
        for (height, width), scale, patch in zip(self.stage_shapes, self.scales, self.patch_sizes):
            sides = [height, width, *([self.crop_size] if self.crop_size else [])]
            if patch < 1 or any(side % (patch * halved) or side % scale for side in sides):
                raise ValueError(
                    f"A stage of patches of {patch} makes {height} x {width} pixels, in training {self.crop_size or 'all'}; multiples of "
                    f"{max(1, patch) * halved} and of its scale, {scale}, are needed."
                )
            if self.crop_size > min(height, width):
                raise ValueError(f"crop_size is {self.crop_size}; a stage makes {height} x {width} pixels.")
        if self.prediction_type != "sample" or self.guidance_scale != 1:
            raise ValueError(
                f"prediction_type is {self.prediction_type!r} and guidance_scale {self.guidance_scale}; a stage adds to the picture that it "
                "enlarges, for which 'sample' and 1 are needed."
            )
        if not 0 <= self.augmented <= self.most_augmented or self.pixel_std <= 0 or self.layers_per_block < 1:
            raise ValueError(
                f"augmented is {self.augmented}, most_augmented {self.most_augmented}, pixel_std {self.pixel_std} and layers_per_block "
                f"{self.layers_per_block}; 0 and more in this order, above 0, and at least 1 are needed."
            )

    @property
    def stage_shapes(self) -> list[tuple[int, int]]:
        """(height, width) that each stage makes, pixels."""
        (height, width), whole = self.shape, math.prod(self.scales)
        shapes, grown = [], 1
        for scale in self.scales:
            grown *= scale
            shapes.append((height * grown // whole, width * grown // whole))
        return shapes


__all__ = ["ImageSuperResolutionConfig"]
