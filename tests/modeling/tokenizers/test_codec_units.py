"""CodecUnits over small EnCodec, DAC and Mimi models: the codec's own codes, told level by level."""

import pytest
import torch
from codec_testing import KINDS, build_codec
from media_tokenizer_testing import MediaTokenizerTester
from transformers import EncodecConfig, EncodecModel, LlamaConfig

from triglot.modeling.tokenizers.configuration_codec_units import CodecUnitsConfig
from triglot.modeling.tokenizers.modeling_codec_units import CodecUnits, codec_settings


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 24_000
    tone = torch.sin(2 * torch.pi * (200 + 400 * time) * time * (1 + seed))
    return 0.3 * tone * torch.sin(9 * time) + 0.05 * torch.randn(samples, generator=generator)


class CodecTester(MediaTokenizerTester):
    kind, levels = "mimi", 1

    def build_tokenizer(self):
        return CodecUnits.from_codec(build_codec(self.kind), self.levels)

    def build_media(self):
        return [sound(24_000), sound(15_001, 1), sound(36_000, 2)]

    def expected_length(self, tokenizer, item):
        return self.levels * -(-len(item) // tokenizer.hop_length)


class TestEncodecUnits(CodecTester):
    kind, levels = "encodec", 4


class TestDacUnits(CodecTester):
    kind, levels = "dac", 2


class TestMimiUnits(CodecTester):
    kind, levels = "mimi", 1


def own_codes(codec, wave: torch.Tensor, levels: int) -> torch.Tensor:
    """(Q, T), as the codec's own documentation has users compute them."""
    with torch.no_grad():
        if codec.config.model_type == "dac":
            return codec.encode(wave[None, None], n_quantizers=levels).audio_codes[0]
        if codec.config.model_type == "mimi":
            return codec.encode(wave[None, None], num_quantizers=levels).audio_codes[0]
        codes = codec.encode(wave[None, None], bandwidth=codec.config.target_bandwidths[-1]).audio_codes
        return codes.reshape(-1, codes.shape[-1])[:levels]  # one item


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_codes_are_those_of_the_codec_level_by_level(kind, levels):
    codec = build_codec(kind)
    units = CodecUnits.from_codec(codec, levels)
    wave = sound(30 * units.hop_length)
    wanted = own_codes(codec, wave, levels)
    assert wanted.unique().numel() > 2
    assert torch.equal(units.frames(wave), wanted)
    [codes] = units.encode([wave])
    assert torch.equal(codes.view(-1, levels) // 16, torch.arange(levels).expand(30, levels))
    assert torch.equal(codes.view(-1, levels).T % 16, wanted)
    assert units.frame_rate == pytest.approx(levels * units.sampling_rate / units.hop_length)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_of_a_frames_vectors_is_what_the_codec_decodes(kind):
    codec = build_codec(kind)
    units = CodecUnits.from_codec(codec, 4)
    codes = units.encode([sound(8 * units.hop_length)])[0]
    frames = codes.view(-1, 4)
    with torch.no_grad():
        entries = (frames % 16).T
        if kind == "dac":
            wanted = codec.quantizer.from_codes(entries[None])[0][0]
        elif kind == "mimi":
            wanted = codec.quantizer.decode(entries[None])[0]
        else:
            wanted = codec.quantizer.decode(entries[:, None])[0]
    torch.testing.assert_close(units.centroids[frames].sum(1), wanted.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_folder_and_only_the_half_that_encodes(kind, tmp_path):
    codec = build_codec(kind)
    codec.save_pretrained(tmp_path / "codec")
    units = CodecUnits.from_codec(tmp_path / "codec", 2)
    assert units.fingerprint == CodecUnits.from_codec(codec, 2).fingerprint
    assert units.fingerprint != CodecUnits.from_codec(codec, 4).fingerprint
    assert not any(".decoder." in name for name in units.state_dict())
    assert sum(p.numel() for p in units.parameters()) < sum(p.numel() for p in codec.parameters())


def test_codecs_that_cannot_be_used(tmp_path):
    stereo = EncodecModel(EncodecConfig(audio_channels=2, num_filters=4, hidden_size=16, codebook_size=16))
    with pytest.raises(ValueError, match="stereo"):
        CodecUnits.from_codec(stereo)
    with pytest.raises(ValueError, match="'llama'"):
        codec_settings(LlamaConfig())
    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'llama'"):
        CodecUnits.from_codec(tmp_path)
    for kind, there in (("encodec", 8), ("dac", 4), ("mimi", 4), ("xcodec", 4)):
        with pytest.raises(ValueError, match=f"this {kind} has {there}"):
            CodecUnits.from_codec(build_codec(kind), 16)
    with pytest.raises(ValueError, match="divisors"):
        CodecUnits.from_codec(build_codec("dac"), 3)
    with pytest.raises(ValueError, match="at least 1"):
        CodecUnitsConfig(levels=0)
    with pytest.raises(ValueError, match="one of encodec"):
        CodecUnitsConfig(codec_config={"model_type": "bert"})
