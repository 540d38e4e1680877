"""Settings of ImageDiffusion: what is drawn, by which network, and (in `DiffusionConfig`) by which noise."""

from typing import Any

from huggingface_hub.dataclasses import strict

from .configuration_diffusion import DiffusionConfig
from .configuration_image_decoder import ImageDecoderConfig

NETWORKS = ("UNet2DModel", "UNet2DConditionModel")  # diffusers' classes that are supported


@strict
class ImageDiffusionConfig(ImageDecoderConfig, DiffusionConfig):
    """Settings of `ImageDiffusion`, beside those of `ImageDecoderConfig` and `DiffusionConfig`.

    Args:
        patch_size: Neighbouring pixels, `patch_size` squared, that are channels of one position: the highest resolutions, which cost most,
            are left out.
        pixel_mean: Subtracted from pixels in 0..1 before noise is added.
        pixel_std: They are then divided by it; 0.5 and 0.5 make -1..1 of them. Noise is of variance 1.
        block_out_channels: Channels of the UNet at each resolution, the highest first; each further one halves both sides.
        layers_per_block: Residual blocks at each resolution.
        norm_num_groups: Groups of the group norms; every entry of `block_out_channels` is a multiple of it.
        mid_block_add_attention: Attention over all positions at the lowest resolution.
        unet_config: Config of a published UNet of diffusers with its `_class_name`, in the place of the five settings before.
            A `UNet2DModel` sees the codes as further channels of its input, a `UNet2DConditionModel` by cross-attention.

    Raises:
        ValueError: sizes that do not fit together, or a network of another class.
    """

    model_type = "triglot_image_diffusion"
    _auto_class = "AutoConfig"

    patch_size: int = 1
    pixel_mean: float | int = 0.5
    pixel_std: float | int = 0.5
    block_out_channels: list[int] | tuple[int, ...] = (128, 256, 384)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    mid_block_add_attention: bool = True
    unet_config: dict[str, Any] | None = None

    def __post_init__(self, **kwargs):
        self.block_out_channels = list(self.block_out_channels)
        super().__post_init__(**kwargs)
        for name in ("patch_size", "layers_per_block", "norm_num_groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed.")
        if self.pixel_std <= 0:
            raise ValueError(f"pixel_std is {self.pixel_std}; it must be above 0.")
        network = self.network_settings
        if network["_class_name"] not in NETWORKS:
            raise ValueError(f"unet_config is of a {network['_class_name']!r}; allowed is {' or '.join(NETWORKS)}.")
        widths, (_, height, width) = list(network["block_out_channels"]), self.signal_shape
        if not widths or any(size < 1 or size % network["norm_num_groups"] for size in widths):
            raise ValueError(
                f"block_out_channels are {widths}; multiples of norm_num_groups, {network['norm_num_groups']}, are needed."
            )
        if self.draft_config is not None and self.unet_config is not None:
            raise ValueError("A network of unet_config has no channels for a draft; leave draft_config out.")
        if self.draft_config is not None and self.prediction_type != "sample":
            raise ValueError(
                f"prediction_type is {self.prediction_type!r}; what differs from a draft is said with 'sample' alone."
            )
        halved = 2 ** (len(widths) - 1)
        if height % halved or width % halved:
            raise ValueError(
                f"The network sees {height} x {width} positions; {len(widths)} resolutions need multiples of {halved}."
            )
        if not self.attends and (height < self.grid[0] or width < self.grid[1]):
            raise ValueError(
                f"The network sees {height} x {width} positions, fewer than the {self.grid[0]} x {self.grid[1]} codes."
            )

    @property
    def signal_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what noise is added to."""
        return 3 * self.patch_size**2, *self.divided(self.patch_size)

    @property
    def attends(self) -> bool:
        """Whether the network sees the codes by cross-attention; otherwise as channels of its input."""
        return self.unet_config is not None and self.unet_config.get("_class_name") == "UNet2DConditionModel"

    @property
    def network_settings(self) -> dict[str, Any]:
        """Config of the UNet, with its `_class_name`."""
        channels, height, width = self.signal_shape
        if self.unet_config is not None:
            return {
                "_class_name": "UNet2DModel", "block_out_channels": [], "norm_num_groups": 32, **self.unet_config,
            }  # fmt: skip
        depth = len(self.block_out_channels)
        return {
            "_class_name": "UNet2DModel",
            "sample_size": [height, width],
            "in_channels": channels * (1 if self.draft_config is None else 2) + self.code_dim,
            "out_channels": channels,
            "down_block_types": ["DownBlock2D"] * depth,
            "up_block_types": ["UpBlock2D"] * depth,
            "block_out_channels": list(self.block_out_channels),
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_num_groups,
            "add_attention": self.mid_block_add_attention,
        }


__all__ = ["ImageDiffusionConfig"]
