"""CodecTokenTester: what every decoder that writes a codec's tokens promises, besides the contract of speech decoders."""

import pytest
import torch
from codec_testing import build_codec
from media_decoder_testing import SpeechDecoderTester

CODES, LEVELS, ENTRIES = 24, 4, 16


def codec_facts(kind: str = "dac") -> dict:
    """Fields of `CodecTokensConfig` for a small random codec."""
    from triglot.modeling.tokenizers.modeling_codec_units import codec_settings

    return {**codec_settings(build_codec(kind).config), "levels": LEVELS, "codec_fingerprint": "codec"}


def told(waveform: torch.Tensor) -> torch.Tensor:
    """Stands in for a tokenizer of 25 codes/s at 16 kHz: the code of 640 samples is their number of crossings of zero."""
    padded = torch.nn.functional.pad(waveform, (0, -len(waveform) % 640)).view(-1, 640)
    return (padded.signbit().diff(dim=-1) != 0).sum(-1) % CODES


def speech_to_learn(decoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight sentences by two voices, codes (8, 20) and frames (8, Q, N): a frame follows from the code it hears, and the voice."""
    torch.manual_seed(0)
    table = torch.randint(ENTRIES, (CODES, 2, LEVELS))
    semantic, voices = torch.randint(CODES, (8, 20)), torch.arange(8) % 2
    heard = decoder.aligner.heard(20)[:, 0]
    return semantic, table[semantic[:, heard], voices[:, None]].transpose(1, 2)


class CodecTokenTester(SpeechDecoderTester):
    """A class gives `build(**changes)`: a small decoder for `told`'s codes and the DAC of `codec_facts`, at random."""

    def build(self, **changes):
        raise NotImplementedError(f"{type(self).__name__} must say how its decoder is made.")

    def make_decoder(self):
        return self.build()

    def code_sequences(self, decoder):
        generator = torch.Generator().manual_seed(3)
        return [torch.randint(decoder.codebook_size, (length,), generator=generator) for length in (21, 1, 8)]

    def training_inputs(self, decoder):
        torch.manual_seed(0)
        acoustic = torch.randint(ENTRIES, (6, LEVELS, decoder.aligner.frames(12)))
        lengths = torch.tensor([acoustic.shape[-1]] * 4 + [10, 7])
        return {"semantic": torch.randint(CODES, (6, 12)), "acoustic": acoustic, "lengths": lengths}

    def voice(self, decoder, prompt):
        return decoder.voice_from_waveform(prompt, told)

    # ---- prompts

    def test_a_prompt_needs_codes(self):
        decoder = self.build()
        with pytest.raises(ValueError) as raised:
            decoder.voice_from_waveform(self.voice_prompt(decoder))
        assert "encode=" in str(raised.value)

    def test_short_prompts_are_repeated_and_of_long_ones_the_part_with_most_speech_counts(self):
        decoder = self.build()
        wanted = len(decoder.prompt_semantic) * decoder.samples_per_code
        short = self.voice_prompt(decoder, seconds=0.2)
        voice = self.voice(decoder, short)
        again = self.voice(decoder, short.repeat(-(-wanted // len(short))))
        assert all(torch.equal(voice.tensors[name], again.tensors[name]) for name in voice.tensors)
        assert len(voice.tensors["semantic"]) * decoder.samples_per_code == wanted
        speech, hush = self.voice_prompt(decoder, seconds=1.0), 1e-4 * torch.randn(20 * decoder.sampling_rate)
        long = torch.cat([hush, speech, hush])
        codes = self.voice(decoder, long).tensors["semantic"]
        begin = decoder._most_speech(long, wanted)
        assert 19.9 <= begin / decoder.sampling_rate <= 20.6 and len(codes) == len(decoder.prompt_semantic)

    def test_ten_minutes_of_prompt_and_a_tenth_of_a_second(self):
        decoder = self.build()
        for seconds in (0.1, 600.0):
            voice = self.voice(decoder, self.voice_prompt(decoder, seconds=seconds))
            assert {name: tuple(tensor.shape) for name, tensor in voice.tensors.items()} == decoder.voice_shapes

    def test_a_tokenizer_of_another_rate_is_refused(self):
        decoder = self.build()
        with pytest.raises(ValueError) as raised:
            decoder.voice_from_waveform(self.voice_prompt(decoder), lambda wave: told(wave)[::2])
        assert "codes of the voice prompt" in str(raised.value)

    def test_a_prompts_gain_does_not_matter(self):
        decoder = self.build()
        prompt = self.voice_prompt(decoder)
        one, two = self.voice(decoder, prompt), self.voice(decoder, 5.0 * prompt)
        assert torch.equal(one.tensors["acoustic"], two.tensors["acoustic"])

    def test_the_fallback_voice_is_kept(self, tmp_path):
        decoder = self.build()
        voice = self.voice(decoder, self.voice_prompt(decoder))
        decoder.set_fallback_voice(voice)
        decoder.save_pretrained(tmp_path)
        loaded = type(decoder).from_pretrained(tmp_path)
        assert torch.equal(loaded.fallback_voice().tensors["acoustic"], voice.tensors["acoustic"])

    # ---- decoding

    def test_the_prompt_stays_in_front_and_windows_follow_one_another(self):
        whole, cut = self.build(), self.build(window_seconds=0.2, context_seconds=0.08)  # 4 or 5 codes, 2 or 4
        codes = torch.randint(CODES, (23,), generator=torch.Generator().manual_seed(0))
        calls = []
        complete = cut.complete

        def listen(semantic, known, generator):
            made = complete(semantic, known, generator)
            assert torch.equal(made[:, : known.shape[1]], known)
            assert made.shape == (LEVELS, cut.aligner.frames(len(semantic)))
            assert int(made.min()) >= 0 and int(made.max()) < ENTRIES
            calls.append((semantic, known))
            return made

        cut.complete = listen
        voice = self.voice(cut, self.voice_prompt(cut))
        frames = cut.frames_of(codes, voice, torch.Generator().manual_seed(0))
        prompt = len(voice.tensors["semantic"])
        window, context = cut.config.whole_codes(0.2), cut.config.whole_codes(0.08)
        starts = range(0, len(codes), window)
        assert [len(semantic) - prompt for semantic, _ in calls] == [
            min(len(codes), start + window) - max(0, start - context) for start in starts
        ]
        for start, (semantic, known) in zip(starts, calls, strict=True):
            before = max(0, start - context)
            assert torch.equal(semantic, torch.cat([voice.tensors["semantic"], codes[before : start + window]]))
            said = frames[:, cut.aligner.frames(before) : cut.aligner.frames(start)]
            assert torch.equal(known, torch.cat([voice.tensors["acoustic"], said], 1))
        assert frames.shape == whole.frames_of(codes, voice, torch.Generator().manual_seed(0)).shape

    def test_broken_weights_are_named(self):
        decoder = self.build()
        with torch.no_grad():
            for name, parameter in decoder.named_parameters():
                if "heads.0" in name and name.endswith("weight"):
                    parameter[0, 0] = torch.nan
        with pytest.raises(ValueError) as raised:
            decoder.decode([torch.arange(5)])
        assert "weights are broken" in str(raised.value) and "logits" in str(raised.value)

    def test_the_seed_decides_what_is_drawn(self):
        decoder = self.build()
        codes = torch.arange(20)
        one, two = (decoder.decode([codes], seed=seed)[0] for seed in (1, 2))
        assert not torch.equal(one, two) and torch.equal(one, decoder.decode([codes], seed=1)[0])
