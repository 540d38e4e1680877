"""A small convolutional net that says what a scene shows; its features are what drawn pictures are compared by (FID).

    pixels (B, 3, 64, 64) ─ convolutions that halve both sides ─ (B, D', 4, 4) ─ features (B, D) ─ a head for each fact

The facts: colour, shape and size of the upper or left object and of the other, and how they lie.

Shapes: B pictures, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from ..processing.errors import TriglotError
from .data.scene_pictures import RGB, SIZE_SHARES
from .data.scenes import SHAPES, Scene

SIDE = 64  # pixels; pictures of other sides are scaled to it
RELATIONS = ("above", "to the left of")
COLOURS, SHAPE_NAMES, SIZES = tuple(RGB), tuple(SHAPES), tuple(SIZE_SHARES)
FACTS = {  # what is told, of how many
    "first colour": len(COLOURS), "first shape": len(SHAPES), "first size": len(SIZES),
    "second colour": len(COLOURS), "second shape": len(SHAPES), "second size": len(SIZES), "relation": len(RELATIONS),
}  # fmt: skip


@strict
class SceneClassifierConfig(PreTrainedConfig):
    """Settings of `SceneClassifier`.

    Args:
        channels: Of each convolution; each halves both sides, from 64 pixels to 4.
        feature_size: Features D.

    Raises:
        ValueError: another number of convolutions than four.
    """

    model_type = "triglot_scene_classifier"

    channels: list[int] | tuple[int, ...] = (24, 48, 64, 64)
    feature_size: int = 64

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if len(self.channels) != 4:
            raise ValueError(f"channels are {self.channels}; four are needed, from {SIDE} pixels to {SIDE // 16}.")


@dataclass
class SceneClassifierOutput(ModelOutput):
    """What `SceneClassifier.forward` returns.

    Args:
        loss: Mean cross-entropy of the facts.
        right: Share of the pictures of which all facts are right. Detached.
    """

    loss: torch.Tensor | None = None
    right: torch.Tensor | None = None


class SceneClassifier(PreTrainedModel):
    """Pictures of scenes -> what they show."""

    config: SceneClassifierConfig
    config_class = SceneClassifierConfig
    main_input_name = "pixel_values"

    def __init__(self, config: SceneClassifierConfig):
        super().__init__(config)
        layers: list[nn.Module] = []
        for width, wider in zip((3, *config.channels), config.channels):
            layers += [nn.Conv2d(width, wider, 4, stride=2, padding=1), nn.GroupNorm(8, wider), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.to_features = nn.Linear(config.channels[-1] * (SIDE // 16) ** 2, config.feature_size)
        self.heads = nn.ModuleList(nn.Linear(config.feature_size, count) for count in FACTS.values())
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.GroupNorm)):
            module.reset_parameters()

    def features_of(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float (B, 3, 64, 64) in 0..1 -> (B, D)."""
        return self.to_features(self.layers(2 * pixel_values.to(self.dtype) - 1).flatten(1))

    def forward(self, pixel_values: torch.Tensor, facts: torch.Tensor) -> SceneClassifierOutput:
        """float (B, 3, 64, 64) in 0..1 and what they show, int64 (B, facts) of `facts_of`."""
        hidden = F.gelu(self.features_of(pixel_values))
        logits = [head(hidden).float() for head in self.heads]
        losses = [F.cross_entropy(said, facts[:, place]) for place, said in enumerate(logits)]
        right = torch.stack([said.argmax(-1) == facts[:, place] for place, said in enumerate(logits)]).all(0)
        return SceneClassifierOutput(loss=torch.stack(losses).mean(), right=right.float().mean())

    @torch.no_grad()
    def features(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features of pictures float (3, H, W) in 0..1 of any size, float32 (n, D) on the CPU."""
        sized = [_sized(picture)[None] for picture in pictures]
        return torch.cat([self.features_of(picture.to(self.device)).float().cpu() for picture in sized])


def _sized(picture: torch.Tensor) -> torch.Tensor:
    if tuple(picture.shape[1:]) == (SIDE, SIDE):
        return picture
    mode = "area" if min(picture.shape[1:]) > SIDE else "bilinear"
    return F.interpolate(picture[None], (SIDE, SIDE), mode=mode)[0]


def facts_of(scene: Scene) -> list[int]:
    """What the picture of a scene shows, as places in the lists of `FACTS`; of a scene and of it turned round the same."""
    told = scene if scene.relation in RELATIONS else scene.turned
    facts = []
    for thing in (told.first, told.second):
        facts += [COLOURS.index(thing.colour), SHAPE_NAMES.index(thing.shape), SIZES.index(thing.size)]
    return [*facts, RELATIONS.index(told.relation)]


def load_scene_classifier(folder: str) -> SceneClassifier:
    """The classifier of a folder, in evaluation mode and float32.

    Raises:
        TriglotError: none there.
    """
    try:
        model = SceneClassifier.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise TriglotError(f"{folder!r} holds no scene classifier: {error}") from error
    if model.config.model_type != SceneClassifierConfig.model_type:
        raise TriglotError(f"{folder!r} holds no scene classifier.")
    return model.eval()
