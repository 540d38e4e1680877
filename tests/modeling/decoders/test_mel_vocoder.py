"""MelVocoder: the decoder contract with frames in the place of codes."""

import pytest
import torch
from media_decoder_testing import SpeechDecoderTester
from speech_testing import tone

from triglot.modeling.decoders.configuration_mel_vocoder import MelVocoderConfig
from triglot.modeling.decoders.modeling_mel_vocoder import MelVocoder

SMOKE = {
    "input_bins": 80, "hidden_size": 48, "mlp_size": 64, "depth_codes": 1, "depth_frames": 2, "f0_hidden_size": 32,
    "f0_mlp_size": 48, "f0_depth_codes": 1, "f0_depth_frames": 1, "voice_hidden_size": 32,
}  # fmt: skip


def smoke_vocoder(**changes) -> MelVocoder:
    torch.manual_seed(0)
    return MelVocoder(MelVocoderConfig(**{**SMOKE, **changes})).eval()


class TestMelVocoderContract(SpeechDecoderTester):
    def make_decoder(self):
        return smoke_vocoder()

    def code_sequences(self, decoder):
        generator = torch.Generator().manual_seed(3)
        return [torch.randn(length, 80, generator=generator) for length in (84, 1, 33)]

    def training_inputs(self, decoder):
        waveforms = torch.stack([tone(100.0, 0.48), tone(210.0, 0.48)]) + 0.01 * torch.randn(2, 7680)
        mask = torch.ones(2, 48, dtype=torch.bool)
        mask[1, 36:] = False
        voices = torch.stack([decoder.voice_statistics(item) for item in waveforms])
        return {"codes": torch.randn(2, 48, 80), "waveforms": waveforms, "voices": voices, "mask": mask}

    def test_different_codes_give_different_media(self):
        decoder = self.make_decoder()
        frames = self.code_sequences(decoder)[0]
        assert not torch.equal(decoder.decode([frames])[0], decoder.decode([frames + 1])[0])

    @pytest.mark.parametrize("bad", ["NaN", "narrow", "empty", "one-dimensional", "whole numbers"])
    def test_bad_codes_are_value_errors(self, bad):
        decoder = self.make_decoder()
        good = self.code_sequences(decoder)[0]
        wrong = {
            "NaN": torch.full_like(good, torch.nan), "narrow": good[:, :79], "empty": good[:0], "one-dimensional": good[:, 0],
            "whole numbers": good.long(),
        }  # fmt: skip
        with pytest.raises(ValueError, match="Item 1"):
            decoder.decode([good, wrong[bad]])


def test_chunks_leave_no_seam():
    frames = torch.randn(390, 80, generator=torch.Generator().manual_seed(0))
    whole, chunked = smoke_vocoder(), smoke_vocoder(chunk_codes=40)
    for model in (whole, chunked):
        with torch.no_grad():
            model.f0_trunk.head.bias[1] = 1.0
    torch.testing.assert_close(chunked.decode([frames])[0], whole.decode([frames])[0], atol=1e-4, rtol=0)


def test_padding_is_not_heard():
    model = smoke_vocoder()
    frames = torch.randn(1, 48, 80)
    mask = torch.arange(48)[None] < 36
    other = torch.where(mask[..., None], frames, torch.randn(1, 48, 80))
    with torch.no_grad():
        made = [model(item, mask=mask).waveforms for item in (frames, other)]
    assert torch.equal(*made)
