"""ImageDvae: the discrete VAE of DALL-E, whose encoder is FLAVA's image code book and whose decoder is made here.

Papers: DALL-E (arXiv 2102.12092, appendix A), Gumbel-softmax (arXiv 1611.01144), FLAVA (arXiv 2112.04482).

    pixels (B, 3, H, W) ─ encoder ─ logits (B, K, h, w) ─ the largest ─ (B, h, w)
                                          └ in training: Gumbel-softmax (B, K, h, w)
    logit-Laplace (mu, ln b), each (B, 3, H, W) ─ decoder ─ mix of the code book's vectors (B, d, h, w)

`FlavaImageCodebook` of transformers is DALL-E's encoder, and holds OpenAI's weights in `facebook/flava-full`; it has no decoder.

Shapes: B pictures, H x W pixels in 0..1, h x w codes (h = H / 8), d of a code, K codes.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import FlavaImageCodebook, FlavaImageCodebookConfig
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_image_dvae import ImageDvaeConfig
from .image_autoencoder import ImageAutoencoder, check_batch
from .media_tokenizer import weights_fingerprint


@dataclass
class ImageDvaeOutput(ModelOutput):
    """What `ImageDvae.forward` returns.

    Args:
        loss: Negative evidence lower bound in nats a value (a channel of a pixel): `reconstruction_loss` + `kl_weight` * KL.
        pixels: The reconstruction, float32 (B, 3, H, W), about 0..1.
        codes: int64 (B, h, w), the most probable ones.
        reconstruction_loss: Minus the logit-Laplace log-likelihood, nats a value.
        kl_loss: KL divergence of a position's distribution over codes from the uniform one, nats a position. Detached.
        perplexity: e to the entropy of the codes of this batch; K at most.
    """

    loss: torch.Tensor | None = None
    pixels: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    kl_loss: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None


class DvaeBlock(nn.Module):
    """Four convolutions beside a straight path; (B, in, H, W) -> (B, out, H, W).

    Args:
        depth: Blocks of the whole decoder; what is added is divided by its square, so that deep ones start near the straight path.
    """

    def __init__(self, inputs: int, outputs: int, depth: int):
        super().__init__()
        narrow, self.gain = outputs // 4, 1 / depth**2
        self.straight = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        widths = inputs, narrow, narrow, narrow, outputs
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel, padding=kernel // 2)
            for before, after, kernel in zip(widths, widths[1:], (1, 3, 3, 3))
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        added = hidden
        for convolution in self.convolutions:
            added = convolution(F.relu(added))
        return self.straight(hidden) + self.gain * added


class DvaeDecoder(nn.Module):
    """Vectors of codes (B, d, h, w) -> mu and ln b of a logit-Laplace distribution, (B, 6, 8 h, 8 w)."""

    def __init__(self, config: ImageDvaeConfig):
        super().__init__()
        width, blocks = config.decoder_hidden_size, config.decoder_blocks_per_group
        widths = [config.code_dim, 8 * width, 4 * width, 2 * width, width]
        self.groups = nn.ModuleList(
            nn.Sequential(*(DvaeBlock(after if number else before, after, 4 * blocks) for number in range(blocks)))
            for before, after in pairwise(widths)
        )
        self.last = nn.Conv2d(width, 6, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        for number, group in enumerate(self.groups):
            if number:
                hidden = F.interpolate(hidden, scale_factor=2, mode="nearest")
            hidden = group(hidden)
        return self.last(F.relu(hidden))


class ImageDvae(ImageAutoencoder):
    """An image tokenizer trained to make pictures likely, its choice of codes made soft by Gumbel noise.

    Example:
        >>> sizes = {"image_size": 32, "codebook_size": 64, "hidden_size": 8, "decoder_hidden_size": 8, "code_dim": 8}
        >>> model = ImageDvae(ImageDvaeConfig(**sizes))
        >>> loss = model(torch.rand(2, 3, 32, 32), temperature=0.9, kl_weight=0.0).loss  # a training step
        >>> [codes] = model.eval().encode([torch.rand(3, 50, 30)])
        >>> codes.shape, model.decode([codes])[0].shape
        (torch.Size([16]), torch.Size([3, 32, 32]))
    """

    config: ImageDvaeConfig
    config_class = ImageDvaeConfig

    def __init__(self, config: ImageDvaeConfig):
        super().__init__(config)
        self.modality = config.modality
        self.encoder = FlavaImageCodebook(_encoder_config(config))
        for module in self.encoder.modules():  # over what FLAVA draws, with which narrow encoders hardly see a picture
            if isinstance(module, nn.Conv2d):
                _draw_as_dall_e(module)
        self.codebook = nn.Embedding(config.codebook_size, config.code_dim)
        self.decoder = DvaeDecoder(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            _draw_as_dall_e(module)
        elif module is self.codebook:
            init.normal_(module.weight, std=1.0)

    @classmethod
    def from_flava_codebook(cls, codebook: str | os.PathLike | FlavaImageCodebook, **settings: Any) -> "ImageDvae":
        """A tokenizer whose codes are those of a trained `FlavaImageCodebook`; its decoder is new, and has to be trained.

        Args:
            codebook: The model, or a folder or Hub id that it is loaded from ("facebook/flava-image-codebook").
            settings: Of `ImageDvaeConfig`: `image_size`, and those of the decoder.

        Returns:
            The tokenizer in float32, in evaluation mode.
        """
        if not isinstance(codebook, FlavaImageCodebook):
            codebook = FlavaImageCodebook.from_pretrained(os.fspath(codebook), dtype=torch.float32)
        given = codebook.config
        sizes = {"hidden_size": given.hidden_size, "num_blocks_per_group": given.num_blocks_per_group}
        built = cls(ImageDvaeConfig(codebook_size=given.vocab_size, **sizes, **settings))
        built.encoder.load_state_dict({name: value.float() for name, value in codebook.state_dict().items()})
        built.config.fingerprint = built.compute_fingerprint()
        return built.eval()

    @property
    def centroids(self) -> torch.Tensor:  # type: ignore[override]
        """The vectors of the codes with which the decoder begins, (K, d)."""
        return self.codebook.weight

    @property
    def last_weight(self) -> torch.Tensor:
        """That of the decoder's last convolution."""
        return self.decoder.last.weight

    def compute_fingerprint(self, state_dict: Mapping[str, torch.Tensor] | None = None) -> str:
        """sha256 (hex) over the encoder and how pictures are prepared. The decoder does not decide the codes."""
        weights = self.state_dict() if state_dict is None else state_dict
        deciding = {name: tensor for name, tensor in weights.items() if name.startswith("encoder.")}
        settings = {name: getattr(self.config, name) for name in ("image_size", "fit")}
        return weights_fingerprint(deciding, {**settings, "pixel_margin": float(self.config.pixel_margin)})

    def forward(
        self,
        pixel_values: torch.Tensor,
        temperature: float | None = None,
        kl_weight: float | None = None,
        return_dict: bool | None = None,
    ) -> ImageDvaeOutput | tuple:
        """One step of training.

        Args:
            pixel_values: float (B, 3, H, W) in 0..1, of the tokenizer's size.
            temperature: Of the relaxation; default: the config's in training mode. 0 takes the most probable codes, through which
                no gradient reaches the encoder; the default in evaluation mode.
            kl_weight: Default: the config's.
            return_dict: False for a tuple.

        Raises:
            ValueError: another shape.
        """
        check_batch(pixel_values, self.config.shape)
        if temperature is None:
            temperature = float(self.config.temperature) if self.training else 0.0
        if kl_weight is None:
            kl_weight = float(self.config.kl_weight)
        logits = self._logits(pixel_values).float()  # (B, K, h, w)
        codes = logits.argmax(1)
        if temperature:
            chosen = F.gumbel_softmax(logits, temperature, dim=1).permute(0, 2, 3, 1)
            vectors = (chosen.to(self.codebook.weight.dtype) @ self.codebook.weight).permute(0, 3, 1, 2)
        else:
            vectors = self.codebook(codes).permute(0, 3, 1, 2)
        mean, log_scale = self.decoder(vectors).float().chunk(2, 1)
        reconstruction = -logit_laplace(
            map_pixels(pixel_values.float(), self.config.pixel_margin), mean, log_scale
        ).mean()
        log_shares = logits.log_softmax(1)
        divergence = (log_shares.exp() * (log_shares + math.log(self.codebook_size))).sum(1).mean()
        values = pixel_values[0].numel() / codes[0].numel()  # of a picture, for each of its codes
        share = torch.bincount(codes.flatten(), minlength=self.codebook_size) / codes.numel()
        output = ImageDvaeOutput(
            loss=reconstruction + kl_weight * divergence / values,
            pixels=unmap_pixels(mean.sigmoid(), self.config.pixel_margin),
            codes=codes,
            reconstruction_loss=reconstruction,
            kl_loss=divergence.detach(),
            perplexity=torch.special.entr(share).sum().exp(),
        )
        return output.to_tuple() if return_dict is False else output

    def codes_of(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float (B, 3, H, W) in 0..1 -> int64 (B, h, w)."""
        return self._logits(pixel_values).argmax(1)

    def pixels_of(self, codes: torch.Tensor) -> torch.Tensor:
        """int64 (B, h, w) -> float32 (B, 3, H, W)."""
        mean = self.decoder(self.codebook(codes).permute(0, 3, 1, 2))[:, :3].float()
        return unmap_pixels(mean.sigmoid(), self.config.pixel_margin)

    def check_codebook(self) -> None:
        """An encoder always chooses codes; nothing is refused."""

    def _logits(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.encoder(map_pixels(pixel_values.float(), self.config.pixel_margin).to(self.dtype))


@torch.no_grad()
def _draw_as_dall_e(convolution: nn.Conv2d) -> None:
    """New weights: normal, with a deviation of one over the square root of what each output sums up."""
    init.normal_(convolution.weight, std=convolution.weight[0].numel() ** -0.5)
    if convolution.bias is not None:
        init.zeros_(convolution.bias)


def map_pixels(pixels: torch.Tensor, margin: float) -> torch.Tensor:
    """0..1 -> margin..1-margin (arXiv 2102.12092, appendix A.3)."""
    return (1 - 2 * margin) * pixels + margin


def unmap_pixels(mapped: torch.Tensor, margin: float) -> torch.Tensor:
    """The inverse of `map_pixels`."""
    return (mapped - margin) / (1 - 2 * margin)


def logit_laplace(values: torch.Tensor, mean: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Log-density of values between 0 and 1 whose logits are Laplace-distributed (arXiv 2102.12092, appendix A.3); nats."""
    distance = (values.logit() - mean).abs() * (-log_scale).exp()
    return -distance - log_scale - math.log(2) - values.log() - (1 - values).log()


def _encoder_config(config: ImageDvaeConfig) -> FlavaImageCodebookConfig:
    return FlavaImageCodebookConfig(
        num_blocks_per_group=config.num_blocks_per_group,
        hidden_size=config.hidden_size,
        vocab_size=config.codebook_size,
        freeze=False,
    )


__all__ = ["ImageDvae", "ImageDvaeOutput"]
