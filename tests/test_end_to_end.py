"""The skeleton's promise: trained here on four spoken sentences, a wav goes in and the right words come out, as a wav."""

import json

import numpy as np
import pytest
import soundfile
import torch
from environments import ROOT, run
from transformers import AutoProcessor, pipeline

from triglot.training.data.demo_world import DemoWorldArguments, speak

SPEAKER = DemoWorldArguments().speakers.split()[0]
PAIRS = [("en", "es"), ("es", "en")]

TRANSLATE = """
import json, sys
import soundfile
from transformers import pipeline
import triglot
checkpoint, jobs = sys.argv[1], json.loads(sys.argv[2])
s2st = pipeline("speech-to-speech-translation", model=checkpoint)
for job in jobs:
    out = s2st(job["wav"], source_language=job["source"], target_language=job["target"])
    soundfile.write(job["out"], out["audio"], out["sampling_rate"])
    print("RESULT" + json.dumps([out["source_text"], out["text"]]))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def jobs(overfit_scenes, tmp_path_factory):
    """Eight spoken sentences as wav files, with the texts that are true of them."""
    folder, jobs = tmp_path_factory.mktemp("spoken"), []
    for number, scene in enumerate(overfit_scenes):
        for source, target in PAIRS:
            path = folder / f"{number}-{source}.wav"
            soundfile.write(path, *speak(scene.sentence(source), source, SPEAKER))
            jobs.append(
                {
                    "wav": str(path),
                    "source": source,
                    "target": target,
                    "out": str(folder / f"{number}-{source}-out.wav"),
                    "transcript": scene.sentence(source),
                    "translation": scene.sentence(target),
                }
            )
    return jobs


@pytest.fixture(scope="module")
def translated(overfit_checkpoint, jobs, tmp_path_factory):
    """What the public pipeline makes of them in a clean process."""
    import sys

    folder = tmp_path_factory.mktemp("clean")
    printed = run(
        sys.executable,
        "-c",
        TRANSLATE,
        str(overfit_checkpoint.resolve()),
        json.dumps(jobs),
        cwd=folder,
        PYTHONPATH=str(ROOT),
    )
    return [json.loads(line[6:]) for line in printed.splitlines() if line.startswith("RESULT")]


def test_transcripts_and_translations_are_exactly_right(jobs, translated):
    assert translated == [[job["transcript"], job["translation"]] for job in jobs]


def test_the_model_itself_hears_exactly_the_translations(overfit_checkpoint, jobs, translated):
    """Word for word. The model knows only eight sentences, so this says little without the next test."""
    asr = pipeline("speech-recognition", model=str(overfit_checkpoint))
    assert [asr(job["out"], language=job["target"])["text"] for job in jobs] == [job["translation"] for job in jobs]


def test_the_wavs_sound_like_real_speech_of_these_words_and_of_no_others(overfit_checkpoint, jobs, translated):
    """A second opinion that shares nothing with the model: time-warped mel-cepstra against espeak's own recordings.

    Each wav is nearer to the right recording than to any other by a factor of 1.6 or more (measured: 2.4 to 3.3), and
    the same codes in another order are as far away as noise, so it is the order of the sounds that carries the words.
    """
    recordings = {job["translation"]: mel_cepstrum(*speak(job["translation"], job["target"], SPEAKER)) for job in jobs}
    codecs = AutoProcessor.from_pretrained(overfit_checkpoint).codecs
    generator = torch.Generator().manual_seed(0)
    for job in jobs:
        wave, rate = read_wav(job["out"])
        output = mel_cepstrum(wave, rate)
        distances = {text: warped_distance(output, recording) for text, recording in recordings.items()}
        right = distances.pop(job["translation"])
        assert right < min(distances.values()) / 1.6

        codes = codecs.encode("speech", [wave])[0]
        shuffled = codecs.decode("speech", [codes[torch.randperm(len(codes), generator=generator)]])[0].numpy()
        assert warped_distance(mel_cepstrum(shuffled, rate), recordings[job["translation"]]) > 2 * right


def test_other_tasks_of_the_same_checkpoint(overfit_checkpoint, overfit_scenes):
    scene = overfit_scenes[0]
    mt = pipeline("text-translation", model=str(overfit_checkpoint))
    assert mt(scene.sentence("en"), source_language="en", target_language="es")["text"] == scene.sentence("es")
    ast = pipeline("speech-to-text-translation", model=str(overfit_checkpoint))
    wave, rate = speak(scene.sentence("es"), "es", SPEAKER)
    for chain in (True, False):
        out = ast(wave, sampling_rate=rate, source_language="es", target_language="en", chain=chain)
        assert out["text"] == scene.sentence("en")
    asr = pipeline("speech-recognition", model=str(overfit_checkpoint))
    for tts in (
        pipeline("text-to-audio", model=str(overfit_checkpoint)),
        pipeline("voice-text-to-speech", model=str(overfit_checkpoint)),
    ):
        spoken = tts(scene.sentence("en"))
        assert asr(spoken, language="en")["text"] == scene.sentence("en")


def test_direct_speech_to_speech(overfit_checkpoint, jobs):
    s2st = pipeline("speech-to-speech-translation", model=str(overfit_checkpoint))
    asr = pipeline("speech-recognition", model=str(overfit_checkpoint))
    out = s2st(jobs[0]["wav"], source_language="en", target_language="es", chain=False)
    assert asr(out, language="es")["text"] == jobs[0]["translation"]


def test_a_finished_recipe_is_not_trained_again(overfit_checkpoint, capsys):
    from triglot.training.run_recipe import load_recipe, run_recipe

    before = (overfit_checkpoint / "model.safetensors").read_bytes()
    again = run_recipe(load_recipe("overfit_four", overfit_checkpoint.parent))
    assert capsys.readouterr().out.count("finished before") == 7
    assert (again / "model.safetensors").read_bytes() == before


# ---- the second opinion


def read_wav(path):
    """float32 (samples,) and Hz."""
    return soundfile.read(path, dtype="float32")


def mel_cepstrum(wave, rate):
    """(frames, 13) at 10 ms, mean removed."""
    import soxr
    from transformers.audio_utils import mel_filter_bank

    wave = soxr.resample(wave, rate, 16_000)
    frames = np.lib.stride_tricks.sliding_window_view(wave, 400)[::160] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    bank = mel_filter_bank(257, 40, 50.0, 7_600.0, 16_000, mel_scale="htk")
    log_mel = np.log(np.maximum(power @ bank, 1e-6))
    basis = np.cos(np.pi / 40 * (np.arange(40) + 0.5)[:, None] * np.arange(1, 14)[None])
    cepstrum = log_mel @ basis
    return cepstrum - cepstrum.mean(0)


def warped_distance(a, b):
    """Mean distance along the best alignment of (N, D) and (M, D)."""
    cost = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    total = np.full((len(a) + 1, len(b) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    return total[-1, -1] / (len(a) + len(b))
