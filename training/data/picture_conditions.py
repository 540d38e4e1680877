"""Pictures as they may come to a user: through a JPEG, noisy, blurred, or drawn by the image tokenizer itself.

float32 (3, H, W) in 0..1 and a random generator -> float32 (3, H, W) in 0..1. The twin of `augment` for speech: a model that saw clean
drawings alone misreads them after one pass through its own tokenizer, in which a quarter of the codes of things change.
"""

import io

import numpy as np
import torch
from PIL import Image, ImageFilter

from ...modeling.tokenizers.media_tokenizer import MediaTokenizer
from ...processing.image_io import to_picture
from .picture_rows import as_tensor

JPEG_QUALITY = (50, 95)
NOISE_LEVEL = (1.0, 6.0)  # standard deviation, of 255
BLUR_RADIUS = (0.2, 0.7)  # pixels
PASSES = (1, 1, 2)  # through the tokenizer, drawn from
SHARES = {"jpeg": 0.25, "noise": 0.15, "blur": 0.1, "tokenizer": 0.5}


def recorded_picture(
    picture: torch.Tensor, tokenizer: MediaTokenizer, rng: np.random.Generator, kind: str | None = None
) -> torch.Tensor:
    """The picture after one of these, drawn by `SHARES` where `kind` does not say which.

    Args:
        picture: float32 (3, H, W) in 0..1.
        tokenizer: An image tokenizer; one that cannot decode its codes draws nothing, and the other kinds share its part.
        rng: Draws the kind and its strength.
        kind: A key of `SHARES`.
    """
    if kind is None:
        shares = {name: share for name, share in SHARES.items() if name != "tokenizer" or hasattr(tokenizer, "decode")}
        kind = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    if kind == "jpeg":
        file = io.BytesIO()
        to_picture(picture).save(file, format="JPEG", quality=int(rng.integers(*JPEG_QUALITY)))
        return as_tensor(Image.open(file).convert("RGB"))
    if kind == "noise":
        noise = rng.normal(0.0, rng.uniform(*NOISE_LEVEL) / 255, tuple(picture.shape))
        return (picture + torch.from_numpy(noise).float()).clamp(0.0, 1.0)
    if kind == "blur":
        return as_tensor(to_picture(picture).filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR_RADIUS))))
    for _ in range(rng.choice(PASSES)):
        [picture] = tokenizer.decode(tokenizer.encode([picture]))
    return picture
