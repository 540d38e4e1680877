"""The pipelines where the language model writes text alone: the same calls, the same keys, the texts spoken by text_to_unit."""

import shutil

import numpy as np
import pytest
import torch
from conftest import buzz
from transformers import pipeline

from triglot import TextToUnit, TriglotError
from triglot.modeling.decoders.configuration_text_to_unit import TextToUnitConfig
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.evaluate import evaluate_checkpoint

S2ST = "speech-to-speech-translation"
CHARACTERS = " abcdefghijklmnopqrstuvwxyzíúñ"


def text_to_unit(fingerprint: str, **changes) -> TextToUnit:
    torch.manual_seed(0)
    settings = {
        "codebook_size": 30, "characters": CHARACTERS, "languages": ["en", "es"], "hidden_size": 32, "num_hidden_layers": 1,
        "num_decoder_layers": 1, "num_attention_heads": 2, "intermediate_size": 48, "initializer_range": 0.2,
    }  # fmt: skip
    model = TextToUnit(TextToUnitConfig(**{**settings, "fingerprint": fingerprint, **changes})).eval()
    with torch.no_grad():
        model.dur_predictor.proj.bias.fill_(0.9)
    return model


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, tmp_path_factory):
    """The random checkpoint with a text_to_unit, saved as a whole by the pipeline."""
    folder = tmp_path_factory.mktemp("text_to_unit")
    writes_units = pipeline(S2ST, model=str(random_checkpoint))
    fingerprint = writes_units.processor.modalities[1]["fingerprint"]
    text_to_unit(fingerprint).save_pretrained(folder / "part")
    pipe = pipeline(S2ST, model=str(random_checkpoint), text_to_unit=folder / "part")
    pipe.save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


@pytest.fixture(scope="module")
def s2st(checkpoint):
    return pipeline(S2ST, model=str(checkpoint))


@pytest.fixture(scope="module")
def tts(checkpoint):
    return pipeline("voice-text-to-speech", model=str(checkpoint))


def spoken(pipe, text, language, voice):
    codecs = pipe.processor.codecs
    return codecs.decode("speech", codecs.units([text], [language]), voices=[voice])[0].numpy()


def test_the_translation_is_what_is_spoken(checkpoint, s2st, wav):
    assert (checkpoint / "text_to_unit" / "config.json").is_file()
    assert (checkpoint / "modeling_text_to_unit.py").is_file() and (checkpoint / "spoken_plan.py").is_file()
    assert s2st.processor.parts[-1] == "text_to_unit"
    result = s2st(wav, target_language="es")
    assert set(result) == {"audio", "sampling_rate", "text", "source_text"}
    voice = s2st.processor.voice(wav)
    np.testing.assert_allclose(result["audio"], spoken(s2st, result["text"], "es", voice), atol=1e-6)
    texts = pipeline("speech-to-text-translation", model=s2st.model, processor=s2st.processor)(
        wav, target_language="es"
    )
    assert (result["text"], result["source_text"]) == (texts["text"], texts["source_text"])


def test_straight_from_speech_to_speech_shows_no_text(s2st, wav):
    direct = s2st(wav, target_language="es", chain=False)
    assert direct["text"] is None and direct["source_text"] is None
    ast = pipeline("speech-to-text-translation", model=s2st.model, processor=s2st.processor)
    text = ast(wav, target_language="es", chain=False)["text"]
    np.testing.assert_allclose(direct["audio"], spoken(s2st, text, "es", s2st.processor.voice(wav)), atol=1e-6)


def test_what_is_to_be_read_aloud_needs_no_language_model(tts, monkeypatch):
    monkeypatch.setattr(tts.model, "generate", None)
    voice = tts.processor.speech_decoder().fallback_voice()
    one, other = tts(["a red star", "una estrella"], language="es")
    np.testing.assert_allclose(one["audio"], spoken(tts, "a red star", "es", voice), atol=1e-6)
    assert set(one) == {"audio", "sampling_rate"} and one["audio"].shape != other["audio"].shape


def test_a_batch_gives_what_its_items_give(s2st, tts):
    waves = [
        {"raw": buzz(seconds, f0=f0), "sampling_rate": 16_000} for seconds, f0 in ((0.5, 100), (1.1, 220), (0.8, 150))
    ]
    for wave, result in zip(waves, s2st(waves, batch_size=2, target_language="es")):
        alone = s2st(wave, target_language="es")
        assert (result["text"], result["source_text"]) == (alone["text"], alone["source_text"])
        np.testing.assert_allclose(result["audio"], alone["audio"], atol=1e-4)
    texts = ["a star", "the red star", "x"]
    for text, result in zip(texts, tts(texts, batch_size=2)):
        np.testing.assert_allclose(result["audio"], tts(text)["audio"], atol=1e-4)


def test_chains_and_candidates(checkpoint, s2st, wav):
    chain = pipeline("task-chain", model=s2st.model, processor=s2st.processor)
    steps = chain("a star", tasks="MT TTS", target_language="es")
    assert [step["task"] for step in steps] == ["MT", "TTS"]
    voice = s2st.processor.speech_decoder().fallback_voice()
    np.testing.assert_allclose(steps[1]["audio"], spoken(s2st, steps[0]["text"], "es", voice), atol=1e-6)
    several = s2st(wav, target_language="es", num_beams=2, num_return_sequences=2)["candidates"]
    assert len(several) == 2 and all(len(one["audio"]) for one in several)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("日本", {}, "text_to_unit: There is nothing to say"),
        ("", {}, "nothing to say"),
        (7, {}, "a str is needed"),
        ("a " * 900, {}, "at most 1000"),
        ("a", {"language": "fr"}, "'fr' is unknown here"),
    ],
)
def test_text_that_cannot_be_said_is_a_typed_error(tts, text, arguments, message):
    with pytest.raises(TriglotError, match=message):
        tts(text, **arguments)


def test_the_processor_asks_the_model_for_no_speech(checkpoint, s2st, wav):
    processor = s2st.processor
    assert "input_ids" in processor(audio=wav, task="ASR AST", target_language="es")
    with pytest.raises(TriglotError, match="text_to_unit speaks it"):
        processor(audio=wav, task="ASR AST S2ST", target_language="es")
    with pytest.raises(TriglotError, match="text_to_unit speaks it"):
        pipeline("text-to-audio", model=str(checkpoint))("a star")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"fingerprint": "of another"}, "fingerprint"), ({"codebook_size": 40}, "40 codes")],
)
def test_codes_of_another_tokenizer_are_refused(s2st, changes, message):
    fingerprint = s2st.processor.modalities[1]["fingerprint"]
    with pytest.raises(TriglotError, match=message):
        s2st.processor.codecs.text_to_unit = text_to_unit(**{"fingerprint": fingerprint, **changes})
    with pytest.raises(TriglotError, match="no text-to-unit model"):
        s2st.processor.codecs.text_to_unit = s2st.processor.speech_decoder()


def test_a_damaged_or_missing_part_is_named(checkpoint, wav, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "copy")
    (folder / "text_to_unit" / "config.json").unlink()
    with pytest.raises(TriglotError, match="text_to_unit is missing"):
        pipeline(S2ST, model=str(folder))(wav, target_language="es")


def test_it_is_evaluated_as_any_other(checkpoint, tmp_path):
    class Judge:
        def transcribe(self, waves, languages):
            return ["dos palabras"] * len(waves)

    rows = demo_world(DemoWorldArguments(sentences=1))
    results = evaluate_checkpoint(
        checkpoint, rows, output_dir=tmp_path / "out", judge=Judge(), tasks=("S2ST", "S2ST direct", "TTS"), resamples=5,
        progress=False, embed=lambda wave: np.abs(np.fft.rfft(wave, 64))[:8] + 1e-3,
    )  # fmt: skip
    assert {"asr_bleu", "speaker_similarity"} <= set(results["tasks"]["S2ST"]["mean"])
    lines = (tmp_path / "out" / "items.jsonl").read_text().splitlines()
    assert len(lines) == 8 and sum('"codes": [' in line for line in lines) == 6
