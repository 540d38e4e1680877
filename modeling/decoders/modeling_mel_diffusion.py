"""MelDiffusion: codes and a voice -> log-mel frames by diffusion -> waveform.

    codes (B, T) ─ prior, told the voice (B, V) ─▶ mean of the frames (B, N, M), and more to know (B, N, C)
    noise (B, N, M) ─ denoiser, told these, the voice and the step ─ DPM-Solver++, a few times ─▶ frames (B, N, M) ─ MelVocoder ─▶ (B, S)

It is the decoder of Tortoise (arXiv 2305.07243): a language model writes what is said as codes, and a diffusion model that hears a voice
prompt turns them into log-mel. Tortoise reads the LM's hidden states beside the codes; here any language model of the same codes may stand
before it, so codes are all it reads, and `train_mel_diffusion --codes-column` teaches it codes as an LM writes them. A prior that guesses
the mean is that of Grad-TTS (arXiv 2105.06337): it is right within minutes, so that few steps say the words, and the denoiser, which says how
frames differ from it, adds what a mean lacks. The mean is a condition here, and what sampling starts from is plain noise.

The denoiser's blocks are DiT's (arXiv 2212.09748), of diffusers' layers, with a depthwise convolution in the place of attention: codes are
aligned with time, so a frame has little to look for far away, and a convolution costs less, knows no longest output, and gives in spans
with context the very numbers it gives at once. diffusers' own one-dimensional networks fit less: UNet1DModel hears no condition, and
StableAudioDiTModel attends to everything at every step.

Frames are given in deviations from the mean spectrum of the voice, so that voices change what is said little, and a voice never heard is
still a spectrum to start from. Classifier-free guidance (arXiv 2207.12598) leaves out codes and voice together.

Shapes: B items, T codes, N = T frames_per_code frames of `hop_length` samples, S = N hop_length, M mel bands, C `condition_size`,
V numbers of a voice, D width.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_mel_diffusion import MelDiffusionConfig
from .diffusers_parts import diffusers_class
from .diffusion_process import DiffusionProcess, Network
from .modeling_mel_vocoder import MelVocoder
from .modeling_unit_vocoder import CodeTrunk, ConvNextBlock
from .spectral_voice import STATISTICS, SpectralVoiceDecoder, spans
from .speech_signal import log_mel
from .voice import Voice

FRAME_LIMIT = 4.0  # deviations; what is stiller or louder than that counts as that
NORMALIZATION, EMBEDDINGS = "diffusers.models.normalization", "diffusers.models.embeddings"
STEP_CHANNELS = 256  # sines and cosines that tell the step


@dataclass
class MelDiffusionOutput(ModelOutput):
    """What `MelDiffusion.forward` returns.

    Args:
        loss: Sum of the three parts; None without target waveforms.
        frames: The prior's mean, float32 (B, N, M), in deviations.
        diffusion_loss, prior_loss: Mean squared error of what the denoiser says, and of the mean.
        vocoder_loss: `MelVocoder.forward`'s on the true frames of a part of the batch. Detached.
    """

    loss: torch.Tensor | None = None
    frames: torch.Tensor | None = None
    diffusion_loss: torch.Tensor | None = None
    prior_loss: torch.Tensor | None = None
    vocoder_loss: torch.Tensor | None = None


class DenoiserBlock(nn.Module):
    """What lies around a patch, then an MLP; both scaled, shifted and gated by `told` (B, D). (B, P, D) -> (B, P, D)."""

    def __init__(self, config: MelDiffusionConfig):
        super().__init__()
        width, kernel = config.hidden_size, config.kernel_size
        self.norm = diffusers_class("AdaLayerNormZero", NORMALIZATION)(width)
        self.mixer = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.feed_forward = diffusers_class("FeedForward", "diffusers.models.attention")(
            width, mult=config.mlp_ratio, activation_fn="gelu-approximate"
        )

    def forward(self, hidden: torch.Tensor, told: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        around, gate, shift, scale, inner_gate = self.norm(hidden, emb=told)
        if mask is not None:  # what is padding to a batch is zero padding to the convolution
            around = around * mask
        hidden = hidden + gate[:, None] * self.mixer(around.transpose(1, 2)).transpose(1, 2)
        inner = self.inner_norm(hidden) * (1 + scale[:, None]) + shift[:, None]
        return hidden + inner_gate[:, None] * self.feed_forward(inner)


class Denoiser(nn.Module):
    """Noised frames (B, N, M), what is known of them (B, N, M + C), a voice (B, H), steps (B,) -> what is predicted, (B, N, M)."""

    def __init__(self, config: MelDiffusionConfig):
        super().__init__()
        self.patch, width, bands = config.patch_frames, config.hidden_size, config.num_mel_bins
        self.from_mean = config.prediction_type == "sample"
        self.read = nn.Linear(self.patch * (2 * bands + config.condition_size), width)
        self.step_waves = diffusers_class("Timesteps", EMBEDDINGS)(
            STEP_CHANNELS, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        self.step_embedding = diffusers_class("TimestepEmbedding", EMBEDDINGS)(STEP_CHANNELS, width)
        self.voice = nn.Linear(config.voice_hidden_size, width)
        self.blocks: Any = nn.ModuleList(DenoiserBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = diffusers_class("AdaLayerNormContinuous", NORMALIZATION)(width, width, elementwise_affine=False)
        self.head = nn.Linear(width, self.patch * bands)

    def forward(
        self,
        noised: torch.Tensor,
        steps: torch.Tensor,
        known: torch.Tensor,
        voice: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        batch, frames, bands = noised.shape
        hidden = self.read(torch.cat([noised.to(known), known], -1).reshape(batch, frames // self.patch, -1))
        told = self.step_embedding(self.step_waves(steps).to(voice)) + self.voice(voice)
        if mask is not None:
            mask = mask[:, :: self.patch, None].to(hidden)
        for block in self.blocks:
            hidden = block(hidden, told, mask)
        said = self.head(self.norm(hidden, told)).reshape(batch, frames, bands)
        return said + known[..., :bands] if self.from_mean else said


class MelDiffusion(SpectralVoiceDecoder):
    """Codes, with their repeats, and a voice -> speech; loudness is not part of a voice.

    Example:
        >>> model = MelDiffusion(MelDiffusionConfig(codebook_size=200))
        >>> [wave] = model.decode([torch.tensor([5, 5, 17])], steps=4)
        >>> wave.shape
        torch.Size([1920])
    """

    config: MelDiffusionConfig
    config_class = MelDiffusionConfig
    base_model_prefix = "mel_diffusion"
    main_input_name = "codes"
    _auto_class = "AutoModel"

    def __init__(self, config: MelDiffusionConfig):
        super().__init__(config)
        hidden = config.voice_hidden_size
        self.voice_mlp = nn.Sequential(nn.Linear(config.voice_size, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        embedding = nn.Embedding(config.codebook_size, config.prior_hidden_size)
        depths, told = (
            (config.prior_depth_codes, config.prior_depth_frames),
            config.num_mel_bins + config.condition_size,
        )
        self.prior = CodeTrunk(config, embedding, config.prior_hidden_size, config.prior_mlp_size, depths, told)
        self.denoiser = Denoiser(config)
        self.vocoder = MelVocoder(config.vocoder_settings())
        self.add_voice_buffers()
        self.post_init()

    @functools.cached_property
    def process(self) -> DiffusionProcess:
        """The noise; made when needed, since weights are loaded where tensors have no numbers."""
        return DiffusionProcess(self.config)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """What goes through keeps its size; what scales, gates and predicts begins small, as in DiT."""
        super()._init_weights(module)
        if isinstance(module, ConvNextBlock):
            init.constant_(module.gain, module.scale)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight)
        elif isinstance(module, nn.Linear) and module not in self._small:
            init.normal_(module.weight, std=module.in_features**-0.5)

    @property
    def _small(self) -> list[nn.Module]:
        """Layers whose output begins small."""
        ends = [self.prior.head, self.denoiser.head, self.denoiser.norm.linear]
        return [*ends, *(block.norm.linear for block in self.denoiser.blocks)]

    def set_voice_statistics(self, voices: torch.Tensor) -> None:
        """As of every decoder of such voices; the vocoder's as well."""
        super().set_voice_statistics(voices)
        self.vocoder.set_voice_statistics(voices)

    # ---- log-mel in deviations from a voice

    def _spectrum(self, voices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Voices (B, V) -> mean and deviation of their bands, (B, 1, M) each."""
        bands = self.config.num_mel_bins
        mean, deviation = voices.float()[:, None, :bands], voices.float()[:, None, bands : 2 * bands]
        return mean, deviation.clamp(min=self.config.least_deviation)

    def frames_of(self, waveforms: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """Waveforms (B, S) of level `reference_level`, and voices (B, V) -> frames float32 (B, N, M)."""
        mean, deviation = self._spectrum(voices)
        frames = (log_mel(waveforms.float(), self.config) - mean) / deviation
        return frames.clamp(-FRAME_LIMIT, FRAME_LIMIT)

    def log_mel_of(self, frames: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """The way back: frames (B, N, M) -> natural logarithm of mel magnitudes."""
        mean, deviation = self._spectrum(voices)
        return frames.float() * deviation + mean

    # ---- training

    def network(
        self,
        known: torch.Tensor,
        voice: torch.Tensor,
        mask: torch.Tensor | None = None,
        kept: torch.Tensor | None = None,
    ) -> Network:
        """The denoiser, told `known` (B, N, M + C) and the voice (B, H); items where `kept` (B,) is 0 are told neither."""
        if kept is not None:
            known, voice = known * kept[:, None, None].to(known), voice * kept[:, None].to(voice)
        return lambda noised, steps: self.denoiser(noised, steps, known, voice, mask)

    def forward(
        self,
        codes: torch.Tensor,
        waveforms: torch.Tensor | None = None,
        voices: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        f0: torch.Tensor | None = None,
    ) -> MelDiffusionOutput:
        """One training step, or (without `waveforms`) the prior's mean.

        What is drawn (steps, noise, left-out conditions, the vocoder's noise) comes from torch's global generator.

        Args:
            codes: int64 (B, T); anything where padded.
            waveforms: Targets, float (B, T samples_per_code), scaled by `normalise_level`.
            voices: float (B, V); default: the fallback voice.
            mask: bool (B, T), False where padded.
            f0: Targets' F0 in Hz, 0 where unvoiced, (B, N); computed from `waveforms` when missing.
        """
        config, bands = self.config, self.config.num_mel_bins
        if voices is None:
            voices = self.default_voice.expand(len(codes), -1)
        real = None
        if mask is not None:
            codes = codes.masked_fill(~mask, 0)
            real = mask.repeat_interleave(config.frames_per_code, 1)
        voice = self.voice_mlp(self.standard_voices(voices))
        known = self.prior(codes, voice, mask)
        mean = known[..., :bands].float()
        output = MelDiffusionOutput(frames=mean)
        if waveforms is None:
            return output
        needed = (len(codes), codes.shape[1] * self.samples_per_code)
        if tuple(waveforms.shape) != needed:
            raise ValueError(
                f"waveforms have the shape {tuple(waveforms.shape)}; {needed} is needed, {self.samples_per_code} samples for each code."
            )
        with torch.autocast(codes.device.type, enabled=False):
            frames = self.frames_of(waveforms, voices)
            counts = torch.ones_like(frames[..., :1]) if real is None else real[..., None].to(frames)
            missed = (mean - frames).square().mean(-1, keepdim=True)
            prior_loss = (missed * counts).sum() / counts.sum().clamp(min=1)
        kept = (torch.rand(len(codes)) >= config.condition_dropout).to(codes.device) if self.training else None
        diffusion_loss, _ = self.process.loss(self.network(known, voice, real, kept), frames, counts)
        heard = slice(0, max(1, round(config.vocoder_share * len(codes))))
        vocoder_loss = self.vocoder(
            frames[heard],
            waveforms[heard],
            voices[heard],
            None if real is None else real[heard],
            None if f0 is None else f0[heard],
        ).loss
        output.loss = diffusion_loss + prior_loss + vocoder_loss
        output.diffusion_loss, output.prior_loss = diffusion_loss.detach(), prior_loss.detach()
        output.vocoder_loss = vocoder_loss.detach()
        return output

    # ---- inference

    def _in_spans(self, codes: int, context: int, compute: Callable[[slice, slice], torch.Tensor]) -> torch.Tensor:
        """(1, N, ...) of all codes, from `compute(codes, frames)` of a few at a time, with `context` codes to both sides."""
        size, pieces = self.config.frames_per_code, []
        for start, end, first, last in spans(codes, self.config.chunk_codes, context):
            made = compute(slice(first, last), slice(first * size, last * size))
            pieces.append(made[:, (start - first) * size : (end - first) * size])
        return torch.cat(pieces, 1)

    def known_of(self, codes: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
        """What the prior says of codes (T,) told the voice (1, H): (1, N, M + C)."""
        config, reach = self.config, self.config.kernel_size // 2
        context = config.prior_depth_codes * reach - (-config.prior_depth_frames * reach // config.frames_per_code)
        return self._in_spans(len(codes), context, lambda part, _: self.prior(codes[None, part], voice, None))

    def _spanned(self, known: torch.Tensor, voice: torch.Tensor) -> Network:
        """As `network`, for one item of any length, `chunk_codes` at a time."""
        config = self.config
        patches = config.num_hidden_layers * (config.kernel_size // 2)
        context, codes = (
            -(-patches * config.patch_frames // config.frames_per_code),
            known.shape[1] // config.frames_per_code,
        )

        def network(noised: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            return self._in_spans(
                codes, context, lambda _, part: self.denoiser(noised[:, part], steps, known[:, part], voice, None)
            )

        return network

    @torch.inference_mode()
    def sample_frames(
        self,
        codes: torch.Tensor,
        voice: torch.Tensor,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> torch.Tensor:
        """Codes int64 (T,) and a voice (V,) -> frames float32 (N, M), in deviations from the voice; see `decode`."""
        config, scale = self.config, self.process.scale_of(guidance_scale)
        codes, told = codes.to(self.device), self.voice_mlp(self.standard_voices(voice.to(self.device)[None]))
        known = self.known_of(codes, told)
        generator = torch.Generator("cpu").manual_seed(seed)
        noise = torch.randn(1, known.shape[1], config.num_mel_bins, generator=generator, device="cpu").to(self.device)
        without = None if scale == 1 else self._spanned(torch.zeros_like(known), torch.zeros_like(told))
        frames = self.process.sample(
            self._spanned(known, told), noise, steps, without=without, guidance_scale=scale, clip=FRAME_LIMIT
        )[0]
        if not bool(torch.isfinite(frames).all()):
            raise ValueError(
                f"{int((~torch.isfinite(frames)).sum())} of {frames.numel()} numbers of the log-mel of this {type(self).__name__} are "
                "NaN or infinite: its weights are broken."
            )
        return frames

    @torch.inference_mode()
    def decode(  # type: ignore[override]
        self,
        codes: Sequence[torch.Tensor],
        voices: Sequence[Voice | None] | None = None,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> list[torch.Tensor]:
        """Speech of each code sequence; items are decoded one by one, so a batch gives what its items give.

        Args:
            codes: int64 (T,) for each item, 0..K-1.
            voices: Of `voice_from_waveform` for each item, or None for the fallback voice.
            seed: Of the noise that the frames begin as, and of the vocoder's; the same seed gives the same samples.
            steps: Passes of the denoiser; default: `config.sampling_steps`.
            guidance_scale: Default: `config.guidance_scale`.

        Returns:
            float32 (T * samples_per_code,) each, at `sampling_rate`, |x| <= 1, on the CPU.

        Raises:
            ValueError: an empty sequence, a code outside 0..K-1, a voice of another kind or shape or with NaN, steps or a scale out of
                range, or weights that give NaN.
        """
        self.check_codes(codes)
        result = []
        for item, voice in zip(codes, self.check_voices(voices, len(codes))):
            frames = self.sample_frames(
                item, voice.tensors[STATISTICS].float(), seed=seed, steps=steps, guidance_scale=guidance_scale
            )
            result.extend(self.vocoder.decode([frames], [voice], seed=seed))
        return result


__all__ = ["MelDiffusion", "MelDiffusionOutput"]
