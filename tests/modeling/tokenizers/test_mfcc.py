"""MFCCs by hand, and as the floor of the speech tokenizers."""

import numpy as np
import pytest
import torch
from media_tokenizer_testing import MediaTokenizerTester
from scipy.fft import dct
from transformers import AutoModel

import triglot  # noqa: F401  (registers the encoder)
from triglot.modeling.tokenizers.configuration_mfcc import MfccConfig
from triglot.modeling.tokenizers.modeling_feature_units import FeatureUnits
from triglot.modeling.tokenizers.modeling_mfcc import MfccEncoder


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 16_000
    tone = torch.sin(2 * torch.pi * (200 + 400 * time + 100 * seed) * time) * torch.sin(9 * time)
    return 0.3 * tone + 0.05 * torch.randn(samples, generator=generator)


class TestMfccUnits(MediaTokenizerTester):
    def build_tokenizer(self):
        units = FeatureUnits.from_encoder(MfccEncoder(MfccConfig()), layer=1)
        features = torch.cat([units.features(wave) for wave in self.build_media()])
        units.set_centroids(features[:: len(features) // 12][:12])
        return units

    def build_media(self):
        return [sound(16_000), sound(9_001, 1), sound(24_000, 2)]


def test_the_coefficients_are_the_cosine_transform_of_the_log_mel():
    encoder, wave = MfccEncoder(MfccConfig()).eval(), sound(8_000)
    with torch.no_grad():
        features = encoder(wave[None]).last_hidden_state[0]
    assert features.shape == (50, 39)
    frame, window = 20, np.hanning(401)[:400]
    piece = np.pad(wave.numpy(), 120)[frame * 160 : frame * 160 + 400] * window
    energies = np.abs(np.fft.rfft(piece)) ** 2 @ encoder.mel_filters.numpy()
    wanted = dct(np.log(energies), norm="ortho")[:13]
    np.testing.assert_allclose(features[frame, :13].numpy(), wanted, rtol=1e-3, atol=1e-3)


def test_slopes_are_those_of_a_line():
    encoder = MfccEncoder(MfccConfig())
    line = torch.arange(20.0)[None, :, None] * torch.tensor([1.0, -2.0])
    slopes = encoder._slopes(line)
    torch.testing.assert_close(slopes[0, 2:-2], torch.tensor([1.0, -2.0]).expand(16, 2))
    assert bool((slopes[0, 0].abs() < torch.tensor([1.0, 2.0])).all())  # the ends are repeated


def test_there_is_nothing_to_train_and_it_survives_saving(tmp_path):
    encoder = MfccEncoder(MfccConfig(num_coefficients=10)).eval()
    assert not any(weight.requires_grad for weight in encoder.parameters()) and encoder.config.hidden_size == 30
    encoder.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(sound(8_000)[None])[0], encoder(sound(8_000)[None])[0])
    units = FeatureUnits.from_encoder(tmp_path, layer=1, frame_rate=50.0)
    assert units.features(sound(16_000)).shape == (50, 30)


def test_refused():
    with pytest.raises(ValueError, match="1 to 40"):
        MfccConfig(num_coefficients=41)
    with pytest.raises(ValueError, match="shape"):
        MfccEncoder(MfccConfig())(torch.zeros(5))
    with pytest.raises(ValueError, match="allowed is 1 to 1"):
        FeatureUnits.from_encoder(MfccEncoder(MfccConfig()), layer=2)
