"""TriglotCodecs: laziness, assignment, and the checks that keep a user from "only noise"."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor

from triglot import FeatureUnits, TriglotCodecs, TriglotError, UnitVocoder


@pytest.fixture
def folder(random_checkpoint, tmp_path):
    return shutil.copytree(random_checkpoint, tmp_path / "checkpoint")


def codecs_of(folder):
    return AutoProcessor.from_pretrained(folder).codecs


def edit_config(path, **changes):
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, **changes}))


def test_components_are_loaded_once_when_needed(folder):
    codecs = codecs_of(folder)
    assert codecs.names == ["speech_tokenizer", "speech_decoder"] and codecs.loaded == []
    assert codecs.speech_decoder is codecs.get("speech_decoder")
    assert codecs.loaded == ["speech_decoder"]
    assert not codecs.speech_decoder.training


def test_half_precision_files_are_computed_in_full(folder):
    decoder = UnitVocoder.from_pretrained(folder / "speech_decoder").half()
    decoder.save_pretrained(folder / "speech_decoder")
    assert codecs_of(folder).speech_decoder.dtype == torch.float32


def test_a_decoder_is_replaced_by_a_folder_or_a_model(folder, tmp_path):
    codecs = codecs_of(folder)
    other = UnitVocoder(UnitVocoder.from_pretrained(folder / "speech_decoder").config)
    other.save_pretrained(tmp_path / "other")
    codes = [torch.arange(8)]
    before = codecs.decode("speech", codes)[0]
    codecs.speech_decoder = tmp_path / "other"
    by_folder = codecs.decode("speech", codes)[0]
    assert not torch.allclose(before, by_folder)
    codecs.speech_decoder = other
    assert torch.allclose(codecs.decode("speech", codes)[0], by_folder, atol=1e-6)


def test_another_fingerprint_is_refused_with_both_named(folder):
    units = FeatureUnits.from_pretrained(folder / "speech_tokenizer")
    old = units.fingerprint
    units.set_centroids(units.centroids.flip(0))
    units.save_pretrained(folder / "speech_tokenizer")
    with pytest.raises(TriglotError, match=rf"{units.fingerprint[:12]}.*{old[:12]}"):
        codecs_of(folder).encode("speech", [torch.randn(16_000)])


def test_a_decoder_of_another_tokenizer_is_refused_and_the_old_one_stays(folder, tmp_path):
    codecs = codecs_of(folder)
    shutil.copytree(folder / "speech_decoder", tmp_path / "foreign")
    edit_config(tmp_path / "foreign" / "config.json", fingerprint="f" * 64)
    before = codecs.speech_decoder
    with pytest.raises(TriglotError, match=r"f{12}"):
        codecs.speech_decoder = tmp_path / "foreign"
    assert codecs.speech_decoder is before


def test_a_decoder_with_another_number_of_codes_is_refused(folder):
    config = UnitVocoder.from_pretrained(folder / "speech_decoder").config
    config.codebook_size = 31
    with pytest.raises(TriglotError, match=r"31 codes.*30 speech rows"):
        codecs_of(folder).speech_decoder = UnitVocoder(config)


def test_a_missing_part_names_the_file(folder):
    shutil.rmtree(folder / "speech_tokenizer")
    with pytest.raises(TriglotError, match=r"speech_tokenizer is missing.*config\.json"):
        codecs_of(folder).get("speech_tokenizer")


def test_missing_weights_are_an_error(folder):
    file = folder / "speech_decoder" / "model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if name.endswith("weight")))
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(TriglotError, match="damaged: missing keys"):
        codecs_of(folder).get("speech_decoder")


def test_weights_of_another_shape_are_an_error(folder):
    edit_config(folder / "speech_decoder" / "config.json", mlp_size=48)
    with pytest.raises(TriglotError, match=r"speech_decoder.*cannot be loaded"):
        codecs_of(folder).get("speech_decoder")


def test_truncated_weights_are_an_error(folder):
    file = folder / "speech_tokenizer" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(TriglotError, match="cannot be loaded"):
        codecs_of(folder).get("speech_tokenizer")


def test_codes_out_of_range_and_empty(folder):
    codecs = codecs_of(folder)
    for codes in ([30], [-1], []):
        with pytest.raises(TriglotError, match="speech_decoder"):
            codecs.decode("speech", [codes])


def test_unknown_components_and_things_that_are_none(folder):
    codecs = codecs_of(folder)
    with pytest.raises(TriglotError, match="smell_decoder"):
        codecs.get("smell_decoder")
    with pytest.raises(TriglotError, match="no decoder"):
        codecs.speech_decoder = torch.nn.Linear(2, 2)
    with pytest.raises(TriglotError, match="has no image_tokenizer"):
        codecs.get("image_tokenizer")
    with pytest.raises(AttributeError):
        _ = codecs.something


def test_a_failed_save_leaves_the_old_parts(folder, monkeypatch):
    codecs = codecs_of(folder)
    component = codecs.speech_decoder
    before = (folder / "speech_decoder" / "model.safetensors").read_bytes()

    def fail(path, **_):
        path = str(path)
        import os

        os.makedirs(path, exist_ok=True)
        raise OSError("No space left on device")

    monkeypatch.setattr(component, "save_pretrained", fail)
    with pytest.raises(OSError, match="No space"):
        codecs.save_pretrained(folder)
    assert (folder / "speech_decoder" / "model.safetensors").read_bytes() == before
    assert not [path for path in folder.iterdir() if "partial" in path.name]


def test_without_a_source_everything_is_assigned(folder):
    codecs = TriglotCodecs([{"name": "text", "size": 5}, {"name": "speech", "size": 30, "fingerprint": ""}])
    assert codecs.names == []
    with pytest.raises(TriglotError, match="it has: none"):
        codecs.get("speech_decoder")
    codecs.speech_decoder = folder / "speech_decoder"
    assert codecs.names == ["speech_decoder"]
