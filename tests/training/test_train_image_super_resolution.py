"""train_image_super_resolution: what is saved, that a killed run goes on, that what it learns beats enlarging, and what is refused."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from command_options import command_options
from image_decoder_testing_parts import tiny_gan
from picture_rows_testing import picture_rows
from transformers import AutoModel

pytest.importorskip("diffusers")

from triglot.modeling.decoders.modeling_image_super_resolution import ImageSuperResolution
from triglot.processing.errors import TriglotError
from triglot.training.data.picture_rows import ImageRows
from triglot.training.image_decoder_run import PicturesWithCodes, codes_tokenizer
from triglot.training.image_metrics import psnr
from triglot.training.train_image_super_resolution import (
    ImageSuperResolutionArguments,
    main,
    train_image_super_resolution,
)

TINY = ImageSuperResolutionArguments(
    image_size=64, scales="2 2", patch_sizes="4 4", block_out_channels="8", norm_num_groups=4, crop_size=16, batch_size=2,
    warmup_steps=1, save_steps=2, logging_steps=1, max_steps=2, sampling_steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset():
    return picture_rows(4, side=32)


@pytest.fixture(scope="module")
def base(image_tokenizer, tmp_path_factory):
    """A folder with an untrained decoder of the tokenizer's codes."""
    folder = tmp_path_factory.mktemp("base") / "gan"
    tiny_gan(AutoModel.from_pretrained(image_tokenizer)).save_pretrained(folder)
    return folder


def test_a_folder_holds_the_base_and_the_stages(dataset, image_tokenizer, base, tmp_path):
    out = train_image_super_resolution(dataset, image_tokenizer, base, tmp_path / "out", TINY)
    model, below = AutoModel.from_pretrained(out), AutoModel.from_pretrained(base)
    assert isinstance(model, ImageSuperResolution) and model.fingerprint == below.fingerprint
    assert all(torch.equal(value, model.base.state_dict()[name]) for name, value in below.state_dict().items())
    assert model.decode([torch.zeros(64, dtype=torch.long)])[0].shape == (3, 64, 64)
    assert "64 x 64 pixels" in (out / "checkpoints" / "report.md").read_text()


def test_what_it_learnt_by_heart_is_sharper_than_enlarging(dataset, image_tokenizer, base, tmp_path):
    arguments = dataclasses.replace(
        TINY, image_size=32, scales="2", patch_sizes="4", block_out_channels="32 32", crop_size=0, batch_size=4, max_steps=120,
        learning_rate=5e-3, save_steps=1000, bf16=False, pixel_mean=0.8, pixel_std=0.25, sampling_steps=4, most_augmented=0.0, augmented=0.0, logging_steps=60,
    )  # fmt: skip
    model = AutoModel.from_pretrained(
        train_image_super_resolution(dataset, image_tokenizer, base, tmp_path / "out", arguments)
    )
    pictures = ImageRows(dataset)
    batch = PicturesWithCodes(codes_tokenizer(image_tokenizer), arguments)([pictures[index] for index in range(4)])
    large = batch["pixel_values"]
    small = F.avg_pool2d(large, 2)
    enlarged = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    shown = iter(small)
    model.base.draw = lambda codes, generator: next(shown)[None]
    drawn = torch.stack(model.decode(list(batch["codes"])))
    gained = psnr(drawn, large) - psnr(enlarged, large)
    assert float(gained.min()) > 0 and float(gained.mean()) > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 32}, "the stages make 64 x 64"),
        ({"scales": "2"}, "one patch size"),
        ({"scales": "two"}, "whole numbers"),
        ({"augmented": 0.9}, "augmented is 0.9"),
    ],
)
def test_bad_settings_are_typed_errors(changes, message, dataset, image_tokenizer, base, tmp_path):
    with pytest.raises(TriglotError, match=message):
        train_image_super_resolution(
            dataset, image_tokenizer, base, tmp_path / "bad", dataclasses.replace(TINY, **changes)
        )


def test_bases_that_cannot_be(dataset, image_tokenizer, base, tmp_path):
    other = AutoModel.from_pretrained(base)
    other.config.fingerprint = "another"
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(TriglotError, match="another tokenizer"):
        train_image_super_resolution(dataset, image_tokenizer, tmp_path / "other", tmp_path / "out", TINY)
    with pytest.raises(TriglotError, match="no image decoder"):
        train_image_super_resolution(dataset, image_tokenizer, image_tokenizer, tmp_path / "out", TINY)


def test_the_command_line(image_tokenizer, base, tmp_path):
    options = command_options(dataclasses.replace(TINY, scenes=3, max_steps=1, dtype="float16"))
    out = str(tmp_path / "out")
    main(["--tokenizer", str(image_tokenizer), "--base", str(base), "--out", out, *options])
    assert ImageSuperResolution.from_pretrained(out, dtype="auto").dtype == torch.float16
