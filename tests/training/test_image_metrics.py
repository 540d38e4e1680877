"""PSNR and SSIM of pictures whose values are known; the Fréchet distance of Gaussians."""

import numpy as np
import pytest
import torch

from triglot.training.image_metrics import frechet_distance, psnr, ssim


def pictures(count: int = 2, side: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(smooth, (side, side), mode="bilinear")


def test_psnr_of_known_errors():
    wanted = torch.full((3, 3, 16, 16), 0.5)
    drawn = torch.stack([wanted[0] + 0.1, wanted[1] + 0.01, wanted[2]])
    assert psnr(drawn, wanted).tolist() == pytest.approx([20.0, 40.0, 100.0], abs=1e-3)
    assert float(psnr(torch.full_like(wanted, 7.0), wanted + 0.5)[0]) == 100.0  # what is drawn is clamped


def test_ssim_follows_its_definition():
    one, two = pictures(2)[:1], pictures(2)[1:]
    assert float(ssim(one, one)) == pytest.approx(1.0, abs=1e-6)
    assert float(ssim(one, two)) == pytest.approx(float(ssim(two, one)), abs=1e-6) and float(ssim(one, two)) < 0.7
    # two flat pictures: only the means differ
    a, b = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    assert float(ssim(a, b)) == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-5)
    # a window's worth of pixels: the formula with its weighted moments, written out
    x, y = torch.rand(11, 11, dtype=torch.float64), torch.rand(11, 11, dtype=torch.float64)
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2)).double()
    weights = line[:, None] * line / line.sum() ** 2
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy, c = ((weights * p * q).sum() - m * n for p, q, m, n in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my)))
    wanted = (2 * mx * my + 1e-4) * (2 * c + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    torch.testing.assert_close(
        ssim(x[None, None].expand(1, 3, -1, -1), y[None, None].expand(1, 3, -1, -1))[0], wanted.float()
    )


def test_more_noise_is_less_alike():
    wanted = pictures()
    noise = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    marks = [
        (psnr(wanted + s * noise, wanted).mean(), ssim(wanted + s * noise, wanted).mean()) for s in (0.01, 0.05, 0.2)
    ]
    assert marks[0][0] > marks[1][0] > marks[2][0] and marks[0][1] > marks[1][1] > marks[2][1]


def test_pictures_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match="at least 11"):
        ssim(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20))
    with pytest.raises(ValueError, match="both must be"):
        ssim(torch.rand(1, 3, 20, 20), torch.rand(1, 3, 20, 21))


def test_the_frechet_distance_of_two_gaussians_is_its_closed_form():
    """Independent features: sum of squared differences of means and of deviations; and it does not depend on the axes."""
    rng = np.random.default_rng(0)
    means, deviations = np.array([[0.0, 1.0, -2.0], [0.5, 1.0, 0.0]]), np.array([[1.0, 2.0, 0.5], [1.5, 0.5, 0.5]])
    one, two = (rng.normal(mean, deviation, (200_000, 3)) for mean, deviation in zip(means, deviations))
    wanted = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert frechet_distance(one, two) == pytest.approx(wanted, rel=0.02)
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    assert frechet_distance(one @ turned, two @ turned) == pytest.approx(frechet_distance(one, two), rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(one[:5], two[:4]) > 0  # fewer pictures than features would need
    for wrong in ((one, two[:, :2]), (one[:1], two), (one * np.nan, two), (one[0], two)):
        with pytest.raises(ValueError, match="Features"):
            frechet_distance(*wrong)
