"""train_image_diffusion: what is saved, that a killed run goes on bit for bit, published UNets as a start, and what is refused."""

import dataclasses

import pytest
import torch
from command_options import command_options
from picture_rows_testing import picture_rows
from transformers import AutoModel, TrainerCallback

pytest.importorskip("diffusers")

import diffusers

from triglot.modeling.decoders.modeling_image_diffusion import ImageDiffusion
from triglot.processing.errors import TriglotError
from triglot.training import image_tokenizer_run as run_module
from triglot.training.image_decoder_run import PicturesWithCodes, codes_tokenizer, fit_of
from triglot.training.train_image_diffusion import ImageDiffusionArguments, main, train_image_diffusion

TINY = ImageDiffusionArguments(
    image_size=32, block_out_channels="8 8", layers_per_block=1, norm_num_groups=4, patch_size=4, code_dim=4, batch_size=2,
    warmup_steps=1, save_steps=2, logging_steps=1, max_steps=4, flip_share=0.5, least_crop=0.8,
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset():
    return picture_rows(4)


def test_a_decoder_comes_out_that_draws_the_tokenizers_codes(dataset, image_tokenizer, tmp_path):
    out = train_image_diffusion(dataset, image_tokenizer, tmp_path / "out", TINY)
    model, tokenizer = AutoModel.from_pretrained(out), AutoModel.from_pretrained(image_tokenizer)
    assert isinstance(model, ImageDiffusion) and not model.training
    assert (model.fingerprint, model.codebook_size, model.grid) == (tokenizer.fingerprint, 8, tokenizer.grid)
    [codes] = tokenizer.encode([torch.rand(3, 20, 30)])
    assert model.decode([codes])[0].shape == (3, 32, 32)  # larger than what the tokenizer saw
    report = (out / "checkpoints" / "report.md").read_text()
    assert "8 x 8 of 8" in report and "32 x 32 pixels" in report and "signal_loss" in report


def test_a_killed_run_goes_on_to_the_same_weights(dataset, image_tokenizer, tmp_path, monkeypatch):
    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    trainer = run_module.PartsTrainer
    whole = train_image_diffusion(dataset, image_tokenizer, tmp_path / "whole", TINY, seed=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            run_module, "PartsTrainer", lambda callbacks, **more: trainer(callbacks=[*callbacks, Kill()], **more)
        )
        train_image_diffusion(dataset, image_tokenizer, tmp_path / "cut", TINY, seed=1)
    assert not (tmp_path / "cut" / "config.json").exists()
    resumed = train_image_diffusion(dataset, image_tokenizer, tmp_path / "cut", TINY, seed=1)
    wanted = ImageDiffusion.from_pretrained(whole).state_dict()
    for name, value in ImageDiffusion.from_pretrained(resumed).state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0, msg=name)
    with pytest.raises(TriglotError, match="code_dim 4 -> 5"):
        train_image_diffusion(
            dataset, image_tokenizer, tmp_path / "cut", dataclasses.replace(TINY, code_dim=5), seed=1
        )


def test_codes_are_those_of_the_very_pictures(dataset, image_tokenizer):
    """Cropped and flipped: the tokenizer sees what is to be drawn, made to fit by its own rule."""
    tokenizer = codes_tokenizer(image_tokenizer)
    torch.manual_seed(0)
    batch = PicturesWithCodes(tokenizer, TINY)([torch.rand(3, 40, 30), torch.rand(3, 9, 9)])
    assert batch["pixel_values"].shape == (2, 3, 32, 32) and fit_of(tokenizer) == "pad"
    assert all(torch.equal(*pair) for pair in zip(batch["codes"], tokenizer.encode(list(batch["pixel_values"]))))


def test_it_begins_with_a_published_unet(dataset, image_tokenizer, tmp_path):
    theirs = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=48, out_channels=48, down_block_types=["CrossAttnDownBlock2D"], up_block_types=["CrossAttnUpBlock2D"],
        block_out_channels=[8], layers_per_block=1, norm_num_groups=4, cross_attention_dim=6, attention_head_dim=2,
    )  # fmt: skip
    theirs.save_pretrained(tmp_path / "unet")
    arguments = dataclasses.replace(TINY, unet=str(tmp_path / "unet"), max_steps=1, learning_rate=0.0)
    model = ImageDiffusion.from_pretrained(
        train_image_diffusion(dataset, image_tokenizer, tmp_path / "out", arguments)
    )
    assert model.config.attends and model.config.code_dim == 6
    assert all(torch.equal(value, model.unet.state_dict()[name]) for name, value in theirs.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 5}, "multiples of 5"),
        ({"block_out_channels": "8 x"}, "whole numbers"),
        ({"prediction_type": "guess"}, "prediction_type"),
        ({"guidance_scale": 2.0, "condition_dropout": 0.0}, "condition_dropout"),
        ({"code_dim": 0}, "code_dim"),
        ({"unet": "nowhere"}, "nowhere"),
        ({"learning_rate": 1e30, "bf16": False}, "The loss is"),
    ],
)
def test_bad_settings_are_typed_errors(changes, message, dataset, image_tokenizer, tmp_path):
    with pytest.raises(TriglotError, match=message):
        train_image_diffusion(dataset, image_tokenizer, tmp_path / "bad", dataclasses.replace(TINY, **changes))
    assert not (tmp_path / "bad" / "config.json").exists()


def test_what_it_needs_is_told(dataset, image_tokenizer, random_checkpoint, tmp_path):
    with pytest.raises(TriglotError, match="scenes is 0"):
        train_image_diffusion(None, image_tokenizer, tmp_path / "out", TINY)
    with pytest.raises(TriglotError, match="other media"):
        train_image_diffusion(dataset, random_checkpoint / "speech_tokenizer", tmp_path / "out", TINY)


def test_the_command_line(image_tokenizer, tmp_path, capsys):
    out = tmp_path / "out"
    options = command_options(dataclasses.replace(TINY, scenes=3, max_steps=1, dtype="float16"))
    main(["--tokenizer", str(image_tokenizer), "--out", str(out), *options])
    assert capsys.readouterr().out.strip().endswith(str(out))
    assert ImageDiffusion.from_pretrained(out, dtype="auto").dtype == torch.float16
