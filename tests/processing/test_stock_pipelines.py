"""transformers' own pipelines on a Triglot checkpoint: text-generation, text-to-audio, image-text-to-text, any-to-any."""

import numpy as np
import pytest
import torch
from conftest import buzz
from image_testing import PatchConfig, PatchTokenizer, seeing
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, pipeline
from transformers.pipelines import any_to_any
from transformers.utils import is_torchvision_available

from triglot import TriglotError

WORDS = "a red circle"
SOUND = {"raw": buzz(0.6), "sampling_rate": 16_000}


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8))


def ours(task, checkpoint, inputs, **options):
    return pipeline(task, model=str(checkpoint))(inputs, **options)


# ---- text-generation


def test_text_generation_writes_text_alone(random_checkpoint):
    writer = pipeline("text-generation", model=str(random_checkpoint))
    [one] = writer("a red", max_new_tokens=6, do_sample=False)
    assert one["generated_text"].startswith("a red") and len(one["generated_text"]) > len("a red")
    last = writer.model.config.modality_ranges["text"][1]
    wild = {"max_new_tokens": 30, "temperature": 9.0, "top_k": 0, "num_return_sequences": 20, "return_tensors": True}
    torch.manual_seed(0)
    ids = [token for row in writer("a red", **wild) for token in row["generated_token_ids"]]
    assert len(set(ids)) > 100 and max(ids) < last
    alone = [writer(text, max_new_tokens=6, do_sample=False)[0] for text in ("a", "a big blue square")]
    together = writer(["a", "a big blue square"], batch_size=2, max_new_tokens=6, do_sample=False)
    assert [rows[0] for rows in together] == alone


# ---- text-to-audio


def test_text_to_audio_in_batches_says_what_it_says_alone(random_checkpoint):
    """Prompts of a batch are padded on the left, by the tokenizer that the pipeline loads for itself too."""
    assert AutoTokenizer.from_pretrained(random_checkpoint).padding_side == "left"
    speak = pipeline("text-to-audio", model=str(random_checkpoint))
    texts = ["un", "a small red circle is above a big blue square"]
    alone = [speak(text) for text in texts]
    assert alone[0]["sampling_rate"] == 16_000 and alone[0]["audio"].ndim == 1
    for one, other in zip(alone, speak(texts, batch_size=2)):
        np.testing.assert_allclose(one["audio"], other["audio"], atol=1e-4)
    same = ours("voice-text-to-speech", random_checkpoint, texts[1])
    np.testing.assert_allclose(alone[1]["audio"], same["audio"], atol=1e-5)
    spanish = speak(texts[0], preprocess_params={"source_language": "es"})
    assert len(spanish["audio"]) and spanish["sampling_rate"] == 16_000


# ---- any-to-any


@pytest.fixture(scope="module")
def anything(random_checkpoint):
    return pipeline("any-to-any", model=str(random_checkpoint))


def test_a_checkpoint_reads_and_writes_what_it_has_a_tokenizer_for(anything):
    """Rows that wait for an image tokenizer do not make it see; transformers asks for torchvision where they would."""
    assert anything.model.input_modalities == anything.model.output_modalities == ("text", "audio")
    with pytest.raises(ValueError, match="not supported"):
        anything("a red circle", generation_mode="image")


def test_any_to_any_hears(anything, random_checkpoint):
    for text, options, task in (
        ("", {"language": "en"}, "speech-recognition"),
        ("Spanish", {"language": "es"}, "speech-recognition"),
        ("[AST English Spanish]", {"source_language": "en", "target_language": "es", "chain": False}, None),
    ):
        said = anything({"text": text, "audio": SOUND}, return_full_text=False)
        wanted = ours(task or "speech-to-text-translation", random_checkpoint, SOUND, **options)["text"]
        assert said == [{"input_text": text, "generated_text": wanted}]
        assert anything(text=text, audio=SOUND)[0]["generated_text"] == text + wanted
    chain = anything(text="ASR AST English Spanish", audio=SOUND, return_full_text=False)[0]["generated_text"]
    both = ours("speech-to-text-translation", random_checkpoint, SOUND, source_language="en", target_language="es")
    assert chain == f"{both['source_text']}\n{both['text']}"


def test_any_to_any_writes_and_speaks(anything, random_checkpoint):
    translated = anything(WORDS, task="MT", target_language="es", return_full_text=False)[0]["generated_text"]
    assert translated == ours("text-translation", random_checkpoint, WORDS, target_language="es")["text"]
    [spoken] = anything(WORDS, generation_mode="audio")
    assert spoken["input_text"] == WORDS
    np.testing.assert_allclose(
        spoken["generated_audio"], ours("voice-text-to-speech", random_checkpoint, WORDS)["audio"], atol=1e-5
    )
    answer = anything(text="[S2ST English Spanish]", audio=SOUND, generation_mode="audio")[0]["generated_audio"]
    assert answer.dtype == np.float32 and len(answer) and np.isfinite(answer).all()
    several = anything([{"text": "", "audio": SOUND}] * 2, return_full_text=False)
    assert len(several) == 2 and several[0] == several[1]


def test_any_to_any_sees_and_draws(random_checkpoint, picture, monkeypatch):
    """As with a trained image tokenizer; transformers wants torchvision then, which nothing of ours calls."""
    model, processor = seeing(random_checkpoint)
    with monkeypatch.context() as patch:
        entry = model.config.modalities[2]
        patch.setitem(entry, "fingerprint", "of-a-test")
        patch.setitem(processor.modalities[2], "fingerprint", "of-a-test")
        config = PatchConfig(codebook_size=entry["size"], grid=entry["grid"], fingerprint="of-a-test")
        processor.codecs.image_tokenizer = PatchTokenizer(config)
        assert model.input_modalities == model.output_modalities == ("text", "audio", "image")
        if not is_torchvision_available():
            with pytest.raises(ImportError, match="Torchvision"):
                pipeline("any-to-any", model=model, processor=processor)
            patch.setattr(any_to_any, "requires_backends", lambda *_: None)
        pipe = pipeline("any-to-any", model=model, processor=processor)
        chain = pipeline("task-chain", model=model, processor=processor, tokenizer=processor.tokenizer)
        wanted = chain(picture, tasks="CAPTION", source_language="es")[0]["text"]
        assert pipe(text="Spanish", images=picture, return_full_text=False)[0]["generated_text"] == wanted
        [drawn] = pipe(WORDS, task="T2I", generation_mode="image")
        assert drawn["generated_image"].tobytes() == chain(WORDS, tasks="T2I")[0]["image"].tobytes()
        said = pipe(text="CAPTION TTS English", images=picture, generation_mode="audio")[0]["generated_audio"]
        assert len(said) == len(chain(picture, tasks="CAPTION TTS", source_language="en")[1]["audio"])


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ({"text": WORDS}, {"generation_mode": "audio", "task": "MT", "target_language": "es"}, "writes text; choose"),
        ({"text": "", "audio": SOUND, "images": "in.png"}, {}, "Exactly one of"),
        ({"text": "", "videos": "in.mp4"}, {}, "Videos are not read"),
        ({"text": "what was said?", "audio": SOUND}, {}, "A task and its languages"),
        ({"text": ["", "en"], "audio": [SOUND] * 3}, {}, "one for each|2 entries for 3"),
    ],
)
def test_what_any_to_any_refuses(anything, inputs, options, message):
    with pytest.raises((TriglotError, ValueError), match=message):
        anything(inputs, **options)


def test_text_beside_sound_is_the_tag(random_checkpoint):
    processor = AutoProcessor.from_pretrained(random_checkpoint)
    for text in ("Spanish", "es", "[ASR Spanish]"):
        came = processor(audio=SOUND, text=text)
        assert torch.equal(came.input_ids, processor(audio=SOUND, task="ASR", source_language="es").input_ids)
    each = processor(audio=[SOUND] * 2, text=["", "es"])
    assert "Spanish" in processor._text(processor.runs(each.input_ids[1])[0].codes)
