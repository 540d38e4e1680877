"""LatentDiffusion: codes -> latents by diffusion -> pixels by the decoder of an autoencoder, as in Stable Diffusion.

Paper: latent diffusion (arXiv 2112.10752, sections 3.1 and 3.2).

    pixels (B, 3, H, W) ─ encoder of an AutoencoderKL ─ mean ─ scaled ─ (B, C, H', W') ─ noised ─ UNet, told the codes
    pixels (B, 3, H, W) ─ decoder of it ─ scaled back ─ (B, C, H', W') ─────────────────────────────┘

The autoencoder is trained before (`training/train_autoencoder_kl.py`), or published, and stays as it is; it is saved with the decoder.

diffusers (`pip install diffusers`) is imported when a model is built, and not before.

Shapes: B pictures, H x W pixels in 0..1, C x H' x W' latents.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .configuration_latent_diffusion import LatentDiffusionConfig
from .diffusers_parts import diffusers_class
from .modeling_image_diffusion import ImageDiffusion, plain_config

SCHEDULE = (
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "prediction_type",
)  # of a scheduler's config


class LatentDiffusion(ImageDiffusion):
    """An `ImageDiffusion` in the latent space of an autoencoder, which stays in evaluation mode.

    Example:
        >>> autoencoder = {"block_out_channels": [8, 8], "down_block_types": ["DownEncoderBlock2D"] * 2, "norm_num_groups": 4}
        >>> autoencoder["up_block_types"] = ["UpDecoderBlock2D"] * 2
        >>> sizes = {"codebook_size": 16, "grid": [4, 4], "image_size": 16, "block_out_channels": [8, 16], "norm_num_groups": 4}
        >>> model = LatentDiffusion(LatentDiffusionConfig(**sizes, autoencoder_config=autoencoder)).eval()
        >>> model.decode([torch.arange(16)], steps=2)[0].shape
        torch.Size([3, 16, 16])
    """

    config: LatentDiffusionConfig
    config_class = LatentDiffusionConfig
    base_model_prefix = "latent_diffusion"
    still = ("draft", "autoencoder")

    def __init__(self, config: LatentDiffusionConfig):
        super().__init__(config)
        self.autoencoder: Any = diffusers_class("AutoencoderKL").from_config(dict(config.autoencoder_config or {}))
        self.autoencoder.requires_grad_(False).eval()

    @classmethod
    def from_stable_diffusion(cls, folder: str | os.PathLike, **settings: Any) -> "LatentDiffusion":
        """A decoder that begins with the UNet, autoencoder and schedule of a saved Stable Diffusion pipeline; how the codes are told has
        still to be learnt.

        Args:
            folder: Of the pipeline, with `unet/`, `vae/` and `scheduler/`; its text encoder is not looked at.
            settings: Of the config: codebook_size, grid, fingerprint; `image_size` where it is not the UNet's own.

        Raises:
            ValueError: a network of another class, or sizes that do not fit together.
        """
        root = Path(os.fspath(folder))
        autoencoder = load_autoencoder(root / "vae")
        told = json.loads((root / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
        schedule = {name: told[name] for name in SCHEDULE if name in told}
        if "image_size" not in settings:
            side = json.loads((root / "unet" / "config.json").read_text(encoding="utf-8"))["sample_size"]
            sides = [side, side] if isinstance(side, int) else list(side)
            stride = 2 ** (len(autoencoder.config.block_out_channels) - 1)
            settings["image_size"] = [side * stride for side in sides]
        return cls.from_unet(root / "unet", autoencoder=autoencoder, **{**schedule, **settings})

    @classmethod
    def from_unet(  # type: ignore[override]
        cls, unet: str | os.PathLike | nn.Module, *, autoencoder: nn.Module, **settings: Any
    ) -> "LatentDiffusion":
        """As of `ImageDiffusion`, with a trained `autoencoder`."""
        config: Any = autoencoder.config
        built: Any = super().from_unet(unet, autoencoder_config=plain_config(config), **settings)
        built.take_autoencoder(autoencoder)
        return built

    def take_autoencoder(self, autoencoder: nn.Module) -> None:
        """The weights of a trained `AutoencoderKL` of the same config."""
        self.autoencoder.load_state_dict(autoencoder.state_dict())

    @torch.no_grad()
    def signal_of(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float (B, 3, H, W) in 0..1 -> latents of about variance 1, float32 (B, C, H', W')."""
        pixels = F.pixel_unshuffle(2 * pixel_values.to(self.dtype) - 1, self.config.patch_size)
        latents = self.autoencoder.encode(pixels).latent_dist.mode().float()
        return (latents - self._shift) * self._scale

    def pixels_of(self, signal: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, H', W') -> (B, 3, H, W), about 0..1."""
        latents = signal / self._scale + self._shift
        pixels = self.autoencoder.decode(latents.to(self.dtype)).sample.float()
        return F.pixel_shuffle(pixels, self.config.patch_size) * 0.5 + 0.5

    @property
    def _scale(self) -> float:
        return float(self.autoencoder.config.scaling_factor)

    @property
    def _shift(self) -> float:
        return float(self.autoencoder.config.shift_factor or 0.0)


def load_autoencoder(folder: str | os.PathLike) -> Any:
    """An `AutoencoderKL` of a folder or Hub id, from safetensors alone, in float32 and evaluation mode.

    Raises:
        ValueError: something else in it.
    """
    kind = diffusers_class("AutoencoderKL")
    found = kind.load_config(os.fspath(folder)).get("_class_name")
    if found != "AutoencoderKL":
        raise ValueError(f"{os.fspath(folder)!r} holds a {found}; an AutoencoderKL is needed.")
    return kind.from_pretrained(os.fspath(folder), use_safetensors=True).float().eval()


__all__ = ["LatentDiffusion", "load_autoencoder"]
