"""ImageDecoder: a `MediaDecoder` of pictures. What codes leave out is drawn from noise of a seed.

    codes (h w,) ─ rows one after another ─ (1, h, w) ┬───────────────────────────┐
                                                      └─ draft: the tokenizer's own picture, where there is one
    seed and codes ─ generator ─ noise ───────────────────────────────────────────┴─ draw ─▶ (3, H, W) in 0..1

Items are drawn one by one, each with noise of its own: a batch gives the very pictures of its items, and the same codes with the same
seed the same picture.

Shapes: B pictures, H x W pixels in 0..1, h x w codes, d of a code's embedding, K codes.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from .configuration_image_decoder import ImageDecoderConfig
from .image_draft import ImageDraft
from .media_decoder import MediaDecoder


class ImageDecoder(MediaDecoder):
    """Codes -> pictures, the same ones for the same seed."""

    config: ImageDecoderConfig
    main_input_name = "codes"
    modality = "image"
    still: ClassVar[tuple[str, ...]] = ("draft",)  # parts that do not learn
    _auto_class = "AutoModel"

    def __init__(self, config: ImageDecoderConfig):
        super().__init__(config)
        told = config.draft_config
        self.draft = None if told is None else ImageDraft(told, config.codebook_size).eval()

    @property
    @abstractmethod
    def last_layer(self) -> Any:
        """The convolution that says the pixels; with zeros in it, a decoder draws its draft."""

    def take_draft(self, tokenizer: Any) -> None:
        """The weights of the `ImageVqvae` that `config.draft_config` is of; what the decoder draws begins there."""
        assert self.draft is not None
        self.draft.take(tokenizer)
        nn.init.zeros_(self.last_layer.weight)
        nn.init.zeros_(self.last_layer.bias)

    def train(self, mode: bool = True) -> "ImageDecoder":
        """What does not learn keeps evaluation mode, whatever `mode` says."""
        super().train(mode)
        for name in self.still:
            part = getattr(self, name, None)
            if part is not None:
                part.eval()
        return self

    def draft_of(self, codes: torch.Tensor) -> torch.Tensor:
        """The draft in the decoder's size, int64 (B, h, w) -> float32 (B, 3, H, W) in 0..1; any picture for codes that are left out."""
        assert self.draft is not None
        pixels = self.draft(codes.clamp(max=self.config.codebook_size - 1))
        if tuple(pixels.shape[2:]) != self.config.shape:
            pixels = F.interpolate(pixels, self.config.shape, mode="bilinear", align_corners=False, antialias=True)
        return pixels

    @abstractmethod
    def draw(self, codes: torch.Tensor, generator: torch.Generator, **conditions: Any) -> torch.Tensor:
        """int64 (1, h, w) and a generator of the CPU for all noise -> float (1, 3, H, W), about 0..1."""

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) codes of a picture."""
        height, width = self.config.grid
        return int(height), int(width)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        redraw: Any = getattr(module, "reset_parameters", None)
        if redraw is not None:
            redraw()  # as torch draws them, which is what diffusers' networks are trained from

    def check_codes(self, codes: Sequence[torch.Tensor]) -> None:
        """Raises ValueError where a sequence is not whole numbers (h w,) in 0..K-1."""
        super().check_codes(codes)
        height, width = self.grid
        for index, item in enumerate(codes):
            if item.is_floating_point() or len(item) != height * width:
                raise ValueError(
                    f"Item {index} is {item.dtype} {tuple(item.shape)}; whole numbers ({height * width},) are needed: {height} rows of "
                    f"{width}."
                )

    def check_batch(self, codes: torch.Tensor, pixel_values: torch.Tensor) -> None:
        """Raises ValueError for a batch of a training step that is not float (B, 3, H, W) with codes (B, h w)."""
        (height, width), count = self.config.shape, self.grid[0] * self.grid[1]
        if tuple(pixel_values.shape[1:]) != (3, height, width) or tuple(codes.shape) != (len(pixel_values), count):
            raise ValueError(
                f"pixel_values has the shape {tuple(pixel_values.shape)} and codes {tuple(codes.shape)}; (pictures, 3, {height}, {width}) "
                f"and (pictures, {count}) are needed."
            )

    @torch.no_grad()
    def decode(  # type: ignore[override]
        self, codes: Sequence[torch.Tensor], *, seed: int | None = None, **conditions: Any
    ) -> list[torch.Tensor]:
        """The picture of each code sequence.

        Args:
            codes: int64 (h w,) for each item, row by row, 0..K-1.
            seed: Of the noise; default: `config.seed`.
            conditions: What else the decoder's `draw` takes, e.g. `steps` and `guidance_scale` of diffusion.

        Returns:
            float32 (3, H, W) in 0..1 each, on the CPU.

        Raises:
            ValueError: another number of codes, one outside 0..K-1, or weights that give NaN.
        """
        self.check_codes(codes)
        seed = self.config.seed if seed is None else seed
        drawn = []
        for item in codes:
            generator = torch.Generator().manual_seed(_noise_seed(seed, item))
            grid = item.long().view(1, *self.grid).to(self.device)
            drawn.append(self._checked(self.draw(grid, generator, **conditions)[0]))
        return drawn

    def _checked(self, pixels: torch.Tensor) -> torch.Tensor:
        if not bool(torch.isfinite(pixels).all()):
            raise ValueError(f"Pixels of this {type(self).__name__} are NaN or infinite: its weights are broken.")
        return pixels.float().clamp(0.0, 1.0).cpu()


class CodeEmbedding(nn.Embedding):
    """Vectors of the codes, and one more for a picture whose codes are left out."""

    def __init__(self, config: ImageDecoderConfig):
        super().__init__(config.codebook_size + 1, config.code_dim)

    @property
    def left_out(self) -> int:
        """What stands for every code of a picture without a condition."""
        return self.num_embeddings - 1

    @torch.no_grad()
    def start(self, centroids: torch.Tensor) -> None:
        """Begins where the tokenizer's codes lie, so that like codes look alike, rare ones as well.

        Args:
            centroids: float (K, D); their principal axes, as many as fit, are scaled to a variance of 1 together.
        """
        vectors = centroids.detach().float().cpu()
        vectors = vectors - vectors.mean(0)
        _, _, axes = torch.linalg.svd(vectors, full_matrices=False)
        told = vectors @ axes[: self.embedding_dim].T
        self.weight[: len(told), : told.shape[1]] = (told / told.std().clamp_min(1e-6)).to(self.weight)


def _noise_seed(seed: int, codes: torch.Tensor) -> int:
    """Of the noise of one item: another one for other codes."""
    digest = hashlib.sha256(f"{seed} {codes.tolist()}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


__all__ = ["CodeEmbedding", "ImageDecoder"]
