"""ImageVqvae: the contract of tokenizers, codes that become pictures again, and the weights of any `VQModel`."""

import copy
import sys

import pytest
import torch
from image_tokenizer_testing import ImageAutoencoderTester, shapes_on_grey
from transformers import AutoModel

import triglot  # noqa: F401  (registers the model)
from triglot.modeling.tokenizers.configuration_image_vqvae import ImageVqvaeConfig
from triglot.modeling.tokenizers.modeling_image_vqvae import FAINT, ImageVqvae, tile_variances
from triglot.modeling.tokenizers.moving_codebook import MovingCodebook

pytest.importorskip("diffusers")

SIZES = {
    "image_size": 16, "block_out_channels": [16, 16], "layers_per_block": 1, "norm_num_groups": 4, "codebook_size": 16,
    "code_dim": 8, "latent_channels": 8, "patch_size": 2,
}  # fmt: skip


def build(**changes) -> ImageVqvae:
    torch.manual_seed(0)
    return ImageVqvae(ImageVqvaeConfig(**{**SIZES, **changes}))


def trained(**changes) -> ImageVqvae:
    """After one step of its code book."""
    model = build(**changes).train()
    model(shapes_on_grey(8, model.config.shape))
    model.eval()
    model.config.fingerprint = model.compute_fingerprint()
    return model


class TestImageVqvae(ImageAutoencoderTester):
    def build_tokenizer(self):
        return trained()


class TestOblongImageVqvae(ImageAutoencoderTester):
    def build_tokenizer(self):
        more = {"norm_type": "spatial", "block_out_channels": [32, 32], "pixel_mean": 0, "pixel_std": 1}
        return trained(image_size=(16, 24), fit="stretch", **more)


class TestImageVqvaeOfTiles(ImageAutoencoderTester):
    def build_tokenizer(self):
        return trained(image_size=(16, 24), tile_encoder=True)


def test_a_tile_has_its_code_wherever_it_lies():
    model, [image] = trained(tile_encoder=True, codebook_size=64), shapes_on_grey(1, (16, 16), seed=2)
    codes = model.encode([image])[0].view(4, 4)
    assert codes.unique().numel() > 3
    rolled = model.encode([image.roll((4, -8), (1, 2))])[0].view(4, 4)
    assert torch.equal(rolled, codes.roll((1, -2), (0, 1)))
    context = trained(codebook_size=64).encode([image, image.roll((4, -8), (1, 2))])
    assert not torch.equal(context[1].view(4, 4), context[0].view(4, 4).roll((1, -2), (0, 1)))


def test_the_grid_follows_from_the_sizes():
    assert trained(image_size=(16, 24)).grid == (4, 6)
    assert trained(patch_size=1).grid == (8, 8) and trained(block_out_channels=[16, 16, 16]).grid == (2, 2)


def test_training_learns_to_draw():
    model = build(codebook_size=64, ema_decay=0.9, revive_after=30, l2_weight=10.0).train()
    batch = shapes_on_grey(6, (16, 16))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    flat = float((batch - batch.mean((2, 3), keepdim=True)).abs().mean())  # what one colour a picture costs
    for _ in range(80):
        output = model(batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert (output.pixels - batch).abs().mean().item() < 0.45 * flat
    assert float(output.perplexity) > 8


def test_the_losses_are_weighed_as_the_config_says():
    batch = shapes_on_grey(4, (16, 16))
    model = trained(l1_weight=2.0, l2_weight=3.0, commitment_weight=0.5)
    with torch.no_grad():
        output = model(batch)
    difference = output.pixels - batch
    wanted = 2 * difference.abs().mean() + 3 * difference.square().mean()
    torch.testing.assert_close(output.reconstruction_loss, wanted)
    torch.testing.assert_close(output.loss, wanted + 0.5 * output.commitment_loss)
    torch.testing.assert_close(model.pixels_of(output.codes), output.pixels, rtol=1e-4, atol=1e-5)


def test_faint_tiles_weigh_as_much_as_bold_ones_where_contrast_counts():
    edge = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(3, 4, 4)
    batch = torch.full((1, 3, 16, 16), 0.5)
    batch[0, :, :4, :4], batch[0, :, 4:8, 4:8] = 0.5 * edge, 0.5 + 0.05 * edge
    variances = tile_variances(batch, 4)
    assert variances.shape == (1, 1, 16, 16)
    assert variances[0, 0, 0, 3].item() == pytest.approx(0.0625)
    assert variances[0, 0, 7, 7].item() == pytest.approx(0.000625, abs=1e-6)
    assert float(variances[0, 0, 8:].max()) == pytest.approx(0.0, abs=1e-6)
    model = trained(l1_weight=0.0, contrast_weight=2.0)
    with torch.no_grad():
        output = model(batch)
    wanted = 2 * ((output.pixels - batch).square() / (variances + FAINT)).mean()
    torch.testing.assert_close(output.reconstruction_loss, wanted)


def test_dead_codes_go_where_vectors_are_far_from_theirs():
    """Nine vectors in ten are one and the same; its doubles would be dead again."""
    shares = {}
    for revive_far in (False, True):
        torch.manual_seed(0)
        book = MovingCodebook(ImageVqvaeConfig(**{**SIZES, "revive_after": 3}), revive_far=revive_far)
        for _ in range(4):
            book.learn(torch.cat([torch.ones(270, 8), 4 * torch.randn(30, 8)]))
        shares[revive_far] = float((book.vectors - 1).square().sum(1).gt(0.01).float().mean())
    assert shares[True] > 0.9 and shares[False] < 0.5
    same = MovingCodebook(ImageVqvaeConfig(**{**SIZES, "revive_after": 1}), revive_far=True)
    for _ in range(4):
        same.learn(torch.ones(20, 8))  # nothing is far from anything
    assert same.is_set


def test_half_precision_gives_the_codes_of_full_precision():
    model = build(tile_encoder=True, revive_after=3).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        model(shapes_on_grey(8, (16, 16))).loss.backward()
        optimizer.step()
    images = list(shapes_on_grey(8, (16, 16)))
    full = torch.cat(model.eval().half().float().encode(images))
    half = torch.cat(model.half().encode(images))
    assert (half == full).float().mean().item() > 0.95


def test_gradient_reaches_every_parameter():
    model = trained().train()
    model(shapes_on_grey(4, (16, 16))).loss.backward()
    lacking = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a bias before attention's softmax moves all scores alike; it has no effect
    assert all(name.endswith("to_k.bias") for name in lacking), lacking


def test_evaluation_moves_nothing_and_the_state_survives_saving(tmp_path):
    model = trained()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model(shapes_on_grey(3, (16, 16), seed=5))
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, ImageVqvae) and not loaded.training
    assert all(torch.equal(before[name], value) for name, value in loaded.state_dict().items())
    assert torch.equal(loaded.centroids, before["codebook.vectors"])


@pytest.mark.parametrize(("norm_type", "widths", "width"), [("group", (8, 16), 6), ("spatial", (32, 32), 4)])
def test_a_vq_model_gives_its_own_codes_and_pixels(norm_type, widths, width, tmp_path):
    from diffusers import VQModel

    torch.manual_seed(0)
    theirs = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, block_out_channels=widths,
        latent_channels=4, vq_embed_dim=width, num_vq_embeddings=32, norm_num_groups=4, sample_size=16, norm_type=norm_type,
        lookup_from_codebook=True,
    ).eval()  # fmt: skip
    torch.nn.init.normal_(theirs.quantize.embedding.weight, std=0.3)
    theirs.save_pretrained(tmp_path / "theirs")
    batch = shapes_on_grey(3, (16, 16))
    with torch.no_grad():
        codes = theirs.quantize(theirs.encode(2 * batch - 1).latents)[2][2].view(3, -1)
        pixels = theirs.decode(codes, force_not_quantize=True, shape=(3, 8, 8, width)).sample / 2 + 0.5
    for ours in (ImageVqvae.from_vq_model(theirs), ImageVqvae.from_vq_model(tmp_path / "theirs")):
        assert ours.grid == (8, 8) and len(ours.fingerprint) == 64
        assert torch.equal(torch.stack(ours.encode(list(batch))), codes) and codes.unique().numel() > 4
        torch.testing.assert_close(torch.stack(ours.decode(list(codes))), pixels.clamp(0, 1), rtol=1e-4, atol=1e-5)
    unit = ImageVqvae.from_vq_model(theirs, pixel_mean=0.0, pixel_std=1.0, image_size=32)
    assert unit.grid == (16, 16) and unit.fingerprint != ours.fingerprint


def test_a_vq_model_of_other_blocks_is_refused():
    from diffusers import VQModel

    model = VQModel(
        down_block_types=("AttnDownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",), block_out_channels=(8,),
        norm_num_groups=4,
    )  # fmt: skip
    with pytest.raises(ValueError, match="AttnDownEncoderBlock2D"):
        ImageVqvae.from_vq_model(model)


def test_no_codes_before_training():
    model = build().eval()
    assert model.compute_fingerprint() == ""
    for call in (
        lambda: model.encode([torch.rand(3, 16, 16)]),
        lambda: model.decode([torch.zeros(16, dtype=torch.long)]),
        lambda: model(torch.rand(1, 3, 16, 16)),
    ):
        with pytest.raises(ValueError, match="no code book yet"):
            call()


def test_without_diffusers_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers.models.autoencoders.vq_model", None)
    with pytest.raises(ImportError, match="pip install diffusers"):
        build()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 18}, "multiples of 4"),
        ({"image_size": (16, 16, 16)}, r"\[height, width\]"),
        ({"image_size": 0}, "pixels are needed"),
        ({"fit": "zoom"}, "pad, crop, stretch"),
        ({"block_out_channels": [16, 18]}, "multiples of norm_num_groups"),
        ({"block_out_channels": []}, "multiples of norm_num_groups"),
        ({"codebook_size": 0}, "at least 1"),
        ({"ema_decay": 1.0}, "below 1"),
        ({"norm_type": "spatial"}, "multiples of 32"),
        ({"norm_type": "spatial", "block_out_channels": [32, 32], "code_dim": 4}, "the latter two equal"),
        ({"norm_type": "batch"}, "group or spatial"),
        ({"pixel_std": 0.0}, "above 0"),
    ],
)
def test_sizes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        ImageVqvaeConfig(**{**SIZES, **change})
