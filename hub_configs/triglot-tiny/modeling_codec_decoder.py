"""CodecDecoder: the codes of `CodecUnits` back to sound, by the decoding half of the same neural codec.

    codes (T Q,) ─ (Q, T) ─ quantizer and decoder of the codec ─ waveform (S,), S = T hop

A codec's codes carry the voice as far as their levels reach, so this decoder takes a voice for form's sake and does not hear it.

Shapes: S samples, T frames of the codec, Q levels, K entries of a level.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from .configuration_codec_decoder import CodecDecoderConfig
from .media_decoder import SpeechDecoder
from .neural_codec import NeuralCodec
from .voice import Voice


class CodecDecoder(SpeechDecoder):
    """Codes of a codec -> speech at the codec's rate. A last frame without all of its levels is cut short."""

    config: CodecDecoderConfig
    config_class = CodecDecoderConfig
    main_input_name = "codes"
    voice_kind = "none"
    _auto_class = "AutoModel"

    def __init__(self, config: CodecDecoderConfig):
        super().__init__(config)
        self.codec = NeuralCodec(config, encodes=False)
        self.post_init()
        self.eval()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The codec's own classes know how theirs start."""

    @classmethod
    def from_codec(cls, codec: PreTrainedModel, units_config: Any) -> "CodecDecoder":
        """The decoding half of a codec, for the codes of `CodecUnits`.

        Args:
            codec: The whole model, as `CodecUnits.from_codec` took it.
            units_config: Config of the `CodecUnits` made of it.
        """
        names = ("codec_config", "levels", "level_size", "sampling_rate", "hop_length", "fingerprint")
        decoder = cls(CodecDecoderConfig(**{name: getattr(units_config, name) for name in names}))
        decoder.codec.take(codec)
        return decoder

    @property
    def samples_per_code(self) -> int:
        """Samples of sound for each code: a frame's, divided by its levels."""
        return self.config.hop_length // self.config.levels

    @property
    def voice_shapes(self) -> dict[str, tuple[int, ...]]:
        """Nothing: the codes say whose voice it is."""
        return {}

    def voice_from_waveform(
        self, waveform: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> Voice:
        """An empty voice, of a prompt that is checked like any other."""
        self.check_prompt(waveform)
        return self.fallback_voice()

    def fallback_voice(self) -> Voice:
        """An empty voice."""
        return Voice(self.voice_kind, {})

    @torch.inference_mode()
    def decode(  # type: ignore[override]
        self, codes: Sequence[torch.Tensor], voices: Sequence[Voice | None] | None = None
    ) -> list[torch.Tensor]:
        """Speech of each code sequence; items are decoded one by one.

        Args:
            codes: int64 (T Q,) for each item, 0..Q K - 1. A code of another level than its place's counts by its entry.
            voices: As of any speech decoder; not heard.

        Returns:
            float32 (T Q samples_per_code,) each, at `sampling_rate`, |x| <= 1, on the CPU.

        Raises:
            ValueError: an empty sequence, a code out of range, or weights that give NaN.
        """
        self.check_codes(codes)
        self.check_voices(voices, len(codes))
        return [self._decode(item) for item in codes]

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        levels, samples = self.config.levels, len(codes) * self.samples_per_code
        entries = codes.long() % self.config.level_size
        frames = nn.functional.pad(entries, (0, -len(entries) % levels)).view(-1, levels).T  # (Q, T)
        return self.check_sound(self.codec.decode(frames)[:samples])


__all__ = ["CodecDecoder"]
