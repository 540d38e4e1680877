"""train_image_gan: what is saved, that a killed run goes on bit for bit, that the adversary counts, and what is refused."""

import dataclasses
import json

import pytest
import torch
from command_options import command_options
from picture_rows_testing import picture_rows
from transformers import AutoModel

pytest.importorskip("diffusers")

from triglot.modeling.decoders.modeling_image_gan import ImageGan
from triglot.processing.errors import TriglotError
from triglot.training import adversarial_run
from triglot.training.train_image_gan import ImageGanArguments, PictureDuel, main, train_image_gan

TINY = ImageGanArguments(
    image_size=32, block_out_channels="8 8", layers_per_block=1, norm_num_groups=4, patch_size=2, code_dim=4, noise_channels=2,
    discriminator_channels=8, discriminator_layers=1, adversary_start=1, batch_size=2, warmup_steps=1, save_steps=2, logging_steps=2,
    max_steps=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset():
    return picture_rows(4)


def test_a_killed_run_goes_on_to_the_same_weights(dataset, image_tokenizer, tmp_path, monkeypatch):
    whole = train_image_gan(dataset, image_tokenizer, tmp_path / "whole", TINY, seed=1)
    step = adversarial_run._Run.step

    def stopping(self, batch):
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        step(self, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(adversarial_run._Run, "step", stopping)
        train_image_gan(dataset, image_tokenizer, tmp_path / "cut", TINY, seed=1)
    assert not (tmp_path / "cut" / "config.json").exists()
    resumed = ImageGan.from_pretrained(train_image_gan(dataset, image_tokenizer, tmp_path / "cut", TINY, seed=1))
    model = AutoModel.from_pretrained(whole)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in model.state_dict().items())
    tokenizer = AutoModel.from_pretrained(image_tokenizer)
    assert isinstance(model, ImageGan) and (model.fingerprint, model.grid) == (tokenizer.fingerprint, tokenizer.grid)
    assert not any("discriminator" in name for name in model.state_dict())
    log = json.loads((whole / "checkpoints/checkpoint-4/trainer_state.json").read_text())["log_history"]
    assert {"reconstruction_loss", "adversarial_loss", "discriminator_loss", "adaptive_weight"} <= set(log[-1])
    assert "of the discriminator" in (whole / "checkpoints" / "report.md").read_text()


def test_the_adversary_pulls_as_much_as_the_pixels_do(image_tokenizer):
    torch.manual_seed(0)
    model = TINY.build(AutoModel.from_pretrained(image_tokenizer)).train()
    duel = PictureDuel(model, TINY)
    batch = {"codes": torch.randint(8, (2, 64)), "pixel_values": torch.rand(2, 3, 32, 32)}
    output = model(**batch)
    grads = []
    for made in (None, duel.discriminator(output.pixels)):
        loss = duel.generator_loss(output, None, made, {})
        grads.append(torch.autograd.grad(loss, model.last_layer.weight, retain_graph=True)[0])
    assert float((grads[1] - grads[0]).norm() / grads[0].norm()) == pytest.approx(0.8, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 5}, "make 80 x 80"),
        ({"block_out_channels": "8,8"}, "whole numbers"),
        ({"optimizer": "muon"}, "adamw"),
        ({"discriminator_weight": -1.0}, "discriminator_weight"),
        ({"discriminator_layers": 0}, "discriminator_layers"),
        ({"learning_rate": 1e30, "bf16": False, "adversary_start": 9}, "The loss is"),
    ],
)
def test_bad_settings_are_typed_errors(changes, message, dataset, image_tokenizer, tmp_path):
    with pytest.raises(TriglotError, match=message):
        train_image_gan(dataset, image_tokenizer, tmp_path / "bad", dataclasses.replace(TINY, **changes))
    assert not (tmp_path / "bad" / "config.json").exists()


def test_the_command_line(image_tokenizer, tmp_path, capsys):
    options = command_options(dataclasses.replace(TINY, scenes=3, max_steps=1, dtype="float16"))
    main(["--tokenizer", str(image_tokenizer), "--out", str(tmp_path / "out"), *options])
    assert ImageGan.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.float16
