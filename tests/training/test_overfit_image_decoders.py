"""Each kind of image decoder, taught a batch by heart: it draws the pictures of these codes, whatever the noise."""

import pytest
import torch
from picture_rows_testing import picture_rows
from transformers import AutoModel

pytest.importorskip("diffusers")

from triglot.training.data.picture_rows import ImageRows
from triglot.training.image_decoder_run import PicturesWithCodes, codes_tokenizer
from triglot.training.image_metrics import psnr
from triglot.training.train_image_diffusion import ImageDiffusionArguments, train_image_diffusion
from triglot.training.train_image_gan import ImageGanArguments, train_image_gan

RUN = {"image_size": 16, "batch_size": 4, "warmup_steps": 5, "save_steps": 1000, "logging_steps": 50, "bf16": False}
NETWORK = {"block_out_channels": "32 32", "layers_per_block": 1, "norm_num_groups": 4, "sampling_steps": 4}
PIXELS = {"pixel_mean": 0.75, "pixel_std": 0.3}
KINDS = {
    "diffusion": (
        train_image_diffusion,
        ImageDiffusionArguments(**RUN, **NETWORK, **PIXELS, patch_size=2, max_steps=150, learning_rate=5e-3),
    ),
    "gan": (
        train_image_gan,
        ImageGanArguments(
            **RUN,
            block_out_channels="16 16",
            layers_per_block=1,
            norm_num_groups=4,
            l2_weight=10.0,
            discriminator_channels=8,
            discriminator_layers=1,
            adversary_start=60,
            max_steps=120,
            learning_rate=5e-3,
        ),
    ),
}


@pytest.fixture(scope="module")
def dataset():
    return picture_rows(4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_learnt_by_heart_is_drawn(kind, dataset, image_tokenizer, tmp_path):
    train, arguments = KINDS[kind]
    decoder = AutoModel.from_pretrained(train(dataset, image_tokenizer, tmp_path / kind, arguments))
    pictures = ImageRows(dataset)
    batch = PicturesWithCodes(codes_tokenizer(image_tokenizer), arguments)([pictures[index] for index in range(4)])
    codes, wanted = list(batch["codes"]), batch["pixel_values"]
    drawn = torch.stack(decoder.decode(codes, seed=3))
    others = torch.stack(decoder.decode(codes[1:] + codes[:1], seed=3))
    assert float(psnr(drawn, wanted).min()) > 18 > float(psnr(others, wanted).max())
