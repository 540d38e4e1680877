"""ImageGan: the contract of image decoders, noise, and settings that cannot be."""

import pytest
import torch
from image_decoder_testing import SIZES, ImageDecoderTester

from triglot.modeling.decoders.configuration_image_gan import ImageGanConfig
from triglot.modeling.decoders.modeling_image_gan import ImageGan

pytest.importorskip("diffusers")

NETWORK = {
    "patch_size": 4,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "noise_channels": 3,
}


def build(**changes) -> ImageGan:
    torch.manual_seed(0)
    return ImageGan(ImageGanConfig(**{**SIZES, **NETWORK, **changes})).eval()


class TestImageGan(ImageDecoderTester):
    def make_decoder(self):
        return build()


class TestImageGanWithoutNoise(ImageDecoderTester):
    draws_from_noise = False

    def make_decoder(self):
        return build(noise_channels=0, mid_block_add_attention=False)


def test_the_loss_is_the_weighted_difference():
    model = build(l1_weight=2.0, l2_weight=3.0)
    pixels = torch.rand(2, 3, 16, 32)
    output = model(torch.zeros(2, 8, dtype=torch.long), pixels)
    gap = output.pixels - pixels
    torch.testing.assert_close(output.loss, 2 * gap.abs().mean() + 3 * gap.square().mean())


def test_the_rows_of_the_grid_come_one_after_another():
    """Far from a changed code, without attention, nothing changes but what group norms carry over."""
    model = build(mid_block_add_attention=False, noise_channels=0)
    codes = torch.zeros(8, dtype=torch.long)
    changed = codes.clone()
    changed[7] = 5  # the last of the lower row
    moved = (model.decode([codes])[0] - model.decode([changed])[0]).abs().sum(0)
    assert float(moved[8:, 24:].mean()) > 1.5 * float(moved[:8, :8].mean())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 2}, "make 8 x 16"),
        ({"block_out_channels": [8, 9]}, "norm_num_groups"),
        ({"block_out_channels": []}, "norm_num_groups"),
        ({"noise_channels": -1}, "noise_channels"),
        ({"l1_weight": 0}, "above 0"),
        ({"layers_per_block": 0}, "layers_per_block"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
