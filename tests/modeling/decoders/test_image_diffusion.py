"""ImageDiffusion: the contract of image decoders, codes as channels and by attention, guidance, and UNets that diffusers saved."""

import pytest
import torch
from image_decoder_testing import SIZES, ImageDecoderTester
from transformers import AutoModel

import triglot  # noqa: F401  (registers the model)
from triglot.modeling.decoders.configuration_image_diffusion import ImageDiffusionConfig
from triglot.modeling.decoders.image_decoder import CodeEmbedding
from triglot.modeling.decoders.modeling_image_diffusion import ImageDiffusion

diffusers = pytest.importorskip("diffusers")

NETWORK = {"patch_size": 4, "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
ATTENDING = {
    "sample_size": [4, 8], "in_channels": 48, "out_channels": 48, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4,
    "cross_attention_dim": 4, "attention_head_dim": 2,
}  # fmt: skip


def build(**changes) -> ImageDiffusion:
    torch.manual_seed(0)
    return ImageDiffusion(ImageDiffusionConfig(**{**SIZES, **NETWORK, "sampling_steps": 2, **changes})).eval()


class TestImageDiffusion(ImageDecoderTester):
    def make_decoder(self):
        return build()


class TestImageDiffusionByAttention(ImageDecoderTester):
    def make_decoder(self):
        return build(unet_config={"_class_name": "UNet2DConditionModel", **ATTENDING})


def test_steps_and_guidance_are_conditions():
    model, codes = build(), [torch.arange(8)]
    plain = model.decode(codes)[0]
    assert torch.equal(plain, model.decode(codes, steps=2, guidance_scale=1.0)[0])
    assert not torch.equal(plain, model.decode(codes, steps=3)[0])
    assert not torch.equal(plain, model.decode(codes, guidance_scale=3.0)[0])
    with pytest.raises(ValueError, match="0 sampling steps"):
        model.decode(codes, steps=0)
    with pytest.raises(ValueError, match="without condition_dropout"):
        build(condition_dropout=0.0).decode(codes, guidance_scale=2.0)


def test_a_signal_becomes_its_pixels_again():
    model, pixels = build(pixel_mean=0.8, pixel_std=0.25), torch.rand(2, 3, 16, 32)
    signal = model.signal_of(pixels)
    assert signal.shape == (2, *model.config.signal_shape) == (2, 48, 4, 8)
    torch.testing.assert_close(model.pixels_of(signal), pixels)


def test_a_code_is_told_where_its_pixels_are():
    """Of a network that adds its inputs up, only the pixels of the changed code change."""
    model = build()
    model.unet = Sum()
    codes = torch.zeros(1, 2, 4, dtype=torch.long)
    changed = codes.clone()
    changed[0, 1, 2] = 3
    noised, steps = torch.zeros(1, 48, 4, 8), torch.tensor([5])
    moved = (model.network(codes)(noised, steps) - model.network(changed)(noised, steps)).abs().sum((0, 1)) > 0
    wanted = torch.zeros(4, 8, dtype=torch.bool)
    wanted[2:4, 4:6] = True
    assert torch.equal(moved, wanted)


class Sum(torch.nn.Module):
    def forward(self, sample, timestep):
        total = sample.sum(1, keepdim=True).expand(-1, 48, -1, -1)
        return diffusers.models.unets.unet_2d.UNet2DOutput(sample=total)


@pytest.mark.parametrize("kind", ["UNet2DConditionModel", "UNet2DModel"])
def test_a_saved_unet_of_diffusers_loads_with_its_weights(kind, tmp_path):
    torch.manual_seed(1)
    settings = ATTENDING if kind == "UNet2DConditionModel" else {**build().config.network_settings}
    settings.pop("_class_name", None)
    theirs = getattr(diffusers, kind)(**settings).eval()
    theirs.save_pretrained(tmp_path / "unet")
    ours = ImageDiffusion.from_unet(tmp_path / "unet", **SIZES, patch_size=4, beta_schedule="scaled_linear")
    assert all(torch.equal(value, ours.unet.state_dict()[name]) for name, value in theirs.state_dict().items())
    noised, steps = torch.randn(1, 48, 4, 8), torch.tensor([7])
    codes = torch.arange(8).view(1, 2, 4)
    vectors = ours.code_embedding(codes)
    if kind == "UNet2DConditionModel":
        wanted = theirs(noised, steps, vectors.flatten(1, 2) + ours.place_embedding.weight).sample
    else:
        spread = vectors.permute(0, 3, 1, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        wanted = theirs(torch.cat([noised, spread], 1), steps).sample
    torch.testing.assert_close(ours.network(codes)(noised, steps), wanted)
    ours.save_pretrained(tmp_path / "decoder")
    again = AutoModel.from_pretrained(tmp_path / "decoder")
    torch.testing.assert_close(again.decode([torch.arange(8)])[0], ours.decode([torch.arange(8)])[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 3}, "multiples of 3"),
        ({"patch_size": 16, "block_out_channels": [8]}, "fewer than"),
        ({"block_out_channels": [8, 9]}, "norm_num_groups"),
        ({"block_out_channels": [8, 8, 8, 8]}, "multiples of 8"),
        ({"unet_config": {"_class_name": "Kandinsky3UNet"}}, "allowed is UNet2DModel or"),
        ({"grid": [2]}, "grid"),
        ({"pixel_std": 0}, "pixel_std"),
        ({"guidance_scale": 2.0, "condition_dropout": 0.0}, "condition_dropout"),
        ({"codebook_size": 0}, "codebook_size"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_a_folder_without_a_unet_is_refused(tmp_path):
    diffusers.DDPMScheduler().save_pretrained(tmp_path)
    with pytest.raises((ValueError, OSError), match=r"UNet2DModel|config\.json"):
        ImageDiffusion.from_unet(tmp_path, **SIZES)


@pytest.mark.parametrize("width", [3, 40])
def test_the_embedding_begins_where_the_codes_lie(width):
    """Neighbours stay neighbours, whatever the dimensions."""
    torch.manual_seed(0)
    centroids = torch.randn(8, width) * 7 + 3
    centroids[5] = centroids[2] + 0.01
    embedding = CodeEmbedding(build().config)
    embedding.start(centroids)
    told = embedding.weight.detach()[:8, : min(width, 4)]
    distances = torch.cdist(told, told) + 1e9 * torch.eye(8)
    assert int(distances[5].argmin()) == 2 and abs(float(told.std()) - 1) < 0.1
