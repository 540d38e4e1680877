"""train_codec: a codec comes out that loads as any DAC does, runs resume, and steps that would break it are left out."""

import dataclasses

import pytest
import torch
from command_options import command_options
from speech_rows import speech_rows
from transformers import AutoFeatureExtractor, AutoModel, DacModel

from triglot.processing.errors import TriglotError
from triglot.training import train_codec as module
from triglot.training.train_codec import CodecArguments, CodecInTraining, main, train_codec

SMOKE = CodecArguments(
    encoder_hidden_size=4, decoder_hidden_size=32, ratios="8 8 4 2", levels=2, level_size=16, code_dim=4, max_steps=4,
    batch_size=2, crop_seconds=0.2, save_steps=2, logging_steps=2, patience=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def speech():
    return speech_rows(6)


def test_a_codec_comes_out_that_loads_as_any_dac_does(speech, tmp_path):
    folder = train_codec(speech, tmp_path / "codec", SMOKE)
    codec = AutoModel.from_pretrained(folder)
    assert (codec.config.model_type, codec.config.n_codebooks, int(codec.config.hop_length)) == ("dac", 2, 512)
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    wave = torch.randn(16_000).numpy()
    inputs = extractor(raw_audio=wave, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        codes = codec.encode(inputs["input_values"]).audio_codes
        sound = codec.decode(audio_codes=codes).audio_values
    assert codes.shape == (1, 2, 32) and bool(sound.isfinite().all())
    assert not list(folder.glob("*.bin"))


def test_a_run_goes_on(speech, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    steps = []
    drop = module.GuardedTrainer.drop_if_broken

    def stopping(self):
        drop(self)
        steps.append(self.state.global_step)
        if len(steps) == 4:
            raise Stop

    monkeypatch.setattr(module.GuardedTrainer, "drop_if_broken", stopping)
    with pytest.raises(Stop):
        train_codec(speech, tmp_path / "codec", SMOKE)
    assert not (tmp_path / "codec" / "config.json").exists()
    train_codec(speech, tmp_path / "codec", SMOKE)
    assert steps == [0, 1, 2, 3, 2, 3]
    with pytest.raises(TriglotError, match="other settings"):
        train_codec(speech, tmp_path / "codec", dataclasses.replace(SMOKE, levels=1))


def test_what_is_usual_is_known_to_a_run_that_goes_on(speech, tmp_path, monkeypatch):
    """The first loss after the cut leaps: left out, as by a run that was never stopped."""

    class Stop(Exception):
        pass

    forward, stop_at, steps = CodecInTraining.forward, [12], []

    def leaping(self, waveforms):
        output = forward(self, waveforms)
        if len(steps) == stop_at[0]:
            raise Stop
        if len(steps) in (4, 12):
            output.loss = output.loss * (torch.nan if len(steps) == 4 else 100)
        steps.append(1)
        return output

    monkeypatch.setattr(CodecInTraining, "forward", leaping)
    arguments = dataclasses.replace(SMOKE, max_steps=14, save_steps=12, logging_steps=1)
    with pytest.raises(Stop):
        train_codec(speech, tmp_path / "cut", arguments)
    stop_at[0] = -1
    trainers = []
    begin = module.GuardedTrainer.__init__
    monkeypatch.setattr(
        module.GuardedTrainer, "__init__", lambda self, *a, **k: (begin(self, *a, **k), trainers.append(self))[0]
    )
    cut = train_codec(speech, tmp_path / "cut", arguments)
    steps.clear()
    whole = train_codec(speech, tmp_path / "whole", arguments)
    gone_on, never_cut = (trainer.remembered() for trainer in trainers)
    assert gone_on == never_cut and gone_on["left_out"] == 2 and len(gone_on["usual"]) == 12
    ours, theirs = (AutoModel.from_pretrained(folder).state_dict() for folder in (cut, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_compiled_layers_learn_the_same(speech, tmp_path, monkeypatch):
    """Compiled here without code generation, which takes minutes."""
    compile_module, compiled = torch.nn.Module.compile, []

    def without_code(self):
        compiled.append(type(self).__name__)
        compile_module(self, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", without_code)
    folders = [
        train_codec(speech, tmp_path / name, dataclasses.replace(SMOKE, compiled=name == "compiled"))
        for name in ("plain", "compiled")
    ]
    assert compiled == ["DacEncoder", "DacDecoder"]
    plain, other = (AutoModel.from_pretrained(folder).state_dict() for folder in folders)
    assert plain.keys() == other.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(other[name], weight, atol=1e-4, rtol=1e-3)


def test_entries_nobody_uses_begin_anew():
    torch.manual_seed(0)
    model = CodecInTraining(DacModel(dataclasses.replace(SMOKE, levels=1).codec_config()), revive_after=3).train()
    book = model.codec.quantizer.quantizers[0].codebook
    with torch.no_grad():
        book.weight.copy_(torch.tensor([1.0, 0, 0, 0]).expand(16, 4) + 1e-3 * torch.randn(16, 4))
    waves, uses = 0.3 * torch.randn(4, 4096), []
    for _ in range(12):
        output = model(waves)
        output.loss.backward()
        uses.append(float(output.use))
    assert max(uses[4:]) > uses[0] + 0.3
    before = model.unused.clone()
    model.eval()(waves)
    assert torch.equal(model.unused, before)


@pytest.mark.parametrize("broken", ["loss", "leap", "gradient"])
def test_broken_steps_are_left_out(broken, speech, tmp_path, monkeypatch):
    """One step in three would break the weights; they stay finite, and the run ends."""
    forward, count = CodecInTraining.forward, []

    def breaking(self, waveforms):
        output = forward(self, waveforms)
        count.append(1)
        if len(count) % 3 == 0 and len(count) > 10:
            if broken == "gradient":
                output.loss = (
                    output.loss + (output.loss.detach() * 0 - output.loss * 0).sqrt()
                )  # finite, its gradient is not
            else:
                output.loss = output.loss * (torch.nan if broken == "loss" else 1e6)
        return output

    monkeypatch.setattr(CodecInTraining, "forward", breaking)
    logs = []
    log = module.GuardedTrainer.log
    monkeypatch.setattr(
        module.GuardedTrainer, "log", lambda self, given, *rest: (log(self, given, *rest), logs.append(self.left_out))
    )
    arguments = dataclasses.replace(SMOKE, max_steps=20, save_steps=20)
    codec = AutoModel.from_pretrained(train_codec(speech, tmp_path / "codec", arguments))
    assert all(bool(tensor.isfinite().all()) for tensor in codec.state_dict().values())
    assert logs[-1] == 3


def test_divergence_stops_the_run_with_advice(speech, tmp_path, monkeypatch):
    forward = CodecInTraining.forward

    def breaking(self, waveforms):
        output = forward(self, waveforms)
        output.loss = output.loss * torch.nan
        return output

    monkeypatch.setattr(CodecInTraining, "forward", breaking)
    with pytest.raises(TriglotError, match=r"3 steps in a row .* lower learning_rate"):
        train_codec(speech, tmp_path / "codec", SMOKE)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"ratios": "8 x"}, "ratios"), ({"ratios": ""}, "ratios"), ({"level_size": 100}, "power of 2"),
        ({"decoder_hidden_size": 36}, "divide by 16"), ({"levels": 0}, "at least 1"), ({"leap": 1.0}, "leap"),
        ({"optimizer": "sgd"}, "optimizer"), ({"revive_after": 0}, "revive_after is 0"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(changes, match):
    with pytest.raises(TriglotError, match=match):
        dataclasses.replace(SMOKE, **changes)


def test_crops_that_are_too_short_for_the_loss(speech, tmp_path):
    with pytest.raises(TriglotError, match="crop_seconds"):
        train_codec(speech, tmp_path / "codec", dataclasses.replace(SMOKE, crop_seconds=0.05))
    with pytest.raises(TriglotError, match="`audio` is needed"):
        train_codec(speech.remove_columns("audio"), tmp_path / "codec", SMOKE)


def test_the_command_line(speech, tmp_path, capsys):
    speech.save_to_disk(str(tmp_path / "rows"))
    options = command_options(SMOKE)
    main([*options, "--dataset", str(tmp_path / "rows"), "--out", str(tmp_path / "codec")])
    assert AutoModel.from_pretrained(tmp_path / "codec").config.n_codebooks == 2
