"""NeuralCodec: four codecs behind one interface; lengths are exact, and chunks leave no seam."""

from types import SimpleNamespace

import pytest
import torch
from codec_testing import KINDS, build_codec

from triglot.modeling.decoders import neural_codec
from triglot.modeling.decoders.neural_codec import NeuralCodec
from triglot.modeling.tokenizers.modeling_codec_units import CodecUnits, codec_settings


def build(kind: str, levels: int = 2, encodes: bool = True) -> NeuralCodec:
    codec = build_codec(kind)
    made = NeuralCodec(SimpleNamespace(**codec_settings(codec.config, levels)), encodes)
    made.take(codec)
    return made.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [2_000, 7 * 1920, 30_001])
def test_lengths_are_whole_frames(kind, samples):
    codec = build(kind)
    frames = codec.encode(0.1 * torch.randn(samples))
    assert frames.shape == (2, -(-samples // codec.hop_length)) and frames.dtype == torch.int64
    sound = codec.decode(frames)
    assert sound.shape == (frames.shape[1] * codec.hop_length,) and sound.dtype == torch.float32
    assert float(sound.abs().max()) <= 1.0 and codec.frame_rate == codec.sampling_rate / codec.hop_length


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_those_of_the_tokenizer(kind):
    """`CodecUnits` and `NeuralCodec` read a codec alike, though neither knows the other."""
    units = CodecUnits.from_codec(build_codec(kind), 2)
    wave = 0.1 * torch.randn(9 * units.hop_length, generator=torch.Generator().manual_seed(0))
    assert torch.equal(build(kind).encode(wave), units.frames(wave))


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoding_half_decodes_the_same(kind):
    frames = torch.randint(16, (2, 11), generator=torch.Generator().manual_seed(0))
    whole, half = build(kind), build(kind, encodes=False)
    torch.testing.assert_close(half.decode(frames), whole.decode(frames))
    assert len(half.state_dict()) < len(whole.state_dict())
    assert not any(parameter.requires_grad for parameter in whole.parameters())
    assert not whole.train().training


@pytest.mark.parametrize("kind", ["dac", "xcodec"])
def test_chunks_leave_no_seam(kind, monkeypatch):
    codec = build(kind)
    frames = torch.randint(16, (2, 157), generator=torch.Generator().manual_seed(0))
    whole = codec.decode(frames)
    monkeypatch.setattr(neural_codec, "CHUNK_SECONDS", 0.7)
    chunked = codec.decode(frames)
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["encodec", "mimi"])
def test_chunks_of_codecs_that_remember_are_nearly_the_same(kind, monkeypatch):
    codec = build(kind)
    frames = torch.randint(16, (2, round(6 * codec.frame_rate)), generator=torch.Generator().manual_seed(0))
    whole = codec.decode(frames)
    monkeypatch.setattr(neural_codec, "CHUNK_SECONDS", 2.0)
    chunked = codec.decode(frames)
    assert float((chunked - whole).abs().max()) < 0.02 * float(whole.abs().max())
