"""FastSpeech2: units and a voice -> log-mel spectrogram -> waveform (arXiv 2006.04558), with a HiFi-GAN (arXiv 2010.05646) in it.

    codes (B, R) ─ encoder ─ voice (B, E) ─ states (B, R, D) ─┬─ pitch, energy of each code, and without repeats its duration
                                                              └─ + both ─ each as long as it lasts (B, N, D) ─ decoder ─ postnet
    ─▶ log-mel (B, N, M), told as what differs from the voice's mean spectrum ─ HiFi-GAN ─▶ waveform (B, S)

The two networks are transformers' own `FastSpeech2ConformerModel` and `FastSpeech2ConformerHifiGan`, under the same names, so that
what is published fits; units stand where phonemes stood. Codes with repeats are all equally long, so nothing need be predicted of
their time, and there is no duration predictor. Speakers are no table here: a voice is computed from a waveform.

Shapes: B items, T codes with repeats, R without (R = T where they come with them), N = T frames_per_code frames, D width,
M mel bands, V numbers of a voice, S = N hop_length samples.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import FastSpeech2ConformerHifiGan, FastSpeech2ConformerModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_fastspeech2 import FastSpeech2Config, own_settings
from .hifi_gan import begin_convolution, hifi_gan_context, quiet_layers
from .spectral_voice import NEUTRAL_F0_DEVIATION, STATISTICS, SpectralVoiceDecoder, spans
from .speech_signal import fill_unvoiced, log_mel
from .voice import Voice

PHONEMES = "encoder.embed.weight"  # of a published model: what units have no use for


@dataclass
class FastSpeech2Output(ModelOutput):
    """What `FastSpeech2.forward` returns.

    Args:
        loss: Sum of the parts, the L1 before the postnet as well; None without target waveforms.
        spectrograms: Natural log of mel magnitudes, float32 (B, N, M).
        mel_loss: L1 of them behind the postnet. Detached, as the others.
        pitch_loss, energy_loss: Mean squared errors of a code's log-F0 and level, in units of the voice.
        duration_loss: Mean squared error of log(1 + duration); None where durations are not predicted.
    """

    loss: torch.Tensor | None = None
    spectrograms: torch.Tensor | None = None
    mel_loss: torch.Tensor | None = None
    pitch_loss: torch.Tensor | None = None
    energy_loss: torch.Tensor | None = None
    duration_loss: torch.Tensor | None = None


class FastSpeech2(SpectralVoiceDecoder):
    """Codes and a voice -> speech, by way of a spectrogram.

    With `config.deduplicated` codes come without repeats, and a waveform is as long as the durations that are predicted for them.
    The vocoder's weights want no gradient: it learns in a run of its own, `training/train_mel_hifigan.py`.

    Example:
        >>> model = FastSpeech2(FastSpeech2Config(codebook_size=200)).eval()
        >>> [wave] = model.decode([torch.tensor([5, 5, 17])])
        >>> wave.shape
        torch.Size([1920])
    """

    config: FastSpeech2Config
    config_class = FastSpeech2Config
    base_model_prefix = "fastspeech2"
    main_input_name = "codes"
    _auto_class = "AutoModel"

    def __init__(self, config: FastSpeech2Config):
        super().__init__(config)
        hidden = config.voice_hidden_size
        self.voice_mlp = nn.Sequential(
            nn.Linear(config.voice_size, hidden), nn.GELU(), nn.Linear(hidden, config.speaker_embed_dim)
        )
        self.acoustic: Any = FastSpeech2ConformerModel(config.acoustic())
        if not config.deduplicated:
            self.acoustic.duration_predictor = None
        self.vocoder: Any = FastSpeech2ConformerHifiGan(config.vocoder())
        self.vocoder.requires_grad_(False)
        self.add_voice_buffers()
        self.post_init()
        begin_vocoder(self.vocoder)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=1.0 / math.sqrt(module.in_features))

    @classmethod
    def from_parts(cls, acoustic: Any = None, vocoder: Any = None, **settings: Any) -> tuple["FastSpeech2", list[str]]:
        """A decoder with the sizes of published parts and those of their weights that fit.

        Args:
            acoustic: A `FastSpeech2ConformerModel`; None for new weights of the sizes that `settings` say.
            vocoder: A `FastSpeech2ConformerHifiGan`, likewise.
            settings: Of `FastSpeech2Config`.

        Returns:
            The decoder, and the names of the parts' weights that it has no place for: the phonemes' embeddings always, a table of
            speakers, whatever belongs to another number of mel bins.

        Raises:
            ValueError: sizes that do not fit together, e.g. a vocoder of another hop.
        """
        if acoustic is not None:
            settings["acoustic_config"] = own_settings(acoustic.config)
        if vocoder is not None:
            settings["vocoder_config"] = own_settings(vocoder.config)
        model, left = cls(FastSpeech2Config(**settings)), []
        for part, given in (("acoustic", acoustic), ("vocoder", vocoder)):
            if given is not None:
                left += [f"{part}.{name}" for name in _take_fitting(getattr(model, part), given)]
        return model, left

    # ---- codes -> spectrogram

    def _states(self, codes: torch.Tensor, voices: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(B, R), (B, V), bool (B, R) -> states of the codes (B, R, D), told the voice."""
        ids = codes + 1 if mask is None else (codes + 1).masked_fill(~mask, 0)
        seen = None if mask is None else mask[:, None]
        states = self.acoustic.encoder(ids, seen, return_dict=True).last_hidden_state
        told = F.normalize(self.voice_mlp(self.standard_voices(voices)))
        return self.acoustic.projection(torch.cat([states, told[:, None].expand(-1, states.shape[1], -1)], -1))

    def _curves(self, states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """States (B, R, D) -> pitch and level of each code (B, R, 1), in units of the voice."""
        acoustic, silent = self.acoustic, None if mask is None else ~mask[..., None]
        apart = states.detach()
        pitch = acoustic.pitch_predictor(apart if acoustic.stop_gradient_from_pitch_predictor else states, silent)
        energy = acoustic.energy_predictor(apart if acoustic.stop_gradient_from_energy_predictor else states, silent)
        return pitch, energy

    def _log_durations(self, states: torch.Tensor) -> torch.Tensor:
        """States (B, R, D) -> log(1 + codes that each stands for) (B, R); the predictor's own `forward` rounds them in evaluation."""
        predictor = self.acoustic.duration_predictor
        states = states.transpose(1, 2)
        for layer in predictor.conv_layers:
            states = layer(states)
        return predictor.linear(states.transpose(1, 2))[..., 0]

    def _spectrograms(
        self,
        states: torch.Tensor,
        pitch: torch.Tensor,
        energy: torch.Tensor,
        place: torch.Tensor,
        voices: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States, pitch and level of R codes, which of them sounds when (B, T), bool (B, T) -> log-mel before and behind the postnet."""
        acoustic, each = self.acoustic, self.config.frames_per_code
        states = states + acoustic.pitch_embed(pitch.to(states)) + acoustic.energy_embed(energy.to(states))
        place = place.repeat_interleave(each, 1)[..., None].expand(-1, -1, states.shape[2])
        seen = None if mask is None else mask.repeat_interleave(each, 1)[:, None]
        frames = acoustic.decoder(states.gather(1, place), seen, return_dict=True).last_hidden_state
        before, after = acoustic.speech_decoder_postnet(frames)
        mean = voices[:, None, : self.config.num_mel_bins].float()
        return before.float() + mean, after.float() + mean

    def _runs(
        self, codes: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Codes with repeats (B, T) -> those that are read (B, R), which of them sounds when (B, T), for how long (B, R), bool (B, R)."""
        counted = torch.ones_like(codes) if mask is None else mask.long()
        if not self.config.deduplicated:
            return codes, torch.arange(codes.shape[1], device=codes.device).expand_as(codes), counted, mask
        begins = torch.ones_like(codes, dtype=torch.bool)
        begins[:, 1:] = codes[:, 1:] != codes[:, :-1]
        if mask is not None:
            begins[:, 1:] |= mask[:, 1:] != mask[:, :-1]
        place = begins.long().cumsum(1) - 1
        empty = codes.new_zeros(len(codes), int(place.max()) + 1)
        runs, durations = empty.scatter(1, place, codes), empty.scatter_add(1, place, counted)
        return runs, place, durations, durations > 0

    # ---- training

    def forward(
        self,
        codes: torch.Tensor,
        waveforms: torch.Tensor | None = None,
        voices: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        f0: torch.Tensor | None = None,
        lasting: torch.Tensor | None = None,
    ) -> FastSpeech2Output:
        """The spectrograms of a batch, and with `waveforms` their losses.

        Durations are those of the codes, so that spectrograms and waveforms are aligned. With targets, pitch and level are theirs as
        well, as in the paper (teacher forcing); without, they are predicted.

        Args:
            codes: int64 (B, T), with their repeats; anything where padded.
            waveforms: Targets, float (B, T samples_per_code), scaled by `normalise_level`.
            voices: float (B, V); default: the fallback voice.
            mask: bool (B, T), False where padded, at the end.
            f0: Targets' F0 in Hz, 0 where unvoiced, (B, N); computed from `waveforms` when missing.
            lasting: int64 (B, T), where repeats will be dropped: how many codes the run of each code has, beyond the ends of a crop as
                well. Default: as many as are there.
        """
        if voices is None:
            voices = self.default_voice.expand(len(codes), -1)
        if mask is not None:
            codes = codes.masked_fill(~mask, 0)
        runs, place, durations, real = self._runs(codes, mask)
        states = self._states(runs, voices, real)
        pitch, energy = self._curves(states, real)
        if waveforms is None:
            _, after = self._spectrograms(states, pitch, energy, place, voices, mask)
            return FastSpeech2Output(spectrograms=after)
        samples = codes.shape[1] * self.samples_per_code
        if tuple(waveforms.shape) != (len(codes), samples):
            raise ValueError(
                f"waveforms have the shape {tuple(waveforms.shape)}; {(len(codes), samples)} is needed, {self.samples_per_code} samples "
                "for each code."
            )
        each = self.config.frames_per_code
        with torch.autocast(codes.device.type, enabled=False):
            waveforms = waveforms.float()
            if mask is not None:
                waveforms = waveforms * mask.repeat_interleave(self.samples_per_code, 1)
            wanted = log_mel(waveforms, self.config)
            if f0 is None:
                f0 = torch.stack([self.estimate_f0(item) for item in waveforms])
            true_pitch, true_energy = self._told(wanted, f0, voices, place, durations)
        before, after = self._spectrograms(states, true_pitch, true_energy, place, voices, mask)
        heard = torch.ones_like(codes, dtype=torch.bool) if mask is None else mask
        known = (durations > 0)[..., None]
        parts = {
            "mel_loss": _mean((after - wanted).abs().mean(-1), heard.repeat_interleave(each, 1)),
            "pitch_loss": _mean((pitch.float() - true_pitch).square(), known),
            "energy_loss": _mean((energy.float() - true_energy).square(), known),
        }
        if self.config.deduplicated:
            lasts = durations if lasting is None else torch.zeros_like(durations).scatter(1, place, lasting)
            wrong = (self._log_durations(states).float() - lasts.float().log1p()).square()
            parts["duration_loss"] = _mean(wrong, durations > 0)
        loss = _mean((before - wanted).abs().mean(-1), heard.repeat_interleave(each, 1)) + sum(parts.values())
        return FastSpeech2Output(
            loss=loss, spectrograms=after, **{name: value.detach() for name, value in parts.items()}
        )

    def _told(
        self,
        spectrograms: torch.Tensor,
        f0: torch.Tensor,
        voices: torch.Tensor,
        place: torch.Tensor,
        durations: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean pitch and level of each code (B, R, 1), as they differ from the voice's.

        Pitch: log-F0, gaps filled, in deviations of an ordinary voice. Level: nats of a frame's log-mel, mean over the bands.
        """
        voices, each, bands = voices.float(), self.config.frames_per_code, self.config.num_mel_bins
        middle = voices[:, 2 * bands]
        pitch = (fill_unvoiced(f0.float(), middle) - middle[:, None]) / NEUTRAL_F0_DEVIATION
        level = (spectrograms - voices[:, None, :bands]).mean(-1)
        place, empty = place.repeat_interleave(each, 1), torch.zeros(durations.shape, device=place.device)
        frames = torch.zeros_like(empty).scatter_add(1, place, torch.ones_like(level)).clamp(min=1.0)
        first, second = (empty.scatter_add(1, place, curve) / frames for curve in (pitch, level))
        return first[..., None], second[..., None]

    # ---- inference

    @torch.no_grad()
    def predict_durations(self, runs: torch.Tensor, voice: Voice | None = None) -> torch.Tensor:
        """Codes without repeats (R,) -> how many codes each stands for, int64 (R,), 1..`longest_duration`."""
        [voice] = self.check_voices([voice], 1)
        told = voice.tensors[STATISTICS].to(device=self.device, dtype=torch.float32)[None]
        return torch.cat([durations for durations, _ in self._chunks(runs.to(self.device), told)])

    def _durations(self, states: torch.Tensor) -> torch.Tensor:
        """States (1, R, D) -> int64 (R,)."""
        if not self.config.deduplicated:
            return torch.ones(states.shape[1], dtype=torch.long, device=states.device)
        wanted = torch.expm1(self._log_durations(states)[0].float())
        if not bool(torch.isfinite(wanted).all()):
            raise ValueError(f"Durations of this {type(self).__name__} are NaN or infinite: its weights are broken.")
        return wanted.round().clamp(1, self.config.longest_duration).long()

    def _chunks(self, codes: torch.Tensor, voices: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(R,), (1, V) -> durations and log-mel (N, M) of one chunk after another."""
        config = self.config
        for start, end, first, last in spans(len(codes), config.chunk_codes, config.context_codes):
            states = self._states(codes[None, first:last], voices, None)
            durations = self._durations(states)
            place = torch.arange(last - first, device=codes.device).repeat_interleave(durations)[None]
            _, frames = self._spectrograms(states, *self._curves(states, None), place, voices, None)
            ends = durations.cumsum(0) * config.frames_per_code
            begin = int(ends[start - first - 1]) if start > first else 0
            yield durations[start - first : end - first], frames[0, begin : int(ends[end - first - 1])]

    def spectrogram(self, codes: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """Codes (R,) and a voice (1, V) -> log-mel, float32 (N, M), not below log(`log_floor`)."""
        frames = torch.cat([frames for _, frames in self._chunks(codes, voices)])
        return frames.clamp(min=math.log(self.config.log_floor))

    def vocode(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Log-mel (N, M) -> waveform (N hop_length,), `chunk_frames` at a time with exact context."""
        config, hop, pieces = self.config, self.config.hop_length, []
        for start, end, first, last in spans(
            len(spectrogram), config.chunk_frames, hifi_gan_context(self.vocoder.config)
        ):
            wave = self.vocoder(spectrogram[None, first:last].to(self.dtype))[0]
            pieces.append(wave[(start - first) * hop : (end - first) * hop])
        return torch.cat(pieces)

    def render(self, codes: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        return self.vocode(self.spectrogram(codes, voices))


def begin_vocoder(vocoder: Any) -> None:
    """Initial weights of a HiFi-GAN with which it can be heard: transformers' are so small that nothing comes through."""
    quiet = quiet_layers(vocoder)
    for layer in vocoder.modules():
        if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
            begin_convolution(layer, layer in quiet)


@torch.no_grad()
def _take_fitting(module: nn.Module, published: nn.Module) -> list[str]:
    """Copies the weights that have a place of the same shape; the names of the others."""
    own, left = module.state_dict(), []
    for name, tensor in published.state_dict().items():
        if name != PHONEMES and name in own and own[name].shape == tensor.shape:
            own[name].copy_(tensor)
        else:
            left.append(name)
    return left


def _mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Of the values that count; both of one shape."""
    return (values * counted).sum() / counted.sum().clamp(min=1)


__all__ = ["FastSpeech2", "FastSpeech2Output"]
