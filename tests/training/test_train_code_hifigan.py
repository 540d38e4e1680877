"""train_code_hifigan: a vocoder comes out that speaks, runs go on bit for bit, repeats may be dropped, and bad settings are named."""

import dataclasses
import json

import pytest
import torch
from command_options import command_options
from loudness_tokenizer import LoudnessTokenizer
from speech_rows import speech_rows

from triglot.modeling.decoders.modeling_code_hifigan import CodeHifiGan
from triglot.processing.errors import TriglotError
from triglot.training import adversarial_run
from triglot.training.train_code_hifigan import CodeHifiGanArguments, UnitCrops, fit_code_hifigan, main

SMOKE = CodeHifiGanArguments(
    unit_embed_dim=8, spkr_embed_dim=4, upsample_initial_channel=32, resblock_kernel_sizes="3", resblock_dilations="1",
    periods="2 3", scales=1, adversary_start=1, max_steps=4, batch_size=2, crop_seconds=0.2, save_steps=2, logging_steps=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def speech():
    return speech_rows(5)


def weights_of(folder):
    return CodeHifiGan.from_pretrained(folder).state_dict()


def test_a_model_comes_out_that_speaks(speech, tmp_path):
    out = fit_code_hifigan(speech, LoudnessTokenizer(), tmp_path / "vocoder", SMOKE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["vocoder"]  # nothing partial is left
    model = CodeHifiGan.from_pretrained(out)
    assert (model.fingerprint, model.codebook_size, model.config.deduplicated) == ("loudness", 8, False)
    [wave] = model.decode([torch.arange(8)])
    assert wave.shape == (5120,) and bool(torch.isfinite(wave).all())
    assert not any("parametrizations" in name for name in model.state_dict())  # weight norm is for training alone
    checkpoints = out / "checkpoints"
    assert sorted(path.name for path in checkpoints.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    log = json.loads((checkpoints / "checkpoint-4" / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in log] == [3, 4]
    assert {"loss", "mel_loss", "stft_loss", "adversarial_loss", "feature_loss", "discriminator_loss"} <= set(log[0])
    assert "duration_loss" not in log[0] and log[0]["learning_rate"] > log[1]["learning_rate"]
    assert "| 4 |" in (checkpoints / "report.md").read_text()
    assert json.loads((checkpoints / "summary.json").read_text())["steps"] == 4


def test_a_run_goes_on_bit_for_bit(speech, tmp_path, monkeypatch):
    whole = fit_code_hifigan(speech, LoudnessTokenizer(), tmp_path / "whole", SMOKE, seed=3)
    step = adversarial_run._Run.step

    def stopping(self, batch):
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        step(self, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(adversarial_run._Run, "step", stopping)
        fit_code_hifigan(speech, LoudnessTokenizer(), tmp_path / "parts", SMOKE, seed=3)
    assert not (tmp_path / "parts" / "config.json").exists()
    (tmp_path / "parts" / ".checkpoint-9.partial").mkdir()  # as a kill may leave it
    torch.manual_seed(99)
    parts = fit_code_hifigan(speech, LoudnessTokenizer(), tmp_path / "parts", SMOKE, seed=3)
    one, two = weights_of(whole), weights_of(parts)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    logs = [json.loads((out / "checkpoints/checkpoint-4/trainer_state.json").read_text()) for out in (whole, parts)]
    assert logs[0] == logs[1] and not list(parts.glob(".*"))
    again = fit_code_hifigan(speech, LoudnessTokenizer(), parts, SMOKE, seed=3)  # finished: written again, not trained
    assert all(torch.equal(value, one[name]) for name, value in weights_of(again).items())
    with pytest.raises(TriglotError, match="unit_embed_dim"):
        fit_code_hifigan(speech, LoudnessTokenizer(), parts, dataclasses.replace(SMOKE, unit_embed_dim=12), seed=3)


def test_the_adversary_counts_from_its_start(speech, tmp_path):
    """Until then the vocoder learns as without one; its own loss is all there is."""
    late = dataclasses.replace(SMOKE, adversary_start=4)
    later = dataclasses.replace(late, discriminator_channels=8, scales=0)
    outs = [
        fit_code_hifigan(speech, LoudnessTokenizer(), tmp_path / name, arguments)
        for name, arguments in (("late", late), ("later", later), ("now", SMOKE))
    ]
    log = json.loads((outs[0] / "checkpoints/checkpoint-4/trainer_state.json").read_text())["log_history"]
    assert "adversarial_loss" not in log[-1] and "stft_loss" in log[-1]
    alone, other, now = map(weights_of, outs)
    assert all(torch.equal(value, other[name]) for name, value in alone.items())
    assert any(not torch.equal(value, now[name]) for name, value in alone.items())


def test_a_tokenizer_that_drops_repeats_gets_durations(speech, tmp_path):
    tokenizer = LoudnessTokenizer(deduplicate=True)
    arguments = dataclasses.replace(SMOKE, max_steps=40, save_steps=40, adversary_start=40, learning_rate=1e-2)
    model = CodeHifiGan.from_pretrained(fit_code_hifigan(speech, tokenizer, tmp_path / "vocoder", arguments))
    assert model.config.deduplicated and model.fingerprint == tokenizer.fingerprint and tokenizer.config.deduplicate
    crops = UnitCrops(speech, tokenizer, model, 0.2)
    item = crops[0]
    assert torch.equal(item["runs"].repeat_interleave(item["durations"]), crops.codes[0].long())
    wanted, made = int(item["durations"].sum()), int(model.predict_durations(item["runs"]).sum())
    assert abs(made - wanted) < 0.5 * wanted  # untrained, each code lasts 1
    [wave] = model.decode([item["runs"]])
    assert wave.shape == (640 * made,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsample_rates": "5 4 4 4"}, "640 samples"),
        ({"upsample_rates": "5 x"}, "whole numbers"),
        ({"periods": "two"}, "periods"),
        ({"periods": "", "scales": 0}, "one discriminator"),
        ({"discriminator_channels": 3}, "multiple of 4"),
        ({"crop_seconds": 0.05}, "at least 0.064 s"),
        ({"max_steps": 0}, "max_steps"),
        ({"dtype": "int8"}, "dtype"),
        ({"feature_weight": -1.0}, "feature_weight"),
        ({"learning_rate": 1e30, "adversary_start": 9}, "The loss is"),
    ],
)
def test_bad_settings_are_typed_errors(changes, message, speech, tmp_path):
    with pytest.raises(TriglotError, match=message):
        fit_code_hifigan(speech, LoudnessTokenizer(), tmp_path / "bad", dataclasses.replace(SMOKE, **changes))
    assert not (tmp_path / "bad" / "config.json").exists()


def test_bad_rows_are_typed_errors(speech, tmp_path):
    with pytest.raises(TriglotError, match="speaker"):
        fit_code_hifigan(speech.remove_columns("speaker"), LoudnessTokenizer(), tmp_path / "a", SMOKE)
    with pytest.raises(TriglotError, match="empty"):
        fit_code_hifigan(speech.select([]), LoudnessTokenizer(), tmp_path / "b", SMOKE)


def test_the_command_line(speech, random_checkpoint, tmp_path):
    speech.save_to_disk(str(tmp_path / "rows"))
    tokenizer = str(random_checkpoint / "speech_tokenizer")
    options = ["--dataset", str(tmp_path / "rows"), "--tokenizer", tokenizer, "--out", str(tmp_path / "out")]
    main([*options, *command_options(SMOKE)])
    assert CodeHifiGan.from_pretrained(tmp_path / "out").codebook_size == 30
