"""`triglot init` on small saved models of the real classes, as a user would have downloaded them."""

import json

import numpy as np
import pytest
import torch
from codec_testing import KINDS, build_codec
from conftest import buzz
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    GemmaConfig,
    HubertConfig,
    HubertModel,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMModel,
    pipeline,
)

from triglot import CodecDecoder, CodecUnits, FeatureUnits, TriglotForConditionalGeneration
from triglot.cli import main
from triglot.processing.audio_io import write_audio
from triglot.processing.errors import TriglotError
from triglot.training.card_record import read_record
from triglot.training.init_checkpoint import InitArguments, init_checkpoint
from triglot.training.train_lm import LmArguments, train_lm
from triglot.training.train_text_tokenizer import TextTokenizerArguments, train_text_tokenizer

LLM = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16,
}  # fmt: skip
QWEN = {name: value for name, value in LLM.items() if name != "head_dim"}
SSL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
CONV = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with every part, each saved by its own class, and sound for k-means."""
    root = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    text = ["a small red circle is above a big blue square", "un círculo rojo pequeño está encima de un cuadrado"]
    train_text_tokenizer(text, root / "text", TextTokenizerArguments(vocab_size=400, hard_vocab_limit=False))
    tokenizer = AutoTokenizer.from_pretrained(root / "text")
    configs = {
        "llama": LlamaConfig(vocab_size=len(tokenizer) + 7, **LLM),  # padded, as downloaded ones are
        "qwen": Qwen2Config(vocab_size=len(tokenizer), tie_word_embeddings=True, **QWEN),
        "gemma": GemmaConfig(vocab_size=len(tokenizer), **LLM),
    }
    for name, config in configs.items():
        AutoModelForCausalLM.from_config(config).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    raw = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    bert = Wav2Vec2BertConfig(**SSL, feature_projection_input_dim=160, position_embeddings_type="relative_key")
    encoders = {
        "hubert": (HubertModel(HubertConfig(**SSL, **CONV)), raw),
        "wavlm": (WavLMModel(WavLMConfig(**SSL, **CONV)), raw),
        "w2v-bert": (Wav2Vec2BertModel(bert), SeamlessM4TFeatureExtractor()),
    }
    for name, (encoder, extractor) in encoders.items():
        encoder.save_pretrained(root / name)
        extractor.save_pretrained(root / name)
    for kind in KINDS:
        build_codec(kind).save_pretrained(root / kind)
    (root / "sound").mkdir()
    for number in range(4):
        noise = 0.05 * np.random.default_rng(number).standard_normal(16_000).astype(np.float32)
        write_audio(root / "sound" / f"{number}.wav", 0.5 * buzz(1.0, f0=100.0 + 40 * number) + noise, 16_000)
    return root


def arguments(parts, tmp_path, llm="llama", **more) -> InitArguments:
    paths = {
        name: str(parts / more.pop(name))
        for name in ("speech_encoder", "codec", "audio", "speech_tokenizer")
        if name in more
    }
    return InitArguments(text_llm=str(parts / llm), out=str(tmp_path / "new"), **paths, **more)


SMALL = {"layer": 2, "codebook_size": 12, "audio": "sound"}


@pytest.mark.parametrize(
    ("llm", "encoder", "codec"),
    [("llama", "hubert", "mimi"), ("qwen", "wavlm", "dac"), ("gemma", "w2v-bert", "encodec")],
)
def test_an_llm_an_encoder_and_a_codec(parts, tmp_path, capsys, llm, encoder, codec):
    out = init_checkpoint(arguments(parts, tmp_path, llm, speech_encoder=encoder, codec=codec, levels=2, **SMALL))
    printed, told = capsys.readouterr()
    assert "a training step" in printed and "speech encoder" in printed and "codec" in printed
    model, processor = TriglotForConditionalGeneration.from_pretrained(out), AutoProcessor.from_pretrained(out)
    base = AutoModelForCausalLM.from_pretrained(parts / llm, dtype=torch.bfloat16)
    old = base.get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight[: len(old)], old)
    units = processor.codecs.get("speech_tokenizer")
    assert isinstance(units, FeatureUnits) and units.config.layer == 2 and units.codebook_size == 12
    assert model.config.modalities[1] == units.describe_modality()
    assert AutoModel.from_pretrained(out / "speech_codec").config.codec_config["model_type"] == codec
    assert not list(out.rglob("*.bin")) and [path.name for path in tmp_path.iterdir()] == ["new"]
    record = read_record(out)
    made_from = {"language_model": llm, "speech_tokenizer": encoder, "speech_codec": codec}
    assert {name: part.made_from for name, part in record.parts.items()} == made_from
    assert "warning: The licence of hubert" in told or encoder != "hubert"
    assert "Assembled from its parts" in (out / "README.md").read_text()
    ids = processor(audio=buzz(1.0), sampling_rate=16_000, task="ASR", source_language="en")["input_ids"]
    loss = model.train()(input_ids=ids, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss) and model.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize("codec", KINDS)
def test_a_codec_alone_gives_tokens_and_a_voice(parts, tmp_path, codec):
    out = init_checkpoint(arguments(parts, tmp_path, codec=codec, levels=2, dtype="float32"))
    processor = AutoProcessor.from_pretrained(out)
    assert isinstance(processor.codecs.get("speech_tokenizer"), CodecUnits)
    assert isinstance(processor.codecs.get("speech_decoder"), CodecDecoder)
    s2st = pipeline("speech-to-speech-translation", model=str(out))
    result = s2st(buzz(1.0), sampling_rate=16_000, source_language="en", target_language="es", max_new_tokens=60)
    assert result["audio"].ndim == 1 and len(result["audio"]) and np.isfinite(result["audio"]).all()
    assert result["sampling_rate"] == processor.codecs.get("speech_decoder").sampling_rate


def test_training_goes_on_from_the_new_folder(parts, tmp_path):
    out = init_checkpoint(arguments(parts, tmp_path, speech_encoder="hubert", dtype="float32", **SMALL))
    rows = [
        {
            "speech_source": [1, 2, 3, 4], "speech_target": [5, 6, 7], "text_source": "a red circle", "text_target": "un círculo rojo",
            "source_language": "en", "target_language": "es", "speaker": "x", "recorded": False,
        }
    ] * 8  # fmt: skip
    settings = LmArguments(
        text_model=str(out), tasks="ASR, S2ST, TTS", image_codes=0, pack_length=128, max_steps=2, batch_size=2, warmup_steps=1,
        speech_budget=20, text_budget=10, learning_rate=1e-2,
    )  # fmt: skip
    trained = train_lm(rows, out, out / "speech_tokenizer", tmp_path / "lm", settings)
    model = TriglotForConditionalGeneration.from_pretrained(trained, dtype=torch.float32)
    before = TriglotForConditionalGeneration.from_pretrained(out, dtype=torch.float32)
    assert model.config.modalities == before.config.modalities
    assert not torch.equal(model.get_input_embeddings().weight, before.get_input_embeddings().weight)
    with pytest.raises(TriglotError, match="text_model is a Triglot with the modalities"):
        train_lm(
            rows, out, out / "speech_tokenizer", tmp_path / "other", LmArguments(text_model=str(out), max_steps=1)
        )


def test_a_finished_tokenizer_and_the_centroids_of_a_codec(parts, tmp_path, random_checkpoint):
    given = InitArguments(
        text_llm=str(parts / "llama"),
        out=str(tmp_path / "a"),
        speech_tokenizer=str(random_checkpoint / "speech_tokenizer"),
    )
    assert TriglotForConditionalGeneration.from_pretrained(init_checkpoint(given)).config.modalities[1]["size"] == 30
    out = init_checkpoint(arguments(parts, tmp_path, codec="mimi", init="centroids", dtype="float32"))
    model = TriglotForConditionalGeneration.from_pretrained(out)
    first, last = model.config.modality_ranges["speech"]
    assert float(model.get_input_embeddings().weight[first:last].std(0).min()) > 0


def test_the_plan_alone_loads_and_writes_nothing(parts, tmp_path, monkeypatch, capsys):
    def never(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", never)
    options = [
        "init",
        "--text-llm",
        str(parts / "llama"),
        "--speech-encoder",
        str(parts / "hubert"),
        "--out",
        str(tmp_path / "new"),
    ]
    assert main([*options, "--plan-only", "--plan-trainable", "lora", "--plan-length", "512"]) == 0
    printed = capsys.readouterr().out
    assert main([*options, "--plan-only", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["out"] is None and told["plan"]["weights"] > 0 and told["setup"]["length"] == 1024
    assert "(lora)" in printed and "8 rows of 512 ids" in printed and not (tmp_path / "new").exists()


def test_the_command_line(parts, tmp_path, capsys):
    out = tmp_path / "new"
    options = [
        "init",
        "--text-llm",
        str(parts / "llama"),
        "--codec",
        str(parts / "mimi"),
        "--out",
        str(out),
        "--languages",
        "es hi",
    ]
    assert main(options) == 0
    assert capsys.readouterr().out.strip().endswith(str(out))
    assert json.loads((out / "processor_config.json").read_text())["languages"] == ["es", "hi"]
    assert main(options) == 1
    assert "is there already" in capsys.readouterr().err
    bad = [
        "init",
        "--text-llm",
        str(parts / "llama"),
        "--out",
        str(tmp_path / "x"),
        "--speech-encoder",
        str(parts / "hubert"),
    ]
    assert main([*bad, "--layer", "9", "--audio", str(parts / "sound")]) == 1
    assert "allowed is 1 to 3" in capsys.readouterr().err and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Give one of"),
        ({"speech_tokenizer": "hubert", "speech_encoder": "hubert"}, "not both"),
        ({"speech_encoder": "hubert"}, "needs sound"),
        ({"codec": "mimi", "speech_decoder": "anything"}, "give their speech_tokenizer as well"),
        ({"codec": "mimi", "languages": "en klingon"}, "klingon"),
        ({"codec": "mimi", "dtype": "bf16"}, "float32 or float16 or bfloat16"),
        ({"codec": "mimi", "init": "median"}, "zero, mean, centroids"),
        ({"codec": "hubert"}, "'hubert'; allowed is one of"),
        ({"codec": "nothing"}, "holds no codec"),
        ({"codec": "mimi", "llm": "nothing"}, "holds no config of a text LLM"),
        ({"speech_tokenizer": "mimi"}, "no speech tokenizer"),
        ({"codec": "dac", "levels": 3}, "divisors"),
    ],
)
def test_refused(parts, tmp_path, given, message):
    with pytest.raises((TriglotError, ValueError), match=message):
        init_checkpoint(arguments(parts, tmp_path, **given))
    assert not (tmp_path / "new").exists()


def test_a_tokenizer_without_an_end(parts, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(parts / "text")
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=len(bare), **LLM)).save_pretrained(tmp_path / "bare")
    bare.save_pretrained(tmp_path / "bare")
    given = InitArguments(text_llm=str(tmp_path / "bare"), out=str(tmp_path / "new"), codec=str(parts / "mimi"))
    with pytest.raises(TriglotError, match="<eos>"):
        init_checkpoint(given)
