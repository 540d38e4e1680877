"""Pictures made to fit: a narrow one takes no more memory than its middle needs."""

import pytest
import torch

from triglot.modeling.tokenizers import image_fitting
from triglot.modeling.tokenizers.image_fitting import fit_image


def enlarged_whole(image, shape):
    """Cut after the whole picture is enlarged."""
    scale = max(shape[0] / image.shape[1], shape[1] / image.shape[2])
    size = round(image.shape[1] * scale), round(image.shape[2] * scale)
    whole = torch.nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    top, left = (size[0] - shape[0]) // 2, (size[1] - shape[1]) // 2
    return whole[:, top : top + shape[0], left : left + shape[1]]


@pytest.mark.parametrize("size", [(8, 3000), (3000, 8), (40, 30), (30, 119), (17, 5)])
def test_only_the_middle_of_a_narrow_picture_is_enlarged(size, monkeypatch):
    image, sizes, interpolate = torch.rand(3, *size), [], image_fitting.F.interpolate
    wanted = enlarged_whole(image, (16, 16))

    def listening(image, size, **options):
        sizes.append(size)
        return interpolate(image, size, **options)

    monkeypatch.setattr(image_fitting.F, "interpolate", listening)
    torch.testing.assert_close(fit_image(image, (16, 16), "crop"), wanted, rtol=0, atol=1e-5)
    assert max(sizes[0]) <= 4 * 16
