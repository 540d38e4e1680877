"""What all image tokenizers' settings have in common: the size of their pictures, and how others are made to fit."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

FITS = ("pad", "crop", "stretch")


@strict
class ImageTokenizerConfig(PreTrainedConfig):
    """Settings that every image tokenizer has; a base class, never saved by itself.

    Args:
        image_size: Pixels of the pictures it takes apart: one number for squares, or [height, width].
        fit: How a picture of another size is made to fit, bilinearly and anti-aliased: "pad" shrinks or grows it until it
            fits in and repeats its border pixels around it, "crop" until it covers and cuts off what hangs over, "stretch"
            pulls it into shape.
        modality: Name of the modality in a language model.
        fingerprint: sha256 over all that decides the codes; "" before training.

    Raises:
        ValueError: a size below 1 pixel, or an unknown way to fit.
    """

    image_size: int | list[int] | tuple[int, ...] = 256
    fit: str = "pad"
    modality: str = "image"
    fingerprint: str = ""

    def __post_init__(self, **kwargs):
        size = self.image_size
        self.image_size = [size, size] if isinstance(size, int) else list(size)
        super().__post_init__(**kwargs)
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(f"image_size is {size!r}; pixels are needed: one number, or [height, width].")
        if self.fit not in FITS:
            raise ValueError(f"fit is {self.fit!r}; allowed is one of {', '.join(FITS)}.")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of its pictures, pixels."""
        height, width = self.image_size  # type: ignore[misc]  # a list since __post_init__
        return height, width

    def divided(self, stride: int) -> list[int]:
        """[h, w] codes of a picture, one for `stride` x `stride` pixels.

        Raises:
            ValueError: the picture's sides are no multiples of it.
        """
        height, width = self.shape
        if height % stride or width % stride:
            raise ValueError(
                f"image_size is {height} x {width} pixels; both must be multiples of {stride}, the pixels of one code."
            )
        return [height // stride, width // stride]


__all__ = ["ImageTokenizerConfig"]
