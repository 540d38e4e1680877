"""ImageDvae: the contract of tokenizers, FLAVA's code book as its encoder, the likelihood, the relaxation."""

import copy
import math

import pytest
import torch
from image_tokenizer_testing import ImageAutoencoderTester, shapes_on_grey
from transformers import AutoModel, FlavaImageCodebook, FlavaImageCodebookConfig

import triglot  # noqa: F401  (registers the model)
from triglot.modeling.tokenizers.configuration_image_dvae import ImageDvaeConfig
from triglot.modeling.tokenizers.modeling_image_dvae import ImageDvae, logit_laplace, map_pixels, unmap_pixels

SIZES = {
    "image_size": 32, "codebook_size": 32, "hidden_size": 8, "num_blocks_per_group": 1, "code_dim": 8, "decoder_hidden_size": 8,
    "decoder_blocks_per_group": 1,
}  # fmt: skip


def build(**changes) -> ImageDvae:
    torch.manual_seed(0)
    model = ImageDvae(ImageDvaeConfig(**{**SIZES, **changes})).eval()
    spread(model.encoder, model.config.shape)
    model.config.fingerprint = model.compute_fingerprint()
    return model


@torch.no_grad()
def spread(encoder: FlavaImageCodebook, shape: tuple[int, int]) -> None:
    """Takes from new weights what their logits have in common, so that codes differ."""
    logits = encoder(0.8 * shapes_on_grey(8, shape, seed=9) + 0.1)
    encoder.blocks.output.conv.bias.sub_(logits.mean((0, 2, 3)))


class TestImageDvae(ImageAutoencoderTester):
    def build_tokenizer(self):
        return build()


class TestOblongImageDvae(ImageAutoencoderTester):
    def build_tokenizer(self):
        return build(image_size=(16, 40), fit="crop")


def flava(folder=None) -> FlavaImageCodebook:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_blocks_per_group": 2, "vocab_size": 40, "initializer_range": 0.2}
    model = FlavaImageCodebook(FlavaImageCodebookConfig(**sizes)).eval()
    spread(model, (32, 32))
    if folder is not None:
        model.save_pretrained(folder)
    return model


def test_the_codes_are_those_of_flavas_code_book(tmp_path):
    theirs, batch = flava(tmp_path / "flava"), shapes_on_grey(4, (32, 32))
    wanted = theirs.get_codebook_indices(0.8 * batch + 0.1).flatten(1)
    assert wanted.unique().numel() > 4
    for given in (theirs, tmp_path / "flava"):
        ours = ImageDvae.from_flava_codebook(given, image_size=32, decoder_hidden_size=8, code_dim=8)
        assert (ours.codebook_size, ours.grid) == (40, (4, 4)) and len(ours.fingerprint) == 64
        assert torch.equal(torch.stack(ours.encode(list(batch))), wanted)
    ours.save_pretrained(tmp_path / "ours")
    loaded = AutoModel.from_pretrained(tmp_path / "ours")
    assert isinstance(loaded, ImageDvae) and torch.equal(torch.stack(loaded.encode(list(batch))), wanted)
    assert all(weight.requires_grad for weight in loaded.parameters())


def test_dalles_sizes_are_the_defaults():
    config = ImageDvaeConfig()
    assert (config.grid, config.codebook_size, config.pixel_margin) == ([32, 32], 8192, 0.1)
    with torch.device("meta"):
        model = ImageDvae(config)
    count = {name: sum(w.numel() for w in part.parameters()) for name, part in model.named_children()}
    assert count["encoder"] == pytest.approx(53.8e6, rel=0.01)  # of dall_e/encoder.py
    assert count["codebook"] == 8192 * 128


def test_new_weights_have_the_deviation_of_their_inputs():
    model = ImageDvae(ImageDvaeConfig(**{**SIZES, "hidden_size": 32, "decoder_hidden_size": 32}))
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Conv2d) and part.weight.numel() > 2_000:
            wanted = part.weight[0].numel() ** -0.5
            assert part.weight.std().item() == pytest.approx(wanted, rel=0.15), name


def test_the_likelihood_is_a_density():
    values = torch.linspace(0.0005, 0.9995, 1_000, dtype=torch.float64)
    for mean, log_scale in ((0.0, 0.0), (1.5, -1.0), (-2.0, -0.5)):
        density = logit_laplace(values, torch.tensor(mean), torch.tensor(log_scale)).exp()
        assert float(density.mean()) == pytest.approx(1.0, abs=0.02)
    pixels = torch.rand(5)
    torch.testing.assert_close(unmap_pixels(map_pixels(pixels, 0.1), 0.1), pixels)
    assert map_pixels(torch.tensor([0.0, 1.0]), 0.1).tolist() == pytest.approx([0.1, 0.9])


def test_the_divergence_is_that_from_the_uniform_distribution():
    model, batch = build(), shapes_on_grey(2, (32, 32))
    with torch.no_grad():
        shares = model.encoder.get_codebook_probs(map_pixels(batch, 0.1))
        output = model(batch, kl_weight=3.0)
        entropy = torch.special.entr(shares).sum(1).mean()
        torch.testing.assert_close(output.kl_loss, math.log(32) - entropy)
        # both in nats a picture: 16 codes, 3 * 32 * 32 values
        torch.testing.assert_close(output.loss, output.reconstruction_loss + 3.0 * output.kl_loss * 16 / 3072)
        torch.testing.assert_close(model.pixels_of(output.codes), output.pixels)
        for weight in model.encoder.blocks.output.conv.parameters():
            weight.zero_()
        assert float(model(batch).kl_loss) == pytest.approx(0.0, abs=1e-5)


def test_the_relaxation_becomes_a_choice_when_it_cools():
    model, batch = build(), shapes_on_grey(2, (32, 32))

    def pixels(temperature):
        torch.manual_seed(3)
        with torch.no_grad():
            return model(batch, temperature=temperature).pixels

    logits = model.encoder(map_pixels(batch, 0.1)).detach()
    torch.manual_seed(3)
    codes = torch.nn.functional.gumbel_softmax(logits, 1.0, dim=1).argmax(1)
    chosen = model.pixels_of(codes).detach()
    distances = [float((pixels(temperature) - chosen).abs().mean()) for temperature in (5.0, 0.5, 0.001)]
    assert distances[0] > distances[1] > distances[2] and distances[2] < 1e-4
    torch.manual_seed(3)
    with torch.no_grad():
        assert torch.equal(model(batch).pixels, pixels(0.0)), "evaluation must not be random"


def test_gradient_reaches_every_parameter_and_hard_codes_stop_it():
    model = build().train()
    model(shapes_on_grey(4, (32, 32)), temperature=1.0).loss.backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    model.zero_grad()
    model(shapes_on_grey(4, (32, 32)), temperature=0.0, kl_weight=0.0).loss.backward()
    assert not any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.decoder.parameters())


def test_training_learns_to_draw():
    model, batch = build(codebook_size=64).train(), shapes_on_grey(4, (32, 32))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    flat = float((batch - batch.mean((2, 3), keepdim=True)).abs().mean())  # what one colour a picture costs
    torch.manual_seed(0)
    for step in range(70):
        output = model(batch, temperature=max(0.1, 0.95**step), kl_weight=0.0)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    drawn = torch.stack(model.decode(model.encode(list(batch))))
    assert float((drawn - batch).abs().mean()) < 0.75 * flat
    assert output.codes.unique().numel() >= 4 and output.kl_loss > 1


def test_the_fingerprint_names_the_encoder_alone():
    model, other = build(), copy.deepcopy(build())
    with torch.no_grad():
        other.decoder.last.weight.add_(1.0)
    assert other.compute_fingerprint() == model.fingerprint
    other.config.pixel_margin = 0.05
    assert other.compute_fingerprint() != model.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 36}, "multiples of 8"),
        ({"codebook_size": 0}, "at least 1"),
        ({"hidden_size": 2}, "at least 4"),
        ({"pixel_margin": 0.5}, "between 0 and 0.5"),
        ({"temperature": 0.0}, "above 0"),
        ({"kl_weight": -1}, "0 or more"),
    ],
)
def test_sizes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        ImageDvaeConfig(**{**SIZES, **change})
