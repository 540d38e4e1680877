"""FeatureUnits over small random CLIP, SigLIP and DINOv2 encoders: patches, not frames."""

import pytest
import torch
from image_tokenizer_testing import ImageTokenizerTester, shapes_on_grey
from transformers import (
    AutoModel,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from triglot.modeling.tokenizers.configuration_feature_units import FeatureUnitsConfig
from triglot.modeling.tokenizers.modeling_feature_units import FeatureUnits

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "image_size": 24,
    "patch_size": 8, "initializer_range": 0.3, "initializer_factor": 3.0,
}  # fmt: skip
PROCESSOR = {
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
    "image_processor_type": "CLIPImageProcessor",
}
KINDS = {
    "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**SIZES)),
    "clip with text": lambda: CLIPModel(CLIPConfig(vision_config=SIZES, text_config={**SIZES, "vocab_size": 20})),
    "clip with projection": lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES)),
    "siglip": lambda: SiglipVisionModel(SiglipVisionConfig(**SIZES)),
    "siglip with text": lambda: SiglipModel(
        SiglipConfig(vision_config=SIZES, text_config={**SIZES, "vocab_size": 20})
    ),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**SIZES)),
}


def build(kind: str):
    torch.manual_seed(0)
    return KINDS[kind]().eval()


def save(kind: str, folder):
    import json

    encoder = build(kind)
    encoder.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return encoder


def with_centroids(units: FeatureUnits, size: int = 12) -> FeatureUnits:
    features = torch.cat([units.features(image) for image in shapes_on_grey(6, (24, 24), seed=5)])
    units.set_centroids(features[torch.linspace(0, len(features) - 1, size).long()])
    return units


class TestClipUnits(ImageTokenizerTester):
    def build_tokenizer(self):
        return with_centroids(FeatureUnits.from_encoder(build("clip"), 2, feature_extractor=PROCESSOR))


class TestDinov2Units(ImageTokenizerTester):
    def build_tokenizer(self):
        return with_centroids(
            FeatureUnits.from_encoder(build("dinov2"), 2, feature_extractor=PROCESSOR, fit="stretch")
        )


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_the_patches_of_the_full_models_hidden_state(kind, tmp_path):
    encoder = save(kind, tmp_path)
    [image] = shapes_on_grey(1, (24, 24))
    mean, std = (torch.tensor(PROCESSOR[name])[:, None, None] for name in ("image_mean", "image_std"))
    seeing = encoder.vision_model if "with" in kind else encoder
    with torch.no_grad():
        states = seeing(((image - mean) / std)[None], output_hidden_states=True).hidden_states
    for layer in (1, 2, 3):
        units = FeatureUnits.from_encoder(tmp_path, layer)
        features = units.features(image)
        assert features.shape == (9, 16) and units.grid == (3, 3)
        torch.testing.assert_close(features, states[layer][0, -9:], rtol=1e-5, atol=1e-5)
        assert torch.equal(
            features, FeatureUnits.from_encoder(encoder, layer, feature_extractor=PROCESSOR).features(image)
        )
    assert not torch.allclose(states[2], states[3], atol=1e-3)
    assert (units.modality, units.frame_rate, units.sampling_rate) == ("image", None, None)


def test_what_is_not_used_does_not_enter_the_fingerprint(tmp_path):
    for kind, unused in (("siglip", "head.probe"), ("dinov2", "embeddings.mask_token")):
        encoder, prints = build(kind), []
        for _ in range(2):
            torch.nn.init.normal_(encoder.get_parameter(unused))
            units = FeatureUnits.from_encoder(encoder, 2, feature_extractor=PROCESSOR)
            units.set_centroids(torch.ones(4, 16))
            prints.append(units.fingerprint)
        assert prints[0] == prints[1] != ""


def test_the_fingerprint_follows_each_setting():
    encoder, prints = build("clip"), set()
    other = {**PROCESSOR, "image_mean": [0.5, 0.5, 0.5]}
    for settings in ({}, {"layer": 1}, {"fit": "pad"}, {"feature_extractor": other}):
        units = FeatureUnits.from_encoder(encoder, **{"layer": 2, "feature_extractor": PROCESSOR, **settings})
        units.set_centroids(torch.ones(4, 16))
        prints.add(units.fingerprint)
    assert len(prints) == 4


def test_gradients_flow_through_the_features_of_a_batch():
    units = FeatureUnits.from_encoder(build("dinov2"), 2, feature_extractor=PROCESSOR)
    batch = shapes_on_grey(2, (24, 24)).requires_grad_()
    features = units.patch_features(batch)
    assert features.shape == (2, 9, 16)
    features.sum().backward()
    assert batch.grad.abs().sum() > 0
    torch.testing.assert_close(units.features(batch[1].detach()), features[1].detach(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"\(pictures, 3, 24, 24\) is needed"):
        units.patch_features(batch[:, :, :8])


@pytest.mark.parametrize(
    ("told", "fit"),
    [
        ({"do_center_crop": True, "size": {"shortest_edge": 24}}, "crop"),
        ({"size": {"height": 24, "width": 24}}, "stretch"),
        ({"do_center_crop": None, "size": {"height": 24, "width": 24}}, "stretch"),
        ({}, "crop"),
    ],
)
def test_pictures_fit_as_the_image_processor_makes_them(told, fit):
    encoder = build("siglip")
    units = FeatureUnits.from_encoder(encoder, 1, feature_extractor={**PROCESSOR, **told})
    assert units.config.preparation["fit"] == fit
    units = FeatureUnits.from_encoder(encoder, 1, feature_extractor={**PROCESSOR, **told}, fit="pad")
    assert units.config.preparation["fit"] == "pad"


def test_an_encoder_that_merges_patches_is_refused(monkeypatch):
    units = FeatureUnits.from_encoder(build("dinov2"), 2, feature_extractor=PROCESSOR)
    monkeypatch.setattr(units, "_run_encoder", lambda inputs: torch.zeros(1, 4, 16))
    with pytest.raises(ValueError, match=r"\(1, 4, 16\) for a picture; .* each of its 9 patches"):
        units.features(shapes_on_grey(1, (24, 24))[0])


def test_it_loads_by_its_type_and_half_precision_runs(tmp_path):
    import triglot  # noqa: F401  (registers the model)

    units = with_centroids(FeatureUnits.from_encoder(build("siglip"), 3, feature_extractor=PROCESSOR))
    units.save_pretrained(tmp_path)
    loaded, images = AutoModel.from_pretrained(tmp_path), list(shapes_on_grey(4, (24, 24)))
    exact = torch.cat(units.encode(images))
    assert isinstance(loaded, FeatureUnits) and torch.equal(torch.cat(loaded.encode(images)), exact)
    assert (torch.cat(units.half().encode(images)) == exact).double().mean() > 0.8


def test_errors_say_what_is_allowed(tmp_path):
    encoder = save("clip", tmp_path)
    with pytest.raises(ValueError, match="3 layers: allowed is 1 to 3"):
        FeatureUnits.from_encoder(encoder, 4, feature_extractor=PROCESSOR)
    with pytest.raises(ValueError, match="image_mean and image_std"):
        FeatureUnits.from_encoder(encoder, 2)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="image_mean and image_std"):
        FeatureUnits.from_encoder(tmp_path, 2)
    preparation = FeatureUnits.from_encoder(encoder, 2, feature_extractor=PROCESSOR).config.preparation
    with pytest.raises(ValueError, match="pad, crop, stretch"):
        FeatureUnitsConfig(preparation={**preparation, "fit": "zoom"})
    with pytest.raises(ValueError, match="lacks std"):
        FeatureUnitsConfig(preparation={name: value for name, value in preparation.items() if name != "std"})
    with pytest.raises(ValueError, match="none may be dropped"):
        FeatureUnitsConfig(preparation=preparation, deduplicate=True)
