"""The pipelines on random weights: what goes in, what comes out, and what is refused before any work."""

import io
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import buzz
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor, pipeline

from triglot import TriglotError, UnitVocoder

TASKS = {
    "speech-to-speech-translation": {"target_language": "es"},
    "speech-recognition": {},
    "speech-to-text-translation": {"target_language": "es"},
    "text-translation": {"target_language": "es"},
    "voice-text-to-speech": {},
}
SPEECH_IN = [task for task in TASKS if task.startswith("speech")]


@pytest.fixture(scope="module")
def pipes(random_checkpoint):
    return {task: pipeline(task, model=str(random_checkpoint)) for task in TASKS}


@pytest.fixture
def s2st(pipes):
    return pipes["speech-to-speech-translation"]


def check(task, result):
    if "to-speech" in task:
        assert result["sampling_rate"] == 16_000
        assert result["audio"].dtype == np.float32 and result["audio"].ndim == 1
        assert len(result["audio"]) % 640 == 0 and np.isfinite(result["audio"]).all()
    if task != "voice-text-to-speech":
        assert isinstance(result["text"], str)


@pytest.mark.parametrize("task", TASKS)
def test_one_in_one_out_and_a_list_in_a_list_out(pipes, task, wav):
    one = wav if task in SPEECH_IN else "a red circle"
    check(task, pipes[task](one, **TASKS[task]))
    several = pipes[task]([one, one], **TASKS[task])
    assert isinstance(several, list) and len(several) == 2
    for result in several:
        check(task, result)
    assert pipes[task]([], **TASKS[task]) == []


def test_s2st_result_has_the_documented_keys(s2st, wav):
    assert set(s2st(wav, target_language="es")) == {"audio", "sampling_rate", "text", "source_text"}
    direct = s2st(wav, target_language="es", chain=False)
    assert direct["text"] is None and direct["source_text"] is None and len(direct["audio"]) > 0


def test_ast_with_and_without_the_transcript(pipes, wav):
    ast = pipes["speech-to-text-translation"]
    assert isinstance(ast(wav, target_language="es")["source_text"], str)
    assert ast(wav, target_language="es", chain=False)["source_text"] is None


@pytest.mark.parametrize("task", SPEECH_IN)
def test_a_batch_gives_what_its_items_give(pipes, task):
    waves = [
        {"raw": buzz(seconds, f0=f0), "sampling_rate": 16_000} for seconds, f0 in ((0.5, 100), (1.3, 220), (0.8, 150))
    ]
    together = pipes[task](waves, batch_size=3, **TASKS[task])
    for wave, result in zip(waves, together):
        alone = pipes[task](wave, **TASKS[task])
        assert result.get("text") == alone.get("text")
        if "audio" in alone:
            np.testing.assert_allclose(result["audio"], alone["audio"], atol=1e-4)


def encoded(wave, rate, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, **options)
    return buffer.getvalue()


def test_every_way_to_give_the_same_sound(pipes, tmp_path):
    asr = pipes["speech-recognition"]
    wave = (np.round(buzz(1.0) * 32767) / 32768).astype(np.float32)
    path = tmp_path / "x.wav"
    soundfile.write(path, wave, 16_000, subtype="PCM_16")
    expected = asr(str(path))
    ways = [
        path,
        path.read_bytes(),
        {"array": wave, "sampling_rate": 16_000},
        {"raw": wave, "sampling_rate": 16_000},
        {"bytes": path.read_bytes(), "path": None},
        {"array": torch.from_numpy(wave), "sampling_rate": 16_000},
        {"array": wave.astype(np.float64), "sampling_rate": 16_000},
        {"array": (wave * 32768).astype(np.int16), "sampling_rate": 16_000},
        encoded(wave, 16_000, format="WAV", subtype="PCM_24"),
        encoded(wave, 16_000, format="FLAC", subtype="PCM_16"),
    ]
    for way in ways:
        assert asr(way) == expected
    assert asr(wave, sampling_rate=16_000) == expected
    assert asr(np.stack([wave, wave]), sampling_rate=16_000) == expected


def test_other_rates_and_channels_are_served(s2st):
    for rate in (8_000, 22_050, 44_100, 48_000):
        wave = buzz(1.0, rate)
        check("to-speech", {**s2st(wave, sampling_rate=rate, target_language="es")})
        stereo = encoded(np.stack([wave, 0.5 * wave], axis=1), rate, format="WAV")
        check("to-speech", {**s2st(stereo, target_language="es")})


@pytest.mark.parametrize("task", SPEECH_IN)
@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros(0), "empty"),
        (np.zeros(16_000), "silent"),
        (np.full(16_000, np.nan), "NaN"),
        (buzz(0.05), "0.05"),
        ("no/such/file.wav", "no/such/file.wav"),
        (b"this is no sound", "not a sound file"),
        (b"", "empty"),
        (encoded(buzz(1.0), 16_000, format="WAV")[:20_000], "truncated"),
    ],
)
def test_bad_sound_is_one_typed_error_before_any_work(pipes, task, sound, message, monkeypatch):
    monkeypatch.setattr(pipes[task].model, "generate", None)
    options = {"sampling_rate": 16_000} if isinstance(sound, np.ndarray) else {}
    with pytest.raises(TriglotError, match=message):
        pipes[task](sound, **options, **TASKS[task])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_language": "fr"}, r"'fr' is unknown here; known are en \(English\), es \(Spanish\)"),
        ({"target_language": "en"}, "both English"),
        ({}, "target_language is missing"),
        ({"target_language": "es", "voice_prompt": "nobody.wav"}, "nobody.wav"),
        ({"target_language": "es", "source_language": "Spannish"}, "Did you mean 'spanish'"),
    ],
)
def test_bad_arguments_are_typed_errors(s2st, wav, arguments, message, monkeypatch):
    monkeypatch.setattr(s2st.model, "generate", None)
    with pytest.raises(TriglotError, match=message):
        s2st(wav, **arguments)


def test_a_raw_array_needs_its_rate(s2st):
    with pytest.raises(TriglotError, match="sampling_rate="):
        s2st(buzz(1.0), target_language="es")


def test_unknown_call_arguments_are_named_with_the_allowed_ones(s2st, wav):
    with pytest.raises(TypeError, match=r"'langauge'.*chain, sampling_rate, source_language"):
        s2st(wav, langauge="es")
    with pytest.raises(TypeError, match="voice_prompt"):
        pipeline("speech-recognition", model=s2st.model, processor=s2st.processor, voice_prompt="x.wav")


def test_language_is_another_name_for_source_language(pipes, wav):
    asr = pipes["speech-recognition"]
    assert asr(wav, language="Spanish") == asr(wav, source_language="es")
    with pytest.raises(TriglotError, match="same argument"):
        asr(wav, language="es", source_language="es")


def test_generation_parameters_by_name_or_in_a_dict(s2st, wav):
    torch.manual_seed(0)
    by_name = s2st(wav, target_language="es", do_sample=True, temperature=3.0)
    torch.manual_seed(0)
    in_dict = s2st(wav, target_language="es", generate_kwargs={"do_sample": True, "temperature": 3.0})
    assert by_name["text"] == in_dict["text"]
    short = s2st(wav, target_language="es", max_new_tokens=8)
    assert len(short["audio"]) >= 640, "every span is closed in time"
    assert len(s2st(wav, target_language="es", num_beams=3, num_return_sequences=3)["candidates"]) == 3


def test_the_voice_prompt_and_the_decoder_change_the_sound_and_not_the_words(random_checkpoint, s2st, wav, tmp_path):
    own = s2st(wav, target_language="es")
    prompted = s2st(wav, target_language="es", voice_prompt={"array": buzz(1.0, f0=300.0), "sampling_rate": 16_000})
    assert own["text"] == prompted["text"] and own["audio"].shape == prompted["audio"].shape
    assert not np.allclose(own["audio"], prompted["audio"])

    torch.manual_seed(1)
    other = UnitVocoder(UnitVocoder.from_pretrained(random_checkpoint / "speech_decoder").config)
    other.save_pretrained(tmp_path / "other")
    swapped = pipeline("speech-to-speech-translation", model=str(random_checkpoint), speech_decoder=tmp_path / "other")
    result = swapped(wav, target_language="es")
    assert result["text"] == own["text"] and not np.allclose(result["audio"], own["audio"])


def test_stock_text_to_audio_and_text_generation(random_checkpoint):
    tts = pipeline("text-to-audio", model=str(random_checkpoint))
    check("to-speech", {**tts("a red circle"), "text": ""})
    assert len(tts(["a red circle", "a blue star"])) == 2
    writer = pipeline("text-generation", model=str(random_checkpoint))
    assert isinstance(writer("a red", max_new_tokens=3, do_sample=False)[0]["generated_text"], str)


def test_pipeline_saves_a_whole_checkpoint(s2st, wav, tmp_path):
    s2st.save_pretrained(tmp_path / "saved")
    again = pipeline("speech-to-speech-translation", model=str(tmp_path / "saved"))
    before, after = (pipe(wav, target_language="es") for pipe in (s2st, again))
    assert before["text"] == after["text"] and np.array_equal(before["audio"], after["audio"])
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert set(saved["custom_pipelines"]) == {
        *TASKS,
        "text-to-image",
        "image-to-speech",
        "speech-to-image",
        "task-chain",
    }
    assert AutoConfig.from_pretrained(tmp_path / "saved").custom_pipelines == {}


# ---- broken checkpoints


def broken(random_checkpoint, tmp_path):
    return shutil.copytree(random_checkpoint, tmp_path / "broken")


def test_a_missing_part_is_named(random_checkpoint, tmp_path, wav):
    folder = broken(random_checkpoint, tmp_path)
    shutil.rmtree(folder / "speech_decoder")
    pipe = pipeline("speech-to-speech-translation", model=str(folder))
    pipe.model.generate = None
    with pytest.raises(TriglotError, match="speech_decoder is missing"):
        pipe(wav, target_language="es")
    assert isinstance(pipeline("speech-recognition", model=str(folder))(wav)["text"], str), (
        "what needs it not still works"
    )


def test_model_weights_of_another_shape_are_an_error(random_checkpoint, tmp_path):
    folder = broken(random_checkpoint, tmp_path)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "mlp.up_proj" in name)
    weights[name] = weights[name][:-1].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="shapes"):
        pipeline("speech-recognition", model=str(folder))


def test_a_processor_of_another_model_is_refused(random_checkpoint, tmp_path):
    folder = broken(random_checkpoint, tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["modalities"][1]["fingerprint"] = "0" * 64
    (folder / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(TriglotError, match="are not the model's"):
        pipeline("speech-recognition", model=str(folder))


def test_fast_is_an_option_of_every_pipeline(random_checkpoint, pipes):
    for task, options in TASKS.items():
        quick = pipeline(task, model=str(random_checkpoint), fast=True)
        assert quick.model.fused_weights() is not None and pipes[task].model.fused_weights() is None
        check(
            task,
            quick(
                buzz(0.5) if task in SPEECH_IN else "hola",
                **({"sampling_rate": 16_000} if task in SPEECH_IN else {}),
                **options,
            ),
        )


def test_fast_says_where_it_cannot_be(random_checkpoint):
    model = AutoModelForCausalLM.from_pretrained(random_checkpoint, dtype=torch.float64)
    with pytest.raises(TriglotError, match="fast=True: The fast loop serves"):
        pipeline(
            "speech-recognition", model=model, processor=AutoProcessor.from_pretrained(random_checkpoint), fast=True
        )
