"""What all settings of image decoders have in common: whose codes they draw, how large, and from what they start."""

from typing import Any

from transformers import PreTrainedConfig


class ImageDecoderConfig(PreTrainedConfig):
    """Settings that every image decoder has; a base class, never saved by itself.

    Args:
        codebook_size: Number of codes K.
        grid: [h, w] codes of a picture, row by row.
        image_size: Pixels of what is drawn: one number for squares, or [height, width]; it need not be what the tokenizer saw.
        code_dim: Dimensions of a code's embedding.
        seed: Of the noise, where a call names none.
        modality: Name of the modality in a language model.
        fingerprint: Of the tokenizer whose codes it draws.
        draft_config: Settings of an `ImageDraft`, what the VQ-VAE itself draws of its codes: the decoder starts from it and adds what it
            leaves out. None for no draft.

    Raises:
        ValueError: sizes below 1.
    """

    codebook_size: int = 1024
    grid: list[int] | tuple[int, ...] = (8, 8)
    image_size: int | list[int] | tuple[int, ...] = 64
    code_dim: int = 16
    seed: int = 0
    modality: str = "image"
    fingerprint: str = ""
    draft_config: dict[str, Any] | None = None

    def __post_init__(self, **kwargs):
        size = self.image_size
        self.image_size = [size, size] if isinstance(size, int) else list(size)
        self.grid = list(self.grid)
        super().__post_init__(**kwargs)
        for name in ("grid", "image_size"):
            sides = getattr(self, name)
            if len(sides) != 2 or min(sides) < 1:
                raise ValueError(f"{name} is {sides}; [height, width] of at least 1 are needed.")
        for name in ("codebook_size", "code_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed.")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of what is drawn, pixels."""
        height, width = self.image_size  # type: ignore[misc]  # a list since __post_init__
        return height, width

    def divided(self, stride: int) -> tuple[int, int]:
        """(height, width) of what is drawn, in squares of `stride` pixels.

        Raises:
            ValueError: the picture's sides are no multiples of it.
        """
        height, width = self.shape
        if height % stride or width % stride:
            raise ValueError(f"image_size is {height} x {width} pixels; both must be multiples of {stride}.")
        return height // stride, width // stride


__all__ = ["ImageDecoderConfig"]
