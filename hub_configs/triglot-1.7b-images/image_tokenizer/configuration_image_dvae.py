"""Settings of the discrete VAE of pictures that DALL-E takes its image tokens from (arXiv 2102.12092, appendix A)."""

from huggingface_hub.dataclasses import strict

from .configuration_image_tokenizer import ImageTokenizerConfig

STRIDE = 8  # pixels of one code along either side: three times the encoder keeps the largest of 2 x 2


@strict
class ImageDvaeConfig(ImageTokenizerConfig):
    """Settings of `ImageDvae`. The defaults are DALL-E's: 256 x 256 pixels, 32 x 32 codes of 8192.

    Args:
        codebook_size: Number of codes K.
        hidden_size: Channels of the encoder at the full resolution; 2, 4 and 8 times as many at the lower ones.
        num_blocks_per_group: Residual blocks at each of the four resolutions of the encoder.
        code_dim: Dimensions of a code's vector, with which the decoder begins.
        decoder_hidden_size: Channels of the decoder at the full resolution.
        decoder_blocks_per_group: Residual blocks at each of its four resolutions.
        pixel_margin: Pixels are mapped to `pixel_margin` .. 1 - `pixel_margin`, where their logits are finite.
        temperature: Of the Gumbel-softmax relaxation in training; lower is nearer to choosing one code.
        kl_weight: Factor of the KL divergence from the uniform distribution over codes, both it and the likelihood in nats a
            picture; 6.6 is DALL-E's.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_image_dvae"
    _auto_class = "AutoConfig"

    codebook_size: int = 8192
    hidden_size: int = 256
    num_blocks_per_group: int = 2
    code_dim: int = 128
    decoder_hidden_size: int = 256
    decoder_blocks_per_group: int = 2
    pixel_margin: float | int = 0.1
    temperature: float | int = 1 / 16
    kl_weight: float | int = 6.6

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        for name in ("codebook_size", "code_dim", "num_blocks_per_group", "decoder_blocks_per_group"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed.")
        for name in ("hidden_size", "decoder_hidden_size"):
            if getattr(self, name) < 4:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; at least 4 is needed, since blocks work on a quarter."
                )
        if not 0 < self.pixel_margin < 0.5:
            raise ValueError(f"pixel_margin is {self.pixel_margin}; it must lie between 0 and 0.5.")
        if self.temperature <= 0 or self.kl_weight < 0:
            raise ValueError(
                f"temperature is {self.temperature} and kl_weight {self.kl_weight}; above 0, and 0 or more, are needed."
            )
        _ = self.grid

    @property
    def grid(self) -> list[int]:
        """[h, w] codes of a picture."""
        return self.divided(STRIDE)


__all__ = ["ImageDvaeConfig"]
