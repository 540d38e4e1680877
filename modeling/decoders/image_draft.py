"""ImageDraft: what a VQ-VAE itself draws of its codes, the half of it that draws; image decoders may start from it (`draft_config`).

    codes (B, h, w) ─ vector of each ─ (B, d, h, w) ─ decoder of diffusers ─ channels are patches ─▶ pixels (B, 3, H, W)

Starting from a plain reconstruction and adding to it what it leaves out is DiffuseVAE's way (arXiv 2201.00308).

Shapes: B pictures, H x W pixels in 0..1, h x w codes of K, d of a vector.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .diffusers_parts import diffusers_class

NETWORK = ("block_out_channels", "layers_per_block", "norm_num_groups", "mid_block_add_attention", "act_fn")
PICTURE = ("patch_size", "pixel_mean", "pixel_std")


class ImageDraft(nn.Module):
    """Codes -> the picture that they say. It does not learn.

    Args:
        settings: Of `draft_settings`.
        codebook_size: K.
    """

    def __init__(self, settings: Mapping[str, Any], codebook_size: int):
        super().__init__()
        missing = sorted({"latent_channels", *NETWORK, *PICTURE} - set(settings))
        if missing:
            raise ValueError(f"draft_config has no {', '.join(missing)}; `draft_settings` makes one of a tokenizer.")
        self.patch, self.mean, self.std = (settings[name] for name in PICTURE)
        depth = len(settings["block_out_channels"])
        self.vectors = nn.Embedding(codebook_size, settings["latent_channels"])
        self.network: Any = diffusers_class("Decoder", "diffusers.models.autoencoders.vae")(
            in_channels=settings["latent_channels"],
            out_channels=3 * self.patch**2,
            up_block_types=("UpDecoderBlock2D",) * depth,
            **{name: settings[name] for name in NETWORK},
        )
        self.requires_grad_(False)

    @torch.no_grad()
    def take(self, tokenizer: Any) -> None:
        """The weights of the `ImageVqvae` that the settings are of."""
        told = tokenizer.network.post_quant_conv  # of each place by itself
        vectors = F.linear(tokenizer.centroids.float(), told.weight.float()[:, :, 0, 0], told.bias.float())
        self.vectors.weight.copy_(vectors)
        self.network.load_state_dict(tokenizer.network.decoder.state_dict())

    @torch.no_grad()
    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """int64 (B, h, w) -> float32 (B, 3, H, W) in 0..1."""
        folded = self.network(self.vectors(codes).permute(0, 3, 1, 2))
        return (F.pixel_shuffle(folded.float(), self.patch) * self.std + self.mean).clamp(0.0, 1.0)


def draft_settings(tokenizer: Any) -> dict[str, Any]:
    """Of the draft that an `ImageVqvae` gives.

    Raises:
        ValueError: norms that see the codes ("spatial"), which a draft has not.
    """
    config = tokenizer.config
    if config.norm_type != "group":
        raise ValueError(f"The tokenizer's norm_type is {config.norm_type!r}; a draft needs 'group'.")
    settings = {name: getattr(config, name) for name in ("latent_channels", *NETWORK, *PICTURE)}
    return {**settings, "block_out_channels": list(settings["block_out_channels"])}


__all__ = ["ImageDraft", "draft_settings"]
