"""Settings of the image VQ-VAE: diffusers' `VQModel` around a code book, and how the code book moves.

Papers: VQ-VAE (arXiv 1711.00937), VQGAN (arXiv 2012.09841), Jukebox (arXiv 2005.00341, section 3.1: codes that die are drawn anew).
"""

from huggingface_hub.dataclasses import strict

from .configuration_image_tokenizer import ImageTokenizerConfig


@strict
class ImageVqvaeConfig(ImageTokenizerConfig):
    """Settings of `ImageVqvae`. The defaults are VQGAN's sizes for 256 x 256 pixels: 16 x 16 codes of 1024.

    Args:
        codebook_size: Number of codes K.
        code_dim: Dimensions of a code's vector.
        latent_channels: Channels of the encoder's output, before a 1 x 1 convolution makes a code's vector of them.
        block_out_channels: Channels at each resolution, the highest first; each further one halves both sides.
        layers_per_block: Residual blocks at each resolution of the encoder; the decoder has one more.
        norm_num_groups: Groups of the group norms; every entry of `block_out_channels` is a multiple of it.
        norm_type: "group", or "spatial" for a decoder whose norms see the codes (MoVQ, arXiv 2209.09002).
        act_fn: Activation.
        mid_block_add_attention: Attention over all positions at the lowest resolution, on either side of the code book.
        patch_size: Neighbouring pixels, `patch_size` squared, that are channels of one position from the start: the highest
            resolutions, which cost most, are left out.
        tile_encoder: Whether the encoder sees the pixels of each code alone, not those around them, which the decoder then makes
            whole. Like tiles have like codes wherever they lie, a plain background has one, and what a language model has to
            predict is what can be seen in the place.
        pixel_mean: Subtracted from pixels in 0..1 before the network sees them.
        pixel_std: They are then divided by it; 0.5 and 0.5 make -1..1 of them.
        l1_weight: Factor of the mean absolute difference of pixels, in units of 0..1.
        l2_weight: Factor of their mean squared difference.
        contrast_weight: Factor of the mean squared difference over the variance of the tile, the pixels of one code, that the pixels
            lie in (plus `FAINT`): what is faint, white on light grey, then counts as much as what is bold. MAE trains on pixels
            normalised so (arXiv 2111.06377, section 3).
        commitment_weight: Factor of the distance between what the encoder says and the code it gets.
        ema_decay: Of the moving averages that the code book follows.
        revive_after: Training steps without use after which a code is drawn anew from what the encoder says.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_image_vqvae"
    _auto_class = "AutoConfig"

    codebook_size: int = 1024
    code_dim: int = 256
    latent_channels: int = 256
    block_out_channels: list[int] | tuple[int, ...] = (128, 128, 256, 256, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    norm_type: str = "group"
    act_fn: str = "silu"
    mid_block_add_attention: bool = True
    patch_size: int = 1
    tile_encoder: bool = False
    pixel_mean: float | int = 0.5
    pixel_std: float | int = 0.5
    l1_weight: float | int = 1.0
    l2_weight: float | int = 0.0
    contrast_weight: float | int = 0.0
    commitment_weight: float | int = 0.25
    ema_decay: float | int = 0.99
    revive_after: int = 200

    def __post_init__(self, **kwargs):
        self.block_out_channels = list(self.block_out_channels)
        super().__post_init__(**kwargs)
        for name in ("codebook_size", "code_dim", "latent_channels", "layers_per_block", "patch_size", "revive_after"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed.")
        odd = [width for width in self.block_out_channels if width < 1 or width % self.norm_num_groups]
        if odd or not self.block_out_channels:
            raise ValueError(
                f"block_out_channels are {self.block_out_channels}; multiples of norm_num_groups, {self.norm_num_groups}, are needed."
            )
        if self.norm_type not in ("group", "spatial"):
            raise ValueError(f"norm_type is {self.norm_type!r}; allowed is group or spatial.")
        if self.norm_type == "spatial" and (
            self.code_dim != self.latent_channels or any(width % 32 for width in self.block_out_channels)
        ):
            raise ValueError(
                f"block_out_channels are {self.block_out_channels}, code_dim {self.code_dim} and latent_channels "
                f"{self.latent_channels}; spatial norms need multiples of 32, and the latter two equal."
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is {self.ema_decay}; allowed is 0 and more, below 1.")
        if self.pixel_std <= 0:
            raise ValueError(f"pixel_std is {self.pixel_std}; it must be above 0.")
        _ = self.grid

    @property
    def stride(self) -> int:
        """Pixels of one code along either side."""
        return self.patch_size * 2 ** (len(self.block_out_channels) - 1)

    @property
    def grid(self) -> list[int]:
        """[h, w] codes of a picture."""
        return self.divided(self.stride)


__all__ = ["ImageVqvaeConfig"]
