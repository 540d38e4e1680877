"""train_mel_diffusion: a decoder comes out that speaks, runs go on bit for bit, codes may be those of a column, bad settings are named."""

import dataclasses
import json

import pytest
import torch
from command_options import command_options
from loudness_tokenizer import LoudnessTokenizer
from speech_rows import speech_rows

pytest.importorskip("diffusers")

from triglot.modeling.decoders.modeling_mel_diffusion import MelDiffusion
from triglot.processing.errors import TriglotError
from triglot.training.parts_trainer import PartsTrainer
from triglot.training.train_mel_diffusion import MelDiffusionArguments, fit_mel_diffusion, main

SMOKE = MelDiffusionArguments(
    prior_hidden_size=16, prior_mlp_size=16, prior_depth_codes=1, prior_depth_frames=1, hidden_size=32, num_hidden_layers=1,
    vocoder_hidden_size=16, vocoder_mlp_size=16, vocoder_depth_codes=1, vocoder_depth_frames=1, sampling_steps=2, max_steps=4,
    batch_size=2, crop_seconds=0.4, save_steps=2, logging_steps=2, bf16=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def speech():
    return speech_rows(5)


def weights_of(folder):
    return MelDiffusion.from_pretrained(folder).state_dict()


def test_a_model_comes_out_that_speaks_and_is_gone_on_with(speech, tmp_path):
    out = fit_mel_diffusion(speech, LoudnessTokenizer(), tmp_path / "decoder", SMOKE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["decoder"]  # nothing partial is left
    model = MelDiffusion.from_pretrained(out)
    assert (model.fingerprint, model.codebook_size, model.config.sampling_steps) == ("loudness", 8, 2)
    assert torch.equal(model.voice_mean, model.vocoder.voice_mean) and float(model.voice_std.min()) >= 0.05
    [wave] = model.decode([torch.arange(8)])
    assert wave.shape == (5120,) and bool(torch.isfinite(wave).all())
    log = json.loads((out / "checkpoints/checkpoint-4/trainer_state.json").read_text())["log_history"]
    assert {"loss", "diffusion_loss", "prior_loss", "vocoder_loss"} <= set(log[0])
    column = [[1] * len(item) for item in _codes(speech)]
    rows = speech.add_column("written", column)
    arguments = dataclasses.replace(
        SMOKE, codes_column="written", start_from=str(out), max_steps=1, learning_rate=1e-9
    )
    gone_on = weights_of(fit_mel_diffusion(rows, LoudnessTokenizer(), tmp_path / "more", arguments))
    assert all(torch.allclose(value, gone_on[name], atol=1e-6) for name, value in model.state_dict().items())
    with pytest.raises(TriglotError, match="other sizes"):
        fit_mel_diffusion(
            speech,
            LoudnessTokenizer(),
            tmp_path / "c",
            dataclasses.replace(arguments, hidden_size=16, codes_column=""),
        )
    with pytest.raises(TriglotError, match="no column 'written'"):
        fit_mel_diffusion(speech, LoudnessTokenizer(), tmp_path / "d", arguments)
    with pytest.raises(TriglotError, match="from 0 to 7"):
        wrong = speech.add_column("written", [[9] * len(item) for item in column])
        fit_mel_diffusion(wrong, LoudnessTokenizer(), tmp_path / "e", arguments)


def _codes(speech):
    from triglot.processing.audio_io import load_audio

    return LoudnessTokenizer().encode(
        [torch.from_numpy(load_audio(row["audio"], target_rate=16_000)) for row in speech]
    )


def test_a_run_goes_on_bit_for_bit(speech, tmp_path, monkeypatch):
    whole = fit_mel_diffusion(speech, LoudnessTokenizer(), tmp_path / "whole", SMOKE, seed=3)
    step = PartsTrainer.compute_loss

    def stopping(self, *args, **kwargs):
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PartsTrainer, "compute_loss", stopping)
        fit_mel_diffusion(speech, LoudnessTokenizer(), tmp_path / "parts", SMOKE, seed=3)
    assert not (tmp_path / "parts" / "config.json").exists()
    torch.manual_seed(99)
    parts = weights_of(fit_mel_diffusion(speech, LoudnessTokenizer(), tmp_path / "parts", SMOKE, seed=3))
    assert all(torch.equal(value, parts[name]) for name, value in weights_of(whole).items())
    with pytest.raises(TriglotError, match="hidden_size"):
        fit_mel_diffusion(
            speech, LoudnessTokenizer(), tmp_path / "parts", dataclasses.replace(SMOKE, hidden_size=48), seed=3
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_frames": 3}, "patch_frames"),
        ({"prediction_type": "flow"}, "prediction_type"),
        ({"guidance_scale": 2.0, "condition_dropout": 0.0}, "condition_dropout"),
        ({"max_steps": 0}, "max_steps"),
        ({"dtype": "int8"}, "dtype"),
        ({"crop_seconds": 0.0}, "crop_seconds"),
        ({"start_from": "nowhere"}, "nowhere"),
    ],
)
def test_bad_settings_are_typed_errors(changes, message, speech, tmp_path):
    with pytest.raises(TriglotError, match=message):
        fit_mel_diffusion(speech, LoudnessTokenizer(), tmp_path / "bad", dataclasses.replace(SMOKE, **changes))
    assert not (tmp_path / "bad").exists()


def test_bad_rows_are_typed_errors(speech, tmp_path):
    with pytest.raises(TriglotError, match="speaker"):
        fit_mel_diffusion(speech.remove_columns("speaker"), LoudnessTokenizer(), tmp_path / "a", SMOKE)
    with pytest.raises(TriglotError, match="deduplication"):
        fit_mel_diffusion(speech, LoudnessTokenizer(deduplicate=True), tmp_path / "b", SMOKE)


def test_the_command_line(speech, random_checkpoint, tmp_path):
    speech.save_to_disk(str(tmp_path / "rows"))
    tokenizer = str(random_checkpoint / "speech_tokenizer")
    options = [word for word in command_options(SMOKE) if word not in ("--bf16", "False")]
    main(
        [
            "--dataset",
            str(tmp_path / "rows"),
            "--tokenizer",
            tokenizer,
            "--out",
            str(tmp_path / "out"),
            *options,
            "--no-bf16",
        ]
    )
    assert MelDiffusion.from_pretrained(tmp_path / "out").codebook_size == 30
