"""ImageAutoencoder: an image tokenizer that also draws what its codes say; what VQ-VAEs and the dVAE have in common.

    pictures of any size ─ fit_image ─ (B, 3, H, W) ─ codes_of ─ (B, h, w) ─ rows one after another ─ (h w,) each
                                       (B, 3, H, W) ─ pixels_of ─ (B, h, w) ─────────────────────────────┘

Shapes: B pictures, H x W pixels in 0..1, h x w codes, K codes.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch

from .configuration_image_tokenizer import ImageTokenizerConfig
from .image_fitting import check_image, fit_image
from .media_tokenizer import MediaTokenizer


class ImageAutoencoder(MediaTokenizer):
    """A `MediaTokenizer` of pictures with a `decode` of the same contract as that of a `MediaDecoder`.

    Pictures are taken one by one, so that a batch gives the very codes, and pixels, of its items.
    """

    config: ImageTokenizerConfig
    main_input_name = "pixel_values"
    input_modalities = "image"
    _auto_class = "AutoModel"
    modality = "image"

    @abstractmethod
    def codes_of(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float (B, 3, H, W) in 0..1, of the tokenizer's size -> int64 (B, h, w)."""

    @abstractmethod
    def pixels_of(self, codes: torch.Tensor) -> torch.Tensor:
        """int64 (B, h, w) -> float32 (B, 3, H, W), about 0..1."""

    @abstractmethod
    def check_codebook(self) -> None:
        """Raises ValueError where there is no code book yet."""

    @property
    @abstractmethod
    def last_weight(self) -> torch.Tensor:
        """The decoder's last weight; where the gradients of two losses of the pixels are compared."""

    @property
    def codebook_size(self) -> int:
        """Number of codes K."""
        return self.config.codebook_size

    def prepare(self, image: torch.Tensor, name: str = "the image") -> torch.Tensor:
        """A picture float (3, any H, any W) in 0..1 -> float32 (3, H, W) of the tokenizer's size, by `config.fit`.

        Raises:
            ValueError: no such picture; `name` says which.
        """
        return fit_image(check_image(image, name), self.config.shape, self.config.fit)

    def encode(self, media: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Codes of each picture, as `MediaTokenizer.encode` promises."""
        self.check_codebook()
        codes = []
        with torch.inference_mode():
            for index, image in enumerate(media):
                pixels = self.prepare(image, f"item {index}")[None].to(self.device)
                codes.append(self.codes_of(pixels).flatten())
        return [
            item.cpu().clone() for item in codes
        ]  # cloned outside of inference mode, so that autograd accepts them

    def decode(self, codes: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The picture of each code sequence.

        Args:
            codes: int64 (h w,) each, row by row.

        Returns:
            float32 (3, H, W) in 0..1 each, on the CPU.

        Raises:
            ValueError: no code book yet, another number of codes, or one outside of 0..K-1.
        """
        self.check_codebook()
        drawn = []
        with torch.inference_mode():
            for index, item in enumerate(codes):
                grid = self._check_codes(item, index).view(1, *self._grid).to(self.device)
                drawn.append(self.pixels_of(grid)[0].float().clamp(0.0, 1.0))
        return [item.cpu().clone() for item in drawn]

    @property
    def _grid(self) -> tuple[int, int]:
        grid = self.grid
        assert grid is not None
        return grid

    def _check_codes(self, codes: torch.Tensor, index: int) -> torch.Tensor:
        codes, (height, width) = torch.as_tensor(codes), self._grid
        if codes.ndim != 1 or codes.is_floating_point() or len(codes) != height * width:
            raise ValueError(
                f"codes {index} are {codes.dtype} {tuple(codes.shape)}; whole numbers ({height * width},) are needed: "
                f"{height} rows of {width}."
            )
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >= self.codebook_size:
            raise ValueError(
                f"codes {index} run from {low} to {high}; this code book has 0 to {self.codebook_size - 1}."
            )
        return codes.long()


def check_batch(pixel_values: torch.Tensor, shape: tuple[int, int]) -> None:
    """Raises ValueError for a batch of a training step that is not float (B, 3, *shape)."""
    if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != (3, *shape) or not pixel_values.shape[0]:
        raise ValueError(
            f"pixel_values has the shape {tuple(pixel_values.shape)}; (pictures, 3, {shape[0]}, {shape[1]}) is needed: "
            "`prepare` makes pictures fit."
        )


__all__ = ["ImageAutoencoder"]
