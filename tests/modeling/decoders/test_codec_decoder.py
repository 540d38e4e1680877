"""CodecDecoder over small EnCodec, DAC, Mimi and X-Codec models: what the codec itself makes of its codes."""

import pytest
import torch
from codec_testing import KINDS, build_codec
from media_decoder_testing import SpeechDecoderTester

from triglot.modeling.decoders.configuration_codec_decoder import CodecDecoderConfig
from triglot.modeling.decoders.modeling_codec_decoder import CodecDecoder
from triglot.modeling.tokenizers.modeling_codec_units import CodecUnits


def pair(kind: str, levels: int):
    codec = build_codec(kind)
    units = CodecUnits.from_codec(codec, levels)
    return codec, units, CodecDecoder.from_codec(codec, units.config)


class CodecTester(SpeechDecoderTester):
    kind, levels = "mimi", 2

    def make_decoder(self):
        return pair(self.kind, self.levels)[2]

    def code_sequences(self, decoder):
        generator = torch.Generator().manual_seed(3)
        lengths = (self.levels * 9, self.levels * 2 + 1, self.levels * 5)
        return [torch.randint(decoder.codebook_size, (length,), generator=generator) for length in lengths]

    test_the_gradient_reaches_every_parameter = None  # a codec comes trained

    def test_a_voice_is_finite_and_heard(self):
        decoder = self.make_decoder()
        assert decoder.voice_from_waveform(self.voice_prompt(decoder)).tensors == {}


class TestEncodecDecoder(CodecTester):
    kind, levels = "encodec", 4


class TestDacDecoder(CodecTester):
    kind, levels = "dac", 2


class TestMimiDecoder(CodecTester):
    kind, levels = "mimi", 2


class TestXcodecDecoder(CodecTester):
    kind, levels = "xcodec", 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", [1, 4])
def test_sound_is_what_the_codec_makes_of_its_codes(kind, levels):
    codec, units, decoder = pair(kind, levels)
    wave = 0.1 * torch.randn(5 * units.hop_length, generator=torch.Generator().manual_seed(0))
    frames = units.frames(wave)[None]
    with torch.no_grad():
        if kind == "dac":
            wanted = codec.decode(audio_codes=frames).audio_values
        elif kind == "encodec":
            wanted = codec.decode(frames[None], [None]).audio_values
        else:
            wanted = codec.decode(frames).audio_values
    [made] = decoder.decode(units.encode([wave]))
    assert made.shape == wave.shape and decoder.fingerprint == units.fingerprint
    torch.testing.assert_close(made, wanted.flatten()[: len(made)].clamp(-1, 1), rtol=1e-4, atol=1e-5)
    assert not any("encoder" in name.split(".")[2] for name in decoder.state_dict())


def test_codes_of_other_levels_count_by_their_entries():
    _, units, decoder = pair("mimi", 2)
    codes = units.encode([torch.randn(2 * units.hop_length)])[0]
    torch.testing.assert_close(decoder.decode([codes % 16])[0], decoder.decode([codes])[0])


def test_refused():
    with pytest.raises(ValueError, match="divisor of the 1920"):
        CodecDecoderConfig(levels=7)
