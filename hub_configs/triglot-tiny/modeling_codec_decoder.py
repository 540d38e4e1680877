"""CodecDecoder: the codes of `CodecUnits` back to sound, by the decoding half of the same neural codec.

    codes (T Q,) ─ (Q, T) ─ quantizer and decoder of the codec ─ waveform (S,), S = T hop

A codec's codes carry the voice as far as their levels reach, so this decoder takes a voice for form's sake and does not hear it.

Shapes: S samples, T frames of the codec, Q levels, K entries of a level.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from .configuration_codec_decoder import CodecDecoderConfig
from .media_decoder import SpeechDecoder


class CodecDecoder(SpeechDecoder):
    """Codes of a codec -> speech at the codec's rate. A last frame without all of its levels is cut short."""

    config: CodecDecoderConfig
    config_class = CodecDecoderConfig
    main_input_name = "codes"
    _auto_class = "AutoModel"
    default_voice: torch.Tensor

    def __init__(self, config: CodecDecoderConfig):
        super().__init__(config)
        settings = dict(config.codec_config or {})
        self.codec: Any = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
        self.codec.encoder = None  # the other half
        self.register_buffer("default_voice", torch.zeros(1))
        self.post_init()
        self.eval()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The codec's own classes know how theirs start."""
        if module is self:
            self.default_voice.zero_()

    @classmethod
    def from_codec(cls, codec: PreTrainedModel, units_config: Any) -> "CodecDecoder":
        """The decoding half of a codec, for the codes of `CodecUnits`.

        Args:
            codec: The whole model, as `CodecUnits.from_codec` took it.
            units_config: Config of the `CodecUnits` made of it.
        """
        names = ("codec_config", "levels", "level_size", "sampling_rate", "hop_length", "fingerprint")
        decoder = cls(CodecDecoderConfig(**{name: getattr(units_config, name) for name in names}))
        wanted = decoder.codec.state_dict()
        decoder.codec.load_state_dict({name: tensor for name, tensor in codec.state_dict().items() if name in wanted})
        return decoder.float()

    @property
    def samples_per_code(self) -> int:
        """Samples of sound for each code: a frame's, divided by its levels."""
        return self.config.hop_length // self.config.levels

    def train(self, mode: bool = True) -> "CodecDecoder":
        """Keeps evaluation mode, whatever `mode` says."""
        return super().train(False)

    def voice_from_waveform(self, waveform: torch.Tensor) -> torch.Tensor:
        """float32 (1,), always 0: the codes say whose voice it is.

        Raises:
            ValueError: not 1-D, empty, NaN or infinite.
        """
        if waveform.ndim != 1 or waveform.numel() == 0:
            raise ValueError(f"The voice prompt has the shape {tuple(waveform.shape)}; non-empty mono (S,) is needed.")
        if not bool(torch.isfinite(waveform).all()):
            raise ValueError("The voice prompt holds NaN or infinite samples; clean it first.")
        return torch.zeros(1)

    @torch.inference_mode()
    def decode(  # type: ignore[override]
        self, codes: Sequence[torch.Tensor], voices: Sequence[torch.Tensor | None] | None = None
    ) -> list[torch.Tensor]:
        """Speech of each code sequence; items are decoded one by one.

        Args:
            codes: int64 (T Q,) for each item, 0..Q K - 1. A code of another level than its place's counts by its entry.
            voices: As of any speech decoder; not heard.

        Returns:
            float32 (T Q samples_per_code,) each, at `sampling_rate`, |x| <= 1, on the CPU.

        Raises:
            ValueError: an empty sequence, or a code out of range.
        """
        self.check_codes(codes)
        if voices is not None and len(voices) != len(codes):
            raise ValueError(f"{len(voices)} voices came for {len(codes)} code sequences; give one each, or None.")
        return [self._decode(item) for item in codes]

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        levels, samples = self.config.levels, len(codes) * self.samples_per_code
        entries = codes.to(self.device, torch.long) % self.config.level_size
        frames = nn.functional.pad(entries, (0, -len(entries) % levels)).view(-1, levels).T[None]  # (1, Q, T)
        kind = self.codec.config.model_type
        if kind == "dac":
            sound = self.codec.decode(audio_codes=frames).audio_values
        elif kind == "mimi":
            sound = self.codec.decode(frames).audio_values
        else:
            sound = self.codec.decode(frames[None], [None]).audio_values
        sound = sound.flatten().float()[:samples]
        return nn.functional.pad(sound, (0, samples - len(sound))).clamp(-1.0, 1.0).cpu()


__all__ = ["CodecDecoder"]
