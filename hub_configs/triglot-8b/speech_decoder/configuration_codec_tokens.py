"""Settings shared by the decoders that write a codec's tokens: SoundStorm and AudioLM."""

from fractions import Fraction
from typing import Any

from transformers import PreTrainedConfig

from .rate_aligner import RateAligner


class CodecTokensConfig(PreTrainedConfig):
    """Speech codes and a prompt in, RVQ codes of a neural codec out.

    Args:
        codebook_size: Codes K of the speech tokenizer.
        fingerprint: Of that tokenizer; "" before training.
        frame_rate: Its codes per second, without deduplication.
        codec_config: Config of the codec as a dict with its `model_type`. Default: Mimi.
        levels: RVQ levels Q that are written, the coarsest first.
        level_size: Entries of a level's codebook.
        sampling_rate: Hz of the codec: of the waveforms and of the voice prompts.
        hop_length: Samples of a frame of the codec.
        codec_fingerprint: sha256 over the codec's weights; "" before training.
        prompt_seconds: How much of a voice prompt is heard; shorter ones are repeated (AudioPaLM, arXiv 2306.12925, section 3: 3 s).
        context_seconds: How much of what was said before is heard as well, in long output.
        window_seconds: How much is written at a time; with prompt and context what training has seen.
        reference_level: RMS of active speech to which prompts are scaled, and so the loudness of what the decoder says.

    Raises:
        ValueError: rates that do not fit (see `RateAligner`), or lengths that are not above 0.
    """

    codebook_size: int = 1024
    fingerprint: str = ""
    frame_rate: int | float = 25.0
    codec_config: dict[str, Any] | None = None
    levels: int = 8
    level_size: int = 2048
    sampling_rate: int = 24_000
    hop_length: int = 1920
    codec_fingerprint: str = ""
    prompt_seconds: int | float = 3.0
    context_seconds: int | float = 2.0
    window_seconds: int | float = 10.0
    reference_level: float = 0.1

    def __post_init__(self, **kwargs):
        if self.codec_config is None:
            self.codec_config = {"model_type": "mimi"}
        super().__post_init__(**kwargs)
        self.aligner()
        if self.samples_per_code != self.sampling_rate / self.frame_rate:
            raise ValueError(
                f"sampling_rate / frame_rate is {self.sampling_rate / self.frame_rate:g} samples; a code must last a whole number."
            )
        if self.levels < 1:
            raise ValueError(f"levels is {self.levels}; at least 1 is needed.")
        for name in ("prompt_seconds", "window_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if self.context_seconds < 0:
            raise ValueError(f"context_seconds is {self.context_seconds}; it must be at least 0.")

    @staticmethod
    def check_heads(hidden_size: int, heads: int) -> None:
        """Raises ValueError where a head's width is not even: positions turn pairs of numbers."""
        if hidden_size % (2 * heads):
            raise ValueError(
                f"hidden_size is {hidden_size} and num_attention_heads {heads}; heads of an even width are needed."
            )

    def aligner(self) -> RateAligner:
        """Times of codes and frames."""
        return RateAligner(self.frame_rate, Fraction(self.sampling_rate, self.hop_length))

    @property
    def samples_per_code(self) -> int:
        """Samples of sound that one code makes."""
        return int(self.sampling_rate / self.frame_rate)

    def whole_codes(self, seconds: float) -> int:
        """Codes of about so many seconds that last a whole number of frames too; 0 for 0 s, else at least one block."""
        block = self.aligner().block_codes
        return max(1, round(seconds * self.frame_rate / block)) * block if seconds > 0 else 0
