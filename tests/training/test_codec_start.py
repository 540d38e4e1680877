"""codec_start: a new codec gives back what it hears before its first step, and its code books begin where vectors lie."""

import dataclasses

import pytest
import torch
from speech_rows import speech_rows
from transformers import DacModel

from triglot.training.codec_start import begin_code_books, begin_codec, begin_convolutions
from triglot.training.train_codec import CodecArguments, CodecCrops
from triglot.training.train_encoder import WaveformDataset

ARGUMENTS = CodecArguments(encoder_hidden_size=8, decoder_hidden_size=128, levels=4, level_size=64)


@pytest.fixture(scope="module")
def crops():
    waveforms = WaveformDataset(speech_rows(16), 16_000)
    torch.manual_seed(0)
    return CodecCrops(10_240)([waveforms[place] for place in range(16)] * 2)["waveforms"]


def signal_to_noise(made, wanted):
    """dB; a decoder may leave out the last samples."""
    wanted = wanted[..., : made.shape[-1]]
    return float(10 * torch.log10(wanted.square().sum() / (made - wanted).square().sum()))


def test_a_new_codec_gives_back_what_it_hears(crops):
    torch.manual_seed(0)
    codec = DacModel(ARGUMENTS.codec_config()).eval()
    heard, unheard = crops[:16, None], crops[16:, None]
    with torch.no_grad():
        assert signal_to_noise(codec.decoder(codec.encoder(unheard)), unheard) < 1
        begin_convolutions(codec, heard[:, 0])
        assert signal_to_noise(codec.decoder(codec.encoder(unheard)), unheard) > 10


@pytest.mark.parametrize(
    "changes", [{"decoder_hidden_size": 96}, {"encoder_hidden_size": 2}, {"ratios": "7 3", "code_dim": 1}]
)
def test_any_sizes_begin(changes, crops):
    """Where encoder and decoder do not mirror each other, what both have is kept."""
    codec = DacModel(dataclasses.replace(ARGUMENTS, **changes).codec_config()).eval()
    begin_codec(codec, crops[:16])
    with torch.no_grad():
        output = codec(crops[16:, None])
    assert bool(output.audio_values.isfinite().all())
    assert signal_to_noise(output.audio_values, crops[16:]) > -3


def test_code_books_begin_where_the_vectors_lie():
    """Right after the start all entries are in use, and the levels tell more of the latents the more of them are used."""
    torch.manual_seed(0)
    codec = DacModel(ARGUMENTS.codec_config()).eval()
    basis = torch.randn(12, codec.config.hidden_size)
    latents = torch.randn(4000, 12) @ basis + torch.randn(codec.config.hidden_size)
    begin_code_books(codec, latents)
    hidden = latents[:2000].T[None]
    left = []
    with torch.no_grad():
        for levels in (1, 2, 3):
            made, codes, *_ = codec.quantizer(hidden, levels)
            left.append(float((made - hidden).square().mean()))
            assert codes[0, levels - 1].unique().numel() == ARGUMENTS.level_size
    spread = float((hidden - hidden.mean(-1, keepdim=True)).square().mean())
    assert spread > 1.3 * left[0] > 1.5 * left[1] > 1.7 * left[2]


def test_the_first_level_tells_sizes():
    """Vectors of one direction differ by their size alone, which a code book that compares angles would not see."""
    torch.manual_seed(0)
    codec = DacModel(ARGUMENTS.codec_config()).eval()
    sizes = torch.linspace(0.0, 4.0, 2000)
    latents = sizes[:, None] * torch.nn.functional.normalize(torch.randn(codec.config.hidden_size), dim=0)
    begin_code_books(codec, latents)
    with torch.no_grad():
        made, *_ = codec.quantizer(latents.T[None], 1)
    assert float((made[0].norm(dim=0) - sizes).abs().max()) < 0.3


def test_silence_begins_without_nan(crops):
    codec = DacModel(ARGUMENTS.codec_config()).eval()
    begin_codec(codec, torch.zeros_like(crops[:4]))
    assert all(bool(tensor.isfinite().all()) for tensor in codec.state_dict().values())
