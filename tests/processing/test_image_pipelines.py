"""Pictures in and out of the pipelines, on random weights and a tokenizer of patches: chains, guidance, best of n, bad input."""

import numpy as np
import pytest
import torch
from conftest import buzz
from image_decoder_testing_parts import tiny_decoders
from image_testing import PatchConfig, PatchReader, PatchTokenizer, seeing, seeing_pipeline
from PIL import Image

from triglot import TriglotError
from triglot.processing import caption_likelihood
from triglot.processing.caption_likelihood import caption_likelihoods

WORDS = "a red circle"
SOUND = {"raw": buzz(0.6), "sampling_rate": 16_000}


@pytest.fixture(scope="module")
def parts(random_checkpoint):
    return seeing(random_checkpoint)


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def draw(parts):
    return seeing_pipeline("text-to-image", *parts)


def same(one, other):
    return one.size == other.size and one.tobytes() == other.tobytes()


# ---- the processor


def test_a_picture_becomes_a_prompt_and_codes_become_a_picture(parts, picture):
    _, processor = parts
    features = processor(images=picture, task="CAPTION", source_language="Spanish")
    tag, image = processor.space.split(features.input_ids[0], processor.control_ids)
    assert processor._text(tag.codes) == "[CAPTION Spanish]" and len(image.codes) == 4
    assert processor(images=picture).output_spans.tolist() == [[0]]
    [drawn] = processor.post_process_multimodal_output(processor.space.span("image", image.codes))
    assert drawn.size == (16, 16) and drawn.mode == "RGB"
    assert torch.equal(processor(images=drawn).input_ids, processor(images=np.asarray(drawn)).input_ids)


def test_a_batch_of_pictures_of_any_size_has_the_ids_of_its_items(parts, picture):
    _, processor = parts
    several = [picture, picture.resize((200, 90)), picture.rotate(90)]
    batch = processor(images=several, source_language=["en", "es", "en"])
    for row, mask, item, language in zip(batch.input_ids, batch.attention_mask, several, ("en", "es", "en")):
        assert torch.equal(row[mask.bool()], processor(images=item, source_language=language).input_ids[0])


def test_text_beside_images_is_the_tag(parts, picture):
    _, processor = parts
    for text in ("Spanish", "es", "[CAPTION Spanish]", "CAPTION es"):
        came = processor(images=picture, text=text)
        assert torch.equal(came.input_ids, processor(images=picture, source_language="es").input_ids)
    chain = processor(images=[picture] * 2, text="[CAPTION MT English Spanish]")
    assert chain.output_spans.tolist() == [[0, 0]] * 2
    each = processor(images=[picture] * 2, text=["", "es"])
    assert processor._text(processor.runs(each.input_ids[1])[0].codes) == "[CAPTION Spanish]"
    for text, message in (
        ("what is this?", "A task and its languages"), ("Klingon", "known are en"), (["", "MT en es"], "one task a batch"),
        (7, "a str is needed"), ("MT English Spanish", "reads text; came image"),
    ):  # fmt: skip
        with pytest.raises(TriglotError, match=message):
            processor(images=[picture] * 2 if isinstance(text, list) else picture, text=text)


def test_null_prompts_are_what_training_shows_without_a_condition(parts):
    _, processor = parts
    dropped = processor.training_example("T2I", "es", None, {"text_source": [], "image_source": [1, 2, 3, 4]})
    for inputs in ({"text": WORDS, "task": "T2I"}, {"audio": SOUND, "task": "ASR T2I"}):
        null = processor(**inputs, source_language="es", guidance=True).negative_prompt_ids[0].tolist()
        assert dropped["input_ids"][: len(null)] == null and dropped["labels"][len(null) - 1] == -100
        assert dropped["labels"][len(null)] == processor.space.span_ids("image")[0]
    translated = processor(audio=SOUND, task="AST T2I", source_language="es", target_language="en", guidance=True)
    assert processor._text(translated.negative_prompt_ids[0][:-1]) == "[T2I English]"
    with pytest.raises(TriglotError, match="draws none"):
        processor(text=WORDS, task="TTS", guidance=True)


def test_a_tokenizer_that_cannot_draw_needs_a_decoder(random_checkpoint, picture):
    model, processor = seeing(random_checkpoint, PatchReader)
    assert processor(images=picture).input_ids.shape[0] == 1
    draw = seeing_pipeline("text-to-image", model, processor)
    with pytest.raises(TriglotError, match=r"no image_decoder.*PatchReader, cannot decode"):
        draw(WORDS)
    other = PatchTokenizer(PatchConfig(codebook_size=8, grid=[2, 2], patch_side=3))
    draw = seeing_pipeline("text-to-image", *seeing(random_checkpoint), image_decoder=other)
    assert draw(WORDS)[0].size == (6, 6), "a decoder takes precedence over a tokenizer that draws"


@pytest.mark.parametrize("kind", ["diffusion", "gan", "latent", "super-resolution"])
def test_a_decoder_of_a_folder_draws_in_the_tokenizers_place(kind, random_checkpoint, tmp_path):
    pytest.importorskip("diffusers")
    model, processor = seeing(random_checkpoint, PatchReader)
    entry = processor.modalities[2]
    decoder = tiny_decoders(entry["grid"], entry["size"])[kind]
    decoder.save_pretrained(tmp_path / kind)
    draw = seeing_pipeline("text-to-image", model, processor, image_decoder=str(tmp_path / kind))
    assert type(processor.codecs.image_decoder).__name__ == type(decoder).__name__
    one, again = draw(WORDS)[0], draw([WORDS, "a big blue square"], batch_size=2)[0][0]
    assert one.size == decoder.config.shape[::-1] and same(one, again)


# ---- pipelines


def test_text_to_image(draw):
    [drawn] = draw("a big red circle is above a big blue square")
    assert isinstance(drawn, Image.Image) and drawn.size == (16, 16)
    assert same(drawn, draw("a big red circle is above a big blue square", language="en")[0])
    both = draw([WORDS, "a big blue square"], batch_size=2)
    assert [len(images) for images in both] == [1, 1] and same(both[0][0], draw(WORDS)[0])


def test_several_pictures_are_sampled_by_their_seed(draw):
    four = draw(WORDS, num_images=4, seed=3, temperature=3.0)
    assert len(four) == 4 and len({image.tobytes() for image in four}) > 1
    again = draw(WORDS, num_images=4, seed=3, temperature=3.0)
    assert all(map(same, four, again))
    assert not all(map(same, four, draw(WORDS, num_images=4, seed=4, temperature=3.0)))
    state = torch.random.get_rng_state()
    draw(WORDS, num_images=2, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    batch = draw([WORDS, "a blue square"], num_images=3, batch_size=2, seed=0)
    assert [len(images) for images in batch] == [3, 3]


def test_guidance_changes_the_pictures(draw):
    texts = [WORDS, "a big blue square", "un círculo", "above"]
    plain, guided = draw(texts), draw(texts, guidance_scale=6.0)
    assert not all(same(one[0], other[0]) for one, other in zip(plain, guided))
    together = draw(texts, guidance_scale=6.0, batch_size=4)
    assert all(same(one[0], other[0]) for one, other in zip(guided, together))


def test_best_of_keeps_the_pictures_under_which_the_text_is_most_likely(parts, draw):
    model, processor = parts
    options = {"seed": 5, "temperature": 4.0}
    drawn, best = draw(WORDS, num_images=8, **options), draw(WORDS, num_images=3, best_of=8, **options)
    ids = processor.text_ids(WORDS)
    codes = [processor.codecs.encode("image", [processor.load_image(image)])[0].tolist() for image in drawn]
    scores = caption_likelihoods(model, processor, codes, [ids] * 8, "en")
    order = scores.argsort(descending=True)[:3].tolist()
    assert len(scores.unique()) > 1
    np.testing.assert_allclose(sorted(scores.tolist())[-3:][::-1], scores[order])
    kept = [processor.codecs.encode("image", [processor.load_image(image)])[0].tolist() for image in best]
    assert caption_likelihoods(model, processor, kept, [ids] * 3, "en").tolist() == pytest.approx(
        scores[order].tolist()
    )


def keeping(shapes, output):
    shapes.append(tuple(output.logits.shape))
    return output


def test_the_likelihood_is_the_sum_over_the_caption(parts, monkeypatch):
    model, processor = parts
    text = processor.text_ids(WORDS)
    together = caption_likelihoods(model, processor, [[1, 2, 3, 4], [0, 0, 0, 0]], [text, text[:1]], "es")
    example = processor.training_example("CAPTION", "es", None, {"image_source": [1, 2, 3, 4], "text_source": text})
    ids = torch.tensor([example["input_ids"]])
    with torch.no_grad():
        logs = model(input_ids=ids).logits[0].log_softmax(-1)
    start = example["labels"].count(-100)
    shapes, forward = [], model.forward
    monkeypatch.setattr(model, "forward", lambda **given: keeping(shapes, forward(**given)))
    monkeypatch.setattr(caption_likelihood, "MOST_POSITIONS", 2 * ids.shape[1])
    again = caption_likelihoods(model, processor, [[1, 2, 3, 4]] * 5, [text] * 5, "es")
    assert [shape[:2] for shape in shapes] == [(2, ids.shape[1] - start + 1)] * 2 + [(1, ids.shape[1] - start + 1)]
    torch.testing.assert_close(again, together[:1].expand(5), rtol=0, atol=1e-3)
    by_hand = sum(float(logs[place - 1, ids[0, place]]) for place in range(start, ids.shape[1]))
    assert float(together[0]) == pytest.approx(by_hand, abs=1e-3) and ids.shape[1] - start == len(text) + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 0}, "num_images is 0"),
        ({"num_images": 4, "best_of": 2}, "best_of 2"),
        ({"num_images": 1000}, "<= 256"),
        ({"num_images": 2, "do_sample": False}, "would be alike"),
        ({"language": "Klingon"}, "known are en"),
        ({"num_images": "2"}, "num_images is '2'"),
        ({"best_of": 2.0}, "best_of is 2.0"),
        ({"seed": 10**20}, r"0 to 2\*\*64 - 1"),
        ({"guidance_scale": -1.0}, "guidance_scale is -1.0"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_scale": 3.0, "num_beams": 2}, "not with beams"),
        ({"num_images": 2, "temperature": 0.0}, "temperature"),
    ],
)
def test_what_cannot_be_drawn(draw, options, message):
    with pytest.raises(TriglotError, match=message):
        draw(WORDS, **options)


def test_speech_to_image(parts):
    result = seeing_pipeline("speech-to-image", *parts)(SOUND, num_images=2, seed=0, guidance_scale=2.0)
    assert set(result) == {"images", "text", "texts"} and len(result["images"]) == len(result["texts"]) == 2
    best = seeing_pipeline("speech-to-image", *parts)(SOUND, best_of=4, seed=0)
    assert len(best["images"]) == 1 and best["text"] == best["texts"][0]


def test_image_to_speech(parts, picture):
    describe = seeing_pipeline("image-to-speech", *parts)
    said = describe(picture, language="es")
    assert said["sampling_rate"] == 16_000 and len(said["audio"]) and said["source_text"] is None
    by_way = describe(picture, source_language="en", target_language="es", voice_prompt=SOUND)
    assert isinstance(by_way["source_text"], str) and isinstance(by_way["text"], str) and len(by_way["audio"])
    assert len(describe([picture, picture], batch_size=2)) == 2


CHAINS = {
    "CAPTION MT TTS": ("image", ["text", "text", "audio"]),
    "ASR T2I": ("speech", ["text", "image"]),
    "AST T2I CAPTION": ("speech", None),
    "AST T2I": ("speech", ["text", "image"]),
    "S2ST": ("speech", ["audio"]),
    "ASR AST S2ST": ("speech", ["text", "text", "audio"]),
    "T2I": ("text", ["image"]),
    "MT T2I": ("text", ["text", "image"]),
    "TTS T2I MT": ("text", ["audio", "image", "text"]),
    "CAPTION TTS MT": ("image", ["text", "audio", "text"]),
}


@pytest.mark.parametrize("tasks", CHAINS)
def test_every_chain_gives_all_that_is_on_its_way(parts, picture, tasks):
    source, kinds = CHAINS[tasks]
    chain = seeing_pipeline("task-chain", *parts)
    inputs = {"image": picture, "speech": SOUND, "text": WORDS}[source]
    options = {"tasks": tasks, "source_language": "en", "target_language": "es"}
    if kinds is None:
        with pytest.raises(TriglotError, match="a second time"):
            chain(inputs, **options)
        return
    for scale in (1.0, 3.0) if "image" in kinds else (1.0,):
        result = chain(inputs, guidance_scale=scale, **options)
        assert [piece["task"] for piece in result] == tasks.split()
        assert [next(kind for kind in ("text", "audio", "image") if kind in piece) for piece in result] == kinds


def test_a_chain_needs_its_tasks(parts):
    chain = seeing_pipeline("task-chain", *parts)
    for tasks, message in ((None, "needs tasks="), ("SING", "unknown task 'SING'"), ("TTS CAPTION", "reads image")):
        with pytest.raises(TriglotError, match=message):
            chain(WORDS, tasks=tasks)


def test_the_stock_pipeline_captions_in_any_language(parts, picture, monkeypatch):
    model, processor = parts
    stock = seeing_pipeline("image-text-to-text", model, processor)
    chain = seeing_pipeline("task-chain", model, processor)
    asked, generate = [], type(model).generate

    def listening(self, **kwargs):
        asked.extend(processor._text(processor.runs(row)[0].codes) for row in kwargs["input_ids"].tolist())
        return generate(self, **kwargs)

    monkeypatch.setattr(type(model), "generate", listening)
    caption = {code: chain(picture, tasks="CAPTION", source_language=code)[0]["text"] for code in ("en", "es")}
    assert stock(picture, text="")[0]["generated_text"] == caption["en"]
    assert stock(picture, text="Spanish", return_full_text=False)[0]["generated_text"] == caption["es"]
    assert stock(picture, text="", source_language="es")[0]["generated_text"] == caption["es"]
    several = stock([picture, picture], text=["", "es"], return_full_text=False)
    assert [answer["generated_text"] for answer in several] == [caption["en"], caption["es"]]
    translated = stock(picture, text="[CAPTION MT English Spanish]", return_full_text=False)[0]["generated_text"]
    assert len(translated.split("\n")) <= 2
    languages = ["English", "Spanish", "English", "Spanish", "Spanish", "English", "Spanish"]
    assert asked == [*(f"[CAPTION {language}]" for language in languages), "[CAPTION MT English Spanish]"]


# ---- bad input


@pytest.mark.parametrize("task", ["image-to-speech", "task-chain"])
def test_bad_pictures_are_one_typed_error_before_any_work(parts, task, monkeypatch):
    model, processor = parts
    pipe = seeing_pipeline(task, model, processor)
    monkeypatch.setattr(model, "generate", None)
    options = {"tasks": "CAPTION"} if task == "task-chain" else {}
    for bad, message in (
        ("no/such.png", "no/such.png"),
        (b"nothing", "not a picture"),
        (Image.new("RGB", (1, 1)), "1 x 1"),
    ):
        with pytest.raises(TriglotError, match=message):
            pipe(bad, **options)


def test_a_prompt_longer_than_the_context_is_one_typed_error(parts, picture, monkeypatch):
    model, processor = parts
    monkeypatch.setattr(model, "generate", None)
    monkeypatch.setattr(model.config.text_config, "max_position_embeddings", 20)
    chain = seeing_pipeline("task-chain", model, processor)
    for inputs, tasks in ((WORDS * 9, "T2I"), (WORDS * 9, "TTS"), (SOUND, "ASR"), (picture, "CAPTION")):
        with pytest.raises(TriglotError, match=r"prompt has \d+ ids .* context is 20 ids: shorten"):
            chain(inputs, tasks=tasks)
