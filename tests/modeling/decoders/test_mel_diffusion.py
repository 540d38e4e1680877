"""MelDiffusion: the decoder contract, diffusion's three constraints on its own frames and network, no seams, guidance, and bad input."""

import sys

import pytest
import torch
from media_decoder_testing import SpeechDecoderTester
from speech_testing import tone
from transformers import AutoModel

from triglot.modeling.decoders.configuration_mel_diffusion import MelDiffusionConfig
from triglot.modeling.decoders.modeling_mel_diffusion import FRAME_LIMIT, MelDiffusion
from triglot.modeling.decoders.spectral_voice import STATISTICS

pytest.importorskip("diffusers")

SMOKE = {
    "codebook_size": 20, "fingerprint": "test", "prior_hidden_size": 32, "prior_mlp_size": 48, "prior_depth_codes": 1,
    "prior_depth_frames": 1, "condition_size": 8, "voice_hidden_size": 16, "patch_frames": 2, "hidden_size": 64,
    "num_hidden_layers": 2, "mlp_ratio": 2, "sampling_steps": 3,
    "vocoder_config": {
        "hidden_size": 32, "mlp_size": 48, "depth_codes": 1, "depth_frames": 1, "f0_hidden_size": 16, "f0_mlp_size": 32,
        "f0_depth_codes": 1, "f0_depth_frames": 1, "voice_hidden_size": 16,
    },
}  # fmt: skip


def smoke_decoder(**changes) -> MelDiffusion:
    torch.manual_seed(0)
    return MelDiffusion(MelDiffusionConfig(**{**SMOKE, **changes})).eval()


def two_tones(model: MelDiffusion) -> dict[str, torch.Tensor]:
    """Codes 0.. say a low tone, codes 8.. a high one that stops: arguments of `forward`."""
    waves = [tone(125.0, 0.48), tone(225.0, 0.48)]
    waves[1][5120:] = 0.0
    waveforms = torch.stack([model.normalise_level(item) for item in waves])
    codes = torch.stack([torch.arange(12) % 3, 8 + torch.arange(12) % 3])
    codes[1, 8:] = 15
    voices = torch.stack([model.voice_statistics(item) for item in waveforms])
    model.set_voice_statistics(voices)
    return {"codes": codes, "waveforms": waveforms, "voices": voices}


class TestMelDiffusionContract(SpeechDecoderTester):
    reload_tolerance = 1e-4  # a last bit of F0 grows with the phase

    def make_decoder(self):
        return smoke_decoder()

    def code_sequences(self, decoder):
        generator = torch.Generator().manual_seed(3)
        return [torch.randint(decoder.codebook_size, (length,), generator=generator) for length in (21, 1, 8)]

    def training_inputs(self, decoder):
        decoder.config.condition_dropout = 0.0  # a whole batch may draw it
        mask = torch.ones(2, 12, dtype=torch.bool)
        mask[1, 9:] = False
        return {**two_tones(decoder), "mask": mask}


def test_noise_at_the_last_step_is_gaussian():
    """Constraint 1: whatever the frames, nothing is left of them at step T."""
    model = smoke_decoder()
    batch = two_tones(model)
    frames = model.frames_of(batch["waveforms"], batch["voices"])
    assert abs(float(frames.mean())) + abs(float(frames.std()) - 1) > 0.1  # they are not Gaussian themselves
    torch.manual_seed(1)
    noise = torch.randn_like(frames)
    last = model.process.noised(frames, noise, torch.tensor([999, 999]))
    assert torch.equal(last, noise) and model.process.signal[-1] == 0
    kurtosis = float(((last - last.mean()) / last.std()).pow(4).mean())
    assert abs(float(last.mean())) < 0.05 and abs(float(last.std()) - 1) < 0.05 and abs(kurtosis - 3) < 0.3


def test_frames_are_given_back_and_the_posteriors_come_near():
    """Constraints 2 and 3: learnt by heart, two tones come back from a little noise and from nothing but noise, and the KL of the true
    from the predicted posterior falls."""
    model = smoke_decoder().train()
    batch = two_tones(model)
    frames = model.frames_of(batch["waveforms"], batch["voices"])
    steps, noise = torch.tensor([500, 800]), torch.randn(frames.shape, generator=torch.Generator().manual_seed(5))

    def network():
        voice = model.voice_mlp(model.standard_voices(batch["voices"]))
        return model.network(model.prior(batch["codes"], voice, None), voice)

    def kl():
        with torch.no_grad():
            return model.process.posterior_kl(network(), frames, noise, steps)

    before = kl()
    optimiser = torch.optim.AdamW([*model.prior.parameters(), *model.denoiser.parameters()], lr=4e-3)
    for _ in range(60):
        optimiser.zero_grad()
        model.process.loss(network(), frames)[0].backward()
        optimiser.step()
    model.eval()
    assert (kl() < 0.3 * before).all()
    spread = float(frames.std())
    with torch.no_grad():
        noised = model.process.noised(frames, noise, torch.tensor([100, 100]))
        near = model.process.clean_of(network()(noised, torch.tensor([100, 100])), noised, torch.tensor([100, 100]))
        assert float((near - frames).square().mean().sqrt()) < 0.5 * spread
        far = model.process.sample(network(), noise, 8)
    assert float((far - frames).square().mean().sqrt()) < 0.5 * spread
    made = torch.stack([model.sample_frames(codes, voice) for codes, voice in zip(batch["codes"], batch["voices"])])
    assert float((made - frames).square().mean().sqrt()) < 0.5 * spread
    mel = model.log_mel_of(frames, batch["voices"])
    torch.testing.assert_close(model.frames_of(batch["waveforms"], batch["voices"]), frames)
    assert mel.shape == frames.shape and float(mel.std()) > 0.3


def test_chunks_leave_no_seam():
    codes = torch.randint(20, (60,), generator=torch.Generator().manual_seed(0))
    whole, chunked = smoke_decoder(), smoke_decoder(chunk_codes=7)
    voice = whole.default_voice
    torch.testing.assert_close(
        chunked.sample_frames(codes, voice), whole.sample_frames(codes, voice), atol=1e-4, rtol=1e-4
    )


def test_padding_is_not_heard():
    model = smoke_decoder(condition_dropout=0.0)
    batch, mask = two_tones(model), torch.arange(12)[None].expand(2, -1) < 9
    losses = []
    for fill in (0, 7):
        torch.manual_seed(0)
        output = model(**{**batch, "codes": batch["codes"].masked_fill(~mask, fill)}, mask=mask)
        losses.append((output.prior_loss, output.diffusion_loss))
    assert losses[0] == losses[1]


def test_steps_seed_and_guidance_are_heard():
    model = smoke_decoder()
    codes = torch.arange(8)
    plain = model.decode([codes])[0]
    assert torch.equal(plain, model.decode([codes], steps=3, guidance_scale=1.0, seed=0)[0])
    for changes in ({"seed": 1}, {"steps": 2}, {"guidance_scale": 2.0}):
        assert not torch.equal(plain, model.decode([codes], **changes)[0])
    guided = smoke_decoder(guidance_scale=2.0)
    guided.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        guided.decode([codes])[0], model.decode([codes], guidance_scale=2.0)[0], atol=1e-4, rtol=0
    )


def test_conditions_are_left_out_in_training_alone():
    model = smoke_decoder(condition_dropout=0.999)
    batch = two_tones(model)
    other = {**batch, "codes": batch["codes"].flip(0)}
    losses = {}
    for training in (True, False):
        model.train(training)
        for name, inputs in (("one", batch), ("other", other)):
            torch.manual_seed(3)
            with torch.no_grad():
                losses[training, name] = float(model(**inputs).diffusion_loss)
    assert losses[True, "one"] == losses[True, "other"] and losses[False, "one"] != losses[False, "other"]


def test_what_is_wrong_is_told():
    model = smoke_decoder()
    codes = [torch.arange(4)]
    for changes, message in (
        ({"steps": 0}, "allowed is 1 to 1000"),
        ({"steps": 1001}, "allowed is 1 to 1000"),
        ({"guidance_scale": -1.0}, "guidance_scale is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.decode(codes, **changes)
    with pytest.raises(ValueError, match="without condition_dropout"):
        smoke_decoder(condition_dropout=0.0).decode(codes, guidance_scale=2.0)
    with pytest.raises(ValueError, match="640 samples for each code"):
        model(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 100))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 4}, "odd"),
        ({"patch_frames": 3}, "must divide the 4 frames"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"vocoder_share": 0.0}, "vocoder_share"),
        ({"vocoder_config": {"hop_length": 80}}, "vocoder_config sets hop_length"),
        ({"vocoder_config": {"depth": 2}}, "vocoder_config sets depth"),
        ({"sampling_steps": 0}, "sampling_steps"),
        ({"frame_rate": 30}, "whole multiple"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        MelDiffusionConfig(**{**SMOKE, **changes})


def test_it_loads_as_any_other_part_and_at_other_rates(tmp_path):
    smoke_decoder(frame_rate=50.0).half().save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, MelDiffusion) and loaded.dtype == torch.float32
    assert loaded.decode([torch.arange(5)])[0].shape == (1600,)


def test_frames_stay_within_their_limit():
    model = smoke_decoder()
    frames = model.frames_of(torch.zeros(1, 3200), model.fallback_voice().tensors[STATISTICS][None])
    assert float(frames.abs().max()) <= FRAME_LIMIT and frames.shape == (1, 20, 80)


def test_without_diffusers_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers.models.normalization", None)
    with pytest.raises(ImportError, match="pip install diffusers"):
        smoke_decoder()
