"""LatentDiffusion: the contract of image decoders, latents and their scale, and pipelines as Stable Diffusion saves them."""

import pytest
import torch
from image_decoder_testing import SIZES, ImageDecoderTester
from transformers import AutoModel

pytest.importorskip("diffusers")

import diffusers

import triglot  # noqa: F401  (registers the model)
from triglot.modeling.decoders.configuration_latent_diffusion import LatentDiffusionConfig
from triglot.modeling.decoders.modeling_latent_diffusion import LatentDiffusion, load_autoencoder

NETWORK = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4, "sampling_steps": 2}
AUTOENCODER = {
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2, "block_out_channels": [8, 8],
    "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 2, "scaling_factor": 0.5, "mid_block_add_attention": False,
}  # fmt: skip


def build(autoencoder=None, **changes) -> LatentDiffusion:
    torch.manual_seed(0)
    settings = {**SIZES, **NETWORK, "autoencoder_config": {**AUTOENCODER, **(autoencoder or {})}, **changes}
    return LatentDiffusion(LatentDiffusionConfig(**settings)).eval()


class TestLatentDiffusion(ImageDecoderTester):
    def make_decoder(self):
        return build()


def test_latents_are_scaled_and_shifted():
    model = build({"shift_factor": 0.25})
    assert model.config.signal_shape == (2, 8, 16)
    pixels = torch.rand(2, 3, 16, 32)
    with torch.no_grad():
        theirs = model.autoencoder.encode(2 * pixels - 1).latent_dist.mode()
        torch.testing.assert_close(model.signal_of(pixels), (theirs - 0.25) * 0.5)
        drawn = model.autoencoder.decode(theirs).sample * 0.5 + 0.5
        torch.testing.assert_close(model.pixels_of((theirs - 0.25) * 0.5), drawn)


def test_an_autoencoder_of_patches():
    model = build({"in_channels": 12, "out_channels": 12})
    assert model.config.signal_shape == (2, 4, 8) and model.config.patch_size == 2
    assert model.decode([torch.arange(8)])[0].shape == (3, 16, 32)
    with pytest.raises(ValueError, match="5 channels"):
        build({"in_channels": 5})


def test_the_autoencoder_is_not_trained():
    model = build().train()
    assert not model.autoencoder.training and model.unet.training
    assert not any(weight.requires_grad for weight in model.autoencoder.parameters())
    assert all(weight.requires_grad for weight in model.unet.parameters())


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory):
    """What `StableDiffusionPipeline.save_pretrained` leaves of the parts that are used, shrunken."""
    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(2)
    diffusers.AutoencoderKL(**{**AUTOENCODER, "latent_channels": 4, "scaling_factor": 0.18215}).save_pretrained(
        folder / "vae"
    )
    diffusers.UNet2DConditionModel(
        sample_size=8, down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        block_out_channels=[8, 8], layers_per_block=1, norm_num_groups=4, cross_attention_dim=6, attention_head_dim=2,
    ).save_pretrained(folder / "unet")  # fmt: skip
    diffusers.PNDMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True
    ).save_pretrained(folder / "scheduler")
    return folder


def test_a_saved_stable_diffusion_loads_with_its_weights_and_its_noise(stable_diffusion, tmp_path):
    codes = {"codebook_size": 8, "grid": [2, 4], "fingerprint": "patches"}
    model = LatentDiffusion.from_stable_diffusion(stable_diffusion, **codes)
    config = model.config
    assert (config.shape, config.signal_shape, config.attends, config.code_dim) == ((16, 16), (4, 8, 8), True, 6)
    assert (config.prediction_type, config.beta_schedule) == ("epsilon", "scaled_linear")
    theirs = diffusers.PNDMScheduler.from_pretrained(stable_diffusion / "scheduler").alphas_cumprod
    torch.testing.assert_close(model.process.signal, theirs)
    for part, ours in (("vae", model.autoencoder), ("unet", model.unet)):
        kind = diffusers.AutoencoderKL if part == "vae" else diffusers.UNet2DConditionModel
        weights = kind.from_pretrained(stable_diffusion / part).state_dict()
        assert all(torch.equal(value, ours.state_dict()[name]) for name, value in weights.items())
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, LatentDiffusion) and again.autoencoder.config.scaling_factor == 0.18215
    one, two = (each.decode([torch.arange(8)], steps=2, guidance_scale=3.0)[0] for each in (model, again))
    torch.testing.assert_close(one, two)


def test_other_parts_are_refused(stable_diffusion):
    with pytest.raises(ValueError, match="an AutoencoderKL is needed"):
        load_autoencoder(stable_diffusion / "unet")
    with pytest.raises(ValueError, match="allowed is UNet2DModel or"):
        LatentDiffusion.from_unet(
            stable_diffusion / "vae", autoencoder=load_autoencoder(stable_diffusion / "vae"), **SIZES
        )
