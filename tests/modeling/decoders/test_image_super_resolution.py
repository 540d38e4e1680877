"""ImageSuperResolution: the contract of image decoders, a base of each kind, what a stage sees, and settings that cannot be."""

import pytest
import torch
import torch.nn.functional as F
from image_decoder_testing import SIZES, ImageDecoderTester

from triglot.modeling.decoders.configuration_image_gan import ImageGanConfig
from triglot.modeling.decoders.configuration_image_super_resolution import ImageSuperResolutionConfig
from triglot.modeling.decoders.configuration_latent_diffusion import LatentDiffusionConfig
from triglot.modeling.decoders.modeling_image_gan import ImageGan
from triglot.modeling.decoders.modeling_image_super_resolution import BASES, ImageSuperResolution
from triglot.modeling.decoders.modeling_latent_diffusion import LatentDiffusion

pytest.importorskip("diffusers")

NETWORK = {"block_out_channels": [8], "layers_per_block": 1, "norm_num_groups": 4}
BASE = {**SIZES, **NETWORK, "model_type": "triglot_image_diffusion", "patch_size": 4, "sampling_steps": 2}
STAGES = {**NETWORK, "scales": [2, 2], "patch_sizes": [4, 8], "sampling_steps": 2, "crop_size": 16}


def build(**changes) -> ImageSuperResolution:
    torch.manual_seed(0)
    return ImageSuperResolution(ImageSuperResolutionConfig(**{"base_config": BASE, **STAGES, **changes})).eval()


class TestImageSuperResolution(ImageDecoderTester):
    def make_decoder(self):
        return build()


def test_sizes_and_codes_follow_from_the_base():
    config = build().config
    assert config.stage_shapes == [(32, 64), (64, 128)] and config.shape == (64, 128)
    assert (config.codebook_size, config.grid, config.fingerprint) == (8, [2, 4], "patches")


def test_every_kind_of_decoder_may_be_the_base(tmp_path):
    small = {**SIZES, **NETWORK}
    autoencoder = {
        "block_out_channels": [8],
        "down_block_types": ["DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D"],
    }
    bases = [
        ImageGan(ImageGanConfig(**small, patch_size=8)),
        LatentDiffusion(
            LatentDiffusionConfig(**small, autoencoder_config={**autoencoder, "norm_num_groups": 4}, sampling_steps=2)
        ),
        build().base,
    ]
    assert {base.config.model_type for base in bases} == set(BASES)
    for number, base in enumerate(bases):
        model = ImageSuperResolution.from_base(base.eval(), **STAGES)
        assert all(torch.equal(value, model.base.state_dict()[name]) for name, value in base.state_dict().items())
        model.save_pretrained(tmp_path / str(number))
        again = ImageSuperResolution.from_pretrained(tmp_path / str(number))
        codes = [torch.arange(8)]
        torch.testing.assert_close(again.decode(codes)[0], model.eval().decode(codes)[0])
        assert type(again.base) is type(base)
    with pytest.raises(ValueError, match="model_type 'triglot_image_vqvae'"):
        build(base_config={**BASE, "model_type": "triglot_image_vqvae"})


def test_a_stage_that_says_nothing_enlarges():
    """And it is told step and level: another of either is another answer."""
    model, small = build(), torch.randn(1, 3, 16, 32)
    noised, steps, level = torch.randn(1, 3, 32, 64), torch.tensor([300]), torch.tensor([0.2])
    said = model.network(0, small, level)(noised, steps)
    assert not torch.equal(said, model.network(0, small, level + 0.1)(noised, steps))
    assert not torch.equal(said, model.network(0, small, level)(noised, steps + 100))
    with torch.no_grad():
        model.stages[0].conv_out.weight.zero_()
        model.stages[0].conv_out.bias.zero_()
    enlarged = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(model.network(0, small, level)(noised, steps), enlarged)


def test_crops_lie_on_the_pixels_of_the_small_picture():
    model = build()
    where = torch.arange(64.0).view(1, 1, 1, 64).expand(1, 3, 32, 64)
    for seed in range(8):
        torch.manual_seed(seed)
        crop = model._cropped(where, 2)
        assert crop.shape == (1, 3, 16, 16) and int(crop[0, 0, 0, 0]) % 2 == 0


def test_the_base_is_not_trained():
    model = build().train()
    assert not model.base.training and not any(weight.requires_grad for weight in model.base.parameters())
    model(**TestImageSuperResolution().training_inputs(model)).loss.backward()
    assert all(weight.grad is None for weight in model.base.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": [2]}, "one patch size for each scale"),
        ({"scales": [1, 2]}, "at least 2"),
        ({"patch_sizes": [4, 3]}, "multiples of 3"),
        ({"crop_size": 15}, "multiples of 4"),
        ({"crop_size": 48}, "crop_size is 48"),
        ({"prediction_type": "epsilon"}, "'sample' and 1"),
        ({"augmented": 0.5}, "augmented is 0.5"),
        ({"block_out_channels": [6]}, "norm_num_groups"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
