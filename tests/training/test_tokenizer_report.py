"""The report card, on tokenizers whose marks are known: one that is told the phonemes, one that hears only the speaker."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from transformers import AutoModel

from triglot.cli import main
from triglot.modeling.tokenizers.configuration_speech_vqvae import SpeechVqvaeConfig
from triglot.modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from triglot.processing.errors import TriglotError
from triglot.training.data.espeak import Phone
from triglot.training.tokenizer_report import (
    Utterance,
    aligned_utterances,
    measure_tokenizer,
    report_tokenizers,
)

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def utterances():
    return aligned_utterances(sentences=4, voices=1, seed=1)


class Told:
    """Stands for a tokenizer: its codes are what `of` says of each frame."""

    modality, sampling_rate, frame_rate, fingerprint = "speech", 16_000, 50.0, "told"

    def __init__(self, utterances, of, size):
        self.codebook_size, self.centroids = size, torch.eye(size)
        self.config = dataclasses.make_dataclass("Config", [("deduplicate", bool)])(False)
        self.known = {utterance.wave.tobytes(): of(utterance) for utterance in utterances}

    def parameters(self):
        return iter([torch.zeros(3)])

    def encode(self, media):
        found = [torch.tensor(self.known[wave.numpy().tobytes()]) for wave in media]
        return [torch.unique_consecutive(codes) for codes in found] if self.config.deduplicate else found


def phonetic(utterances) -> Told:
    names = sorted({phone.name for utterance in utterances for phone in utterance.phones} | {""})

    def of(utterance):
        return [names.index(name) for name in utterance.phones_at(50.0, round(50 * utterance.seconds))]

    return Told(utterances, of, len(names))


def vocal(utterances) -> Told:
    speakers = sorted({utterance.speaker for utterance in utterances})
    return Told(utterances, lambda utterance: [speakers.index(utterance.speaker)] * round(50 * utterance.seconds), 4)


def test_what_is_spoken(utterances):
    assert len(utterances) == 4 * 3 * 2
    assert {utterance.language for utterance in utterances} == {"en", "es", "hi"}
    assert len({utterance.speaker for utterance in utterances}) == 2
    for utterance in utterances:
        assert utterance.wave.dtype == np.float32 and 0.5 < utterance.seconds < 12
        assert utterance.phones[-1].end == pytest.approx(len(utterance.wave), abs=2)
    again = aligned_utterances(sentences=4, voices=1, seed=1)
    assert all(np.array_equal(a.wave, b.wave) and a.phones == b.phones for a, b in zip(utterances, again))


def test_the_phoneme_of_each_frame():
    wave = np.concatenate([np.zeros(1_600), np.ones(1_600), 0.5 * np.ones(1_600)]).astype(np.float32)
    phones = (Phone("p", 0, 1_600), Phone("a", 1_600, 3_200), Phone("t", 3_200, 4_800))
    utterance = Utterance(wave, phones, "pat", "en", "f1-150-50", 0)
    assert utterance.phones_at(10.0, 4) == ["", "a", "t", ""]  # silence is a pause, whatever is said to be there
    assert utterance.phones_at(20.0, 6) == ["", "", "a", "a", "t", "t"]


def test_a_tokenizer_that_is_told_the_phonemes(utterances):
    card = measure_tokenizer("told", phonetic(utterances), utterances)
    assert card.pnmi == card.phone_purity == card.cluster_purity == pytest.approx(1.0)
    assert card.abx_within is None or card.abx_within < 0.1
    assert card.abx_across < 0.1
    assert card.codes_per_second == pytest.approx(50, rel=0.01) and card.resynthesis_wer is None


def test_a_tokenizer_that_hears_only_who_speaks(utterances):
    card = measure_tokenizer("voice", vocal(utterances), utterances)
    assert card.speaker_accuracy == 1.0 and card.pnmi < 0.05
    assert card.abx_across == pytest.approx(0.5)
    assert card.used == 0.5 and card.perplexity == pytest.approx(2.0, abs=0.05)


def test_repeats_are_dropped_for_the_bits_and_kept_for_the_phonemes(utterances):
    plain, short = phonetic(utterances), phonetic(utterances)
    short.config.deduplicate = True
    cards = [measure_tokenizer("x", tokenizer, utterances) for tokenizer in (plain, short)]
    assert cards[1].codes_per_second < 0.5 * cards[0].codes_per_second
    assert cards[1].bitrate < 0.5 * cards[0].bitrate
    assert (cards[1].pnmi, cards[1].abx_across) == (cards[0].pnmi, cards[0].abx_across)
    assert short.config.deduplicate


def test_resynthesis_is_what_the_judge_hears(utterances):
    class Decoder:
        fingerprint, codebook_size = "told", 8
        config = dataclasses.make_dataclass("Config", [("sampling_rate", int)])(16_000)

        def voice_from_waveform(self, wave, encode):
            return wave

        def decode(self, codes, voices):
            return voices

    class Judge:
        def transcribe(self, waves, languages):
            return [
                utterance.text if utterance.language != "hi" else "" for utterance in utterances
            ]  # deaf in one language

    card = measure_tokenizer("told", phonetic(utterances), utterances, decoder=Decoder(), judge=Judge())
    words = dict.fromkeys(("en", "es", "hi"), 0)
    for utterance in utterances:
        words[utterance.language] += len(utterance.text.split())
    assert card.resynthesis_wer == pytest.approx(words["hi"] / sum(words.values()), abs=1e-6)
    other = Decoder()
    other.fingerprint = "another"
    with pytest.raises(TriglotError, match="codes of another tokenizer"):
        measure_tokenizer("told", phonetic(utterances), utterances, decoder=other, judge=Judge())
    # a decoder without codes reads what the tokenizer itself draws
    vocoder, drawing = Decoder(), phonetic(utterances)
    vocoder.codebook_size = 0
    with pytest.raises(TriglotError, match="which a Told does not draw"):
        measure_tokenizer("told", drawing, utterances, decoder=vocoder, judge=Judge())
    drawn = []
    drawing.decode = lambda codes: drawn.append(codes) or codes
    assert measure_tokenizer("told", drawing, utterances, decoder=vocoder, judge=Judge()).resynthesis_wer > 0
    assert len(drawn) == len(utterances)


def test_the_report_is_written(utterances, tmp_path):
    tokenizers = {"phones": phonetic(utterances), "voice": vocal(utterances)}
    cards = report_tokenizers(tokenizers, utterances, tmp_path / "card")
    results = json.loads((tmp_path / "card" / "results.json").read_text())
    assert [item["name"] for item in results["tokenizers"]] == ["phones", "voice"]
    assert results["tokenizers"][0]["pnmi"] == pytest.approx(cards[0].pnmi) and results["speakers"] == 2
    table = (tmp_path / "card" / "report.md").read_text()
    assert "| phones |" in table and "| PNMI |" in table and "resynthesis" not in table
    assert (tmp_path / "card" / "report.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(TriglotError, match="decoders are given for"):
        report_tokenizers(tokenizers, utterances, tmp_path / "x", decoders={"z": None})
    with pytest.raises(TriglotError, match="no judge"):
        report_tokenizers(tokenizers, utterances, tmp_path / "x", decoders={"voice": object()})
    with pytest.raises(TriglotError):
        report_tokenizers({}, utterances, tmp_path / "x")


def test_the_command_line(tmp_path, capsys):
    torch.manual_seed(0)
    sizes = {"codebook_size": 8, "code_dim": 4, "hidden_size": 16, "num_blocks": 1}
    model = SpeechVqvae(SpeechVqvaeConfig(**sizes)).train()
    model(torch.randn(2, 16_000))
    model.save_pretrained(tmp_path / "vq")
    SpeechVqvae(SpeechVqvaeConfig(**sizes)).save_pretrained(tmp_path / "blank")
    options = ["--out", str(tmp_path / "card"), "--sentences", "2", "--voices", "1"]
    assert main(["evaluate", "tokenizer", f"mine={tmp_path / 'vq'}", str(tmp_path / "vq"), *options]) == 0
    printed = capsys.readouterr().out
    assert "| mine |" in printed and "| vq |" in printed
    assert main(["evaluate", "tokenizer", str(tmp_path / "blank"), *options]) == 1
    assert "no code book yet" in capsys.readouterr().err
    assert main(["evaluate", "tokenizer", f"a={tmp_path / 'vq'}", f"a={tmp_path / 'vq'}", *options]) == 1
    assert "Two parts are called 'a'" in capsys.readouterr().err
    assert AutoModel.from_pretrained(tmp_path / "vq").codebook_size == 8
