"""MediaDecoder: the contract of room 3. codes (+ conditions) -> media.

A decoder is a `PreTrainedModel` that stores in `config.fingerprint` the fingerprint of the tokenizer whose codes it was
trained on. What codes leave out (the voice, the texture) is a *condition*; a voice is always computed from a waveform,
never looked up in a table of speakers.

Shapes: S samples of a waveform, T codes.
"""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import PreTrainedModel

from .voice import Voice


class MediaDecoder(PreTrainedModel):
    """What every decoder offers; `modality` is "speech" or "image" (or a new one)."""

    modality: str = ""

    @property
    def codebook_size(self) -> int:
        """Number of codes K it understands."""
        return self.config.codebook_size

    @property
    def sampling_rate(self) -> int | None:
        """Hz of the waveforms it makes and of the voice prompts it takes; None for images."""
        return getattr(self.config, "sampling_rate", None)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the tokenizer whose codes it was trained on."""
        return self.config.fingerprint

    @abstractmethod
    def decode(self, codes: Sequence[torch.Tensor], **conditions) -> list[torch.Tensor]:
        """Media of each code sequence.

        Args:
            codes: int64 (T,) for each item, 0..K-1.
            conditions: What the codes leave out; for speech `voices`, one `Voice` per item or None for the fallback.

        Returns:
            float32 waveforms (S,) at `sampling_rate`, exactly T * samples_per_code long (where codes come without repeats, as long as
            the durations that the decoder predicts), or images (3, H, W) in 0..1; on the CPU.

        Raises:
            ValueError: an empty sequence or a code outside 0..K-1.
        """

    def check_codes(self, codes: Sequence[torch.Tensor]) -> None:
        """Raises ValueError where a sequence is empty, not 1-D or holds a code outside 0..K-1."""
        for index, item in enumerate(codes):
            if item.ndim != 1 or item.numel() == 0:
                raise ValueError(
                    f"Item {index} has the shape {tuple(item.shape)}; a non-empty 1-D code sequence is needed."
                )
            low, high = int(item.min()), int(item.max())
            if low < 0 or high >= self.codebook_size:
                raise ValueError(
                    f"Item {index} holds codes from {low} to {high}; allowed is 0 to {self.codebook_size - 1}."
                )


class SpeechDecoder(MediaDecoder):
    """A decoder that speaks: codes and a voice in, waveform out."""

    modality = "speech"
    voice_kind: str = ""  # `Voice.kind` of what it hears

    @property
    @abstractmethod
    def samples_per_code(self) -> int:
        """Samples of sound that one code makes."""

    @property
    def voice_fingerprint(self) -> str:
        """`Voice.fingerprint` of what it hears; "" for voices that hold no codes."""
        return ""

    @property
    @abstractmethod
    def voice_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """{name: shape} of a voice's tensors."""

    @abstractmethod
    def voice_from_waveform(
        self, waveform: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> Voice:
        """The voice of a prompt.

        Args:
            waveform: float (S,) at `sampling_rate`; some seconds describe a voice well.
            encode: Any part of it (s,), at the same rate -> int64 codes (t,) of the tokenizer. Asked by decoders whose prompts
                hold codes; the others do without.

        Raises:
            ValueError: not 1-D, empty, NaN or infinite, silent, or `encode` is needed and missing.
        """

    @abstractmethod
    def fallback_voice(self) -> Voice:
        """Who speaks where no voice was asked for."""

    def load_voice(self, path: str | os.PathLike) -> Voice:
        """A voice from a file that `Voice.save` wrote.

        Raises:
            ValueError: something else in it, or a voice that this decoder cannot hear.
        """
        voice = Voice.load(path)
        self.check_voices([voice], 1)
        return voice

    def check_prompt(self, waveform: torch.Tensor) -> torch.Tensor:
        """A prompt as float32 (S,) on the CPU.

        Raises:
            ValueError: not 1-D, empty, NaN or infinite, or silent.
        """
        if waveform.ndim != 1 or waveform.numel() == 0:
            raise ValueError(f"The voice prompt has the shape {tuple(waveform.shape)}; non-empty mono (S,) is needed.")
        waveform = waveform.detach().float().cpu()
        if not bool(torch.isfinite(waveform).all()):
            raise ValueError("The voice prompt holds NaN or infinite samples; clean it first.")
        if float(waveform.abs().max()) < 1e-6:
            raise ValueError(
                "The voice prompt is silent; give some seconds of speech, or none for the fallback voice."
            )
        return waveform

    def check_sound(self, waveform: torch.Tensor) -> torch.Tensor:
        """The waveform; ValueError where broken weights made samples NaN or infinite."""
        if not bool(torch.isfinite(waveform).all()):
            raise ValueError(
                f"{int((~torch.isfinite(waveform)).sum())} of {waveform.numel()} samples of this {type(self).__name__} are NaN or "
                "infinite: its weights are broken."
            )
        return waveform

    def check_voices(self, voices: Sequence[Voice | None] | None, count: int) -> list[Voice]:
        """One voice an item, the fallback where None came.

        Raises:
            ValueError: another number of voices, or one of another kind, fingerprint or shape, or with NaN.
        """
        given = [None] * count if voices is None else list(voices)
        if len(given) != count:
            raise ValueError(f"{len(given)} voices came for {count} code sequences; give one each, or None.")
        return [
            self.fallback_voice() if voice is None else self._check_voice(voice, i) for i, voice in enumerate(given)
        ]

    def _check_voice(self, voice: Voice, index: int) -> Voice:
        # a copy of this code may have come with a checkpoint, so the class may be another of the same name
        if not hasattr(voice, "tensors") or not hasattr(voice, "kind"):
            raise ValueError(f"Voice {index} is a {type(voice).__name__}; compute one with voice_from_waveform.")
        if (voice.kind, voice.fingerprint) != (self.voice_kind, self.voice_fingerprint):
            raise ValueError(
                f"Voice {index} is of the kind {voice.kind!r} ({voice.fingerprint[:12] or 'no fingerprint'}); this "
                f"{type(self).__name__} hears {self.voice_kind!r} ({self.voice_fingerprint[:12] or 'no fingerprint'}). "
                "Compute it again from the recording."
            )
        shapes = {name: tuple(tensor.shape) for name, tensor in voice.tensors.items()}
        if shapes != dict(self.voice_shapes):
            raise ValueError(f"Voice {index} holds {shapes}; {dict(self.voice_shapes)} is needed.")
        for name, tensor in voice.tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"Voice {index} holds NaN or infinite numbers in {name!r}; compute it again.")
        return voice
