"""Ids as text that names media tokens: both ways, names that are taken, and text that cannot be said."""

import pytest
from conftest import buzz
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoProcessor, PreTrainedTokenizerFast

from triglot import TokenSpace, TriglotError, TriglotProcessor
from triglot.processing.exported_text import ExportedText, media_token_names, with_media_tokens

MEDIA = [{"name": "speech", "size": 30, "frame_rate": 25.0}, {"name": "image", "size": 4, "grid": [2, 2]}]


@pytest.fixture(scope="module")
def processor(random_checkpoint):
    """With SentencePiece's kind of text tokenizer."""
    return AutoProcessor.from_pretrained(random_checkpoint)


@pytest.fixture(scope="module")
def byte_level():
    """A processor whose text tokenizer is of Llama 3's and Qwen's kind: bytes, no space before the first word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<end>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["[ASR English] [TTS Spanish] hola a red star"] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>")
    return TriglotProcessor(fast, modalities=[{"name": "text", "size": len(fast) + 5}, *MEDIA])


def spoken(processor, *texts):
    """Ids of an answer: texts, then a span of speech."""
    ids = []
    for text in texts:
        ids += [*processor.text_ids(text), processor.space.sep_id]
    return [*ids, *processor.space.span("speech", [3, 3, 29, 0])]


@pytest.mark.parametrize("kind", ["processor", "byte_level"])
@pytest.mark.parametrize(
    "texts", [(), ("hola",), ("a  big  star ", "un círculo"), ("", "ok"), ("é\n☃ <b>", "<|speech", "▁x")]
)
def test_answers_come_back_as_their_ids(kind, texts, request):
    processor = request.getfixturevalue(kind)
    ids = spoken(processor, *texts)
    written = processor.exported.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert written.endswith("<|speech|><|speech_3|><|speech_3|><|speech_29|><|speech_0|><|/speech|>")
    read = processor.ids_of_exported_text(written)
    assert processor.space.split(read)[-1].codes == (3, 3, 29, 0)
    assert [processor._text(run.codes) for run in processor.runs(read)[:-1]] == list(texts)
    assert read == ids


def test_white_space_between_codes_is_nothing_and_what_does_not_parse_is_an_error(processor):
    ids = spoken(processor, "hola")
    written = processor.exported.tokenizer.decode(ids, skip_special_tokens=True)
    assert processor.ids_of_exported_text(written.replace("><", "> <")) == ids
    for broken in (written.removesuffix("<|/speech|>"), written.replace("<|speech_29|>", "oh")):
        with pytest.raises(TriglotError, match="span"):
            processor.runs(processor.ids_of_exported_text(broken))
    with pytest.raises(TriglotError, match="a str is needed"):
        processor.ids_of_exported_text(7)
    assert processor.ids_of_exported_text("") == []


def test_prompts_are_read_as_their_ids(processor, byte_level):
    for each in (processor, byte_level):
        codes = each.prompt_ids(*_asr(each), [1, 2, 3])
        [text] = each.exported_prompts([[each.pad_id, each.pad_id, *codes]])
        assert text.endswith("[ASR English]<|speech|><|speech_1|><|speech_2|><|speech_3|><|/speech|>")
        assert each.exported.tokenizer(text)["input_ids"] == codes
    inputs = processor(audio=[buzz(1.0), buzz(0.5)], sampling_rate=16_000, task="ASR AST S2ST", target_language="es")
    prompts = processor.exported_prompts(inputs.input_ids)
    assert prompts[0].startswith("<s>[ASR AST S2ST English Spanish]<|speech|><|speech_") and len(prompts[1]) < len(
        prompts[0]
    )
    [text] = processor.exported_prompts(processor("un  círculo", source_language="es").input_ids)
    assert text == "<s>[TTS Spanish] un  círculo<|sep|>"


def _asr(processor):
    from triglot.processing.task_formats import parse_chain

    return parse_chain("ASR"), "en", None


@pytest.mark.parametrize("text", ["a <|speech_3|> b", "<|sep|>", "</s>"])
def test_text_that_would_become_a_token_is_refused(processor, text):
    with pytest.raises(TriglotError, match="send the ids themselves"):
        processor.exported_prompts(processor(text).input_ids)


def test_names_that_are_taken_get_a_prefix():
    space = TokenSpace([{"name": "text", "size": 3}, {"name": "image", "size": 2}])
    assert media_token_names(space) == ["<|sep|>", "<|image|>", "<|/image|>", "<|image_0|>", "<|image_1|>"]
    assert media_token_names(space, ["<|image|>"])[:2] == ["<|triglot_sep|>", "<|triglot_image|>"]
    with pytest.raises(TriglotError, match="rename a modality"):
        media_token_names(space, ["<|image|>", "<|triglot_sep|>"])
    with pytest.raises(TriglotError, match="rename a modality"):  # the second code of "a" and the begin of "a_1"
        media_token_names(
            TokenSpace([{"name": "text", "size": 3}, {"name": "a", "size": 2}, {"name": "a_1", "size": 1}])
        )


def test_a_tokenizer_that_does_not_fit_is_an_error(processor):
    with pytest.raises(TriglotError, match="not this checkpoint's"):
        with_media_tokens(processor.tokenizer, TokenSpace([{"name": "text", "size": 10}, *MEDIA]))
    before = len(processor.tokenizer)
    ExportedText(processor.tokenizer, processor.space, processor.control_ids)
    assert len(processor.tokenizer) == before


def test_the_processor_saves_as_before(processor, tmp_path):
    """The tokenizer made for exports is not part of it."""
    _ = processor.exported
    processor.save_pretrained(tmp_path)
    assert "<|speech_3|>" not in (tmp_path / "tokenizer.json").read_text()
    assert "exported" not in (tmp_path / "processor_config.json").read_text()
