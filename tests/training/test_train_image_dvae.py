"""A discrete VAE from pictures: what is annealed, what is saved, a decoder for FLAVA's codes, and that a killed run goes on."""

import pytest
import torch
from datasets import Dataset
from picture_rows_testing import picture_rows
from transformers import AutoModel, FlavaImageCodebook, FlavaImageCodebookConfig, TrainerCallback

from triglot.modeling.tokenizers.modeling_image_dvae import ImageDvae
from triglot.processing.errors import TriglotError
from triglot.training import image_tokenizer_run as run_module
from triglot.training import train_image_dvae as module
from triglot.training.train_image_dvae import DvaeInTraining, ImageDvaeArguments, train_image_dvae

TINY = {
    "image_size": 16, "image_width": 24, "codebook_size": 16, "hidden_size": 4, "num_blocks_per_group": 1, "code_dim": 4,
    "decoder_hidden_size": 4, "decoder_blocks_per_group": 1, "batch_size": 4, "warmup_steps": 1, "save_steps": 2,
    "logging_steps": 1, "max_steps": 6, "learning_rate": 3e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return picture_rows(8)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    return train_image_dvae(dataset, tmp_path_factory.mktemp("run") / "dvae", ImageDvaeArguments(**TINY), seed=1)


def test_what_is_saved_is_an_image_tokenizer(whole):
    tokenizer = AutoModel.from_pretrained(whole)
    assert isinstance(tokenizer, ImageDvae) and not tokenizer.training
    assert (tokenizer.codebook_size, tokenizer.grid) == (16, (2, 3))
    assert len(tokenizer.fingerprint) == 64 and tokenizer.compute_fingerprint() == tokenizer.fingerprint
    assert tokenizer.decode(tokenizer.encode([torch.rand(3, 20, 30)]))[0].shape == (3, 16, 24)
    report = (whole / "checkpoints" / "report.md").read_text()
    assert "2 x 3 of 16 for 16 x 24 pixels" in report and "temperature" in report


def test_the_temperature_falls_and_the_kl_weight_rises():
    arguments = ImageDvaeArguments(**{**TINY, "max_steps": 100})
    model = DvaeInTraining(arguments.build(), arguments)
    seen = []
    for step in (0, 5, 10, 25, 50, 100):
        model.step = step
        seen.append((model.temperature, model.kl_weight))
    assert seen[0] == (1.0, 0.0) and seen[-1] == seen[-2] == (1 / 16, 6.6)
    assert seen[1][1] == pytest.approx(3.3) and seen[2][1] == 6.6
    assert seen[3][0] == pytest.approx((1 + 1 / 16) / 2)


def test_it_learns(dataset, tmp_path):
    pictures, likelihoods = run_module.ImageRows(dataset), []
    for steps in (1, 30):
        arguments = ImageDvaeArguments(**{**TINY, "max_steps": steps, "save_steps": 100, "kl_weight": 0.0})
        model = ImageDvae.from_pretrained(train_image_dvae(dataset, tmp_path / str(steps), arguments)).eval()
        with torch.no_grad():
            output = model(torch.stack([model.prepare(image) for image in pictures]))
        likelihoods.append(float(output.reconstruction_loss))
    assert likelihoods[1] < likelihoods[0] - 0.5  # nats a value


def test_a_killed_run_goes_on_to_the_same_weights(dataset, whole, tmp_path, monkeypatch):
    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    trainer = run_module.PartsTrainer
    arguments = ImageDvaeArguments(**TINY)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            run_module, "PartsTrainer", lambda callbacks, **more: trainer(callbacks=[*callbacks, Kill()], **more)
        )
        train_image_dvae(dataset, tmp_path / "cut", arguments, seed=1)
    resumed = ImageDvae.from_pretrained(train_image_dvae(dataset, tmp_path / "cut", arguments, seed=1))
    wanted = ImageDvae.from_pretrained(whole).state_dict()
    for name, value in resumed.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0, msg=name)


def test_a_decoder_for_flavas_codes(dataset, tmp_path):
    torch.manual_seed(0)
    flava = FlavaImageCodebook(FlavaImageCodebookConfig(hidden_size=8, num_blocks_per_group=1, vocab_size=40))
    flava.save_pretrained(tmp_path / "flava")
    arguments = ImageDvaeArguments(**TINY, encoder=str(tmp_path / "flava"))
    first = arguments.build()
    trained = ImageDvae.from_pretrained(train_image_dvae(dataset, tmp_path / "dvae", arguments))
    assert trained.codebook_size == 40 and trained.fingerprint == first.fingerprint
    for name, value in flava.state_dict().items():
        assert torch.equal(trained.encoder.state_dict()[name], value)
    assert not torch.equal(trained.decoder.last.weight, first.decoder.last.weight)


def test_the_command_line(dataset, tmp_path, capsys):
    options = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    options = [*options, "--scenes", "5", "--dtype", "float16", "--no-bf16"]
    module.main(["--out", str(tmp_path / "dvae"), *options])
    assert capsys.readouterr().out.strip().endswith(str(tmp_path / "dvae"))
    assert ImageDvae.from_pretrained(tmp_path / "dvae", dtype="auto").dtype == torch.float16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 20}, "multiples of 8"),
        ({"hidden_size": 2}, "at least 4"),
        ({"last_temperature": 2.0}, "the first must be the higher"),
        ({"last_temperature": 0.0}, "above 0"),
        ({"encoder": "/nowhere/at/all"}, "nowhere"),
        ({"kl_weight": -1.0}, "0 or more"),
    ],
)
def test_refused(dataset, tmp_path, change, message):
    with pytest.raises(TriglotError, match=message):
        train_image_dvae(dataset, tmp_path / "dvae", ImageDvaeArguments(**{**TINY, **change}))
