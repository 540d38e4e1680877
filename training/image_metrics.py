"""How near drawn pictures are to the ones they were drawn after: PSNR and SSIM; and as a whole: the Fréchet distance of features.

Paper: SSIM, Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 13 (4), 2004: Gaussian window of 11 x 11 pixels with
a deviation of 1.5, K1 = 0.01, K2 = 0.03; here of each channel, mean over channels and over the places where the window fits in. FID (arXiv 1706.08500) is the Fréchet distance of the features of a classifier.

Shapes: B pictures, H x W pixels in 0..1.
"""

import numpy as np
import torch
import torch.nn.functional as F

WINDOW, DEVIATION = 11, 1.5  # pixels
STABLE_MEAN, STABLE_CONTRAST = 0.01**2, 0.03**2
MOST_PSNR = 100.0  # dB, of equal pictures
LEAST_VARIANCE = 1e-6  # of a feature, so that covariances have roots


def psnr(drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of each picture, float (B, 3, H, W) twice -> (B,) dB; 100 at most, for equal ones."""
    errors = (drawn.float().clamp(0, 1) - wanted.float()).square().flatten(1).mean(1)
    return -10 * errors.clamp(min=10 ** (-MOST_PSNR / 10)).log10()


def ssim(drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Structural similarity of each picture, float (B, 3, H, W) twice -> (B,), 1 for equal ones.

    Raises:
        ValueError: pictures of other shapes, or smaller than the window.
    """
    if drawn.shape != wanted.shape or drawn.ndim != 4 or min(drawn.shape[2:]) < WINDOW:
        raise ValueError(
            f"Pictures are {tuple(drawn.shape)} and {tuple(wanted.shape)}; both must be (pictures, channels, height, width) and at "
            f"least {WINDOW} pixels high and wide."
        )
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = (-places.square() / (2 * DEVIATION**2)).exp()
    window = torch.outer(line, line) / line.sum() ** 2

    def blurred(pixels: torch.Tensor) -> torch.Tensor:
        return F.conv2d(pixels.flatten(0, 1)[:, None], window[None, None].to(pixels)).unflatten(0, pixels.shape[:2])

    one, two = drawn.double().clamp(0, 1), wanted.double()
    mean_one, mean_two = blurred(one), blurred(two)
    spread_one, spread_two = blurred(one**2) - mean_one**2, blurred(two**2) - mean_two**2
    common = blurred(one * two) - mean_one * mean_two
    alike = (2 * mean_one * mean_two + STABLE_MEAN) * (2 * common + STABLE_CONTRAST)
    apart = (mean_one**2 + mean_two**2 + STABLE_MEAN) * (spread_one + spread_two + STABLE_CONTRAST)
    return (alike / apart).flatten(1).mean(1).float()


def frechet_distance(one: np.ndarray, two: np.ndarray) -> float:
    """Fréchet distance (squared) between two Gaussians with the means and covariances of features (n, D) and (m, D).

    |mean difference|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); 0 for equal ones. Few pictures make it larger than many would, alike for whatever is
    compared with the same ones.

    Raises:
        ValueError: features of other shapes, fewer than 2 of either, or NaN.
    """
    one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1] or min(len(one), len(two)) < 2:
        raise ValueError(
            f"Features are {one.shape} and {two.shape}; (pictures, features) with at least 2 pictures are needed."
        )
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("Features hold NaN or infinite numbers.")
    spread = LEAST_VARIANCE * np.eye(one.shape[1])
    first, second = (np.cov(each, rowvar=False).reshape(spread.shape) + spread for each in (one, two))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(min=0.0)).sum()
    gap = one.mean(0) - two.mean(0)
    return float(max(0.0, gap @ gap + np.trace(first) + np.trace(second) - 2 * common))
