"""Image decoders that start from what the tokenizer itself draws."""

import pytest
import torch
from picture_rows_testing import picture_rows
from transformers import AutoModel

pytest.importorskip("diffusers")

from image_decoder_testing_parts import AUTOENCODER

from triglot.modeling.decoders.configuration_image_diffusion import ImageDiffusionConfig
from triglot.modeling.decoders.configuration_image_super_resolution import ImageSuperResolutionConfig
from triglot.modeling.decoders.image_draft import draft_settings
from triglot.modeling.decoders.modeling_image_diffusion import ImageDiffusion
from triglot.modeling.decoders.modeling_latent_diffusion import LatentDiffusion
from triglot.processing.errors import TriglotError
from triglot.training.image_decoder_run import built
from triglot.training.image_metrics import psnr
from triglot.training.train_image_diffusion import ImageDiffusionArguments, train_image_diffusion
from triglot.training.train_image_gan import ImageGanArguments, train_image_gan
from triglot.training.train_image_super_resolution import ImageSuperResolutionArguments
from triglot.training.train_latent_diffusion import LatentDiffusionArguments

SIZES = {"image_size": 16, "layers_per_block": 1, "norm_num_groups": 4, "code_dim": 4, "draft": True}
RUN = {"batch_size": 4, "warmup_steps": 2, "save_steps": 100, "logging_steps": 10, "bf16": False}
DIFFUSION = ImageDiffusionArguments(
    **SIZES, **RUN, patch_size=2, block_out_channels="8 8", sampling_steps=3, max_steps=100
)
GAN = ImageGanArguments(
    **SIZES, **RUN, block_out_channels="8 8", discriminator_channels=8, discriminator_layers=1, adversary_start=10, max_steps=100,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(image_tokenizer):
    return AutoModel.from_pretrained(image_tokenizer)


@pytest.fixture(scope="module")
def codes(tokenizer):
    return tokenizer.encode(list(torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))))


def latent(tokenizer):
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    autoencoder = AutoencoderKL(**AUTOENCODER)
    arguments = LatentDiffusionArguments(**SIZES, **RUN, block_out_channels="8 8", sampling_steps=3)
    return built(lambda given: arguments.build(given, autoencoder), tokenizer).eval()


@pytest.mark.parametrize("arguments", [DIFFUSION, GAN], ids=["diffusion", "gan"])
def test_before_training_the_draft_is_drawn(arguments, tokenizer, codes, tmp_path):
    decoder = built(arguments.build, tokenizer).eval()
    for drawn, own in zip(decoder.decode(codes), tokenizer.decode(codes)):
        torch.testing.assert_close(drawn, own, atol=1e-4, rtol=0)
    decoder.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert all(torch.equal(one, two) for one, two in zip(decoder.decode(codes), again.decode(codes)))
    assert again.train().training and not again.draft.training
    assert not any(weight.requires_grad for weight in decoder.draft.parameters())


def test_a_draft_of_latents(tokenizer, codes):
    decoder = latent(tokenizer)
    for drawn, own in zip(decoder.decode(codes), tokenizer.decode(codes)):
        through = decoder.pixels_of(decoder.signal_of(own[None]))[0].clamp(0, 1)
        torch.testing.assert_close(drawn, through, atol=1e-3, rtol=0)
    assert isinstance(decoder, LatentDiffusion)


def test_a_picture_without_codes_has_no_draft(tokenizer, codes):
    decoder = built(DIFFUSION.build, tokenizer).eval()
    nothing = torch.full((1, *decoder.grid), decoder.code_embedding.left_out)
    noised, steps = torch.randn(1, 12, 8, 8), torch.tensor([500])
    assert not decoder.network(nothing)(noised, steps).any()
    assert decoder.network(codes[0].view(1, *decoder.grid))(noised, steps).abs().sum() > 0


def test_another_size_than_the_tokenizers(tokenizer, codes):
    settings = {"codebook_size": 8, "grid": [8, 8], "image_size": [32, 32], "code_dim": 4, "patch_size": 2}
    network = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
    config = ImageDiffusionConfig(
        **settings, **network, draft_config=draft_settings(tokenizer), prediction_type="sample"
    )
    decoder = ImageDiffusion(config).eval()
    decoder.take_draft(tokenizer)
    drawn, [own, *_] = decoder.decode(codes, steps=1)[0], tokenizer.decode(codes)
    small = torch.nn.functional.avg_pool2d(drawn[None], 2)[0]
    assert drawn.shape == (3, 32, 32) and float((small - own).abs().mean()) < 0.1


@pytest.mark.parametrize(
    "train, arguments", [(train_image_diffusion, DIFFUSION), (train_image_gan, GAN)], ids=["diffusion", "gan"]
)
def test_training_adds_to_the_draft(train, arguments, tokenizer, image_tokenizer, tmp_path):
    rows = picture_rows(4)
    decoder = AutoModel.from_pretrained(train(rows, image_tokenizer, tmp_path / "decoder", arguments))
    wanted = [tokenizer.prepare(picture) for picture in pictures_of(rows)]
    codes = tokenizer.encode(wanted)
    begun = built(arguments.build, tokenizer).draft.state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in decoder.draft.state_dict().items())
    mean = [
        float(psnr(torch.stack(maker.decode(codes)), torch.stack(wanted)).mean()) for maker in (tokenizer, decoder)
    ]
    assert mean[1] > mean[0] + 3


def pictures_of(rows):
    from triglot.training.data.picture_rows import ImageRows

    found = ImageRows(rows)
    return [found[index] for index in range(len(found))]


def test_what_cannot_be(tokenizer):
    told = {"codebook_size": 8, "grid": [8, 8], "image_size": 16}
    with pytest.raises(ValueError, match="no channels for a draft"):
        ImageDiffusionConfig(
            **told, draft_config=draft_settings(tokenizer),
            unet_config={"_class_name": "UNet2DModel", "block_out_channels": [32]},
        )  # fmt: skip
    with pytest.raises(ValueError, match="with 'sample' alone"):
        ImageDiffusionConfig(**told, draft_config=draft_settings(tokenizer), prediction_type="v_prediction")
    with pytest.raises(ValueError, match="draft_config has no act_fn, block_out_channels"):
        ImageDiffusion(
            ImageDiffusionConfig(
                **told, block_out_channels=[32], draft_config={"latent_channels": 4}, prediction_type="sample"
            )
        )
    with pytest.raises(ValueError, match="belongs into base_config"):
        ImageSuperResolutionConfig(draft_config=draft_settings(tokenizer))
    with pytest.raises(TriglotError, match="train the base decoder with it"):
        ImageSuperResolutionArguments(draft=True)


def test_another_tokenizer_gives_no_draft():
    class Seeing(torch.nn.Module):
        grid, codebook_size, modality, fingerprint = (8, 8), 8, "image", "x"

    with pytest.raises(TriglotError, match="no ImageVqvae but a Seeing"):
        DIFFUSION.build(Seeing())
