"""CodeHifiGan: units and a voice -> waveform in one pass; the vocoder of speech resynthesis (arXiv 2104.00355) and SeamlessM4T
(arXiv 2308.11596), a HiFi-GAN (arXiv 2010.05646) that reads units in the place of a spectrum.

    codes (B, T) ─ [durations, where repeats were dropped] ─ embedding (B, D, T) ┐
    prompt ─ statistics (B, V) ─ MLP ─ the same for all codes         (B, E, T)  ┴─ HiFi-GAN ─▶ waveform (B, S)

The generator and the duration predictor are transformers' own `SeamlessM4Tv2HifiGan` and `SeamlessM4Tv2VariancePredictor`: the same
networks under the same names, so that what is published fits. Not so the class around them, `SeamlessM4Tv2CodeHifiGan`: its speakers
are a lookup table, and here a voice is computed from a waveform.

Shapes: B items, T codes, S = T samples_per_code samples, V numbers of a voice, R codes without repeats.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2HifiGan,
    SeamlessM4Tv2VariancePredictor,
)

from .configuration_code_hifigan import CodeHifiGanConfig
from .hifi_gan import VocoderOutput, begin_convolution, hifi_gan_context, quiet_layers
from .spectral_voice import SpectralVoiceDecoder, spans
from .speech_signal import spectral_losses


@dataclass
class CodeHifiGanOutput(VocoderOutput):
    """What `CodeHifiGan.forward` returns.

    Args:
        duration_loss: Mean squared error of log(1 + duration); None where durations are not predicted. Detached.
    """

    duration_loss: torch.Tensor | None = None


class CodeHifiGan(SpectralVoiceDecoder):
    """Codes and a voice -> speech, all samples at once.

    With `config.deduplicated` codes come without repeats, and a waveform is as long as the durations that are predicted for them.

    Example:
        >>> model = CodeHifiGan(CodeHifiGanConfig(codebook_size=200))
        >>> [wave] = model.decode([torch.tensor([5, 5, 17])])
        >>> wave.shape
        torch.Size([1920])
    """

    config: CodeHifiGanConfig
    config_class = CodeHifiGanConfig
    base_model_prefix = "code_hifigan"
    main_input_name = "codes"
    _auto_class = "AutoModel"

    def __init__(self, config: CodeHifiGanConfig):
        super().__init__(config)
        hidden, size = config.voice_hidden_size, config.unit_embed_dim
        self.voice_mlp = nn.Sequential(
            nn.Linear(config.voice_size, hidden), nn.GELU(), nn.Linear(hidden, config.spkr_embed_dim)
        )
        self.unit_embedding = nn.Embedding(config.codebook_size, size)
        self.hifi_gan = SeamlessM4Tv2HifiGan(config)
        self.dur_predictor = (
            SeamlessM4Tv2VariancePredictor(size, size, config.variance_predictor_kernel_size, config.var_pred_dropout)
            if config.deduplicated
            else None
        )
        self.add_voice_buffers()
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """What goes through keeps its size; residual branches and the output begin small."""
        super()._init_weights(module)
        if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
            begin_convolution(module, module in quiet_layers(self.hifi_gan))
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, std=1.0 / math.sqrt(module.in_features))

    # ---- codes -> waveform

    def generate_waveforms(self, codes: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """Codes (B, T), with repeats, and voices (B, V) -> (B, S), within -1..1."""
        units = self.unit_embedding(codes)
        told = self.voice_mlp(self.standard_voices(voices))[:, None].expand(-1, codes.shape[1], -1)
        return self.hifi_gan(torch.cat([units, told], -1).transpose(1, 2))

    def log_durations(self, runs: torch.Tensor, run_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Codes without repeats (B, R) -> log(1 + codes that each stands for) (B, R); `run_mask` bool, False where padded."""
        assert self.dur_predictor is not None
        return self.dur_predictor(self.unit_embedding(runs), run_mask)

    def forward(
        self,
        codes: torch.Tensor,
        waveforms: torch.Tensor | None = None,
        voices: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        runs: torch.Tensor | None = None,
        durations: torch.Tensor | None = None,
    ) -> CodeHifiGanOutput:
        """A differentiable rendering of a batch, and with `waveforms` its losses; the adversary's are the trainer's.

        Args:
            codes: int64 (B, T), with their repeats; anything where padded.
            waveforms: Targets, float (B, T samples_per_code), scaled by `normalise_level`.
            voices: float (B, V); default: the fallback voice.
            mask: bool (B, T), False where padded.
            runs: int64 (B, R), codes without repeats of whole utterances, to learn durations from; needed where they are predicted.
            durations: int64 (B, R), how often each of `runs` came; 0 where padded.
        """
        config = self.config
        if voices is None:
            voices = self.default_voice.expand(len(codes), -1)
        if mask is not None:
            codes = codes.masked_fill(~mask, 0)
        rendered = self.generate_waveforms(codes, voices)
        heard = None if mask is None else mask.repeat_interleave(self.samples_per_code, 1)
        if heard is not None:
            rendered = rendered * heard
        output = CodeHifiGanOutput(waveforms=rendered)
        if waveforms is None:
            return output
        if waveforms.shape != rendered.shape:
            raise ValueError(
                f"waveforms have the shape {tuple(waveforms.shape)}; {tuple(rendered.shape)} is needed, {self.samples_per_code} samples "
                "for each code."
            )
        with torch.autocast(codes.device.type, enabled=False):
            made, wanted = rendered.float(), waveforms.float() if heard is None else waveforms.float() * heard
            output.waveforms = made
            frames = None if mask is None else mask.repeat_interleave(self.samples_per_code // config.hop_length, 1)
            output.stft_loss, output.mel_loss = spectral_losses(made, wanted, config.stft_sizes, config, frames)
        output.loss = output.stft_loss + output.mel_loss
        if self.dur_predictor is not None:
            if runs is None or durations is None:
                raise ValueError("runs and durations are needed: this CodeHifiGan predicts how long a code lasts.")
            real = durations > 0
            wrong = (self.log_durations(runs, real).float() - durations.float().log1p()).square()
            duration_loss = (wrong * real).sum() / real.sum().clamp(min=1)
            output.loss = output.loss + duration_loss
            output.duration_loss = duration_loss.detach()
        return output

    # ---- inference

    def predict_durations(self, runs: torch.Tensor) -> torch.Tensor:
        """Codes without repeats (R,) -> how many codes each stands for, int64 (R,), 1..`longest_duration`."""
        wanted = torch.expm1(self.log_durations(runs[None])[0].float())
        if not bool(torch.isfinite(wanted).all()):
            raise ValueError(f"Durations of this {type(self).__name__} are NaN or infinite: its weights are broken.")
        return wanted.round().clamp(1, self.config.longest_duration).long()

    def render(self, codes: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        if self.dur_predictor is not None:
            codes = codes.repeat_interleave(self.predict_durations(codes))
        size, pieces = self.samples_per_code, []
        for start, end, first, last in spans(len(codes), self.config.chunk_codes, hifi_gan_context(self.config)):
            wave = self.generate_waveforms(codes[None, first:last], voices)[0]
            pieces.append(wave[(start - first) * size : (end - first) * size])
        return torch.cat(pieces)


__all__ = ["CodeHifiGan", "CodeHifiGanOutput"]
