"""The autoencoder of latent diffusion and its decoder: what is saved, that killed runs go on bit for bit, and what is refused."""

import dataclasses

import pytest
import torch
from command_options import command_options
from picture_rows_testing import picture_rows
from transformers import AutoModel, TrainerCallback

pytest.importorskip("diffusers")

from diffusers import AutoencoderKL

from triglot.modeling.decoders.modeling_latent_diffusion import LatentDiffusion
from triglot.processing.errors import TriglotError
from triglot.training import image_tokenizer_run as run_module
from triglot.training import train_autoencoder_kl as autoencoder_module
from triglot.training import train_latent_diffusion as module
from triglot.training.train_autoencoder_kl import AutoencoderKlArguments, train_autoencoder_kl
from triglot.training.train_latent_diffusion import LatentDiffusionArguments, train_latent_diffusion

RUN = {"image_size": 32, "batch_size": 2, "warmup_steps": 1, "save_steps": 2, "logging_steps": 1, "max_steps": 4}
NETWORK = {"block_out_channels": "8 8", "layers_per_block": 1, "norm_num_groups": 4}
AUTOENCODER = AutoencoderKlArguments(**RUN, **NETWORK, patch_size=2, latent_channels=3, flip_share=0.5, least_crop=0.8)
LATENT = LatentDiffusionArguments(**RUN, **NETWORK, code_dim=4)


class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


@pytest.fixture
def killed(monkeypatch):
    """Runs a training that is killed at its third step."""

    def run(train, *folders):
        trainer = run_module.PartsTrainer
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(
                run_module, "PartsTrainer", lambda callbacks, **more: trainer(callbacks=[*callbacks, Kill()], **more)
            )
            train(*folders)

    return run


@pytest.fixture(scope="module")
def dataset():
    return picture_rows(4)


@pytest.fixture(scope="module")
def autoencoder(dataset, tmp_path_factory):
    return train_autoencoder_kl(dataset, tmp_path_factory.mktemp("kl") / "autoencoder", AUTOENCODER, seed=1)


def alike(one, two):
    return all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


def test_an_autoencoder_is_diffusers_own(autoencoder, dataset, tmp_path, killed):
    model = AutoencoderKL.from_pretrained(autoencoder)
    assert model.config.in_channels == 12 and model.config.latent_channels == 3
    assert model.config.scaling_factor not in (1.0, 0.18215)
    assert not list(autoencoder.glob("*.bin")) and "kl_loss" in (autoencoder / "checkpoints/report.md").read_text()

    def train():
        return train_autoencoder_kl(dataset, tmp_path / "cut", AUTOENCODER, seed=1)

    killed(train)
    assert not (tmp_path / "cut" / "config.json").exists()
    assert alike(model, AutoencoderKL.from_pretrained(train()))


def test_latents_have_a_variance_of_about_1(autoencoder, dataset):
    model = LATENT.build(Codes(), AutoencoderKL.from_pretrained(autoencoder))
    collate = run_module.PictureCollator(
        lambda image: torch.nn.functional.interpolate(image[None], (32, 32))[0], LATENT
    )
    pixels = collate([run_module.ImageRows(dataset)[number] for number in range(4)])["pixel_values"]
    assert 0.5 < float(model.signal_of(pixels).std()) < 2


class Codes:
    codebook_size, grid, modality, fingerprint = 8, (4, 4), "image", "patches"


def test_a_decoder_comes_out_and_a_killed_run_goes_on(dataset, image_tokenizer, autoencoder, tmp_path, killed):
    def train(name):
        return train_latent_diffusion(dataset, image_tokenizer, autoencoder, tmp_path / name, LATENT, seed=1)

    killed(train, "cut")
    assert not (tmp_path / "cut" / "config.json").exists()
    model = AutoModel.from_pretrained(train("whole"))
    assert isinstance(model, LatentDiffusion) and alike(model, AutoModel.from_pretrained(train("cut")))
    assert alike(AutoencoderKL.from_pretrained(autoencoder), model.autoencoder)
    [codes] = AutoModel.from_pretrained(image_tokenizer).encode([torch.rand(3, 20, 30)])
    assert model.decode([codes])[0].shape == (3, 32, 32)


def test_another_autoencoder_is_another_run(dataset, image_tokenizer, autoencoder, tmp_path):
    train_latent_diffusion(dataset, image_tokenizer, autoencoder, tmp_path / "out", LATENT)
    model = AutoencoderKL.from_pretrained(autoencoder)
    torch.nn.init.zeros_(model.decoder.conv_out.bias)
    model.save_pretrained(tmp_path / "other")
    with pytest.raises(TriglotError, match="other settings"):
        train_latent_diffusion(dataset, image_tokenizer, tmp_path / "other", tmp_path / "out", LATENT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 5}, "multiples of 10"),
        ({"block_out_channels": "8 9"}, "norm_num_groups"),
        ({"block_out_channels": ""}, "whole numbers"),
        ({"latent_channels": 0}, "latent_channels"),
    ],
)
def test_autoencoders_that_cannot_be(changes, message, dataset, tmp_path):
    with pytest.raises(TriglotError, match=message):
        train_autoencoder_kl(dataset, tmp_path / "bad", dataclasses.replace(AUTOENCODER, **changes))


def test_what_is_no_autoencoder_is_refused(dataset, image_tokenizer, tmp_path):
    for folder in (image_tokenizer, tmp_path):
        with pytest.raises(TriglotError, match="no autoencoder that loads"):
            train_latent_diffusion(dataset, image_tokenizer, folder, tmp_path / "out", LATENT)


def test_the_command_lines(image_tokenizer, tmp_path):
    scenes = {"scenes": 3, "max_steps": 1}
    autoencoder, out = str(tmp_path / "autoencoder"), str(tmp_path / "out")
    autoencoder_module.main(["--out", autoencoder, *command_options(dataclasses.replace(AUTOENCODER, **scenes))])
    options = command_options(dataclasses.replace(LATENT, **scenes))
    module.main(["--tokenizer", str(image_tokenizer), "--autoencoder", autoencoder, "--out", out, *options])
    assert LatentDiffusion.from_pretrained(out).config.signal_shape == (3, 8, 8)
