"""What decoders share that know a voice by statistics of its spectrum and pitch.

    prompt (S,) ─ level ─┬─ log-mel of active frames ─ mean, deviation (2 M) ─┬─▶ voice (V,)
                         └─ F0 of voiced frames ─ log ─ mean, deviation (2) ──┘

Nothing is learnt in it, so such decoders understand each other's voices: one file of `Voice.save` serves them all.

Shapes: S samples, M mel bands, V = 2 M + 2 numbers of a voice.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from .configuration_spectral_voice import SpectralVoiceConfig
from .media_decoder import SpeechDecoder
from .speech_signal import active_frames, estimate_f0, log_mel, normalise_level
from .voice import Voice

NEUTRAL_F0_DEVIATION = 0.15  # of log-F0, for prompts with no voiced frame
STATISTICS = "statistics"  # the name of a voice's only tensor
VOICE_LIMIT = 4.0  # standard deviations; a stranger voice than that is treated as that strange


class SpectralVoiceDecoder(SpeechDecoder):
    """A decoder whose voice is `voice_statistics` of a prompt; its config is a `SpectralVoiceConfig`.

    Loudness is not part of a voice: prompts and training targets are scaled to `config.reference_level` first.
    """

    config: SpectralVoiceConfig
    voice_mean: torch.Tensor
    voice_std: torch.Tensor
    default_voice: torch.Tensor
    voice_kind = "spectral_statistics"

    def add_voice_buffers(self) -> None:
        """To be called by `__init__`: what standardises voices, and the fallback voice."""
        config = self.config
        neutral = [-2.0] * config.num_mel_bins + [1.0] * config.num_mel_bins
        neutral += [math.log(config.neutral_f0), NEUTRAL_F0_DEVIATION]
        self.register_buffer("voice_mean", torch.tensor(neutral))
        self.register_buffer("voice_std", torch.ones(config.voice_size))
        self.register_buffer("default_voice", torch.tensor(neutral))

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """Loads weights as float32 unless `dtype=` says otherwise: half precision is how they are kept on disk."""
        if kwargs.get("dtype") is None and kwargs.get("torch_dtype") is None:
            kwargs["dtype"] = torch.float32
        return super().from_pretrained(*args, **kwargs)

    @property
    def samples_per_code(self) -> int:
        """Samples of sound that one code makes."""
        return self.config.samples_per_code

    def normalise_level(self, waveform: torch.Tensor) -> torch.Tensor:
        """Scales (S,) so that its active frames have the RMS `reference_level`; silence stays as it is."""
        return normalise_level(waveform, self.config.hop_length, self.config.reference_level)

    def estimate_f0(self, waveform: torch.Tensor) -> torch.Tensor:
        """F0 of every frame: float (S,) -> float32 (ceil(S / hop_length),) in Hz, 0 where unvoiced."""
        config = self.config
        return estimate_f0(waveform, config.sampling_rate, config.hop_length, config.min_f0, config.max_f0)

    @property
    def voice_shapes(self) -> dict[str, tuple[int, ...]]:
        """The one vector (V,) of `voice_statistics`."""
        return {STATISTICS: (self.config.voice_size,)}

    def voice_from_waveform(
        self, waveform: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> Voice:
        """The voice of a prompt, as `voice_statistics` describes it; no codes are asked for."""
        return Voice(self.voice_kind, {STATISTICS: self.voice_statistics(waveform)})

    def fallback_voice(self) -> Voice:
        """The most ordinary voice of the training set."""
        return Voice(self.voice_kind, {STATISTICS: self.default_voice.detach().float().cpu()})

    @torch.no_grad()
    def voice_statistics(self, waveform: torch.Tensor) -> torch.Tensor:
        """What a voice is here; a prompt's gain does not matter.

        Mean and standard deviation over the active frames of each log-mel band, then mean and standard deviation of
        log-F0 over the voiced frames. A prompt with no voiced frame (whisper, noise) gets `config.neutral_f0`, 150 Hz.

        Args:
            waveform: float (S,) at `sampling_rate`; some seconds describe a voice well.

        Returns:
            float32 (V,) on the CPU.

        Raises:
            ValueError: not 1-D, empty, NaN or infinite, or silent.
        """
        waveform = self.normalise_level(self.check_prompt(waveform))
        active, _ = active_frames(waveform, self.config.hop_length)
        mel = log_mel(waveform, self.config)[active]
        f0 = self.estimate_f0(waveform)
        pitch = f0[f0 > 0].log()
        if pitch.numel():
            pitch = torch.stack([pitch.mean(), pitch.std(correction=0)])
        else:
            pitch = torch.tensor([math.log(self.config.neutral_f0), NEUTRAL_F0_DEVIATION])
        return torch.cat([mel.mean(0), mel.std(0, correction=0), pitch])

    def set_voice_statistics(self, voices: torch.Tensor) -> None:
        """Standardises voices as the training set (n, V) says; the most ordinary of them becomes the fallback voice."""
        voices = voices.to(self.voice_mean)
        self.voice_mean.copy_(voices.mean(0))
        self.voice_std.copy_(voices.std(0, correction=0).clamp(min=0.05))
        distance = ((voices - self.voice_mean) / self.voice_std).square().sum(-1)
        self.default_voice.copy_(voices[distance.argmin()])

    def standard_voices(self, voices: torch.Tensor) -> torch.Tensor:
        """Voices (B, V) as networks read them: in standard deviations from the mean voice, none stranger than `VOICE_LIMIT`."""
        standard = (voices.float() - self.voice_mean.float()) / self.voice_std.float()
        return standard.clamp(-VOICE_LIMIT, VOICE_LIMIT).to(self.dtype)

    def render(self, codes: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """Codes int64 (T,) and a voice (1, V), both on the decoder's device -> waveform (S,)."""
        raise NotImplementedError(f"{type(self).__name__} must say how it renders codes, or decode them itself.")

    @torch.inference_mode()
    def decode(  # type: ignore[override]
        self, codes: Sequence[torch.Tensor], voices: Sequence[Voice | None] | None = None
    ) -> list[torch.Tensor]:
        """Speech of each code sequence; items are decoded one by one, so a batch gives what its items give.

        Args:
            codes: int64 (T,) for each item, 0..K-1.
            voices: Of `voice_from_waveform` for each item, or None for the fallback voice.

        Returns:
            float32 (T * samples_per_code,) each, at `sampling_rate`, |x| <= 1, on the CPU; where durations are predicted, their sum in
            the place of T.

        Raises:
            ValueError: an empty sequence, a code outside 0..K-1, a voice of another kind or shape or with NaN, or weights that
                give NaN.
        """
        self.check_codes(codes)
        result = []
        for item, voice in zip(codes, self.check_voices(voices, len(codes))):
            statistics = voice.tensors[STATISTICS].to(device=self.device, dtype=torch.float32)[None]
            wave = self.render(item.to(self.device, torch.long), statistics)
            result.append(self.check_sound(wave).float().cpu())
        return result


def spans(count: int, chunk: int, context: int) -> Iterator[tuple[int, int, int, int]]:
    """(start, end, first, last) of each chunk of `count` codes or frames: first..last are computed so that start..end come out."""
    for start in range(0, count, chunk):
        end = min(count, start + chunk)
        yield start, end, max(0, start - context), min(count, end + context)
