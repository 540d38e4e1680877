"""Pictures of any size -> one size, by a rule that a tokenizer's config names: nothing is guessed, nothing is random.

image (3, H, W) in 0..1 ─ checked ─ pad | crop | stretch ─ (3, height, width) in 0..1
"""

import math

import torch
import torch.nn.functional as F

MOST_STRETCHED = 10_000  # times longer than wide, beyond which a picture has no side left when it is made to fit
MOST_OVERHANG = 4  # times the wanted side that a picture is enlarged to before its middle is cut out


def check_image(image: torch.Tensor, name: str) -> torch.Tensor:
    """A picture as float32 (3, H, W).

    Raises:
        ValueError: not float (3, H, W), empty, NaN or infinite, or values outside of 0..1; `name` says which picture.
    """
    image = torch.as_tensor(image)
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel() or not image.is_floating_point():
        raise ValueError(
            f"{name} is {image.dtype} of the shape {tuple(image.shape)}; float (3, height, width) in 0..1 is needed."
        )
    image = image.detach().float()
    low, high = float(image.min()), float(image.max())
    if not -1e-3 <= low <= high <= 1 + 1e-3:  # False for NaN as well
        raise ValueError(
            f"{name} has values from {low:g} to {high:g}; 0 to 1 is needed: divide bytes by 255, and mend NaN."
        )
    return image.clamp(0.0, 1.0)


def fit_image(image: torch.Tensor, shape: tuple[int, int], fit: str) -> torch.Tensor:
    """float (3, H, W) in 0..1 -> float (3, *shape) in 0..1; one of that shape already is left as it is.

    Args:
        image: Of `check_image`.
        shape: (height, width), pixels.
        fit: "pad", "crop" or "stretch", as `ImageTokenizerConfig` describes them.

    Raises:
        ValueError: a picture thousands of times longer than wide.
    """
    height, width = image.shape[1:]
    if (height, width) == shape:
        return image
    if max(height, width) > MOST_STRETCHED * min(height, width):
        raise ValueError(f"A picture of {height} x {width} pixels is too narrow; cut it into pieces.")
    ratios = shape[0] / height, shape[1] / width
    scale = {"pad": min(ratios), "crop": max(ratios)}.get(fit)
    if fit == "crop":  # what would hang over far is cut off before it is enlarged, not after
        most = [math.ceil(MOST_OVERHANG * side / max(ratios)) for side in shape]
        image = _middle(image, (min(height, most[0]), min(width, most[1])))
        height, width = image.shape[1:]
    size = shape if scale is None else (max(1, round(height * scale)), max(1, round(width * scale)))
    resized = F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)
    if fit == "crop":
        resized = _middle(resized, shape)
    else:
        top, left = (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2
        around = left, shape[1] - size[1] - left, top, shape[0] - size[0] - top
        resized = F.pad(resized, around, mode="replicate")
    return resized[0].clamp(0.0, 1.0)


def _middle(image: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The middle (..., *shape) of a picture (..., H, W)."""
    top, left = (image.shape[-2] - shape[0]) // 2, (image.shape[-1] - shape[1]) // 2
    return image[..., top : top + shape[0], left : left + shape[1]]
