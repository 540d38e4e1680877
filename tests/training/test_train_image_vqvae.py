"""A VQ-VAE from pictures: what is saved, that a killed run goes on as if nothing had happened, adversaries, and what is refused."""

import json

import pytest
import torch
from datasets import Dataset
from picture_rows_testing import picture_rows
from transformers import AutoModel, Dinov2Config, Dinov2Model, TrainerCallback

from triglot.modeling.tokenizers.configuration_image_vqvae import ImageVqvaeConfig
from triglot.modeling.tokenizers.modeling_image_vqvae import ImageVqvae
from triglot.processing.errors import TriglotError
from triglot.training import image_tokenizer_run as run_module
from triglot.training import train_image_vqvae as module
from triglot.training.image_adversary import AdversaryArguments, FeatureLoss, PatchDiscriminator, VqganInTraining
from triglot.training.train_image_vqvae import ImageVqvaeArguments, train_image_vqvae

pytest.importorskip("diffusers")

TINY = {
    "image_size": 16, "block_out_channels": "8 8", "layers_per_block": 1, "norm_num_groups": 4, "patch_size": 2,
    "codebook_size": 8, "code_dim": 4, "batch_size": 4, "warmup_steps": 1, "save_steps": 2, "logging_steps": 1, "max_steps": 6,
    "learning_rate": 1e-2, "flip_share": 0.5, "least_crop": 0.8,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return picture_rows(8)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    return train_image_vqvae(dataset, tmp_path_factory.mktemp("run") / "vqvae", ImageVqvaeArguments(**TINY), seed=1)


def test_what_is_saved_is_an_image_tokenizer(whole):
    tokenizer = AutoModel.from_pretrained(whole)
    assert isinstance(tokenizer, ImageVqvae) and not tokenizer.training
    assert (tokenizer.codebook_size, tokenizer.grid, tokenizer.centroids.shape) == (8, (4, 4), (8, 4))
    assert len(tokenizer.fingerprint) == 64 and tokenizer.compute_fingerprint() == tokenizer.fingerprint
    assert len(tokenizer.encode([torch.rand(3, 20, 30)])[0]) == 16
    assert not list(whole.rglob("pytorch_model.bin"))
    report = (whole / "checkpoints" / "report.md").read_text()
    assert "4 x 4 of 8 for 16 x 16 pixels" in report and "psnr" in report


def test_it_learns(dataset, tmp_path):
    changes = {**TINY, "flip_share": 0.0, "least_crop": 1.0, "codebook_size": 32, "ema_decay": 0.9, "l2_weight": 5.0}
    pictures = run_module.ImageRows(dataset)
    errors = []
    for steps in (1, 40):
        arguments = ImageVqvaeArguments(**{**changes, "max_steps": steps, "save_steps": 100})
        model = ImageVqvae.from_pretrained(train_image_vqvae(dataset, tmp_path / str(steps), arguments)).eval()
        batch = torch.stack([model.prepare(image) for image in pictures])
        drawn = torch.stack(model.decode(model.encode(list(batch))))
        errors.append(float((drawn - batch).abs().mean()))
    assert errors[1] < 0.6 * errors[0]


def test_a_killed_run_goes_on_to_the_same_weights(dataset, tmp_path, monkeypatch):
    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    trainer = run_module.PartsTrainer
    arguments = ImageVqvaeArguments(**TINY, discriminator_weight=0.5, discriminator_channels=8, discriminator_layers=1)
    whole = train_image_vqvae(dataset, tmp_path / "whole", arguments, seed=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            run_module, "PartsTrainer", lambda callbacks, **more: trainer(callbacks=[*callbacks, Kill()], **more)
        )
        train_image_vqvae(dataset, tmp_path / "cut", arguments, seed=1)
    assert not (tmp_path / "cut" / "config.json").exists()
    resumed = ImageVqvae.from_pretrained(train_image_vqvae(dataset, tmp_path / "cut", arguments, seed=1))
    wanted = ImageVqvae.from_pretrained(whole).state_dict()
    for name, value in resumed.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0, msg=name)
    with pytest.raises(TriglotError, match="codebook_size 8 -> 9"):
        train_image_vqvae(dataset, tmp_path / "cut", ImageVqvaeArguments(**{**TINY, "codebook_size": 9}), seed=1)


def test_scenes_are_drawn_anew_each_time(tmp_path):
    arguments = ImageVqvaeArguments(**{**TINY, "scenes": 3, "max_steps": 2})
    tokenizer = AutoModel.from_pretrained(train_image_vqvae(None, tmp_path / "vqvae", arguments))
    assert tokenizer.codebook_size == 8
    scenes = run_module.pictures_of(None, arguments, seed=0)
    assert len(scenes) == 3 and scenes[0].shape == (3, 16, 16)
    torch.manual_seed(0)
    first, second = scenes[0], scenes[0]
    torch.manual_seed(0)
    assert torch.equal(scenes[0], first) and not torch.equal(first, second)
    assert not any(scene.held_out for scene in scenes.scenes)


def test_the_command_line(dataset, tmp_path, capsys):
    dataset.save_to_disk(str(tmp_path / "rows"))
    options = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    out = tmp_path / "vqvae"
    module.main(["--dataset", str(tmp_path / "rows"), "--out", str(out), *options, "--dtype", "float16", "--no-bf16"])
    assert capsys.readouterr().out.strip().endswith(str(out))
    assert ImageVqvae.from_pretrained(out, dtype="auto").dtype == torch.float16


def adversary(**changes) -> VqganInTraining:
    torch.manual_seed(0)
    sizes = {"image_size": 16, "block_out_channels": [8, 8], "norm_num_groups": 4, "codebook_size": 8, "code_dim": 4}
    tokenizer = ImageVqvae(ImageVqvaeConfig(**sizes, latent_channels=4, patch_size=2))
    settings = {"discriminator_weight": 0.8, "discriminator_channels": 8, "discriminator_layers": 2, **changes}
    return VqganInTraining(tokenizer, AdversaryArguments(**settings)).train()


def test_the_adversary_pulls_at_the_last_weights_as_much_as_the_reconstruction_does():
    model, batch = adversary(), torch.rand(4, 3, 16, 16)
    torch.manual_seed(1)
    both = model(batch)
    both.loss.backward()
    assert all(weight.grad is not None for weight in model.discriminator.parameters())
    with_it = model.tokenizer.last_weight.grad.clone()
    model.zero_grad()
    book = model.tokenizer.codebook.state_dict()
    plain = VqganInTraining(model.tokenizer, AdversaryArguments())
    plain.tokenizer.codebook.load_state_dict(book)
    model.tokenizer.eval()
    plain(batch).loss.backward()
    without = model.tokenizer.last_weight.grad
    ratio = float((with_it - without).norm() / without.norm())
    assert ratio == pytest.approx(0.8, rel=0.1)
    assert both.adaptive_weight > 0 and both.discriminator_loss == pytest.approx(1.0, abs=0.3)


def test_the_discriminator_learns_to_tell_and_waits_for_its_start():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(8, 2)
    assert discriminator(torch.rand(2, 3, 32, 32)).shape == (2, 1, 6, 6)
    model, batch = adversary(discriminator_start=5), torch.rand(8, 3, 16, 16)
    model(batch).loss.backward()
    assert not any(bool(weight.grad.abs().sum() > 0) for weight in model.discriminator.parameters())
    model.step = 5
    optimizer, losses = torch.optim.Adam(model.discriminator.parameters(), 3e-3), []
    for _ in range(25):
        optimizer.zero_grad()
        output = model(batch)
        output.loss.backward()
        optimizer.step()
        losses.append(float(output.discriminator_loss))
    assert losses[-1] < 0.7 * losses[0]


def test_features_of_an_encoder_are_compared(dataset, tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    Dinov2Model(Dinov2Config(**sizes, initializer_range=0.3)).save_pretrained(tmp_path / "dino")
    processor = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "dino" / "preprocessor_config.json").write_text(json.dumps(processor))
    arguments = ImageVqvaeArguments(**TINY, feature_encoder=str(tmp_path / "dino"), feature_layer=2)
    folder = train_image_vqvae(dataset, tmp_path / "vqvae", arguments)
    assert "feature_loss" in (folder / "checkpoints" / "report.md").read_text()
    assert not [name for name in ImageVqvae.from_pretrained(folder).state_dict() if "units" in name]
    loss, batch = FeatureLoss(str(tmp_path / "dino"), 1), torch.rand(2, 3, 24, 24)
    assert float(loss(batch, batch)) == pytest.approx(0.0, abs=1e-6)
    drawn = torch.rand(2, 3, 24, 24).requires_grad_()
    distance = loss(drawn, batch)
    distance.backward()
    assert 0 < distance.item() < 4 and drawn.grad.abs().sum() > 0
    with pytest.raises(TriglotError, match="cannot be used"):
        FeatureLoss(str(tmp_path), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 18}, "multiples of 4"),
        ({"block_out_channels": "8, 8"}, "whole numbers"),
        ({"norm_num_groups": 3}, "multiples of norm_num_groups"),
        ({"optimizer": "sgd"}, "adamw or muon"),
        ({"dtype": "int8"}, "float32 or float16"),
        ({"max_steps": 0}, "at least 1"),
        ({"flip_share": 1.5}, "0 to 1"),
        ({"scenes": -1}, "0 or more"),
        ({"discriminator_weight": -1.0}, "0 or more"),
    ],
)
def test_refused(dataset, tmp_path, change, message):
    with pytest.raises(TriglotError, match=message):
        train_image_vqvae(dataset, tmp_path / "vqvae", ImageVqvaeArguments(**{**TINY, **change}))


def test_data_that_cannot_be_used(dataset, tmp_path):
    arguments = ImageVqvaeArguments(**TINY)
    with pytest.raises(TriglotError, match="scenes to draw"):
        train_image_vqvae(None, tmp_path / "x", arguments)
    with pytest.raises(TriglotError, match="`image` is needed"):
        train_image_vqvae(dataset.rename_column("image", "picture"), tmp_path / "x", arguments)
    with pytest.raises(TriglotError, match="no rows"):
        train_image_vqvae(dataset.select([]), tmp_path / "x", arguments)
    broken = Dataset.from_dict({"image": [{"bytes": b"noise", "path": None}]})
    with pytest.raises(TriglotError, match="image of row 0"):
        train_image_vqvae(broken, tmp_path / "x", arguments)
    empty = Dataset.from_dict({"image": [None, None]}, features=dataset.features)
    with pytest.raises(TriglotError, match="None of the 2 rows has a picture"):
        train_image_vqvae(empty, tmp_path / "x", arguments)
