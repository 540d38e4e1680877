"""The decoders' report card: what it measures of decoders whose worth is known, and what it writes."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from triglot.cli import main
from triglot.modeling.decoders.configuration_speaker_encoder import SpeakerEncoderConfig
from triglot.modeling.decoders.modeling_speaker_encoder import SpeakerEncoder
from triglot.modeling.decoders.voice import Voice
from triglot.processing.errors import TriglotError
from triglot.training.data.splits import HELD_OUT_VOICES
from triglot.training.decoder_report import (
    COLUMNS,
    VoiceJudge,
    held_out_trials,
    measure_decoder,
    measure_recordings,
    report_decoders,
)
from triglot.training.diffusion_settings import parse_steps
from triglot.training.evaluate_models import CheckpointUnderTest, load_speaker_model

JUDGE = "tests/data/judge"


@pytest.fixture(scope="module")
def world():
    return held_out_trials(2)


class Told:
    """Codes that are the samples, so that a decoder can say anything."""

    fingerprint, sampling_rate = "told", 16_000

    def encode(self, waves):
        return [(wave * 32_767).round().long() + 32_768 for wave in waves]


class Parrot(torch.nn.Module):
    """Says the codes of `Told` as they are (their own voice), or, as `mimic`, what was prompted (the prompt's voice)."""

    fingerprint, sampling_rate, samples_per_code = "told", 16_000, 1

    def __init__(self, mimic: bool = False):
        super().__init__()
        self.mimic, self.weight = mimic, torch.nn.Parameter(torch.zeros(2_500_000))

    def voice_from_waveform(self, waveform, encode=None):
        return Voice("codes", {"codes": encode(waveform)})

    def decode(self, codes, voices):
        said = [voice.tensors["codes"] for voice in voices] if self.mimic else codes
        return [(item - 32_768).float() / 32_767 for item in said]


def pitch(wave: np.ndarray) -> np.ndarray:
    """A speaker model of a kind: the long-term spectrum in 40 bands."""
    spectrum = np.abs(np.fft.rfft(wave, n=1 << 17)) ** 2
    bands = np.log([band.mean() + 1e-9 for band in np.array_split(spectrum[: len(spectrum) // 2], 40)])
    return bands - bands.mean()


class Judge:
    """Knows the texts; hears every second sentence wrong."""

    def __init__(self, trials):
        self.trials = trials

    def transcribe(self, waves, languages):
        return [trial.text if number % 2 else "" for number, trial in enumerate(self.trials)]


def test_ten_voices_say_their_sentences_and_are_known_by_others(world):
    known, trials = world
    assert [speaker.split("-")[0] for speaker in known.speakers] == list(HELD_OUT_VOICES)
    assert [trial.voice for trial in trials] == [voice for voice in range(10) for _ in range(2)]
    assert all(trial.other != trial.voice for trial in trials) and {trial.language for trial in trials} == {"en", "es"}
    said = {trial.wave.tobytes() for trial in trials}
    assert not said & {wave.tobytes() for recordings in known.recordings for wave in recordings}
    assert not said & {trial.prompt.tobytes() for trial in trials}
    again, same = held_out_trials(2)
    assert again.speakers == known.speakers and np.array_equal(same[3].wave, trials[3].wave)


def test_a_parrot_keeps_words_and_voice_and_a_mimic_follows_the_prompt(world):
    known, trials = world
    voices, judge = VoiceJudge(known, pitch), Judge(trials)
    truth = measure_recordings(trials, judge=judge, voices=voices)
    words = [len(trial.text.split()) for trial in trials]
    assert truth.wer == pytest.approx(sum(words[::2]) / sum(words))
    assert truth.right_voice > 0.8 and truth.same_voice > truth.other_voice
    assert (truth.moved, truth.real_time_factor, truth.parameters) == (None, None, None)
    parrot = measure_decoder("parrot", Parrot(), Told(), trials, judge=judge, voices=voices)
    assert parrot.right_voice == truth.right_voice and parrot.same_voice == pytest.approx(truth.same_voice, abs=1e-3)
    assert parrot.moved < 0.3 and parrot.parameters == 2.5 and 0 < parrot.real_time_factor < 1
    mimic = measure_decoder("mimic", Parrot(mimic=True), Told(), trials, judge=judge, voices=voices)
    assert mimic.moved > 0.8 and mimic.right_voice > 0.8
    deaf = measure_decoder("deaf", Parrot(), Told(), trials, judge=judge)
    assert (deaf.right_voice, deaf.moved, deaf.translated) == (None, None, None) and deaf.wer == truth.wer


def test_translated_speech_keeps_its_voice_or_not(world):
    known, trials = world
    voices = VoiceJudge(known, pitch)
    codecs = SimpleNamespace(speech_decoder="before", get=lambda name: "before")
    asked = []

    class Checkpoint:
        processor = SimpleNamespace(codecs=codecs)

        def translate(self, wave, rate, source, target):
            assert codecs.speech_decoder.fingerprint == "told" and source != target
            asked.append((source, target))
            return wave if len(asked) % 2 else np.zeros(0, np.float32)

    right = measure_recordings(trials[::2], judge=Judge(trials[::2]), voices=voices).right_voice
    card = measure_decoder("x", Parrot(), Told(), trials, judge=Judge(trials), voices=voices, checkpoint=Checkpoint())
    assert card.translated == pytest.approx(right / 2) and codecs.speech_decoder == "before"
    assert set(asked) == {("en", "es"), ("es", "hi")}


def test_the_report_is_one_table_with_the_recordings_first(world, tmp_path):
    _, trials = world
    cards = report_decoders(
        {"parrot": Parrot(), "mimic": Parrot(mimic=True)},
        Told(),
        tmp_path / "card",
        judge=Judge(trials),
        embed=pitch,
        sentences=2,
    )
    results = json.loads((tmp_path / "card" / "results.json").read_text())
    assert [row["name"] for row in results["decoders"]] == ["recordings", "parrot", "mimic"]
    assert results["decoders"][2]["moved"] == cards[2].moved and results["sentences"] == 20
    text = (tmp_path / "card" / "report.md").read_text()
    assert f"| {COLUMNS['moved'][0]} |" in text and COLUMNS["translated"][0] not in text
    assert (tmp_path / "card" / "report.png").stat().st_size > 5_000
    other = Parrot()
    other.fingerprint = "another"
    with pytest.raises(TriglotError, match="another tokenizer"):
        measure_decoder("x", other, Told(), trials, judge=Judge(trials))
    with pytest.raises(TriglotError, match="at least 1"):
        report_decoders({}, Told(), tmp_path / "none", judge=Judge(trials), sentences=0)


class Steps(Parrot):
    """A decoder by diffusion of a kind: the more steps, the less noise."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(sampling_steps=8, num_train_timesteps=100)

    def decode(self, codes, voices):
        noise = torch.Generator().manual_seed(0)
        said = super().decode(codes, voices)
        return [item + 0.1 / self.config.sampling_steps * torch.randn(item.shape, generator=noise) for item in said]


def test_steps_of_diffusion_are_rows_and_a_plot(world, tmp_path):
    _, trials = world
    decoders, judge = {"parrot": Parrot(), "noisy": Steps()}, Judge(trials)
    cards = report_decoders(decoders, Told(), tmp_path / "card", judge=judge, sentences=2, steps=(2, 50))
    assert [card.name for card in cards] == ["recordings", "parrot", "noisy@2", "noisy@50"]
    assert [card.steps for card in cards] == [None, None, 2, 50]
    distances = [card.mel_distance for card in cards[1:]]
    assert distances[0] < 0.01 and distances[1] > 2 * distances[2] > 0.1
    assert decoders["noisy"].config.sampling_steps == 8
    assert (tmp_path / "card" / "steps.png").stat().st_size > 5_000
    assert "noisy@50 | 2.5 | 50 |" in (tmp_path / "card" / "report.md").read_text()
    for given, steps, message in (
        ({"parrot": Parrot()}, (2,), "none is one"),
        (decoders, (0, 2), "1 to 100"),
        (decoders, (2, 101), "1 to 100"),
        (decoders, (2, 2), "each once"),
    ):
        with pytest.raises(TriglotError, match=message):
            report_decoders(given, Told(), tmp_path / "none", judge=judge, sentences=2, steps=steps)
    with pytest.raises(TriglotError, match="whole numbers"):
        parse_steps("2, 4")


def test_an_embedding_that_says_nothing(world):
    with pytest.raises(TriglotError, match="speaker model"):
        VoiceJudge(world[0], lambda wave: np.zeros(4))


def test_the_command_line(random_checkpoint, tmp_path, capsys):
    SpeakerEncoder(SpeakerEncoderConfig(hidden_size=8, pooled_size=8, embedding_size=4)).save_pretrained(
        tmp_path / "speaker"
    )
    assert load_speaker_model(tmp_path / "speaker")(np.ones(8000, np.float32)).shape == (4,)
    arguments = [
        "evaluate", "decoder", f"own={random_checkpoint / 'speech_decoder'}", "--tokenizer",
        str(random_checkpoint / "speech_tokenizer"), "--judge", JUDGE, "--speaker-model", str(tmp_path / "speaker"),
        "--checkpoint", str(random_checkpoint), "--sentences", "1", "--out", str(tmp_path / "card"),
    ]  # fmt: skip
    code = main(arguments)
    assert code == 1 and "hi" in capsys.readouterr().err  # the checkpoint knows no Hindi
    del arguments[9:11]
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["decoders"][1]["name"] == "own" and "| own |" in err
    shutil.rmtree(tmp_path / "card")
    arguments[2] = f"own={random_checkpoint / 'speech_tokenizer'}"
    assert main(arguments) == 1 and not (tmp_path / "card").exists()


def test_a_checkpoint_translates_a_recording(random_checkpoint, world):
    model = CheckpointUnderTest(random_checkpoint, "cpu")
    wave = model.translate(world[1][0].wave, 16_000, "en", "es")
    assert wave.dtype == np.float32 and wave.ndim == 1
