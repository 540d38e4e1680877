"""ImageDiffusion: codes -> pixels by diffusion, a UNet of diffusers that is told the codes.

Papers: DDPM (arXiv 2006.11239), concatenated conditions (SR3, arXiv 2104.07636), cross-attention (arXiv 2112.10752).

    codes (B, h, w) ─ embedding (B, d, h, w) ─ each as large as its pixels ─ (B, d, H', W') ┐
    draft (B, 3, H, W), if any ─ patches are channels ─ (B, C, H', W') ─────────────────────┤
    pixels (B, 3, H, W) ─ patches are channels ─ (B, C, H', W') ─ noised ───────────────────┴─ UNet ─▶ (B, C, H', W')

The codes of our own networks come as further channels: what a code says belongs into its place, where a convolution finds it without
having to learn to look there. Cross-attention, which published networks have, took 3 to 9 times as long on a CPU (docs/experiments.md).

diffusers (`pip install diffusers`) is imported when a model is built, and not before.

Shapes: B pictures, H x W pixels in 0..1, C x H' x W' the signal that noise is added to, h x w codes, d of an embedding, K codes.
"""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.utils import ModelOutput

from .configuration_image_diffusion import NETWORKS, ImageDiffusionConfig
from .diffusers_parts import diffusers_class
from .diffusion_process import DiffusionProcess, Network
from .image_decoder import CodeEmbedding, ImageDecoder


@dataclass
class ImageDiffusionOutput(ModelOutput):
    """What `ImageDiffusion.forward` returns.

    Args:
        loss: Mean squared difference to what the network is to say, `config.prediction_type`.
        signal_loss: That of the clean signal that follows from it, over its steps. Detached.
    """

    loss: torch.Tensor | None = None
    signal_loss: torch.Tensor | None = None


class ImageDiffusion(ImageDecoder):
    """A decoder that draws what codes say, and invents what they leave out.

    Example:
        >>> sizes = {"codebook_size": 16, "grid": [4, 4], "image_size": 16, "patch_size": 2}
        >>> model = ImageDiffusion(ImageDiffusionConfig(**sizes, block_out_channels=[8, 16], norm_num_groups=4)).eval()
        >>> [picture] = model.decode([torch.arange(16)], seed=1, steps=4)
        >>> picture.shape
        torch.Size([3, 16, 16])
    """

    config: ImageDiffusionConfig
    config_class = ImageDiffusionConfig
    base_model_prefix = "image_diffusion"

    def __init__(self, config: ImageDiffusionConfig):
        super().__init__(config)
        self.code_embedding = CodeEmbedding(config)
        self.place_embedding = nn.Embedding(self.grid[0] * self.grid[1], config.code_dim) if config.attends else None
        self.unet: Any = build_unet(config.network_settings)
        self.post_init()

    @classmethod
    def from_unet(cls, unet: str | os.PathLike | nn.Module, **settings: Any) -> "ImageDiffusion":
        """A decoder that begins with a trained UNet of diffusers; the embedding of the codes has still to be learnt.

        Args:
            unet: The model, or a folder or Hub id that it is loaded from: a `UNet2DConditionModel`, or a `UNet2DModel` whose inputs are the
                signal's channels and `code_dim` more.
            settings: Of the config: codebook_size, grid, image_size, fingerprint, and the noise that the network was trained with.

        Raises:
            ValueError: a network of another class, or sizes that do not fit together.
        """
        theirs = load_unet(unet)
        given = {"_class_name": type(theirs).__name__, **plain_config(theirs.config)}
        if given["_class_name"] == "UNet2DConditionModel":
            settings["code_dim"] = given["cross_attention_dim"]
        built = cls(cls.config_class(**settings, unet_config=given))
        built.unet.load_state_dict(theirs.state_dict())
        return built.float().eval()

    @property
    def last_layer(self) -> Any:
        """The UNet's last convolution."""
        return self.unet.conv_out

    @functools.cached_property
    def process(self) -> DiffusionProcess:
        """Noise, losses and samples."""
        return DiffusionProcess(self.config)

    # ---- pixels <-> signal

    def signal_of(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float (B, 3, H, W) in 0..1 -> what noise is added to, float32 (B, C, H', W')."""
        pixels = (pixel_values.float() - self.config.pixel_mean) / self.config.pixel_std
        return F.pixel_unshuffle(pixels, self.config.patch_size)

    def pixels_of(self, signal: torch.Tensor) -> torch.Tensor:
        """The way back: float (B, C, H', W') -> (B, 3, H, W), about 0..1."""
        return F.pixel_shuffle(signal, self.config.patch_size) * self.config.pixel_std + self.config.pixel_mean

    # ---- the network

    def network(self, codes: torch.Tensor) -> Network:
        """What the UNet says where it is told these codes, int64 (B, h, w)."""
        told = self.code_embedding(codes)
        if self.place_embedding is not None:
            seen = told.flatten(1, 2) + self.place_embedding.weight

            def attending(noised: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
                return self.unet(noised.to(seen.dtype), steps, seen).sample

            return attending
        spread = F.interpolate(told.permute(0, 3, 1, 2), size=self.config.signal_shape[1:], mode="nearest")
        draft = None if self.draft is None else self._draft_signal(codes).to(spread.dtype)
        seen = spread if draft is None else torch.cat([spread, draft], 1)

        def concatenating(noised: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            said = self.unet(torch.cat([noised.to(seen.dtype), seen], 1), steps).sample
            return said if draft is None else said + draft  # it says what differs from the draft

        return concatenating

    def _draft_signal(self, codes: torch.Tensor) -> torch.Tensor:
        """The draft as the network sees it, (B, C, H', W'); 0, which is the mean, where the codes are left out."""
        known = (codes != self.code_embedding.left_out).flatten(1).all(1)
        return self.signal_of(self.draft_of(codes)) * known[:, None, None, None]

    def forward(self, codes: torch.Tensor, pixel_values: torch.Tensor) -> ImageDiffusionOutput:
        """One step of training; steps, noise and whose codes are left out are drawn by torch's global generator.

        Args:
            codes: int64 (B, h w).
            pixel_values: float (B, 3, H, W) in 0..1.

        Raises:
            ValueError: another shape.
        """
        self.check_batch(codes, pixel_values)
        left_out = torch.rand(len(codes)) < self.config.condition_dropout
        codes = codes.masked_fill(left_out.to(codes.device)[:, None], self.code_embedding.left_out)
        signal = self.signal_of(pixel_values)
        loss, clean = self.process.loss(self.network(codes.view(-1, *self.grid)), signal)
        return ImageDiffusionOutput(loss=loss, signal_loss=(clean - signal).square().mean().detach())

    def draw(  # type: ignore[override]
        self,
        codes: torch.Tensor,
        generator: torch.Generator,
        steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> torch.Tensor:
        """int64 (1, h, w) -> (1, 3, H, W).

        Args:
            codes: What to draw.
            generator: Of the noise.
            steps: Default: `config.sampling_steps`.
            guidance_scale: Default: `config.guidance_scale`; 1 for none.

        Raises:
            ValueError: a number of steps that cannot be, or guidance of a model that was never without its codes.
        """
        scale = self.process.scale_of(guidance_scale)
        without = self.network(torch.full_like(codes, self.code_embedding.left_out)) if scale != 1 else None
        noise = torch.randn((1, *self.config.signal_shape), generator=generator).to(codes.device)
        return self.pixels_of(
            self.process.sample(self.network(codes), noise, steps, without=without, guidance_scale=scale)
        )


def build_unet(settings: Mapping[str, Any]) -> nn.Module:
    """A UNet of diffusers with random weights, by its config and `_class_name`."""
    kind = diffusers_class(settings["_class_name"])
    return kind.from_config({name: value for name, value in settings.items() if name != "_class_name"})


def load_unet(unet: str | os.PathLike | nn.Module) -> Any:
    """The UNet itself, or that of a folder or Hub id, from safetensors alone.

    Raises:
        ValueError: a network of another class.
    """
    if isinstance(unet, nn.Module):
        return unet
    found = diffusers_class("UNet2DModel").load_config(os.fspath(unet)).get("_class_name")
    if found not in NETWORKS:
        raise ValueError(f"{os.fspath(unet)!r} holds a {found}; allowed is {' or '.join(NETWORKS)}.")
    return diffusers_class(found).from_pretrained(os.fspath(unet), use_safetensors=True)


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config of diffusers as JSON holds it, without what names its version and place."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in config.items()
        if not name.startswith("_")
    }


__all__ = ["ImageDiffusion", "ImageDiffusionOutput", "build_unet", "plain_config"]
