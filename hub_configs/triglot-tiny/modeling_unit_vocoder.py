"""UnitVocoder: speech codes + a voice -> waveform, a harmonic and a noise source shaped by predicted filters.

The source-filter idea is that of DDSP (arXiv 2001.04643) and of the neural source-filter vocoders (arXiv 1904.12088);
the blocks are ConvNeXt's (arXiv 2201.03545) in one dimension. F0 has a trunk of its own, which keeps intonation from
competing with the words. There is no adversary, so training is a plain descent.

    codes (B, T) ─ embedding, voice ─ blocks at 25 Hz ─ x4 ─ blocks at 100 Hz ─▶ log-magnitudes (B, 2, N, F)
    codes (B, T) ─ embedding, voice ─ blocks at 25 Hz ─ x4 ─ blocks at 100 Hz ─▶ log-F0, voicing (B, N)
    log-F0 ─▶ phase ─▶ harmonics of equal strength (B, S) ┐
                                 white noise       (B, S) ┴─ minimum-phase filter of every frame ─▶ waveform (B, S)

Shapes: B items, T codes, N = 4 T frames of `hop_length` samples, S = 640 T samples, F = filter_size / 2 + 1 bins,
M mel bands, V = 2 M + 2 numbers of a voice. Frame n is centred on sample (n + 1/2) hop_length everywhere.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_unit_vocoder import UnitVocoderConfig
from .spectral_voice import STATISTICS, SpectralVoiceDecoder, spans
from .speech_signal import (
    fill_unvoiced,
    filter_sources,
    hann_window,
    harmonic_phase,
    harmonic_source,
    mel_to_bins,
    spectral_losses,
    to_samples,
)
from .voice import Voice

LOUDEST = 0.95  # full scale = 1; louder samples are bent towards 1


class ConvNextBlock(nn.Module):
    """Depthwise convolution over time, then an MLP over channels that also hears the voice; (B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, mlp: int, kernel: int, voice: int, scale: float):
        super().__init__()
        self.scale = scale
        self.mixer = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.voice = nn.Linear(voice, width)
        self.expand = nn.Linear(width, mlp)
        self.contract = nn.Linear(mlp, width)
        self.gain = nn.Parameter(torch.full((width,), scale))

    def forward(self, hidden: torch.Tensor, voice: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is not None:  # what is padding to a batch is zero padding to the convolution
            hidden = hidden * mask
        mixed = self.norm(self.mixer(hidden.transpose(1, 2)).transpose(1, 2)) + self.voice(voice)[:, None]
        return hidden + self.gain * self.contract(F.gelu(self.expand(mixed)))


class CodeTrunk(nn.Module):
    """Codes (B, T) and voice (B, H) -> (B, N, out): embedding, blocks at code rate, upsampling, blocks at frame rate.

    `embedding` turns codes (B, T), or whatever a decoder reads in their place, into (B, T, `width`).
    """

    def __init__(
        self, config: UnitVocoderConfig, embedding: nn.Module, width: int, mlp: int, depths: tuple[int, int], out: int
    ):
        super().__init__()
        self.factor = config.frames_per_code
        voice, kernel, scale = config.voice_hidden_size, config.kernel_size, 1.0 / max(1, sum(depths))
        self.embedding = embedding
        self.voice = nn.Linear(voice, width)
        self.code_blocks = nn.ModuleList(ConvNextBlock(width, mlp, kernel, voice, scale) for _ in range(depths[0]))
        self.upsample = nn.Linear(width, width * self.factor)
        self.frame_blocks = nn.ModuleList(ConvNextBlock(width, mlp, kernel, voice, scale) for _ in range(depths[1]))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, out)

    def forward(self, codes: torch.Tensor, voice: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        hidden = self.embedding(codes) + self.voice(voice)[:, None]
        mask = None if mask is None else mask[..., None].to(hidden)
        for block in self.code_blocks:
            hidden = block(hidden, voice, mask)
        hidden = self.upsample(hidden).reshape(len(codes), -1, hidden.shape[-1])
        mask = None if mask is None else mask.repeat_interleave(self.factor, 1)
        for block in self.frame_blocks:
            hidden = block(hidden, voice, mask)
        return self.head(self.norm(hidden))


@dataclass
class UnitVocoderOutput(ModelOutput):
    """What `UnitVocoder.forward` returns.

    Args:
        loss: Sum of the four parts; None without target waveforms.
        waveforms: float32 (B, S).
        log_f0: Predicted natural log of F0 in Hz, float32 (B, N).
        voicing_logits: float32 (B, N); above 0 is voiced.
        stft_loss, mel_loss, f0_loss, voicing_loss: Spectral convergence + L1 of log-magnitudes over all FFT sizes;
            L1 of log-mel; L1 of log-F0 on voiced frames; binary cross entropy. Detached.
    """

    loss: torch.Tensor | None = None
    waveforms: torch.Tensor | None = None
    log_f0: torch.Tensor | None = None
    voicing_logits: torch.Tensor | None = None
    stft_loss: torch.Tensor | None = None
    mel_loss: torch.Tensor | None = None
    f0_loss: torch.Tensor | None = None
    voicing_loss: torch.Tensor | None = None


class UnitVocoder(SpectralVoiceDecoder):
    """Codes and a voice -> 16 kHz speech, in about a hundredth of real time on one CPU core.

    Loudness is not part of a voice: prompts and training targets are scaled to `config.reference_level` first, so a
    prompt's gain does not matter and all speech comes out equally loud.

    Example:
        >>> model = UnitVocoder(UnitVocoderConfig(codebook_size=200))
        >>> [wave] = model.decode([torch.tensor([5, 5, 17])])
        >>> wave.shape
        torch.Size([1920])
    """

    config: UnitVocoderConfig
    config_class = UnitVocoderConfig
    base_model_prefix = "unit_vocoder"
    main_input_name = "codes"
    _auto_class = "AutoModel"

    def __init__(self, config: UnitVocoderConfig):
        super().__init__(config)
        hidden = config.voice_hidden_size
        self.voice_mlp = nn.Sequential(nn.Linear(config.voice_size, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        bins = config.filter_size // 2 + 1
        depths = (config.depth_codes, config.depth_frames)
        width, f0_width = config.hidden_size, config.f0_hidden_size
        self.trunk = CodeTrunk(config, self.make_embedding(width), width, config.mlp_size, depths, 2 * bins)
        depths = (config.f0_depth_codes, config.f0_depth_frames)
        self.f0_voice_mlp = nn.Sequential(nn.Linear(config.voice_size, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.f0_trunk = CodeTrunk(config, self.make_embedding(f0_width), f0_width, config.f0_mlp_size, depths, 2)
        self.add_voice_buffers()
        self.post_init()

    def make_embedding(self, width: int) -> nn.Module:
        """What turns the input of a trunk into (B, T, `width`)."""
        return nn.Embedding(self.config.codebook_size, width)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ConvNextBlock):
            init.constant_(module.gain, module.scale)

    @property
    def input_dtype(self) -> torch.dtype:
        """Of what the trunks read."""
        return torch.long

    # ---- codes -> filters, F0, voicing

    def _predict(
        self, codes: torch.Tensor, voices: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, T), (B, V), (B, T) -> log-magnitudes (B, 2, N, F), log-F0 (B, N), voicing logits (B, N), all float32."""
        config, bands = self.config, self.config.num_mel_bins
        voices = voices.float()
        standard = self.standard_voices(voices)
        filters = self.trunk(codes, self.voice_mlp(standard), mask).float()
        filters = filters.unflatten(-1, (2, -1)).transpose(1, 2)
        # the network says how a frame differs from the voice's mean spectrum, as white noise would be filtered to it
        bins = mel_to_bins(bands, config.filter_size, config.sampling_rate, voices.device)
        with torch.autocast(voices.device.type, enabled=False):
            mean = voices[:, :bands] @ bins
        whiteness = 0.5 * math.log(float(hann_window(config.mel_window, torch.device("cpu")).square().sum()))
        filters = (filters + (mean - whiteness)[:, None, None]).clamp(-12.0, 6.0)
        pitch = self.f0_trunk(codes, self.f0_voice_mlp(standard), mask).float()
        log_f0 = (pitch[..., 0] + voices[:, -2:-1]).clamp(math.log(config.min_f0), math.log(config.max_f0))
        return filters, log_f0, pitch[..., 1]

    def forward(
        self,
        codes: torch.Tensor,
        waveforms: torch.Tensor | None = None,
        voices: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        f0: torch.Tensor | None = None,
    ) -> UnitVocoderOutput:
        """One training step, or (without `waveforms`) a differentiable rendering of a batch.

        With targets the harmonics follow the targets' F0, so that filters are learnt where the pitch is right; without
        them they follow the predicted F0 and `decode`'s noise of seed 0.

        Args:
            codes: int64 (B, T); anything where padded.
            waveforms: Targets, float (B, T samples_per_code), scaled by `normalise_level`.
            voices: float (B, V); default: the fallback voice.
            mask: bool (B, T), False where padded.
            f0: Targets' F0 in Hz, 0 where unvoiced, (B, N); computed from `waveforms` when missing.
        """
        config = self.config
        if voices is None:
            voices = self.default_voice.expand(len(codes), -1)
        if mask is not None:
            codes = codes.masked_fill(~mask.view(*mask.shape, *[1] * (codes.ndim - 2)), 0)
        filters, log_f0, logits = self._predict(codes, voices, mask)
        samples = codes.shape[1] * self.samples_per_code
        with torch.autocast(codes.device.type, enabled=False):
            if waveforms is None:
                source, voicing, noise = log_f0.detach(), (logits > 0).float(), self._noise(samples, 0)
            else:
                if tuple(waveforms.shape) != (len(codes), samples):
                    raise ValueError(
                        f"waveforms have the shape {tuple(waveforms.shape)}; {(len(codes), samples)} is needed, "
                        f"{self.samples_per_code} samples for each code."
                    )
                waveforms = waveforms.float()
                if f0 is None:
                    f0 = torch.stack([self.estimate_f0(item) for item in waveforms])
                source, voicing = fill_unvoiced(f0.float(), voices[:, -2].float()), (f0 > 0).float()
                noise = torch.randn(waveforms.shape, device=codes.device)
            with torch.no_grad():
                pulses = harmonic_source(*harmonic_phase(source, config), config.sampling_rate)
                pulses = pulses * to_samples(voicing, config.hop_length)
                sources = torch.stack([pulses, noise.expand_as(pulses)], 1)
            rendered = filter_sources(sources, filters, config.hop_length)
            if mask is not None:
                rendered = rendered * mask.repeat_interleave(self.samples_per_code, 1)
            output = UnitVocoderOutput(waveforms=rendered, log_f0=log_f0, voicing_logits=logits)
            if waveforms is not None:
                self._add_losses(output, rendered, waveforms, source, voicing, mask)
        return output

    def _add_losses(
        self,
        output: UnitVocoderOutput,
        rendered: torch.Tensor,
        waveforms: torch.Tensor,
        source: torch.Tensor,
        voicing: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> None:
        config = self.config
        assert output.log_f0 is not None and output.voicing_logits is not None
        frames = torch.ones_like(voicing)
        if mask is not None:
            waveforms = waveforms * mask.repeat_interleave(self.samples_per_code, 1)
            frames = mask.repeat_interleave(config.frames_per_code, 1).to(voicing)
        voiced = voicing * frames
        stft, mel = spectral_losses(rendered, waveforms, config.stft_sizes, config, frames)
        pitch = ((output.log_f0 - source).abs() * voiced).sum() / voiced.sum().clamp(min=1.0)
        entropy = F.binary_cross_entropy_with_logits(output.voicing_logits, voicing, reduction="none")
        entropy = (entropy * frames).sum() / frames.sum().clamp(min=1.0)
        output.loss = stft + mel + pitch + entropy
        output.stft_loss, output.mel_loss = stft.detach(), mel.detach()
        output.f0_loss, output.voicing_loss = pitch.detach(), entropy.detach()

    # ---- inference

    def _noise(self, samples: int, seed: int) -> torch.Tensor:
        """White noise (1, samples), the same on every device."""
        return torch.randn(1, samples, generator=torch.Generator("cpu").manual_seed(seed), device="cpu").to(
            self.device
        )

    def _spans(self, codes: int) -> Iterator[tuple[int, int, int, int]]:
        """(start, end, first, last): codes first..last are computed so that start..end come out as without chunks."""
        config, reach = self.config, self.config.kernel_size // 2
        fine = -(-max(config.depth_frames, config.f0_depth_frames) * reach // config.frames_per_code)
        context = max(config.depth_codes, config.f0_depth_codes) * reach + fine + 1
        context += -(-(config.filter_size + config.hop_length) // self.samples_per_code)  # the filters ring on
        return spans(codes, config.chunk_codes, context)

    def _render(self, codes: torch.Tensor, voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """(T,), (V,), (1, S) -> (S,), `chunk_codes` at a time with exact context; the phase runs through."""
        config, size, pieces = self.config, self.samples_per_code, []
        phase_at_start = 0.0
        for start, end, first, last in self._spans(len(codes)):
            filters, log_f0, logits = self._predict(codes[None, first:last], voice[None], None)
            f0, phase = harmonic_phase(log_f0, config)
            core = slice((start - first) * size, (end - first) * size)
            lead = phase[:, core.start - 1] if core.start else torch.zeros_like(phase[:, 0])
            phase = phase + (phase_at_start - lead[:, None])
            phase_at_start = float(phase[0, core.stop - 1])
            pulses = harmonic_source(f0, phase, config.sampling_rate)
            pulses = pulses * to_samples((logits > 0).float(), config.hop_length)
            sources = torch.stack([pulses, noise[:, first * size : last * size]], 1)
            pieces.append(filter_sources(sources, filters, config.hop_length)[0, core])
        return torch.cat(pieces)

    @torch.inference_mode()
    def decode(  # type: ignore[override]
        self,
        codes: Sequence[torch.Tensor],
        voices: Sequence[Voice | None] | None = None,
        *,
        seed: int = 0,
    ) -> list[torch.Tensor]:
        """Speech of each code sequence; items are decoded one by one, so a batch gives what its items give.

        Args:
            codes: int64 (T,) for each item, 0..K-1.
            voices: Of `voice_from_waveform` for each item, or None for the fallback voice.
            seed: Seed of the noise source; the same seed gives the same samples.

        Returns:
            float32 (T * samples_per_code,) each, at `sampling_rate`, |x| <= 1, on the CPU.

        Raises:
            ValueError: an empty sequence, a code outside 0..K-1, a voice of another kind or shape or with NaN, or weights that
                give NaN.
        """
        self.check_codes(codes)
        checked = self.check_voices(voices, len(codes))
        result = []
        for item, given in zip(codes, checked):
            voice = given.tensors[STATISTICS].to(device=self.device, dtype=torch.float32)
            noise = self._noise(len(item) * self.samples_per_code, seed)
            waveform = self.check_sound(self._render(item.to(self.device, self.input_dtype), voice, noise))
            over = (waveform.abs() - LOUDEST).clamp(min=0.0)
            bent = LOUDEST + (1.0 - LOUDEST) * torch.tanh(over / (1.0 - LOUDEST))
            result.append(torch.where(over > 0, bent * waveform.sign(), waveform).float().cpu())
        return result


__all__ = ["UnitVocoder", "UnitVocoderOutput"]
