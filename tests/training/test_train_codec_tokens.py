"""train_soundstorm, train_audiolm: a decoder comes out that speaks, codes are made once, and parts that do not fit stop it."""

import dataclasses
import json

import pytest
import torch
from codec_testing import build_codec
from command_options import command_options
from conftest import buzz
from speech_rows import speech_rows

from triglot import AudioLm, FeatureUnits, SoundStorm
from triglot.processing.codecs_triglot import prompt_encoder
from triglot.processing.errors import TriglotError
from triglot.training.codec_tokens import begin_codes, codec_facts
from triglot.training.data.codec_rows import SpeakerStretches, codec_rows, most_ordinary
from triglot.training.load_parts import load_speech_tokenizer
from triglot.training.train_audiolm import AudioLmArguments, train_audiolm
from triglot.training.train_audiolm import main as audiolm_main
from triglot.training.train_soundstorm import SoundStormArguments, train_soundstorm
from triglot.training.train_soundstorm import main as soundstorm_main

SMALL = {
    "prompt_seconds": 0.5, "context_seconds": 0.2, "stretch_seconds": 1.5, "max_steps": 4, "batch_size": 2, "save_steps": 2,
    "logging_steps": 2, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip
KINDS = {
    "soundstorm": (train_soundstorm, SoundStormArguments(**SMALL, iterations=2), SoundStorm, soundstorm_main),
    "audiolm": (train_audiolm, AudioLmArguments(**SMALL, coarse_levels=2, fine_seconds=0.5), AudioLm, audiolm_main),
}


@pytest.fixture(scope="module")
def speech():
    return speech_rows(7)


@pytest.fixture(scope="module")
def units(random_checkpoint):
    return random_checkpoint / "speech_tokenizer"


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    build_codec("dac").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_comes_out_that_speaks(kind, speech, units, codec, tmp_path):
    train, arguments, model_class, _ = KINDS[kind]
    folder = train(speech, units, codec, tmp_path / kind, arguments)
    model, tokenizer = model_class.from_pretrained(folder), load_speech_tokenizer(units)
    assert (model.fingerprint, model.codebook_size) == (tokenizer.fingerprint, 30)
    assert (model.config.levels, model.config.window_seconds) == (4, pytest.approx(0.8))
    original = build_codec("dac").state_dict()
    kept = model.codec.model.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in original.items())  # the codec is not trained again
    voice = model.voice_from_waveform(torch.from_numpy(buzz(1.0)), prompt_encoder(lambda: tokenizer, 16_000))
    for one in (voice, None):
        [wave] = model.decode([torch.arange(30)], voices=[one])
        assert wave.shape == (30 * 640,) and bool(wave.isfinite().all())
    fallback = model.fallback_voice()
    rows = [json.loads(line) for line in (folder / "codes" / "made_from.json").read_text().splitlines()]
    assert rows[0]["tokenizer"] == tokenizer.fingerprint and int(fallback.tensors["acoustic"].max()) > 0
    assert not [path for path in folder.iterdir() if path.suffix == ".bin"]


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_made_once(kind, speech, units, codec, tmp_path, monkeypatch):
    train, arguments, _, _ = KINDS[kind]
    train(speech, units, codec, tmp_path / "out", arguments)
    monkeypatch.setattr(FeatureUnits, "encode", lambda *_: pytest.fail("encoded again"))
    train(speech, units, codec, tmp_path / "out", arguments)
    with pytest.raises(TriglotError, match="other settings"):
        train(speech, units, codec, tmp_path / "out", dataclasses.replace(arguments, hidden_size=32))


def small_model(codec, units):
    from triglot.modeling.decoders.configuration_soundstorm import SoundStormConfig

    model, facts = codec_facts(codec)
    tokenizer = load_speech_tokenizer(units)
    config = SoundStormConfig(
        **facts,
        codebook_size=30,
        fingerprint=tokenizer.fingerprint,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    decoder = SoundStorm(config)
    decoder.take_codec(model)
    return decoder, tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_codes_that_sound_alike_start_alike(kind, units, codec):
    model_class = KINDS[kind][2]
    _, facts = codec_facts(codec, 3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    more = {} if kind == "soundstorm" else {"coarse_levels": 2}
    model = model_class(model_class.config_class(**facts, **sizes, **more, codebook_size=30, frame_rate=25.0))
    semantic, acoustic = torch.randn(30, 5), torch.randn(3, 16, 4)
    semantic[7], acoustic[1, 2] = semantic[3], acoustic[1, 9]
    before = [weight.std(correction=0) for weight in model.parameters()]
    begin_codes(model, semantic, acoustic)
    tables, levels = model.code_tables()
    assert all(torch.equal(rows[7], rows[3]) and not torch.equal(rows[7], rows[4]) for rows in tables)
    assert [len(level) for level in levels] == ([2, 2, 2] if kind == "soundstorm" else [4, 4, 2])
    for level, alike in enumerate(levels):
        for rows in alike:
            assert rows.shape == (16, 16) and torch.equal(rows[2], rows[9]) is (level == 1)
    for old, weight in zip(before, model.parameters()):
        torch.testing.assert_close(weight.std(correction=0), old, rtol=0.2, atol=1e-3, equal_nan=True)


def test_rows_are_aligned_and_whole(speech, units, codec, tmp_path):
    decoder, tokenizer = small_model(codec, units)
    rows = codec_rows(speech, tokenizer, decoder, tmp_path / "codes")
    assert len(rows) == len(speech)
    for row in rows:
        assert len(row["semantic"]) % 4 == 0 and len(row["acoustic"]) == 4
        assert {len(level) for level in row["acoustic"]} == {len(row["semantic"]) * 5 // 4}
    again = codec_rows(speech, tokenizer, decoder, tmp_path / "codes")
    assert again[3] == rows[3]
    with pytest.raises(TriglotError, match="holds codes made from"):
        codec_rows(speech.select(range(3)), tokenizer, decoder, tmp_path / "codes")
    with pytest.raises(TriglotError, match="audio and speaker"):
        codec_rows(speech.remove_columns("speaker"), tokenizer, decoder, tmp_path / "other")
    ordinary = most_ordinary(rows, 20)
    assert len(rows[ordinary]["semantic"]) >= 20 and 0 <= most_ordinary(rows, 10_000) < len(rows)


def test_stretches_are_by_one_speaker_and_stay_aligned(speech, units, codec, tmp_path):
    decoder, tokenizer = small_model(codec, units)
    rows = codec_rows(speech, tokenizer, decoder, tmp_path / "codes")
    stretches = SpeakerStretches(rows, decoder, 44)
    pairs = {}  # (speaker, code of a block, ...) -> frames
    for row in rows:
        for block in range(len(row["semantic"]) // 4):
            key = row["speaker"], tuple(row["semantic"][4 * block : 4 * block + 4])
            pairs.setdefault(key, []).append([level[5 * block : 5 * block + 5] for level in row["acoustic"]])
    lengths = set()
    for index in range(len(stretches)):
        for _ in range(4):
            item = stretches[index]
            count = len(item["semantic"])
            lengths.add(count)
            assert count <= 44 and item["acoustic"].shape == (4, count * 5 // 4)
            for block in range(count // 4):
                key = rows[index]["speaker"], tuple(item["semantic"][4 * block : 4 * block + 4].tolist())
                assert item["acoustic"][:, 5 * block : 5 * block + 5].tolist() in pairs[key]
    assert max(lengths) == 44
    batch = stretches.collate([stretches[0], stretches[1]])
    assert batch["acoustic"].shape[-1] == decoder.aligner.frames(batch["semantic"].shape[1])
    assert int(batch["lengths"].max()) == batch["acoustic"].shape[-1]


def test_parts_that_do_not_fit(speech, units, codec, tmp_path):
    train, arguments, _, _ = KINDS["soundstorm"]
    with pytest.raises(TriglotError, match="no neural codec"):
        train(speech, units, tmp_path / "none", tmp_path / "out", arguments)
    with pytest.raises(TriglotError, match=r"is a 'triglot_feature_units'; allowed is one of encodec"):
        train(speech, units, units, tmp_path / "out", arguments)
    with pytest.raises(TriglotError, match="this dac has 4"):
        train(speech, units, codec, tmp_path / "out", dataclasses.replace(arguments, levels=9))
    odd = build_codec("dac")
    odd.config.sampling_rate = 16_100
    odd.save_pretrained(tmp_path / "odd")
    with pytest.raises(TriglotError, match="do not fit together"):
        train(speech, units, tmp_path / "odd", tmp_path / "out", arguments)
    with pytest.raises(TriglotError, match="something is left to write"):
        dataclasses.replace(arguments, stretch_seconds=0.6)
    with pytest.raises(TriglotError, match="max_steps"):
        dataclasses.replace(arguments, max_steps=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line(kind, speech, units, codec, tmp_path, capsys):
    _, arguments, model_class, main = KINDS[kind]
    speech.save_to_disk(str(tmp_path / "rows"))
    options = command_options(arguments)
    folders = ["--dataset", str(tmp_path / "rows"), "--tokenizer", str(units), "--codec", str(codec)]
    main([*options, *folders, "--levels", "3", "--out", str(tmp_path / "out")])
    assert model_class.from_pretrained(tmp_path / "out").config.levels == 3
