"""train_mel_hifigan, train_fastspeech2: a vocoder, a decoder with it and one fine-tuned come out; bit for bit, and bad input is named."""

import dataclasses
import json
import shutil

import pytest
import torch
from loudness_tokenizer import LoudnessTokenizer
from speech_rows import speech_rows
from transformers import (
    FastSpeech2ConformerHifiGan,
    FastSpeech2ConformerHifiGanConfig,
    FastSpeech2ConformerWithHifiGan,
    FastSpeech2ConformerWithHifiGanConfig,
)

from triglot.modeling.decoders.modeling_fastspeech2 import FastSpeech2
from triglot.modeling.decoders.speech_signal import log_mel
from triglot.processing.errors import TriglotError
from triglot.training import adversarial_run
from triglot.training.load_parts import load_speech_decoder
from triglot.training.train_fastspeech2 import (
    FastSpeech2Arguments,
    RunCrops,
    begin_codes,
    fit_fastspeech2,
    load_published,
    new_model,
)
from triglot.training.train_mel_hifigan import (
    FinetuneArguments,
    MelHifiGanArguments,
    PredictedSpectra,
    RecordedSpectra,
    fit_finetuned,
    main,
    train_mel_hifigan,
)

DUEL = {
    "periods": "2 3", "scales": 0, "adversary_start": 1, "max_steps": 3, "batch_size": 2, "crop_seconds": 0.2, "save_steps": 2,
    "logging_steps": 2,
}  # fmt: skip
VOCODER = MelHifiGanArguments(
    num_mel_bins=20, upsample_initial_channel=16, resblock_kernel_sizes="3", resblock_dilations="1", **DUEL
)
FINETUNED = FinetuneArguments(**DUEL)
SMOKE = FastSpeech2Arguments(
    hidden_size=16, encoder_layers=1, decoder_layers=1, linear_units=16, postnet_layers=2, postnet_units=16,
    predictor_channels=16, speaker_embed_dim=8, max_steps=4, batch_size=2, crop_seconds=0.4, save_steps=2, logging_steps=3,
    bf16=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def speech():
    return speech_rows(5)


@pytest.fixture(scope="module")
def vocoder(speech, tmp_path_factory):
    return train_mel_hifigan(speech, tmp_path_factory.mktemp("parts") / "vocoder", VOCODER)


@pytest.fixture(scope="module")
def decoder(speech, vocoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "fastspeech2"
    return fit_fastspeech2(speech, LoudnessTokenizer(), load_published(vocoder, "vocoder"), folder, SMOKE)


def weights_of(folder, model_class=FastSpeech2):
    return model_class.from_pretrained(folder).state_dict()


def equal(one, two):
    return all(torch.equal(value, two[name]) for name, value in one.items())


def log_of(folder, step):
    return json.loads((folder / f"checkpoints/checkpoint-{step}/trainer_state.json").read_text())["log_history"]


def test_a_vocoder_comes_out_that_knows_its_log_mel(speech, vocoder):
    model = FastSpeech2ConformerHifiGan.from_pretrained(vocoder)
    assert (model.config.mel["hop_length"], model.config.mel["num_mel_bins"]) == (160, 20)
    torch.manual_seed(0)
    rows = RecordedSpectra(speech, VOCODER.mel(), 0.2)
    bands = torch.cat([rows.whole(index)[0] for index in range(5)])
    torch.testing.assert_close(model.mean, bands.mean(0))
    assert model(bands[:9]).shape == (9 * 160,)
    assert {"loss", "mel_loss", "stft_loss", "adversarial_loss"} <= set(log_of(vocoder, 3)[0])
    item = rows[0]
    assert item["spectrograms"].shape == (20, 20) and item["waveforms"].shape == (3200,) and item["mask"].all()
    inside = slice(3, -3)  # what lies beyond a crop is heard in the frames at its ends
    torch.testing.assert_close(log_mel(item["waveforms"], rows.mel)[inside], item["spectrograms"][inside])
    assert not rows[0]["spectrograms"].equal(item["spectrograms"])  # another crop


def test_a_decoder_comes_out_with_both_parts(decoder, vocoder):
    model = load_speech_decoder(decoder)
    assert isinstance(model, FastSpeech2) and (model.fingerprint, model.codebook_size) == ("loudness", 8)
    [wave] = model.decode([torch.arange(8)])
    assert wave.shape == (5120,) and bool(torch.isfinite(wave).all())
    assert equal(model.vocoder.state_dict(), weights_of(vocoder, FastSpeech2ConformerHifiGan))  # as it was
    assert {"loss", "mel_loss", "pitch_loss", "energy_loss"} <= set(log_of(decoder, 4)[0])
    assert "of the vocoder" in (decoder / "checkpoints" / "report.md").read_text()
    assert float(model.voice_std.min()) >= 0.05


def test_the_vocoder_goes_on_with_predicted_spectra(speech, decoder, tmp_path):
    before = load_speech_decoder(decoder)
    after = fit_finetuned(speech, LoudnessTokenizer(), load_speech_decoder(decoder), tmp_path / "finetuned", FINETUNED)
    old, new = weights_of(decoder), weights_of(after)
    assert list(old) == list(new)
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"vocoder"} and torch.equal(old["vocoder.mean"], new["vocoder.mean"])
    rows = PredictedSpectra(speech, LoudnessTokenizer(), before, 0.2)
    item = rows[1]
    # of the same stretch as the waveform, and not the recording's
    true = log_mel(item["waveforms"], before.config)
    assert item["spectrograms"].shape == true.shape and not torch.allclose(item["spectrograms"], true, atol=0.1)


def test_the_vocoders_runs_go_on_bit_for_bit(speech, vocoder, decoder, tmp_path, monkeypatch):
    """Cut off before the last step, both runs of the vocoder end with the weights of those that were not."""
    step, stopped = adversarial_run._Run.step, set()

    def stopping(self, batch):
        if self.state.global_step == 2 and self.duel.arguments not in stopped:
            stopped.add(self.duel.arguments)
            raise KeyboardInterrupt
        step(self, batch)

    def finetuned(name):
        return fit_finetuned(speech, LoudnessTokenizer(), load_speech_decoder(decoder), tmp_path / name, FINETUNED)

    def recorded(name):
        return train_mel_hifigan(speech, tmp_path / name, VOCODER)

    whole = {recorded: (vocoder, FastSpeech2ConformerHifiGan), finetuned: (finetuned("whole"), FastSpeech2)}
    monkeypatch.setattr(adversarial_run._Run, "step", stopping)
    for train, (folder, model_class) in whole.items():
        with pytest.raises(KeyboardInterrupt):
            train(train.__name__)
        assert not (tmp_path / train.__name__ / "config.json").exists()
        torch.manual_seed(99)
        assert equal(weights_of(folder, model_class), weights_of(train(train.__name__), model_class))


def test_the_acoustic_run_goes_on_bit_for_bit(speech, vocoder, decoder, tmp_path):
    part = load_published(vocoder, "vocoder")
    torch.manual_seed(5)
    half = fit_fastspeech2(speech, LoudnessTokenizer(), part, tmp_path / "half", SMOKE)
    shutil.rmtree(half / "checkpoints" / "checkpoint-4")
    torch.manual_seed(6)
    again = fit_fastspeech2(speech, LoudnessTokenizer(), part, half, SMOKE)
    assert (half / "checkpoints" / "checkpoint-4").is_dir() and equal(weights_of(decoder), weights_of(again))
    with pytest.raises(TriglotError, match="hidden_size"):
        fit_fastspeech2(speech, LoudnessTokenizer(), part, half, dataclasses.replace(SMOKE, hidden_size=32))


def test_a_tokenizer_that_drops_repeats_gets_durations(speech, vocoder, tmp_path):
    tokenizer = LoudnessTokenizer(deduplicate=True)
    arguments = dataclasses.replace(
        SMOKE, max_steps=150, save_steps=150, learning_rate=1e-2, crop_seconds=0.8, dropout=0.0
    )
    part = load_published(vocoder, "vocoder")
    model = load_speech_decoder(fit_fastspeech2(speech, tokenizer, part, tmp_path / "out", arguments))
    assert model.config.deduplicated and model.fingerprint == tokenizer.fingerprint and tokenizer.config.deduplicate
    assert "duration_loss" in log_of(tmp_path / "out", 150)[0]
    crops = RunCrops(speech, tokenizer, model, 0.2)
    item, codes = crops[3], crops.codes[3].long()
    runs, counts = codes.unique_consecutive(return_counts=True)
    assert set(item["lasting"].tolist()) <= set(counts.tolist()) and item["lasting"].shape == item["codes"].shape
    made = int(model.predict_durations(runs).sum())
    assert abs(made - len(codes)) < 0.1 * len(codes) and len(runs) < 0.8 * len(codes)
    [wave] = model.decode([runs])
    assert wave.shape == (640 * made,)
    fit_finetuned(speech, tokenizer, model, tmp_path / "fine", FINETUNED)
    assert load_speech_decoder(tmp_path / "fine").decode([runs])[0].shape == wave.shape


def test_a_published_model_is_where_training_begins(speech, tmp_path):
    """A FastSpeech2Conformer with its HiFi-GAN, shrunken: its sizes win over the settings, what has no place here is told."""
    sizes = {**SMOKE.acoustic_config(), "vocab_size": 12, "num_mel_bins": 20}
    hifi_gan = {**VOCODER.sizes(), "model_in_dim": 20}
    published = FastSpeech2ConformerWithHifiGan(
        FastSpeech2ConformerWithHifiGanConfig(model_config=sizes, vocoder_config=hifi_gan)
    )
    published.save_pretrained(tmp_path / "published")
    folder = str(tmp_path / "published")
    arguments = dataclasses.replace(SMOKE, acoustic_model=folder, hidden_size=64, learning_rate=0.0, max_steps=1)
    out = fit_fastspeech2(speech, LoudnessTokenizer(), load_published(folder, "vocoder"), tmp_path / "out", arguments)
    new, left = weights_of(out), (out / "checkpoints" / "report.md").read_text()
    theirs = {name: weight for name, weight in published.model.named_parameters() if f"acoustic.{name}" not in left}
    assert len(theirs) > 50 and all(torch.equal(new[f"acoustic.{name}"], weight) for name, weight in theirs.items())
    assert equal(published.vocoder.state_dict(), {name.removeprefix("vocoder."): new[name] for name in new})
    assert "acoustic.encoder.embed.weight" in left and "acoustic.duration_predictor.linear.weight" in left


def test_codes_that_sound_alike_start_alike(vocoder):
    tokenizer = LoudnessTokenizer()
    part = load_published(vocoder, "vocoder")
    tokenizer.centroids = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    tokenizer.centroids[7] = tokenizer.centroids[0] + 0.01
    model, _ = new_model(tokenizer, part, SMOKE)
    begin_codes(model, tokenizer)
    rows = model.acoustic.encoder.embed.weight.detach()
    distances = torch.cdist(rows[1:], rows[1:])
    assert float(distances[0, 7]) < 0.05 * float(distances[0, 1:7].min()) and not rows[0].any()
    assert float(rows[1:].std()) * 16**0.5 == pytest.approx(1.0, rel=0.01)


def test_parts_that_do_not_fit_are_typed_errors(speech, vocoder, decoder, tmp_path):
    part = load_published(vocoder, "vocoder")
    other = FastSpeech2ConformerHifiGan(FastSpeech2ConformerHifiGanConfig(upsample_initial_channel=32))
    with pytest.raises(TriglotError, match="a frame has 160 samples"):
        fit_fastspeech2(speech, LoudnessTokenizer(), other, tmp_path / "a", SMOKE)
    faster = LoudnessTokenizer()
    faster.sampling_rate = 24_000
    with pytest.raises(TriglotError, match="speaks at 16000 Hz"):
        fit_fastspeech2(speech, faster, part, tmp_path / "a", SMOKE)
    with pytest.raises(TriglotError, match="divisible by encoder_num_attention_heads"):
        fit_fastspeech2(speech, LoudnessTokenizer(), part, tmp_path / "a", dataclasses.replace(SMOKE, hidden_size=15))
    with pytest.raises(TriglotError, match="codes of another tokenizer"):
        tokenizer = LoudnessTokenizer(deduplicate=True)
        fit_finetuned(speech, tokenizer, load_speech_decoder(decoder), tmp_path / "a", FINETUNED)
    for folder, which in ((tmp_path, "vocoder"), (vocoder, "model")):
        with pytest.raises(TriglotError, match="holds"):
            load_published(folder, which)
    for train in (
        lambda rows: fit_fastspeech2(rows, LoudnessTokenizer(), part, tmp_path / "a", SMOKE),
        lambda rows: train_mel_hifigan(rows, tmp_path / "a", VOCODER),
    ):
        with pytest.raises(TriglotError, match="speaker"):
            train(speech.remove_columns("speaker"))
        with pytest.raises(TriglotError, match="empty"):
            train(speech.select([]))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (VOCODER, {"upsample_rates": "5 4 4"}, "a frame has 160"),
        (VOCODER, {"hop_length": 0}, "hop_length is 0"),
        (VOCODER, {"crop_seconds": 0.05}, "at least 0.064 s"),
        (VOCODER, {"learning_rate": 1e30, "adversary_start": 9}, "The loss is"),
        (SMOKE, {"optimizer": "sgd"}, "optimizer"),
        (SMOKE, {"max_steps": 0}, "max_steps"),
        (SMOKE, {"crop_seconds": 0.0}, "crop_seconds"),
        (SMOKE, {"dtype": "int8"}, "dtype"),
    ],
)
def test_bad_settings_are_typed_errors(arguments, changes, message, speech, tmp_path):
    with pytest.raises(TriglotError, match=message):
        train_mel_hifigan(speech, tmp_path / "bad", dataclasses.replace(arguments, **changes))
    assert not (tmp_path / "bad" / "config.json").exists()


def test_the_command_line_wants_a_decoder_and_its_tokenizer_together(decoder, tmp_path):
    """What it makes is tested with the guide, docs/swap_a_decoder.md."""
    for option in ("--decoder", "--tokenizer"):
        with pytest.raises(TriglotError, match="belong together"):
            main(["--dataset", "nowhere", "--out", str(tmp_path / "out"), option, str(decoder)])
