"""Settings of ImageGan: the size of its generator, and what it is trained on beside the adversary."""

from huggingface_hub.dataclasses import strict

from .configuration_image_decoder import ImageDecoderConfig


@strict
class ImageGanConfig(ImageDecoderConfig):
    """Settings of `ImageGan`, beside those of `ImageDecoderConfig`. The defaults are VQGAN's sizes for 256 x 256 pixels.

    Args:
        noise_channels: Channels of noise beside the embedding of a code; 0 for none.
        block_out_channels: Channels at each resolution, the highest first; from one to the next both sides double.
        layers_per_block: Residual blocks at each resolution.
        norm_num_groups: Groups of the group norms; every entry of `block_out_channels` is a multiple of it.
        mid_block_add_attention: Attention over all positions at the lowest resolution, that of the codes.
        patch_size: Neighbouring pixels, `patch_size` squared, that are channels of one position to the end.
        l1_weight: Factor of the mean absolute difference of pixels, in units of 0..1.
        l2_weight: Factor of their mean squared difference.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_image_gan"
    _auto_class = "AutoConfig"

    grid: list[int] | tuple[int, ...] = (16, 16)
    image_size: int | list[int] | tuple[int, ...] = 256
    noise_channels: int = 8
    block_out_channels: list[int] | tuple[int, ...] = (128, 128, 256, 256, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    mid_block_add_attention: bool = True
    patch_size: int = 1
    l1_weight: float | int = 1.0
    l2_weight: float | int = 0.0

    def __post_init__(self, **kwargs):
        self.block_out_channels = list(self.block_out_channels)
        super().__post_init__(**kwargs)
        for name in ("layers_per_block", "norm_num_groups", "patch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed.")
        widths = self.block_out_channels
        if not widths or any(width < 1 or width % self.norm_num_groups for width in widths):
            raise ValueError(
                f"block_out_channels are {widths}; multiples of norm_num_groups, {self.norm_num_groups}, are needed."
            )
        if self.noise_channels < 0 or min(self.l1_weight, self.l2_weight) < 0 or not self.l1_weight + self.l2_weight:
            raise ValueError(
                f"noise_channels is {self.noise_channels}, l1_weight {self.l1_weight} and l2_weight {self.l2_weight}; 0 or more are needed, "
                "and one of the weights above 0."
            )
        stride = self.patch_size * 2 ** (len(widths) - 1)
        if [side * stride for side in self.grid] != list(self.shape):
            raise ValueError(
                f"image_size is {self.shape[0]} x {self.shape[1]} pixels; {len(widths)} resolutions of patches of {self.patch_size} make "
                f"{self.grid[0] * stride} x {self.grid[1] * stride} of {self.grid[0]} x {self.grid[1]} codes."
            )


__all__ = ["ImageGanConfig"]
