"""What a VQGAN adds to a VQ-VAE in training: a discriminator of patches, and the features of a vision encoder.

Papers: VQGAN (arXiv 2012.09841, section 3.1: the adaptive weight), PatchGAN (arXiv 1611.07004), hinge losses (arXiv 1705.02894).

    pixels, drawn pixels ─ PatchDiscriminator ─ logits (B, 1, h, w), one for each patch

VQGAN's perceptual loss is LPIPS (arXiv 1801.03924), whose learnt weights are a file of their own. Here the features of any Hugging
Face vision encoder that a user names (DINOv2, CLIP, SigLIP) take its place, and without one there is no perceptual loss.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.utils import ModelOutput

from ..modeling.tokenizers.modeling_feature_units import FeatureUnits
from ..modeling.tokenizers.modeling_image_vqvae import ImageVqvae
from ..processing.errors import TriglotError
from .image_metrics import psnr

MOST_ADAPTIVE = 1e4  # the adaptive weight's upper bound, as in VQGAN


@dataclass(frozen=True)
class AdversaryArguments:
    """Settings of the losses that a VQGAN has and a VQ-VAE has not; by default there are none."""

    discriminator_weight: float = 0.0  # of the adversarial loss; VQGAN's is 0.8
    discriminator_start: int = 0  # steps before it counts: a VQGAN first learns to draw
    discriminator_channels: int = 64
    discriminator_layers: int = 3  # that halve both sides
    feature_encoder: str = ""  # folder or Hub id of a vision encoder, whose features are compared
    feature_layer: int = 6
    feature_weight: float = 1.0

    def __post_init__(self):
        for name in ("discriminator_weight", "discriminator_start", "feature_weight"):
            if getattr(self, name) < 0:
                raise TriglotError(f"{name} is {getattr(self, name)}; 0 or more is needed.")


class PatchDiscriminator(nn.Module):
    """Tells drawn patches from real ones: (B, 3, H, W) in 0..1 -> logits (B, 1, h, w).

    Group norms, not VQGAN's batch norms: a picture's logits do not depend on its neighbours in the batch.
    """

    def __init__(self, channels: int = 64, layers: int = 3):
        super().__init__()
        blocks: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = channels
        for number in range(1, layers + 1):
            wider, stride = channels * min(2**number, 8), 2 if number < layers else 1
            blocks += [
                nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(min(8, wider), wider),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(width, 1, 4, stride=1, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.blocks(2 * pixels - 1)


def adaptive_weight(reconstruction: torch.Tensor, adversarial: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """How much steeper one loss of drawn pixels is than the other at the drawing network's last weights: scalar, detached; 0 without
    gradients.
    """
    if not torch.is_grad_enabled():
        return torch.zeros((), device=adversarial.device)
    steep, flat = (
        torch.autograd.grad(loss, last, retain_graph=True)[0].float().norm() for loss in (reconstruction, adversarial)
    )
    return (steep / (flat + 1e-6)).clamp(0.0, MOST_ADAPTIVE).detach()


def hinge_loss(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """The discriminator's, of its logits for real and for drawn patches."""
    return 0.5 * (F.relu(1 - real.float()).mean() + F.relu(1 + made.float()).mean())


class FeatureLoss:
    """How far two batches of pictures are apart in a frozen encoder's patch features.

    Mean squared distance of features of length 1 (their cosine, that is), as LPIPS normalises those of each position; its learnt
    weights of channels are left out. No module: the encoder is neither trained nor saved with what is.

    Args:
        encoder: Folder or Hub id of a vision encoder and its image processor.
        layer: Whose output is compared, from 1.

    Raises:
        TriglotError: no such encoder or layer.
    """

    def __init__(self, encoder: str, layer: int):
        try:
            self.units = FeatureUnits.from_encoder(encoder, layer, fit="stretch").requires_grad_(False)
        except (OSError, ValueError) as error:
            raise TriglotError(f"feature_encoder is {encoder!r}, which cannot be used: {error}") from error
        if not self.units.sees:
            raise TriglotError(f"feature_encoder is {encoder!r}, an encoder of speech; one of pictures is needed.")

    def __call__(self, drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """float (B, 3, H, W) in 0..1, both -> scalar."""
        self.units.to(drawn.device)
        with torch.no_grad():
            there = self._features(wanted)
        return (self._features(drawn) - there).square().sum(-1).mean()

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        size = self.units.config.preparation["image_size"]  # type: ignore[index]  # it sees
        fitted = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True, align_corners=False)
        return F.normalize(self.units.patch_features(fitted), dim=-1)


@dataclass
class VqganOutput(ModelOutput):
    """What `VqganInTraining.forward` returns; parts are detached.

    Args:
        loss: Sum of all that is trained.
        reconstruction_loss, commitment_loss, perplexity: Of `ImageVqvaeOutput`.
        psnr: Of this batch, dB.
        adversarial_loss: Minus the mean logit of drawn patches.
        discriminator_loss: Hinge loss.
        adaptive_weight: What `discriminator_weight` is multiplied by: how much steeper the reconstruction loss is than the adversarial
            one, at the decoder's last weights.
        feature_loss: Of `FeatureLoss`.
    """

    loss: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None
    psnr: torch.Tensor | None = None
    adversarial_loss: torch.Tensor | None = None
    discriminator_loss: torch.Tensor | None = None
    adaptive_weight: torch.Tensor | None = None
    feature_loss: torch.Tensor | None = None


class VqganInTraining(nn.Module):
    """An `ImageVqvae` with all of its losses; without an adversary and an encoder of features those of a VQ-VAE.

    Args:
        tokenizer: What is trained.
        arguments: Which losses.

    Attributes:
        step: Of the run; whoever trains keeps it.
    """

    def __init__(self, tokenizer: ImageVqvae, arguments: AdversaryArguments):
        super().__init__()
        self.tokenizer, self.arguments, self.step = tokenizer, arguments, 0
        self.discriminator: PatchDiscriminator | None = None
        if arguments.discriminator_weight:
            self.discriminator = PatchDiscriminator(arguments.discriminator_channels, arguments.discriminator_layers)
        self.features: FeatureLoss | None = None
        if arguments.feature_encoder:
            self.features = FeatureLoss(arguments.feature_encoder, arguments.feature_layer)

    def forward(self, pixel_values: torch.Tensor) -> VqganOutput:
        """float (B, 3, H, W) in 0..1 -> losses."""
        output: Any = self.tokenizer(pixel_values)
        loss, perceived, parts = output.loss, output.reconstruction_loss, {}
        if self.features is not None:
            distance = self.features(output.pixels, pixel_values)
            loss = loss + self.arguments.feature_weight * distance
            perceived = perceived + self.arguments.feature_weight * distance
            parts["feature_loss"] = distance.detach()
        if self.discriminator is not None:
            adversarial, hinge, more = self._adversary(output.pixels, pixel_values, perceived)
            loss, parts = loss + adversarial + hinge, {**parts, **more}
        return VqganOutput(
            loss=loss,
            reconstruction_loss=output.reconstruction_loss.detach(),
            commitment_loss=output.commitment_loss,
            perplexity=output.perplexity,
            psnr=psnr(output.pixels.detach(), pixel_values).mean(),
            **parts,
        )

    def _adversary(
        self, drawn: torch.Tensor, wanted: torch.Tensor, reconstruction: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """What the tokenizer, and what the discriminator is to lower, and parts to log.

        Both are lowered in the same step: the tokenizer's loss sees the discriminator's weights as constants, the
        discriminator's sees what was drawn as a constant.
        """
        discriminator = self.discriminator
        assert discriminator is not None
        discriminator.requires_grad_(False)
        adversarial = -discriminator(drawn).float().mean()
        discriminator.requires_grad_(True)
        weight = adaptive_weight(reconstruction, adversarial, self.tokenizer.last_weight)
        hinge = hinge_loss(discriminator(wanted), discriminator(drawn.detach()))
        started = float(self.step >= self.arguments.discriminator_start)
        parts = {
            "adversarial_loss": adversarial.detach(),
            "discriminator_loss": hinge.detach(),
            "adaptive_weight": weight,
        }
        return started * self.arguments.discriminator_weight * weight * adversarial, started * hinge, parts
