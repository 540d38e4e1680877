"""MediaDecoderTester: the contract that every decoder keeps, as a mixin of test methods.

A test class gives `make_decoder`, `code_sequences` and `training_inputs`; `SpeechDecoderTester` adds what voices must do.
"""

import dataclasses
import math
from typing import Any

import pytest
import torch

from triglot.modeling.decoders.voice import Voice


class MediaDecoderTester:
    """Runs the contract of `MediaDecoder`; images and waveforms alike."""

    value_range = (-1.0, 1.0)
    tolerance = 1e-4  # between a batch and its items
    reload_tolerance = 1e-6  # alignment in memory may move the last bit

    def make_decoder(self) -> Any:
        """A small decoder with random weights, in eval mode."""
        raise NotImplementedError(f"{type(self).__name__} must say how its decoder is made.")

    def code_sequences(self, decoder: Any) -> list[torch.Tensor]:
        """Three valid code sequences, of different lengths where the decoder allows it."""
        raise NotImplementedError(f"{type(self).__name__} must give code sequences.")

    def training_inputs(self, decoder: Any) -> dict[str, torch.Tensor]:
        """Arguments of `forward` for one training step."""
        raise NotImplementedError(f"{type(self).__name__} must give a training batch.")

    def expected_shape(self, decoder: Any, codes: torch.Tensor) -> tuple[int, ...]:
        """Shape of the media made of `codes`."""
        return (len(codes) * decoder.samples_per_code,)

    def decode(self, decoder: Any, codes: list[torch.Tensor]) -> list[torch.Tensor]:
        torch.manual_seed(1234)  # a decoder may not depend on the global state; this only makes a failure repeatable
        return decoder.decode(codes)

    def test_media_have_the_exact_shape_and_range(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)
        media = self.decode(decoder, codes)
        assert len(media) == len(codes)
        for item, made in zip(codes, media):
            assert tuple(made.shape) == self.expected_shape(decoder, item)
            assert made.dtype == torch.float32 and made.device.type == "cpu" and not made.requires_grad
            assert bool(torch.isfinite(made).all())
            assert self.value_range[0] <= float(made.min()) and float(made.max()) <= self.value_range[1]

    def test_decoding_is_deterministic(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)
        first = decoder.decode(codes)
        torch.manual_seed(99)
        for one, two in zip(first, decoder.decode(codes)):
            assert torch.equal(one, two)

    def test_a_batch_equals_its_items(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)
        for item, made in zip(codes, decoder.decode(codes)):
            torch.testing.assert_close(decoder.decode([item])[0], made, atol=self.tolerance, rtol=0)

    def test_an_empty_batch_gives_an_empty_list(self):
        assert self.make_decoder().decode([]) == []

    def test_different_codes_give_different_media(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)[0]
        changed = (codes + 1) % decoder.codebook_size
        assert not torch.equal(decoder.decode([codes])[0], decoder.decode([changed])[0])

    def test_saving_and_loading_changes_nothing(self, tmp_path):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)
        decoder.save_pretrained(tmp_path)
        loaded = type(decoder).from_pretrained(tmp_path)
        assert loaded.fingerprint == decoder.fingerprint and loaded.codebook_size == decoder.codebook_size
        weights = loaded.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in decoder.state_dict().items())
        for one, two in zip(decoder.decode(codes), loaded.decode(codes)):
            torch.testing.assert_close(one, two, atol=self.reload_tolerance, rtol=0)
        assert not list(tmp_path.glob("*.bin")) and list(tmp_path.glob("*.safetensors"))

    @pytest.mark.parametrize("bad", ["negative", "too large", "empty", "two-dimensional"])
    def test_bad_codes_are_value_errors(self, bad):
        decoder = self.make_decoder()
        good = self.code_sequences(decoder)[0]
        wrong = {"negative": good.clone(), "too large": good.clone(), "empty": good[:0], "two-dimensional": good[None]}
        wrong["negative"][0] = -1
        wrong["too large"][-1] = decoder.codebook_size
        with pytest.raises(ValueError, match="Item 1"):
            decoder.decode([good, wrong[bad]])

    def test_the_gradient_reaches_every_parameter(self):
        decoder = self.make_decoder().train()
        loss = decoder(**self.training_inputs(decoder)).loss
        assert math.isfinite(float(loss.detach()))
        loss.backward()
        still = [
            name
            for name, parameter in decoder.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not bool(parameter.grad.abs().sum() > 0))
        ]
        assert still == []


class SpeechDecoderTester(MediaDecoderTester):
    """Adds what every `SpeechDecoder` promises about voices."""

    def voice_prompt(self, decoder: Any, pitch: float = 120.0, seconds: float = 1.0) -> torch.Tensor:
        """A buzz (S,) at the decoder's rate: enough of a voice to describe."""
        time = torch.arange(round(seconds * decoder.sampling_rate)) / decoder.sampling_rate
        return 0.1 * sum(torch.sin(2 * math.pi * pitch * k * time + k) / k for k in range(1, 20))

    def voice(self, decoder: Any, prompt: torch.Tensor) -> Voice:
        """The voice of a prompt; decoders whose prompts hold codes are given some."""
        return decoder.voice_from_waveform(prompt)

    def test_a_voice_is_finite_and_heard(self):
        decoder = self.make_decoder()
        low = self.voice(decoder, self.voice_prompt(decoder, 110.0))
        high = self.voice(decoder, self.voice_prompt(decoder, 220.0))
        assert (low.kind, low.fingerprint) == (decoder.voice_kind, decoder.voice_fingerprint)
        assert {name: tuple(tensor.shape) for name, tensor in low.tensors.items()} == dict(decoder.voice_shapes)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in low.tensors.values())
        codes = self.code_sequences(decoder)[0]
        assert not torch.equal(*decoder.decode([codes, codes], voices=[low, high]))

    def test_a_voice_is_kept_and_used_again(self, tmp_path):
        decoder = self.make_decoder()
        voice = self.voice(decoder, self.voice_prompt(decoder))
        again = decoder.load_voice(voice.save(tmp_path / "me.safetensors"))
        assert (again.kind, again.fingerprint) == (voice.kind, voice.fingerprint)
        assert {name: tensor.tolist() for name, tensor in again.tensors.items()} == {
            name: tensor.tolist() for name, tensor in voice.tensors.items()
        }
        codes = self.code_sequences(decoder)[0]
        assert torch.equal(*decoder.decode([codes, codes], voices=[voice, again]))

    def test_a_missing_voice_is_the_fallback_voice(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)[0]
        voice = self.voice(decoder, self.voice_prompt(decoder))
        mixed = decoder.decode([codes, codes], voices=[None, voice])
        assert torch.equal(mixed[0], decoder.decode([codes])[0])
        assert torch.equal(mixed[0], decoder.decode([codes], voices=[decoder.fallback_voice()])[0])
        torch.testing.assert_close(mixed[1], decoder.decode([codes], voices=[voice])[0], atol=self.tolerance, rtol=0)

    def test_bad_voices_are_value_errors(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)[0]
        voice = self.voice(decoder, self.voice_prompt(decoder))
        wrong = [
            dataclasses.replace(voice, kind="another"),
            dataclasses.replace(voice, fingerprint="another"),
            dataclasses.replace(voice, tensors={**voice.tensors, "more": torch.zeros(1)}),
            torch.zeros(3),
        ]
        for name, tensor in voice.tensors.items():
            wrong.append(dataclasses.replace(voice, tensors={**voice.tensors, name: tensor[:-1]}))
            if tensor.is_floating_point():
                wrong.append(dataclasses.replace(voice, tensors={**voice.tensors, name: tensor * torch.nan}))
        for bad in wrong:
            with pytest.raises(ValueError, match="Voice 0"):
                decoder.decode([codes], voices=[bad])
        with pytest.raises(ValueError, match="voices"):
            decoder.decode([codes, codes], voices=[voice])

    def test_weights_that_are_nan_are_named(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)[:1]
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.fill_(torch.nan)
        with pytest.raises(ValueError, match="weights are broken"):
            decoder.decode(codes)

    def test_bad_prompts_are_value_errors(self):
        decoder = self.make_decoder()
        prompt = self.voice_prompt(decoder)
        prompt[5] = torch.nan
        for wrong in (prompt, prompt[:0], torch.zeros(2, 8000), torch.zeros(8000)):
            with pytest.raises(ValueError, match="voice prompt"):
                self.voice(decoder, wrong)
