"""FastSpeech2: the decoder contract, with and without repeats, transformers' own networks, bounded memory, and that it learns."""

import json

import pytest
import torch
from media_decoder_testing import SpeechDecoderTester
from speech_testing import tone
from transformers import (
    AutoModel,
    FastSpeech2ConformerConfig,
    FastSpeech2ConformerHifiGanConfig,
    FastSpeech2ConformerWithHifiGan,
    FastSpeech2ConformerWithHifiGanConfig,
)

from triglot.modeling.decoders.configuration_fastspeech2 import FastSpeech2Config
from triglot.modeling.decoders.modeling_fastspeech2 import FastSpeech2

ACOUSTIC = {
    "hidden_size": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_linear_units": 16, "decoder_linear_units": 16,
    "speech_decoder_postnet_layers": 2, "speech_decoder_postnet_units": 16, "duration_predictor_channels": 16,
    "pitch_predictor_channels": 16, "pitch_predictor_layers": 1, "energy_predictor_channels": 16,
}  # fmt: skip
VOCODER = {"upsample_initial_channel": 32, "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3]]}
SMOKE = {
    "codebook_size": 32, "fingerprint": "smoke", "num_mel_bins": 20, "speaker_embed_dim": 8, "voice_hidden_size": 16,
    "acoustic_config": ACOUSTIC, "vocoder_config": VOCODER,
}  # fmt: skip


def smoke_decoder(**changes) -> FastSpeech2:
    torch.manual_seed(0)
    return FastSpeech2(FastSpeech2Config(**{**SMOKE, **changes})).eval()


class TestFastSpeech2Contract(SpeechDecoderTester):
    def make_decoder(self):
        return smoke_decoder()

    def code_sequences(self, decoder):
        generator = torch.Generator().manual_seed(3)
        return [torch.randint(decoder.codebook_size, (length,), generator=generator) for length in (21, 1, 8)]

    def training_inputs(self, decoder):
        waveforms = torch.stack([tone(100.0, 0.48), tone(210.0, 0.48)]) + 0.01 * torch.randn(2, 7680)
        mask = torch.ones(2, 12, dtype=torch.bool)
        mask[1, 9:] = False
        voices = torch.stack([decoder.voice_statistics(item) for item in waveforms])
        return {"codes": torch.randint(32, (2, 12)), "waveforms": waveforms, "voices": voices, "mask": mask}


class TestWithoutRepeatsContract(TestFastSpeech2Contract):
    def make_decoder(self):
        return smoke_decoder(deduplicated=True)

    def expected_shape(self, decoder, codes):
        durations = decoder.predict_durations(codes)
        assert durations.shape == codes.shape and int(durations.min()) >= 1
        return (int(durations.sum()) * decoder.samples_per_code,)

    def training_inputs(self, decoder):
        inputs = super().training_inputs(decoder)
        inputs["codes"] = inputs["codes"] // 8  # some repeats
        return inputs

    def test_durations_differ(self):
        assert len(set(self.make_decoder().predict_durations(torch.arange(32)).tolist())) > 1

    def test_runs_are_read_once_and_last_as_long_as_they_did(self):
        decoder = self.make_decoder()
        codes = torch.tensor([[5, 5, 7, 7, 7, 5], [3, 3, 3, 3, 0, 0]])
        mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
        runs, place, durations, real = decoder._runs(codes, mask)
        assert runs.tolist() == [[5, 7, 5], [3, 0, 0]] and durations.tolist() == [[2, 3, 1], [4, 0, 0]]
        assert place.tolist() == [[0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 1, 1]] and torch.equal(real, durations > 0)

    def test_a_run_that_a_crop_cuts_is_learnt_whole(self):
        decoder = self.make_decoder()
        inputs = self.training_inputs(decoder)
        short, long = (
            decoder(**inputs, lasting=torch.full_like(inputs["codes"], count)).duration_loss for count in (1, 40)
        )
        assert long > 4 * short


def test_plain_codes_have_no_duration_predictor():
    assert not any("duration" in name for name in smoke_decoder().state_dict())


def test_the_vocoder_waits_for_a_run_of_its_own():
    model = smoke_decoder()
    assert not any(weight.requires_grad for weight in model.vocoder.parameters())
    model.vocoder.requires_grad_(True)
    mel = torch.randn(1, 12, 20)
    model.vocoder(mel).square().mean().backward()
    assert all(float(weight.grad.abs().sum()) > 0 for weight in model.vocoder.parameters())


def test_the_vocoder_leaves_no_seam():
    mel = torch.randn(97, 20, generator=torch.Generator().manual_seed(0)).double()
    whole, chunked = smoke_decoder().double(), smoke_decoder(chunk_frames=10).double()
    with torch.no_grad():
        torch.testing.assert_close(chunked.vocode(mel), whole.vocode(mel), atol=1e-9, rtol=0)
    assert whole.vocode(mel).shape == (97 * 160,) and 0.01 < float(whole.vocode(mel).std()) < 0.7


@pytest.mark.parametrize("deduplicated", [False, True])
def test_long_sequences_are_written_chunk_by_chunk(deduplicated):
    codes = torch.randint(32, (50,), generator=torch.Generator().manual_seed(0))
    chunked = smoke_decoder(chunk_codes=8, context_codes=3, deduplicated=deduplicated)
    seen, states = [], chunked._states
    chunked._states = lambda codes, voices, mask: seen.append(codes.shape[1]) or states(codes, voices, mask)
    [wave] = chunked.decode([codes])
    assert max(seen) == 14 and len(seen) == 7
    assert len(wave) == 640 * (int(chunked.predict_durations(codes).sum()) if deduplicated else 50)
    wide = smoke_decoder(chunk_codes=8, context_codes=50, deduplicated=deduplicated)  # sees all of it from every chunk
    whole = smoke_decoder(deduplicated=deduplicated)
    torch.testing.assert_close(wide.decode([codes])[0], whole.decode([codes])[0], atol=1e-4, rtol=0)


def test_padding_does_not_reach_the_loss():
    model, wave = smoke_decoder(deduplicated=True), tone(120.0, 0.48)[None]
    mask = torch.arange(12)[None] < 9
    other, codes = wave.clone(), torch.arange(12)[None] // 2
    other[:, 9 * 640 :] = 0.5
    f0 = torch.full((1, 48), 120.0)
    first = model(codes, wave, mask=mask, f0=f0).loss
    codes[:, 9:] = 31
    assert torch.equal(first, model(codes, other, mask=mask, f0=f0).loss)
    with pytest.raises(ValueError, match="640 samples"):
        model(codes, wave[:, :-1])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published FastSpeech2Conformer with its HiFi-GAN, shrunken: phonemes, other speakers, but log-mel as here."""
    torch.manual_seed(7)
    acoustic = FastSpeech2ConformerConfig(
        **ACOUSTIC, vocab_size=12, num_mel_bins=20, speaker_embed_dim=4, num_speakers=3
    )
    vocoder = FastSpeech2ConformerHifiGanConfig(
        **VOCODER, model_in_dim=20, upsample_rates=[5, 4, 4, 2], upsample_kernel_sizes=[11, 8, 8, 4]
    )
    whole = FastSpeech2ConformerWithHifiGan(
        FastSpeech2ConformerWithHifiGanConfig(model_config=acoustic.to_dict(), vocoder_config=vocoder.to_dict())
    )
    folder = tmp_path_factory.mktemp("published")
    whole.save_pretrained(folder)
    return folder


def test_published_weights_are_taken_where_they_fit(published):
    theirs = AutoModel.from_pretrained(published)
    ours, left = FastSpeech2.from_parts(theirs.model, theirs.vocoder, codebook_size=32, num_mel_bins=20)
    state = theirs.model.state_dict()
    own = ours.acoustic.state_dict()
    taken = [name for name in state if f"acoustic.{name}" not in left]
    assert all(torch.equal(own[name], state[name]) for name in taken)
    assert sorted(left) == sorted(
        ["acoustic.encoder.embed.weight", "acoustic.projection.weight", "acoustic.speaker_id_embedding.weight"]
        + [f"acoustic.{name}" for name in state if name.startswith("duration_predictor")]
    )
    mel = torch.randn(7, 20)
    torch.testing.assert_close(ours.vocode(mel), theirs.vocoder(mel))
    assert ours.decode([torch.arange(5)])[0].shape == (3200,)
    counting, left = FastSpeech2.from_parts(theirs.model, codebook_size=32, num_mel_bins=20, deduplicated=True)
    assert not any("duration" in name for name in left)
    assert counting.config.acoustic().hidden_size == 16 and counting.config.vocoder().upsample_initial_channel == 128


def test_the_automodel_knows_it_and_a_saved_one_says_all_its_sizes(tmp_path):
    smoke_decoder(acoustic_config={"hidden_size": 16}).save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    assert said["model_type"] == "triglot_fastspeech2" and said["acoustic_config"]["decoder_layers"] == 3
    assert isinstance(AutoModel.from_pretrained(tmp_path), FastSpeech2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocoder_config": {"upsample_rates": [5, 4, 4], "upsample_kernel_sizes": [11, 8, 8]}}, "a frame has 160"),
        ({"vocoder_config": {"upsample_initial_channel": 24}}, "must divide by 16"),
        ({"acoustic_config": {"hidden_size": 15}}, "divisible by encoder_num_attention_heads"),
        ({"acoustic_config": {"hidden": 15}}, "knows no 'hidden'"),
        ({"acoustic_config": {"reduction_factor": 2}}, "reduction_factor"),
        ({"acoustic_config": {"encoder_layers": "two"}}, "FastSpeech2ConformerConfig refuses"),
        ({"chunk_codes": 0}, "chunk_codes 0"),
        ({"context_codes": -1}, "context_codes -1"),
    ],
)
def test_sizes_that_do_not_fit_are_value_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        FastSpeech2Config(**changes)


@pytest.mark.parametrize("deduplicated", [False, True])
def test_it_learns_two_tones(deduplicated):
    """Codes 0.. say a low tone, codes 8.. a high one: the distance to their spectra falls by more than two thirds."""
    model = smoke_decoder(deduplicated=deduplicated)  # in evaluation mode, without dropout
    waveforms = torch.stack([model.normalise_level(tone(pitch, 0.24)) for pitch in (125.0, 225.0)])
    codes = torch.stack([torch.arange(6) // 2, 8 + torch.arange(6) // 2])
    voices = torch.stack([model.voice_statistics(item) for item in waveforms])
    model.set_voice_statistics(voices)
    optimiser = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    distances = []
    for _ in range(40):
        output = model(codes, waveforms, voices)
        optimiser.zero_grad()
        output.loss.backward()
        optimiser.step()
        distances.append(output.mel_loss.item())
    assert distances[-1] < 0.33 * distances[0]
    if deduplicated:
        voice = model.voice_from_waveform(waveforms[1])
        assert model.predict_durations(torch.tensor([8, 9, 10]), voice).tolist() == [2, 2, 2]


def test_bfloat16_says_much_the_same():
    codes = torch.arange(32)
    [whole], [half] = smoke_decoder().decode([codes]), smoke_decoder().to(torch.bfloat16).decode([codes])
    assert half.dtype == torch.float32 and half.shape == whole.shape
    assert float((half - whole).norm() / whole.norm()) < 0.5
