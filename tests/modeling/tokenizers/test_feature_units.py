"""FeatureUnits over small random HuBERT, Wav2Vec2, WavLM, w2v-BERT and BEST-RQ encoders, saved and loaded as users do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from media_tokenizer_testing import MediaTokenizerTester
from transformers import (
    HubertConfig,
    HubertForCTC,
    HubertModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from triglot.modeling.tokenizers.configuration_best_rq import BestRqConfig
from triglot.modeling.tokenizers.configuration_feature_units import FeatureUnitsConfig
from triglot.modeling.tokenizers.modeling_best_rq import BestRqEncoder, BestRqForPreTraining
from triglot.modeling.tokenizers.modeling_feature_units import FeatureUnits, find_layers

DEPTH = 3
WIDTH = 16
SIZES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 0.3,  # so that layers differ visibly
}
CONV = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}


def build_encoder(kind: str):
    """A random encoder in evaluation mode and its feature extractor (None for BEST-RQ)."""
    torch.manual_seed(0)
    raw = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    masked = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    stable = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
    if kind == "hubert":
        pair = HubertModel(HubertConfig(**SIZES, **CONV)), raw
    elif kind == "hubert-stable":
        pair = HubertModel(HubertConfig(**SIZES, **CONV, **stable)), masked
    elif kind == "wav2vec2":
        pair = Wav2Vec2Model(Wav2Vec2Config(**SIZES, **CONV)), raw
    elif kind == "wav2vec2-adapter":
        pair = Wav2Vec2Model(Wav2Vec2Config(**SIZES, **CONV, **stable, add_adapter=True)), masked
    elif kind == "wavlm":
        pair = WavLMModel(WavLMConfig(**SIZES, **CONV)), raw
    elif kind == "wavlm-stable":
        pair = WavLMModel(WavLMConfig(**SIZES, **CONV, **stable)), masked
    elif kind == "w2v-bert":
        config = Wav2Vec2BertConfig(**SIZES, feature_projection_input_dim=160, position_embeddings_type="relative_key")
        pair = Wav2Vec2BertModel(config), SeamlessM4TFeatureExtractor()
    else:
        pair = BestRqEncoder(BestRqConfig(**SIZES)), None
    return pair[0].eval(), pair[1]


KINDS = [
    "hubert",
    "hubert-stable",
    "wav2vec2",
    "wav2vec2-adapter",
    "wavlm",
    "wavlm-stable",
    "w2v-bert",
    "best-rq",
]


def save_encoder(kind: str, folder: Path):
    encoder, extractor = build_encoder(kind)
    encoder.save_pretrained(folder)
    if extractor is not None:
        extractor.save_pretrained(folder)
    return encoder, extractor


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    """A gliding tone in noise, float32 (samples,)."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 16_000
    tone = torch.sin(2 * torch.pi * (200 + 400 * time) * time * (1 + seed))
    return 0.3 * tone * torch.sin(9 * time) + 0.05 * torch.randn(samples, generator=generator)


def full_states(encoder, extractor, waveform: torch.Tensor) -> list[torch.Tensor]:
    """Hidden states (F, D) of the full model, as its own documentation has users compute them."""
    if extractor is None:
        inputs = {"input_values": waveform[None]}
    else:
        inputs = extractor(waveform.numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        states = encoder(**inputs, output_hidden_states=True).hidden_states
    return [state[0] for state in states]


def with_centroids(units: FeatureUnits, waveforms: list[torch.Tensor], size: int = 12) -> FeatureUnits:
    features = torch.cat([units.features(waveform) for waveform in waveforms])
    chosen = torch.linspace(0, len(features) - 1, size).long()
    units.set_centroids(features[chosen])
    return units


class TestHubertUnits(MediaTokenizerTester):
    kind = "hubert"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def folder(cls, tmp_path_factory):
        cls.path = tmp_path_factory.mktemp(cls.kind)
        save_encoder(cls.kind, cls.path)

    def build_tokenizer(self):
        return with_centroids(FeatureUnits.from_encoder(self.path, layer=2), self.build_media())

    def build_media(self):
        return [sound(16_000), sound(9_000, 1), sound(24_000, 2)]

    def expected_length(self, tokenizer, item):
        frames = (len(item) - 400) // 320 + 1
        return -(-frames // 2)


class TestBestRqUnits(TestHubertUnits):
    kind = "best-rq"

    def expected_length(self, tokenizer, item):
        return -(-len(item) // 640)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_the_hidden_state_of_the_full_model(kind, tmp_path):
    encoder, extractor = save_encoder(kind, tmp_path)
    waveform = sound(16_000)
    states = full_states(encoder, extractor, waveform)
    native = 25.0 if kind == "best-rq" else 50.0
    for layer in range(1, DEPTH + 1):
        units = FeatureUnits.from_encoder(tmp_path, layer, native)
        assert torch.equal(units.features(waveform), states[layer])
        assert len(find_layers(units.encoder, layer)) == layer
        assert not any(f".layers.{layer}." in name for name in units.state_dict()), "a layer above was built"
        assert not torch.equal(states[layer], states[layer - 1])

    units.set_centroids(torch.randn(20, WIDTH))
    distance = (states[DEPTH].double()[:, None] - units.centroids.double()).square().sum(-1)
    assert torch.equal(units.encode([waveform])[0], distance.argmin(1))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "best-rq"])
def test_half_the_rate_takes_the_mean_of_pairs_and_keeps_the_odd_frame(kind, tmp_path):
    encoder, extractor = save_encoder(kind, tmp_path)
    waveform = sound(16_000)
    frames = full_states(encoder, extractor, waveform)[2]
    assert len(frames) == 49
    units = FeatureUnits.from_encoder(tmp_path, 2)
    features = units.features(waveform)
    means = torch.cat(((frames[:48:2] + frames[1:48:2]) / 2, frames[48:]))
    assert features.shape == (25, WIDTH) and torch.allclose(features, means, atol=1e-5)
    strided = FeatureUnits.from_encoder(tmp_path, 2, downsample="stride")
    assert torch.equal(strided.features(waveform), frames[::2])


def test_layers_above_are_not_run(tmp_path):
    encoder, extractor = save_encoder("hubert", tmp_path)
    ran = []
    units = FeatureUnits.from_encoder(encoder, 1, feature_extractor=extractor)
    for index, layer in enumerate(units.encoder.encoder.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    from_model = units.features(sound(8_000))
    assert ran == [0]
    assert torch.equal(from_model, FeatureUnits.from_encoder(tmp_path, 1).features(sound(8_000)))
    assert sum(p.numel() for p in units.parameters()) < sum(p.numel() for p in encoder.parameters())


def test_the_random_mask_vector_does_not_enter_the_fingerprint(tmp_path):
    encoder, _ = save_encoder("hubert", tmp_path)
    centroids = torch.randn(4, WIDTH)
    prints = []
    for _ in range(2):
        torch.nn.init.normal_(encoder.masked_spec_embed)
        encoder.save_pretrained(tmp_path)
        units = FeatureUnits.from_encoder(tmp_path, 2)
        units.set_centroids(centroids)
        prints.append(units.fingerprint)
    assert prints[0] == prints[1]


def test_the_fingerprint_follows_each_setting(tmp_path):
    save_encoder("hubert", tmp_path)
    centroids = torch.randn(4, WIDTH)
    prints = set()
    for settings in (
        {},
        {"layer": 1},
        {"frame_rate": 50.0},
        {"downsample": "stride"},
        {"deduplicate": True},
        {"feature_extractor": Wav2Vec2FeatureExtractor(do_normalize=False)},
    ):
        units = FeatureUnits.from_encoder(tmp_path, **{"layer": 2, **settings})
        assert units.fingerprint == ""
        units.set_centroids(centroids)
        prints.add(units.fingerprint)
    units.set_centroids(centroids + 1)
    assert len(prints | {units.fingerprint}) == 7


def test_encoders_with_a_head_are_taken_too(tmp_path):
    torch.manual_seed(0)
    model = HubertForCTC(HubertConfig(**SIZES, **CONV)).eval()
    model.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    units = FeatureUnits.from_encoder(tmp_path, 2, 50.0)
    assert torch.equal(
        units.features(sound(8_000)), full_states(model.hubert, Wav2Vec2FeatureExtractor(), sound(8_000))[2]
    )

    best_rq = BestRqForPreTraining(BestRqConfig(**SIZES)).eval()
    best_rq.save_pretrained(tmp_path / "best_rq")
    units = FeatureUnits.from_encoder(tmp_path / "best_rq", 2)
    assert torch.equal(units.features(sound(8_000)), full_states(best_rq.encoder, None, sound(8_000))[2])


def test_repeats_are_dropped_when_asked(tmp_path):
    save_encoder("best-rq", tmp_path)
    waveform = sound(32_000)
    plain = with_centroids(FeatureUnits.from_encoder(tmp_path, 2), [waveform], size=3)
    short = FeatureUnits.from_encoder(tmp_path, 2, deduplicate=True)
    short.set_centroids(plain.centroids)
    codes = plain.encode([waveform])[0]
    assert len(short.encode([waveform])[0]) < len(codes)
    assert torch.equal(short.encode([waveform])[0], codes.unique_consecutive())


def test_errors_say_what_is_allowed(tmp_path):
    encoder, _ = save_encoder("hubert", tmp_path)
    with pytest.raises(ValueError, match=r"layer is 4; this hubert encoder has 3 layers: allowed is 1 to 3"):
        FeatureUnits.from_encoder(tmp_path, 4)
    with pytest.raises(ValueError, match="allowed is 1 to 3"):
        FeatureUnits.from_encoder(tmp_path, 0)
    for rate in (30.0, 100.0, 0.0):
        with pytest.raises(ValueError, match="must be whole"):
            FeatureUnitsConfig(frame_rate=rate)
    with pytest.raises(ValueError, match="mean, stride"):
        FeatureUnitsConfig(downsample="max")
    with pytest.raises(ValueError, match="pass feature_extractor="):
        FeatureUnits.from_encoder(encoder, 2)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="no feature extractor"):
        FeatureUnits.from_encoder(tmp_path, 2)


def test_missing_weights_are_an_error(tmp_path):
    encoder, extractor = build_encoder("hubert")
    extractor.save_pretrained(tmp_path)
    state = {name: value for name, value in encoder.state_dict().items() if "layers.1.attention.q_proj" not in name}
    encoder.save_pretrained(tmp_path, state_dict=state)
    FeatureUnits.from_encoder(tmp_path, 1)
    with pytest.raises(ValueError, match="lacks 2 of the encoder's weights"):
        FeatureUnits.from_encoder(tmp_path, 2)


def test_nothing_undefined_becomes_a_code(tmp_path):
    save_encoder("hubert", tmp_path)
    units = FeatureUnits.from_encoder(tmp_path, 2)
    with pytest.raises(ValueError, match="no code book yet"):
        units.encode([sound(8_000)])
    with pytest.raises(ValueError, match="NaN"):
        units.set_centroids(torch.full((4, WIDTH), float("nan")))
    with pytest.raises(ValueError, match=r"\(codes, 16\) is needed"):
        units.set_centroids(torch.zeros(4, WIDTH + 1))
    fresh = FeatureUnits(FeatureUnitsConfig(**{**units.config.to_dict(), "codebook_size": 4}))
    with pytest.raises(ValueError, match="no code book yet"):
        fresh.encode([sound(8_000)])

    units.set_centroids(torch.randn(4, WIDTH))
    bad = sound(8_000)
    bad[100] = float("nan")
    with pytest.raises(ValueError, match="item 1 holds NaN"):
        units.encode([sound(8_000), bad])
    with pytest.raises(ValueError, match="at least 800"):
        units.encode([sound(700)])
    with pytest.raises(ValueError, match="float \\(samples,\\)"):
        units.encode([torch.zeros(8_000, dtype=torch.int64)])
    with torch.no_grad():
        units.encoder.feature_projection.projection.weight.fill_(float("inf"))
    with pytest.raises(ValueError, match="features of item 0 hold NaN"):
        units.encode([sound(8_000)])


@pytest.mark.parametrize("kind", ["hubert", "w2v-bert", "best-rq"])
def test_float16_weights_run(kind, tmp_path):
    save_encoder(kind, tmp_path)
    units = with_centroids(FeatureUnits.from_encoder(tmp_path, 2), [sound(16_000)])
    exact = units.encode([sound(16_000)])[0]
    agreement = (units.half().encode([sound(16_000)])[0] == exact).double().mean()
    assert agreement > 0.8


def test_it_loads_as_remote_code_from_a_subfolder_without_triglot(tmp_path):
    root, folder = tmp_path / "repo", tmp_path / "repo" / "speech_tokenizer"
    save_encoder("best-rq", tmp_path / "encoder")
    waveform = sound(16_000)
    units = with_centroids(FeatureUnits.from_encoder(tmp_path / "encoder", 2), [waveform])
    units.save_pretrained(folder)
    for code in folder.glob("*.py"):
        shutil.move(code, root / code.name)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    np.save(tmp_path / "wave.npy", waveform.numpy())
    script = (
        "import json, sys, numpy, torch\n"
        "from transformers import AutoModel\n"
        f"units = AutoModel.from_pretrained({str(root)!r}, subfolder='speech_tokenizer', trust_remote_code=True)\n"
        f"wave = torch.from_numpy(numpy.load({str(tmp_path / 'wave.npy')!r}))\n"
        "assert not any(name.startswith('triglot') for name in sys.modules)\n"
        "print(json.dumps([units.fingerprint, units.compute_fingerprint(), units.encode([wave])[0].tolist()]))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["HF_MODULES_CACHE"] = str(tmp_path / "modules")
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    stored, computed, codes = json.loads(run.stdout.strip().splitlines()[-1])
    assert stored == computed == units.fingerprint
    assert codes == units.encode([waveform])[0].tolist()


def test_features_that_lie_close_together_far_from_zero_keep_their_codes(tmp_path):
    save_encoder("hubert", tmp_path)
    units = FeatureUnits.from_encoder(tmp_path, layer=1)
    generator = torch.Generator().manual_seed(0)
    centroids = 300.0 + 0.05 * torch.randn(40, WIDTH, generator=generator)
    units.set_centroids(centroids)
    features = 300.0 + 0.05 * torch.randn(500, WIDTH, generator=generator)
    exact = torch.cdist(features.double(), centroids.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    assert torch.equal(units._nearest(features), exact)
