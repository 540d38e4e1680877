"""ImageVqvae: a VQ-VAE of pictures, diffusers' `VQModel` around a code book that moves; with an adversary in training, a VQGAN.

Papers: VQ-VAE (arXiv 1711.00937), VQGAN (arXiv 2012.09841), dead codes (arXiv 2005.00341, section 3.1).

    pixels (B, 3, H, W) ─ patches are channels ─ encoder ─ (B, d, h, w) ─ nearest of K codes ─ (B, h, w)
    pixels (B, 3, H, W) ─ channels are patches ─ decoder ─ (B, d, h, w) ─ code book ─────────────┘

diffusers (`pip install diffusers`) is imported when a model is built, and not before.

Shapes: B pictures, H x W pixels in 0..1, h x w codes, d of a code, K codes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.utils import ModelOutput

from .configuration_image_vqvae import ImageVqvaeConfig
from .image_autoencoder import ImageAutoencoder, check_batch
from .media_tokenizer import weights_fingerprint
from .moving_codebook import MovingCodebook

FAINT = 0.05**2  # variance below which a tile counts as plain


@dataclass
class ImageVqvaeOutput(ModelOutput):
    """What `ImageVqvae.forward` returns.

    Args:
        loss: `reconstruction_loss` + `commitment_weight` * `commitment_loss`.
        pixels: The reconstruction, float32 (B, 3, H, W), not clamped.
        codes: int64 (B, h, w).
        reconstruction_loss: `l1_weight` * mean absolute + `l2_weight` * mean squared difference of pixels in 0..1 +
            `contrast_weight` * mean squared difference over the variance of its tile.
        commitment_loss: Mean squared distance between the encoder's vectors and their codes. Detached.
        perplexity: e to the entropy of the codes of this batch; K at most.
    """

    loss: torch.Tensor | None = None
    pixels: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None


class ImageVqvae(ImageAutoencoder):
    """An image tokenizer trained to say with h w codes what it takes to draw the picture again.

    Example:
        >>> sizes = {"image_size": 32, "block_out_channels": [32, 32], "code_dim": 8, "latent_channels": 8}
        >>> model = ImageVqvae(ImageVqvaeConfig(**sizes, patch_size=2)).train()
        >>> _ = model(torch.rand(2, 3, 32, 32))  # a training step; the first one fills the code book
        >>> [codes] = model.eval().encode([torch.rand(3, 50, 30)])
        >>> codes.shape, model.decode([codes])[0].shape
        (torch.Size([64]), torch.Size([3, 32, 32]))
    """

    config: ImageVqvaeConfig
    config_class = ImageVqvaeConfig

    def __init__(self, config: ImageVqvaeConfig):
        super().__init__(config)
        self.modality = config.modality
        self.network: Any = _vq_model_class()(**_network_settings(config))
        del self.network.quantize  # the code book is below
        self.codebook = MovingCodebook(config, revive_far=True)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        redraw: Any = getattr(module, "reset_parameters", None)
        if isinstance(module, MovingCodebook):
            module.empty()
        elif redraw is not None:
            redraw()  # as torch draws them, which is what VQModel is trained from

    @classmethod
    def from_vq_model(cls, model: str | os.PathLike | nn.Module, **settings: Any) -> "ImageVqvae":
        """A tokenizer made of a trained `VQModel`, such as that of aMUSEd or of latent diffusion.

        Args:
            model: The model, or a folder or Hub id that it is loaded from.
            settings: Of `ImageVqvaeConfig`: `image_size`, where it is not the model's `sample_size`; `pixel_mean=0.0, pixel_std=1.0`
                for a model that was trained on pixels in 0..1 (aMUSEd) instead of -1..1.

        Returns:
            The tokenizer in float32, in evaluation mode.

        Raises:
            ValueError: blocks other than `DownEncoderBlock2D` and `UpDecoderBlock2D`.
        """
        theirs: Any = model if isinstance(model, nn.Module) else _vq_model_class().from_pretrained(os.fspath(model))
        given = theirs.config
        kinds = {*given.down_block_types, *given.up_block_types} - {"DownEncoderBlock2D", "UpDecoderBlock2D"}
        if kinds:
            raise ValueError(
                f"This VQModel has blocks of the kind {', '.join(sorted(kinds))}, which are not supported."
            )
        names = (
            "layers_per_block",
            "act_fn",
            "latent_channels",
            "norm_num_groups",
            "norm_type",
            "mid_block_add_attention",
        )
        found = {
            "image_size": given.sample_size,
            "block_out_channels": list(given.block_out_channels),
            "codebook_size": given.num_vq_embeddings,
            "code_dim": given.vq_embed_dim or given.latent_channels,
            **{name: getattr(given, name) for name in names},
        }
        built = cls(ImageVqvaeConfig(**{**found, **settings}))
        weights = {name: value.float() for name, value in theirs.state_dict().items()}
        vectors = weights.pop("quantize.embedding.weight")
        built.network.load_state_dict(weights)
        built.codebook.vectors = vectors.clone()
        built.codebook.sums, built.codebook.counts = vectors.clone(), torch.ones(len(vectors))
        built.config.fingerprint = built.compute_fingerprint()
        return built.eval()

    @property
    def centroids(self) -> torch.Tensor:  # type: ignore[override]
        """The code book, (K, d)."""
        return self.codebook.vectors

    @property
    def last_weight(self) -> torch.Tensor:
        """That of the decoder's last convolution."""
        return self.network.decoder.conv_out.weight

    def compute_fingerprint(self, state_dict: Mapping[str, torch.Tensor] | None = None) -> str:
        """sha256 (hex) over the encoder, the code book and how pictures are prepared; "" before training."""
        weights = self.state_dict() if state_dict is None else state_dict
        if not bool(weights["codebook.vectors"].isfinite().all()):
            return ""
        kinds = ("network.encoder.", "network.quant_conv.")
        deciding = {
            name: tensor for name, tensor in weights.items() if name.startswith(kinds) or name == "codebook.vectors"
        }
        names = (
            "image_size",
            "fit",
            "patch_size",
            "tile_encoder",
            "pixel_mean",
            "pixel_std",
            "act_fn",
            "norm_num_groups",
        )
        settings = {name: getattr(self.config, name) for name in names}
        return weights_fingerprint(
            deciding, {**settings, **{name: float(settings[name]) for name in ("pixel_mean", "pixel_std")}}
        )

    def forward(self, pixel_values: torch.Tensor, return_dict: bool | None = None) -> ImageVqvaeOutput | tuple:
        """One step of training; in training mode the code book moves as well.

        Args:
            pixel_values: float (B, 3, H, W) in 0..1, of the tokenizer's size.
            return_dict: False for a tuple.

        Raises:
            ValueError: another shape, or in evaluation mode no code book yet.
        """
        check_batch(pixel_values, self.config.shape)
        latents = self._latents(pixel_values)
        vectors = latents.permute(0, 2, 3, 1).flatten(0, 2)  # (B h w, d)
        if self.training:
            self.codebook.learn(vectors)
        self.check_codebook()
        codes = self.codebook.nearest(vectors)
        chosen = self.codebook.vectors.float()[codes]
        commitment = (vectors - chosen).square().mean()
        through = vectors + (chosen - vectors).detach()  # the decoder's gradient goes straight to the encoder
        pixels = self._drawn(through.view(len(latents), *latents.shape[2:], -1).permute(0, 3, 1, 2))
        difference = pixels - pixel_values.float()
        reconstruction = (
            self.config.l1_weight * difference.abs().mean() + self.config.l2_weight * difference.square().mean()
        )
        if self.config.contrast_weight:
            variances = tile_variances(pixel_values.float(), self.config.stride)
            relative = (difference.square() / (variances + FAINT)).mean()
            reconstruction = reconstruction + self.config.contrast_weight * relative
        share = torch.bincount(codes, minlength=self.codebook_size) / len(codes)
        output = ImageVqvaeOutput(
            loss=reconstruction + self.config.commitment_weight * commitment,
            pixels=pixels,
            codes=codes.view(len(latents), *latents.shape[2:]),
            reconstruction_loss=reconstruction,
            commitment_loss=commitment.detach(),
            perplexity=torch.special.entr(share).sum().exp(),
        )
        return output.to_tuple() if return_dict is False else output

    def codes_of(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float (B, 3, H, W) in 0..1 -> int64 (B, h, w)."""
        latents = self._latents(pixel_values).permute(0, 2, 3, 1)
        return self.codebook.nearest(latents.flatten(0, 2)).view(latents.shape[:3])

    def pixels_of(self, codes: torch.Tensor) -> torch.Tensor:
        """int64 (B, h, w) -> float32 (B, 3, H, W)."""
        return self._drawn(self.codebook.vectors[codes].permute(0, 3, 1, 2))

    def check_codebook(self) -> None:
        """Raises ValueError before training."""
        if not self.codebook.is_set:
            raise ValueError("This tokenizer has no code book yet: train it with triglot.training.train_image_vqvae.")

    def _latents(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> what the encoder says, float32 (B, d, h, w)."""
        pixels = (pixel_values.float() - self.config.pixel_mean) / self.config.pixel_std
        (rows, columns), stride = self._grid, self.config.stride
        if self.config.tile_encoder:  # pictures of one code each
            tiles = pixels.view(-1, 3, rows, stride, columns, stride).permute(0, 2, 4, 1, 3, 5)
            pixels = tiles.reshape(-1, 3, stride, stride)
        folded = F.pixel_unshuffle(pixels, self.config.patch_size).to(self.dtype)
        latents = self.network.quant_conv(self.network.encoder(folded)).float()
        if self.config.tile_encoder:
            latents = latents.view(-1, rows, columns, self.config.code_dim).permute(0, 3, 1, 2)
        return latents

    def _drawn(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (B, d, h, w) -> float32 (B, 3, H, W)."""
        vectors = vectors.to(self.dtype)
        seen = vectors if self.config.norm_type == "spatial" else None
        folded = self.network.decoder(self.network.post_quant_conv(vectors), seen)
        return F.pixel_shuffle(folded.float(), self.config.patch_size) * self.config.pixel_std + self.config.pixel_mean


def tile_variances(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """float (B, 3, H, W) -> (B, 1, H, W): of each pixel's tile, `side` squared, the variance of a channel, mean over channels."""
    means = F.avg_pool2d(pixels, side)
    variances = (F.avg_pool2d(pixels.square(), side) - means.square()).mean(1, keepdim=True).clamp(min=0.0)
    return variances.repeat_interleave(side, 2).repeat_interleave(side, 3)


def _network_settings(config: ImageVqvaeConfig) -> dict[str, Any]:
    """Those of `VQModel`. Its own code book is left as small as can be, since it is not used."""
    folded, depth = 3 * config.patch_size**2, len(config.block_out_channels)
    names = (
        "layers_per_block",
        "act_fn",
        "latent_channels",
        "norm_num_groups",
        "norm_type",
        "mid_block_add_attention",
    )
    return {
        "in_channels": folded,
        "out_channels": folded,
        "down_block_types": ("DownEncoderBlock2D",) * depth,
        "up_block_types": ("UpDecoderBlock2D",) * depth,
        "block_out_channels": tuple(config.block_out_channels),
        "num_vq_embeddings": 1,
        "vq_embed_dim": config.code_dim,
        **{name: getattr(config, name) for name in names},
    }


def _vq_model_class() -> Any:
    try:  # inside of `try`, so that files shipped with a checkpoint load where it is missing
        from diffusers.models.autoencoders.vq_model import VQModel
    except ImportError as error:
        raise ImportError(f"ImageVqvae is built around diffusers' VQModel ({error}): pip install diffusers") from error
    return VQModel


__all__ = ["ImageVqvae", "ImageVqvaeOutput"]
