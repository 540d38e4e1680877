"""From pictures and a vision encoder to a tokenizer of patches."""

import json

import pytest
import torch
from datasets import Dataset
from picture_rows_testing import picture_rows
from transformers import Dinov2Config, Dinov2Model

from triglot.modeling.tokenizers.modeling_feature_units import FeatureUnits
from triglot.processing.errors import TriglotError
from triglot.training.data.picture_rows import ImageRows
from triglot.training.train_kmeans import KmeansArguments, main, train_kmeans

ARGUMENTS = KmeansArguments(codebook_size=6, layer=2, batch_size=16, fit="stretch")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dino")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 24, "patch_size": 8}
    Dinov2Model(Dinov2Config(**sizes, initializer_range=0.3)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    return folder


def test_kmeans_makes_an_image_tokenizer(encoder, tmp_path):
    dataset = picture_rows(8)
    units = FeatureUnits.from_pretrained(train_kmeans(dataset, encoder, tmp_path / "units", ARGUMENTS))
    again = FeatureUnits.from_pretrained(train_kmeans(dataset, encoder, tmp_path / "again", ARGUMENTS))
    assert (units.codebook_size, units.grid, units.modality) == (6, (3, 3), "image")
    assert units.fingerprint == again.fingerprint == units.compute_fingerprint()
    codes = torch.cat(units.encode(list(ImageRows(dataset))))
    assert codes.unique().numel() >= 4 and units.config.preparation["fit"] == "stretch"
    features = torch.cat([units.features(image) for image in ImageRows(dataset)])
    spread = float((features - features.mean(0)).square().sum(1).mean())
    assert float((features - units.centroids[codes]).square().sum(1).mean()) < 0.7 * spread


def test_broken_pictures_are_passed_over_and_listed(encoder, tmp_path):
    rows = [*picture_rows(8)["image"], {"bytes": b"noise", "path": None}, None]
    folder = train_kmeans(Dataset.from_dict({"image": rows}), encoder, tmp_path / "units", ARGUMENTS)
    skipped = json.loads((folder / "skipped_rows.json").read_text())
    assert (skipped["pictures"], skipped["skipped"]) == (10, 2)
    with pytest.raises(TriglotError, match="`image` is needed"):
        train_kmeans(Dataset.from_dict({"audio": rows}), encoder, tmp_path / "x", ARGUMENTS)


def test_the_command_line(encoder, tmp_path, capsys):
    picture_rows(6).save_to_disk(str(tmp_path / "rows"))
    options = ["--dataset", str(tmp_path / "rows"), "--encoder", str(encoder), "--out", str(tmp_path / "units")]
    main([*options, "--layer", "1", "--codebook-size", "4", "--dtype", "float16"])
    assert FeatureUnits.from_pretrained(tmp_path / "units").config.layer == 1
