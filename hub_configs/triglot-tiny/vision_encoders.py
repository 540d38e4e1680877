"""What an encoder of pictures asks for: which size, which mean and deviation, and which of its positions are patches.

CLIP (arXiv 2103.00020), SigLIP (arXiv 2303.15343), DINOv2 (arXiv 2304.07193), and any other Hugging Face model whose config has an
`image_size` and a `patch_size` and whose last positions are the patches, row by row.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.image_processing_auto import get_image_processor_config


def is_vision_config(config: PreTrainedConfig) -> bool:
    """Whether a model of this config sees patches of pictures, or has a part that does."""
    seen = vision_part(config)
    return getattr(seen, "image_size", None) is not None and getattr(seen, "patch_size", None) is not None


def vision_part(config: PreTrainedConfig) -> PreTrainedConfig:
    """That of the vision encoder: CLIP's and SigLIP's full configs hold one."""
    return getattr(config, "vision_config", config)


def vision_model(model: PreTrainedModel) -> Any:
    """The vision encoder of a model that may have a text encoder or a projection as well."""
    return getattr(model, "vision_model", model.base_model)


def image_preparation(
    config: PreTrainedConfig, source: str | os.PathLike | None, processor: Any, fit: str | None
) -> dict[str, Any]:
    """How pictures are prepared for an encoder, as `FeatureUnitsConfig.preparation` has it.

    Args:
        config: Of the vision encoder.
        source: Folder or Hub id that may hold an image processor; None for a model in memory.
        processor: An image processor, or its settings; default: that of `source`.
        fit: "pad", "crop" or "stretch"; None for what the processor does: "stretch" where it tells a size and cuts no centre out.

    Raises:
        ValueError: there is no image processor that tells mean and deviation.
    """
    settings: Mapping[str, Any] = {}
    if processor is not None:
        settings = processor if isinstance(processor, Mapping) else processor.to_dict()
    elif source is not None:
        settings = get_image_processor_config(source)
    if "image_mean" not in settings or "image_std" not in settings:
        where = "the encoder in memory" if source is None else repr(os.fspath(source))
        raise ValueError(
            f"{where} comes without an image processor that has image_mean and image_std; save one beside the encoder with its "
            "save_pretrained, or pass feature_extractor=, an image processor or a dict with the two."
        )
    if fit is None:
        fit = "crop" if settings.get("do_center_crop", "size" not in settings) else "stretch"
    height, width = _pair(config.image_size)
    return {
        "image_size": [height, width],
        "patch_size": list(_pair(config.patch_size)),
        "fit": fit,
        "mean": [float(value) for value in settings["image_mean"]],
        "std": [float(value) for value in settings["image_std"]],
    }


def normalise(pixels: torch.Tensor, preparation: Mapping[str, Any]) -> torch.Tensor:
    """float (B, 3, H, W) in 0..1 -> what the encoder was trained on."""
    mean, std = (torch.tensor(preparation[name], device=pixels.device)[:, None, None] for name in ("mean", "std"))
    return (pixels - mean) / std


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
