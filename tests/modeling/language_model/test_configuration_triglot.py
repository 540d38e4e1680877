"""TriglotConfig: the layout of ids, its agreement with TokenSpace, and what is refused."""

import random

import pytest
from transformers import AutoConfig, LlamaConfig, Qwen2Config

from triglot import TokenSpace, TriglotConfig
from triglot.modeling.language_model import configuration_triglot


def random_modalities(rng: random.Random) -> list[dict]:
    names = rng.sample(["speech", "image", "video", "gesture", "music"], rng.randint(0, 5))
    return [{"name": "text", "size": rng.randint(1, 500)}, *({"name": n, "size": rng.randint(1, 9000)} for n in names)]


def test_layout_is_the_token_spaces():
    rng = random.Random(0)
    for _ in range(200):
        modalities = random_modalities(rng)
        config = TriglotConfig(text_config=LlamaConfig(vocab_size=modalities[0]["size"]), modalities=modalities)
        space = TokenSpace(modalities)
        assert config.vocab_size == space.size
        assert config.sep_token_id == space.sep_id
        assert config.modality_ranges == {name: space.range(name) for name in space.names}
        assert config.span_tokens == {name: space.span_ids(name) for name in space.names[1:]}


def test_ranges_and_borders_cover_the_vocabulary_once():
    config = TriglotConfig(text_config=LlamaConfig(vocab_size=77))
    ids = [config.sep_token_id]
    for first, last in config.modality_ranges.values():
        ids += range(first, last)
    for pair in config.span_tokens.values():
        ids += pair
    assert sorted(ids) == list(range(config.vocab_size))


def test_a_fourth_modality_is_one_more_entry_and_moves_no_id():
    before = TriglotConfig(text_config=LlamaConfig(vocab_size=100))
    after = TriglotConfig(
        text_config=LlamaConfig(vocab_size=100),
        modalities=[*before.modalities, {"name": "video", "size": 4096, "grid": [4, 8]}],
    )
    assert {name: after.modality_ranges[name] for name in before.modality_ranges} == before.modality_ranges
    assert after.modality_ranges["video"] == (before.vocab_size + 2, after.vocab_size)


def test_bare_config_has_text_speech_and_image_and_leaves_the_text_config_alone():
    text_config = Qwen2Config(vocab_size=1000, tie_word_embeddings=True)
    config = TriglotConfig(text_config=text_config)
    assert [entry["name"] for entry in config.modalities] == ["text", "speech", "image"]
    assert text_config.vocab_size == 1000
    assert config.text_config.vocab_size == config.vocab_size
    assert config.tie_word_embeddings is True


def test_save_and_load(tmp_path):
    config = TriglotConfig(text_config=Qwen2Config(vocab_size=1000))
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert again.to_dict() == {**config.to_dict(), "_name_or_path": again.to_dict().get("_name_or_path")}
    assert type(again.text_config) is Qwen2Config


def test_saved_config_names_the_pipelines_but_an_installed_one_answers_none(tmp_path, monkeypatch):
    config = TriglotConfig(text_config=LlamaConfig(vocab_size=10))
    assert config.custom_pipelines == {}
    saved = config.to_dict()["custom_pipelines"]
    assert saved["speech-to-speech-translation"]["impl"].endswith(".SpeechToSpeechTranslationPipeline")
    config.save_pretrained(tmp_path)
    # as in a process where only the checkpoint's own code is there
    monkeypatch.setattr(configuration_triglot.TriglotConfig, "in_process_pipelines", None)
    remote = TriglotConfig.from_pretrained(tmp_path)
    assert remote.custom_pipelines == saved
    assert remote.to_dict()["custom_pipelines"] == saved


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ([{"name": "speech", "size": 3}], "first modality must be 'text'"),
        ([], "first modality must be 'text'"),
        ([{"name": "text"}, {"name": "speech", "size": 3}, {"name": "speech", "size": 3}], "name of its own"),
        ([{"name": "text"}, {"name": "speech", "size": 0}], "size 0"),
        ([{"name": "text"}, {"name": "speech", "size": 2.5}], "size 2.5"),
        ([{"name": "text"}, {"name": "speech"}], "size None"),
        ([{"name": "text", "size": 11}], "must be 11"),
    ],
)
def test_refused(modalities, message):
    with pytest.raises(ValueError, match=message):
        TriglotConfig(text_config=LlamaConfig(vocab_size=10), modalities=modalities)
