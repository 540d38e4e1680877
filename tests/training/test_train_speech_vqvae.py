"""A VQ-VAE from sound files: what is saved, that a killed run goes on as if nothing had happened, and what is refused."""

import io

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset
from transformers import TrainerCallback

from triglot.modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from triglot.processing.errors import TriglotError
from triglot.training import train_speech_vqvae as module
from triglot.training.load_parts import load_speech_tokenizer
from triglot.training.train_speech_vqvae import SpeechVqvaeArguments, train_speech_vqvae

TINY = {
    "codebook_size": 8, "code_dim": 4, "hidden_size": 16, "num_blocks": 1, "kernel_size": 3, "batch_size": 4,
    "crop_seconds": 0.4, "warmup_steps": 1, "save_steps": 2, "logging_steps": 1, "max_steps": 6, "learning_rate": 1e-2,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rows = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        time = np.arange(8_000 + 900 * seed) / 16_000
        wave = 0.3 * np.sin(2 * np.pi * (150 + 50 * seed) * time) + 0.02 * rng.standard_normal(len(time))
        handle = io.BytesIO()
        soundfile.write(handle, wave.astype(np.float32), 16_000, format="WAV")
        rows.append({"bytes": handle.getvalue(), "path": None})
    return Dataset.from_dict({"audio": rows}).cast_column("audio", Audio(decode=False))


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    return train_speech_vqvae(dataset, tmp_path_factory.mktemp("run") / "vqvae", SpeechVqvaeArguments(**TINY), seed=1)


def test_what_is_saved_is_a_speech_tokenizer(whole):
    tokenizer = load_speech_tokenizer(whole)
    assert isinstance(tokenizer, SpeechVqvae) and not tokenizer.training
    assert (tokenizer.codebook_size, tokenizer.frame_rate, tokenizer.centroids.shape) == (8, 25.0, (8, 4))
    assert len(tokenizer.fingerprint) == 64 and tokenizer.compute_fingerprint() == tokenizer.fingerprint
    assert len(tokenizer.encode([torch.randn(16_000)])[0]) == 25
    assert not list(whole.rglob("pytorch_model.bin"))


def test_it_learns(dataset, whole, tmp_path):
    first = SpeechVqvae.from_pretrained(
        train_speech_vqvae(dataset, tmp_path / "first", SpeechVqvaeArguments(**{**TINY, "max_steps": 1}), seed=1)
    )
    last = SpeechVqvae.from_pretrained(
        train_speech_vqvae(dataset, tmp_path / "last", SpeechVqvaeArguments(**{**TINY, "max_steps": 40}), seed=1)
    )
    batch = torch.stack([waves[:6_400] for waves in module.WaveformDataset(dataset, 16_000)])
    with torch.no_grad():
        losses = [float(model.eval()(batch).reconstruction_loss) for model in (first, last)]
    assert losses[1] < 0.7 * losses[0]


def test_a_killed_run_goes_on_to_the_same_weights(dataset, whole, tmp_path, monkeypatch):
    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    trainer = module.PartsTrainer
    arguments = SpeechVqvaeArguments(**TINY)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            module, "PartsTrainer", lambda callbacks, **more: trainer(callbacks=[*callbacks, Kill()], **more)
        )
        train_speech_vqvae(dataset, tmp_path / "vqvae", arguments, seed=1)
    assert not (tmp_path / "vqvae" / "config.json").exists()
    resumed = SpeechVqvae.from_pretrained(train_speech_vqvae(dataset, tmp_path / "vqvae", arguments, seed=1))
    wanted = SpeechVqvae.from_pretrained(whole).state_dict()
    for name, value in resumed.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0, msg=name)
    with pytest.raises(TriglotError, match="codebook_size 8 -> 9"):
        train_speech_vqvae(dataset, tmp_path / "vqvae", SpeechVqvaeArguments(**{**TINY, "codebook_size": 9}), seed=1)


def test_the_command_line(dataset, tmp_path, capsys):
    dataset.save_to_disk(str(tmp_path / "rows"))
    options = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    out = tmp_path / "vqvae"
    module.main(["--dataset", str(tmp_path / "rows"), "--out", str(out), *options, "--dtype", "float16", "--no-bf16"])
    assert capsys.readouterr().out.strip().endswith(str(out))
    assert SpeechVqvae.from_pretrained(out, dtype="auto").dtype == torch.float16
    assert load_speech_tokenizer(out).encode([torch.randn(8_000)])[0].shape == (13,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_seconds": 0.03}, "at least one code of 0.04 s"),
        ({"optimizer": "sgd"}, "adamw or muon"),
        ({"dtype": "int8"}, "float32 or float16"),
        ({"max_steps": 0}, "at least 1"),
    ],
)
def test_refused(dataset, tmp_path, change, message):
    with pytest.raises(TriglotError, match=message):
        train_speech_vqvae(dataset, tmp_path / "vqvae", SpeechVqvaeArguments(**{**TINY, **change}))


def test_folders_without_a_speech_tokenizer(tmp_path, random_checkpoint):
    with pytest.raises(TriglotError, match="holds no speech tokenizer"):
        load_speech_tokenizer(tmp_path)
    with pytest.raises(TriglotError, match="holds a UnitVocoder, which is no speech tokenizer"):
        load_speech_tokenizer(random_checkpoint / "speech_decoder")
