"""CodeHifiGan: the decoder contract, with and without repeats, no seams, transformers' own networks, and that it learns."""

import pytest
import torch
from media_decoder_testing import SpeechDecoderTester
from speech_testing import tone
from transformers import AutoModel
from transformers.models.seamless_m4t_v2.configuration_seamless_m4t_v2 import SeamlessM4Tv2Config
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2CodeHifiGan

from triglot.modeling.decoders.configuration_code_hifigan import CodeHifiGanConfig
from triglot.modeling.decoders.modeling_code_hifigan import CodeHifiGan
from triglot.modeling.decoders.modeling_unit_vocoder import UnitVocoder

SMOKE = {
    "codebook_size": 32,
    "fingerprint": "smoke",
    "unit_embed_dim": 16,
    "spkr_embed_dim": 8,
    "voice_hidden_size": 16,
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": (3,),
    "resblock_dilation_sizes": ((1, 3),),
}


def smoke_vocoder(**changes) -> CodeHifiGan:
    torch.manual_seed(0)
    return CodeHifiGan(CodeHifiGanConfig(**{**SMOKE, **changes})).eval()


class TestCodeHifiGanContract(SpeechDecoderTester):
    def make_decoder(self):
        return smoke_vocoder()

    def code_sequences(self, decoder):
        generator = torch.Generator().manual_seed(3)
        return [torch.randint(decoder.codebook_size, (length,), generator=generator) for length in (21, 1, 8)]

    def training_inputs(self, decoder):
        waveforms = torch.stack([tone(100.0, 0.48), tone(210.0, 0.48)]) + 0.01 * torch.randn(2, 7680)
        mask = torch.ones(2, 12, dtype=torch.bool)
        mask[1, 9:] = False
        voices = torch.stack([decoder.voice_statistics(item) for item in waveforms])
        return {"codes": torch.randint(32, (2, 12)), "waveforms": waveforms, "voices": voices, "mask": mask}


class TestWithoutRepeatsContract(TestCodeHifiGanContract):
    def make_decoder(self):
        model = smoke_vocoder(deduplicated=True)
        with torch.no_grad():
            model.dur_predictor.proj.weight.mul_(3.0)
            model.dur_predictor.proj.bias.fill_(1.3)
        return model

    def expected_shape(self, decoder, codes):
        durations = decoder.predict_durations(codes)
        assert durations.shape == codes.shape and int(durations.min()) >= 1
        return (int(durations.sum()) * decoder.samples_per_code,)

    def training_inputs(self, decoder):
        runs, durations = torch.randint(32, (2, 7)), torch.randint(1, 5, (2, 7))
        durations[1, 5:] = 0
        return {**super().training_inputs(decoder), "runs": runs, "durations": durations}

    def test_durations_differ_and_are_needed_to_learn(self):
        decoder = self.make_decoder()
        assert len(set(decoder.predict_durations(torch.arange(32)).tolist())) > 1
        inputs = self.training_inputs(decoder)
        del inputs["durations"]
        with pytest.raises(ValueError, match="runs and durations"):
            decoder(**inputs)

    def test_padding_does_not_reach_the_durations(self):
        decoder, inputs = self.make_decoder(), self.training_inputs(self.make_decoder())
        first = decoder(**inputs).duration_loss
        inputs["runs"][1, 5:] = 31 - inputs["runs"][1, 5:]
        assert torch.equal(first, decoder(**inputs).duration_loss)


def test_chunks_leave_no_seam():
    codes = torch.randint(32, (97,), generator=torch.Generator().manual_seed(0))
    whole, chunked = (
        smoke_vocoder().double(),
        smoke_vocoder(chunk_codes=10).double(),
    )  # float32 moves some 1e-4 by length alone
    torch.testing.assert_close(chunked.decode([codes])[0], whole.decode([codes])[0], atol=1e-6, rtol=0)


def test_voices_are_those_of_the_unit_vocoder(tmp_path):
    from test_unit_vocoder import smoke_vocoder as smoke_unit_vocoder

    ours, theirs = smoke_vocoder(), smoke_unit_vocoder()
    assert isinstance(theirs, UnitVocoder)
    path = theirs.voice_from_waveform(tone(140.0)).save(tmp_path / "me.safetensors")
    torch.testing.assert_close(
        ours.load_voice(path).tensors["statistics"], ours.voice_from_waveform(tone(140.0)).tensors["statistics"]
    )


def test_the_generator_is_that_of_seamless():
    """The weights of a published SeamlessM4T vocoder fit, but for its tables of speakers and languages."""
    sizes = {name: SMOKE[name] for name in ("unit_embed_dim", "spkr_embed_dim", "upsample_initial_channel")}
    config = SeamlessM4Tv2Config(
        **sizes, lang_embed_dim=0, unit_hifi_gan_vocab_size=32, upsample_rates=[5, 4, 4, 4, 2],
        upsample_kernel_sizes=[11, 8, 8, 8, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
        vocoder_num_spkrs=1, vocoder_num_langs=1,
    )  # fmt: skip
    ours, theirs = smoke_vocoder(deduplicated=True), SeamlessM4Tv2CodeHifiGan(config).state_dict()
    kept = {name for name in ours.state_dict() if not name.startswith(("voice", "default_voice"))}
    assert kept == set(theirs) - {"speaker_embedding.weight", "language_embedding.weight"}
    assert all(ours.state_dict()[name].shape == theirs[name].shape for name in kept)


def test_padding_does_not_reach_the_loss():
    model, wave = smoke_vocoder(), tone(120.0, 0.48)[None]
    mask = torch.arange(12)[None] < 9
    other = wave.clone()
    other[:, 9 * 640 :] = 0.5
    codes = torch.arange(12)[None]
    assert torch.equal(model(codes, wave, mask=mask).loss, model(codes, other, mask=mask).loss)
    with pytest.raises(ValueError, match="640 samples"):
        model(codes, wave[:, :-1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsample_rates": (5, 4, 4, 4)}, "640 samples"),
        ({"upsample_kernel_sizes": (10, 8, 8, 8, 4)}, "even number"),
        ({"upsample_initial_channel": 48}, "must divide by 32"),
        ({"resblock_dilation_sizes": ()}, "dilations"),
        ({"resblock_kernel_sizes": (4,)}, "odd"),
        ({"longest_duration": 0}, "longest_duration"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        CodeHifiGanConfig(**{**SMOKE, **changes})


def test_it_loads_as_any_other_part(tmp_path):
    smoke_vocoder(upsample_kernel_sizes=(5, 8, 8, 8, 4)).half().save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, CodeHifiGan) and list(loaded.config.upsample_kernel_sizes) == [5, 8, 8, 8, 4]


def test_it_begins_quiet_and_awake():
    [wave] = smoke_vocoder().decode([torch.arange(32)])
    assert 0.01 < float(wave.std()) < 0.4


def test_it_learns_two_tones():
    """Codes 0.. say a low tone, codes 8.. a high one, both of whole periods a code: the distance to them falls by more than half."""
    model = smoke_vocoder().train()
    waveforms = torch.stack([model.normalise_level(tone(pitch, 0.24)) for pitch in (125.0, 225.0)])
    codes = torch.stack([torch.arange(6) % 3, 8 + torch.arange(6) % 3])
    voices = torch.stack([model.voice_statistics(item) for item in waveforms])
    model.set_voice_statistics(voices)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    distances = []
    for _ in range(60):
        output = model(codes, waveforms, voices)
        optimiser.zero_grad()
        output.loss.backward()
        optimiser.step()
        distances.append(output.mel_loss.item())
    assert distances[-1] < 0.5 * distances[0]
