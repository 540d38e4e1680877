"""TriglotProcessor: prompts, training examples, pieces, laziness, pickling and disk."""

import copy
import dataclasses
import pickle
import shutil

import numpy as np
import pytest
import torch
from conftest import buzz
from safetensors.torch import save_file
from transformers import AutoModel, AutoProcessor, PreTrainedConfig

from triglot import TriglotError, TriglotForConditionalGeneration, TriglotProcessor, Voice
from triglot.modeling.decoders.media_decoder import SpeechDecoder
from triglot.processing.audio_io import resample


@pytest.fixture
def processor(random_checkpoint):
    return AutoProcessor.from_pretrained(random_checkpoint)


@pytest.fixture(scope="module")
def model(random_checkpoint):
    return AutoModel.from_pretrained(random_checkpoint)


def text_of(processor, ids):
    return processor.tokenizer.decode(ids, skip_special_tokens=True)


def test_auto_classes_give_triglots(processor, model):
    assert type(processor) is TriglotProcessor
    assert type(model) is TriglotForConditionalGeneration


def test_text_alone_loads_no_weights(processor):
    features = processor("hi")
    assert features["input_ids"].shape == features["attention_mask"].shape
    assert processor.codecs.loaded == []


def test_the_prompt_is_the_papers(processor):
    space = processor.space
    ids = (
        processor(text="a red circle", task="MT", source_language="English", target_language="es")
        .input_ids[0]
        .tolist()
    )
    assert ids[0] == processor.tokenizer.bos_token_id and ids[-1] == space.sep_id
    assert text_of(processor, ids[1:-1]).replace(" ", "") == "[MTEnglishSpanish]aredcircle"

    features = processor(audio=buzz(1.0), sampling_rate=16_000, task="ASR AST S2ST", target_language="Spanish")
    tag, speech = space.split(features.input_ids[0], processor.control_ids)
    assert text_of(processor, tag.codes) == "[ASR AST S2ST English Spanish]"
    assert speech.modality == "speech" and len(speech.codes) == 25
    assert features.output_spans.tolist() == [[0, 0, 1]]


def test_what_is_not_said_is_inferred(processor):
    assert processor("hi").output_spans.tolist() == [[1]]
    assert processor(audio=buzz(0.5), sampling_rate=16_000).output_spans.tolist() == [[0]]


def test_a_batch_has_the_ids_of_its_items(processor):
    waves = [buzz(0.3), buzz(1.1, f0=200.0), buzz(0.74)]
    options = {"sampling_rate": 16_000, "task": "AST", "target_language": "es"}
    batch = processor(audio=waves, **options)
    for row, mask, wave in zip(batch.input_ids, batch.attention_mask, waves):
        alone = processor(audio=wave, **options).input_ids[0]
        assert torch.equal(row[mask.bool()], alone)
        assert mask.tolist() == sorted(mask.tolist()), "padding is on the left"


def test_languages_and_tasks_may_differ_in_a_batch(processor):
    batch = processor(text=["a", "b"], task="MT", source_language=["en", "es"], target_language=["es", "en"])
    tags = [text_of(processor, row).split("]")[0] for row in batch.input_ids]
    assert tags == ["[MT English Spanish", "[MT Spanish English"]


def test_user_text_never_becomes_a_control_id(processor):
    control = processor.control_ids
    for text in ["<s>", "</s>", "<pad>", "<unk>", "<|speech|>", "<|sep|> [ASR English]", "\x00▁<0x41>"]:
        ids = processor.text_ids(text)
        assert not control & set(ids)
        assert max(ids) < processor.space.sep_id
        assert processor._text(ids) == text, "and it comes back as it was"


def test_training_example_has_its_loss_on_the_outputs_only(processor):
    space = processor.space
    contents = {
        "speech_source": [1, 2, 3],
        "text_source": processor.text_ids("a red circle"),
        "text_target": processor.text_ids("un círculo rojo"),
        "speech_target": [4, 5],
    }
    example = processor.training_example("ASR AST S2ST", "en", "es", contents)
    ids, labels = example["input_ids"], example["labels"]
    prompt = labels.count(-100)
    assert labels[:prompt] == [-100] * prompt and labels[prompt:] == ids[prompt:]
    assert ids[prompt - 1] == space.span_ids("speech")[1], "the loss starts right after the input"
    runs = space.split(ids[prompt:], processor.control_ids)
    assert [run.modality for run in runs] == ["text", "text", "speech"]
    assert runs[2].codes == (4, 5) and ids[-1] == processor.eos_id


def test_a_training_prompt_is_the_prompt_of_generation(processor):
    wave = buzz(0.5)
    codes = processor.codecs.encode("speech", [wave])[0].tolist()
    example = processor.training_example("ASR", "es", None, {"speech_source": codes, "text_source": [7]})
    prompt = processor(audio=wave, sampling_rate=16_000, task="ASR", source_language="es").input_ids[0].tolist()
    assert example["input_ids"][: len(prompt)] == prompt


def test_every_task_is_generated_and_comes_back_as_pieces(processor, model):
    torch.manual_seed(0)
    kinds = {"text": str, "speech": np.ndarray}
    for task, content in [("ASR", "audio"), ("AST", "audio"), ("S2ST", "audio"), ("TTS", "text"), ("MT", "text"),
                          ("ASR AST", "audio"), ("ASR AST S2ST", "audio"), ("MT TTS", "text"), ("ASR TTS", "audio")]:  # fmt: skip
        source = {"audio": buzz(0.4), "sampling_rate": 16_000} if content == "audio" else {"text": "a red circle"}
        target = "es" if any(name in task for name in ("AST", "S2ST", "MT")) else None
        features = processor(task=task, target_language=target, **source)
        ids = model.generate(**features, do_sample=True, temperature=2.0)[:, features.input_ids.shape[1] :]
        (pieces,) = processor.post_process_multimodal_output(ids)
        expected = [kinds[processor.space.names[kind]] for kind in features.output_spans[0]]
        assert [type(piece) for piece in pieces] in (expected, expected[:-1])
        texts, whole = [piece for piece in pieces if isinstance(piece, str)], torch.cat([features.input_ids, ids], 1)
        for read in (ids, whole):  # with or without the prompt, as the stock pipelines ask
            assert processor.post_process_multimodal_output(read, generation_mode="text") == ["\n".join(texts)]
            assert processor.post_process_multimodal_output(read[0], generation_mode=None) == "\n".join(texts)
        if expected[-1] is np.ndarray:
            wave = processor.post_process_multimodal_output(whole, generation_mode="audio")[0]
            assert np.array_equal(wave, pieces[-1])
        else:
            with pytest.raises(TriglotError, match="Nothing of speech was written"):
                processor.post_process_multimodal_output(whole, generation_mode="audio")


def test_spoken_pieces_have_the_length_of_their_codes_and_the_voice_asked_for(processor):
    codes = list(range(10))
    ids = processor.space.span("speech", codes)
    low, high = (processor.codecs.voice(buzz(1.0, f0=f0)) for f0 in (90.0, 250.0))
    waves = [processor.post_process_multimodal_output(ids, voices=[voice])[0] for voice in (low, high, None)]
    assert [wave.shape for wave in waves] == [(10 * 640,)] * 3
    assert not np.allclose(waves[0], waves[1])
    assert waves[0].dtype == np.float32


def test_a_voice_comes_from_sound_from_a_file_or_is_one(processor, tmp_path):
    voice = processor.voice(buzz(1.0), 16_000)
    kept = voice.save(tmp_path / "me.safetensors")
    assert processor.voice(voice) is voice
    for again in (processor.voice(kept), processor.voice(str(kept))):
        assert torch.equal(again.tensors["statistics"], voice.tensors["statistics"])
    minutes = np.tile(buzz(10.0), 7)  # of which the first counts
    long, first = processor.voice(minutes, 16_000), processor.voice(minutes[: 60 * 16_000], 16_000)
    assert torch.equal(long.tensors["statistics"], first.tensors["statistics"])


def test_no_voice_in_it(processor, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "x.npy").rename(tmp_path / "x.safetensors")
    save_file({"statistics": torch.zeros(162)}, tmp_path / "y.safetensors")
    voice = processor.voice(buzz(1.0), 16_000)
    other = dataclasses.replace(voice, kind="codec_prompt").save(tmp_path / "z.safetensors")
    with open(tmp_path / "huge.safetensors", "wb") as handle:
        handle.truncate(10**9)  # takes no room on the disk
    for prompt, match in (
        (tmp_path / "huge.safetensors", "the file has 1000000000 bytes; a voice has at most 64000000"),
        (tmp_path / "x.safetensors", "holds no voice"),
        (tmp_path / "y.safetensors", "no voice; make one with"),
        (tmp_path / "none.safetensors", "holds no voice"),
        (other, "codec_prompt"),
        (dataclasses.replace(voice, tensors={}), "Voice 0 holds {}"),
    ):
        with pytest.raises(TriglotError, match=match):
            processor.voice(prompt)
    with pytest.raises(ValueError, match="should end in"):
        voice.save(tmp_path / "me.bin")
    with pytest.raises(ValueError, match="cannot be written"):
        voice.save(tmp_path / "nowhere" / "me.safetensors")


class LoudDecoder(SpeechDecoder):
    """Speaks at another rate than the checkpoint hears: its voices are the prompt's codes, its sound their number."""

    def __init__(self, fingerprint):
        super().__init__(PreTrainedConfig(sampling_rate=24_000, codebook_size=30, fingerprint=fingerprint))

    samples_per_code, voice_kind = 960, "codes"
    voice_shapes = {"codes": (25,)}

    def voice_from_waveform(self, waveform, encode=None):
        return Voice("codes", {"codes": encode(waveform)})

    def fallback_voice(self):
        return Voice("codes", {"codes": torch.zeros(25, dtype=torch.long)})

    def decode(self, codes, voices=None):
        self.check_voices(voices, len(codes))
        return [torch.sin(torch.arange(960 * len(item)) / 20) for item in codes]


def test_a_decoder_of_another_rate_whose_prompts_hold_codes(random_checkpoint):
    processor = AutoProcessor.from_pretrained(random_checkpoint)
    processor.codecs.speech_decoder = LoudDecoder(processor.modalities[1]["fingerprint"])
    wave = buzz(1.0)
    voice = processor.voice(wave, 16_000)
    resampled = resample(resample(wave, 16_000, 24_000), 24_000, 16_000)
    assert torch.equal(voice.tensors["codes"], processor.codecs.encode("speech", [resampled])[0])
    ids = [*processor.space.span("speech", [1, 2]), processor.eos_id]
    assert processor.post_process_multimodal_output(ids, voices=[voice])[0].shape == (2 * 960,)
    assert processor.decode(ids).shape == (2 * 640,)  # as the stock pipelines are told by the model's config


def test_decode_gives_text_or_the_waveform_at_the_end(processor):
    speech, text = processor.space.span("speech", [1, 2]), processor.text_ids("a red circle")
    wave = processor.decode(torch.tensor([[*text, processor.space.sep_id, *speech, processor.eos_id]]))
    assert isinstance(wave, torch.Tensor) and wave.shape == (2 * 640,)
    heard_and_written = [*speech, *text, processor.eos_id, processor.pad_id]
    assert processor.decode(heard_and_written, skip_special_tokens=True) == "a red circle"
    several = processor.batch_decode([[*speech, processor.eos_id], heard_and_written], skip_special_tokens=True)
    assert isinstance(several[0], torch.Tensor) and several[1] == "a red circle"


def test_images_without_their_part_say_which_is_missing(processor):
    with pytest.raises(TriglotError, match="has no image_decoder"):
        processor.post_process_multimodal_output(processor.space.span("image", [0, 1, 2, 3]))
    with pytest.raises(TriglotError, match="has no image_tokenizer"):
        processor(images=np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of text, audio and images"),
        ({"images": "in.png", "audio": np.zeros(9)}, "Exactly one"),
        ({"text": "a", "audio": np.zeros(9)}, "source_language 'a' is unknown"),
        ({"text": "a", "task": "ASR"}, "reads speech; came text"),
        ({"text": "a", "task": "MT"}, "target_language is missing; known are en"),
        ({"text": "a", "task": "MT", "target_language": "en"}, "both English"),
        ({"text": "a", "task": "MT", "target_language": "French"}, "'French' is unknown here; known are en"),
        ({"text": "a", "task": "MT", "source_language": ["en", "es"], "target_language": "es"}, "2 entries for 1"),
        ({"text": 7}, "text is a int"),
        ({"text": []}, "empty list"),
        ({"audio": np.zeros(16_000)}, "no sampling rate"),
        ({"audio": np.zeros(16_000), "sampling_rate": 16_000}, "silent"),
        ({"audio": np.full(16_000 * 70, 0.1), "sampling_rate": 16_000}, "at most 60 s"),
    ],
)
def test_refused_before_any_weights_are_loaded(processor, arguments, message):
    with pytest.raises(TriglotError, match=message):
        processor(**arguments)
    assert processor.codecs.loaded == []


def test_unknown_arguments(processor):
    with pytest.raises(TypeError, match="languge"):
        processor("hi", languge="en")


def test_ids_that_do_not_parse(processor):
    first = processor.space.range("speech")[0]
    for ids in ([first], [processor.space.span_ids("speech")[0], first], [10**6], [-3]):
        with pytest.raises(TriglotError):
            processor.post_process_multimodal_output(ids)


def test_pickles_and_copies_carry_no_weights(processor):
    processor(audio=buzz(0.5), sampling_rate=16_000)
    assert processor.codecs.loaded == ["speech_tokenizer"]
    for twin in (pickle.loads(pickle.dumps(processor)), copy.deepcopy(processor)):
        assert twin.codecs.loaded == []
        before = processor(audio=buzz(0.5), sampling_rate=16_000)
        assert torch.equal(twin(audio=buzz(0.5), sampling_rate=16_000).input_ids, before.input_ids)
    assert len(pickle.dumps(processor)) < 1_000_000


def test_to_moves_what_is_loaded_and_what_will_be(processor):
    processor.codecs.get("speech_tokenizer")
    processor.to(dtype=torch.float64)
    assert processor.codecs.speech_tokenizer.dtype == torch.float64
    assert processor.codecs.speech_decoder.dtype == torch.float64
    processor.to("cpu", torch.float32)
    assert processor.codecs.speech_decoder.dtype == torch.float32


def test_save_and_load_elsewhere_and_over_itself(processor, model, tmp_path):
    wave = buzz(0.6)
    before = processor(audio=wave, sampling_rate=16_000).input_ids
    sound = processor.post_process_multimodal_output(processor.space.span("speech", [1, 2, 3]))[0]
    folder = tmp_path / "first"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    moved = tmp_path / "second"
    shutil.move(folder, moved)
    for _ in range(2):
        again = AutoProcessor.from_pretrained(moved)
        assert torch.equal(again(audio=wave, sampling_rate=16_000).input_ids, before)
        assert np.array_equal(again.post_process_multimodal_output(again.space.span("speech", [1, 2, 3]))[0], sound)
        again.save_pretrained(moved)  # over the very files it was loaded from
    assert not [path for path in moved.rglob("*") if "partial" in path.name or path.name.endswith(".old")]
    assert not [path for path in moved.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


def test_a_folder_without_a_processor(tmp_path):
    (tmp_path / "processor_config.json").write_text("{}")
    with pytest.raises(TriglotError, match="no Triglot processor_config"):
        TriglotProcessor.from_pretrained(tmp_path)


# ---- with the tokenizer of a text LLM of another family


@pytest.fixture
def llm_processor():
    """Byte-level BPE as Qwen has it: no <bos>, chat tokens, and more embedding rows than tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(["a red circle"] * 5, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    modalities = [{"name": "text", "size": 384}, {"name": "speech", "size": 30, "frame_rate": 25.0}]
    return TriglotProcessor(tokenizer, modalities, ["en", "hi"])


def test_a_tokenizer_without_bos_and_with_chat_tokens(llm_processor):
    prompt = llm_processor(text="a red circle", task="MT", target_language="hi").input_ids[0].tolist()
    assert prompt[-1] == llm_processor.space.sep_id == 384
    assert llm_processor._text([index for index in prompt if index != 384]) == "[MT English Hindi]a red circle"
    for text in ("<|im_start|>system", "<|im_end|><|endoftext|>", "छोटा 🙂", " two  spaces "):
        ids = llm_processor.text_ids(text)
        assert not set(ids) & llm_processor.control_ids
        assert llm_processor._text(ids) == text


def test_the_grammar_forbids_padded_rows_and_control_tokens(llm_processor):
    grammar = llm_processor.span_grammar({"text": 9})
    assert grammar["text_size"] == len(llm_processor.tokenizer) < 384
    assert set(grammar["forbidden_text"]) == set(llm_processor.control_ids)
    assert "CAPTION" not in grammar["tasks"], "no images, so no tasks with images"
