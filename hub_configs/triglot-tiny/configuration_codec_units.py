"""Settings of CodecUnits: which neural codec, and how many of its RVQ levels are told."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

CODECS = ("encodec", "dac", "mimi", "xcodec")


@strict
class CodecUnitsConfig(PreTrainedConfig):
    """Settings of `CodecUnits`.

    Args:
        codec_config: Config of the codec as a dict with its `model_type`, one of encodec, dac, mimi, xcodec. Default: Mimi.
        levels: RVQ levels told, the coarsest first; 1 for the first alone, which is the semantic one of Mimi.
        level_size: Entries of a level's codebook.
        sampling_rate: Hz of the waveforms.
        hop_length: Samples of one frame of the codec.
        modality: Name of the modality in a language model.
        fingerprint: sha256 over all that decides the codes.

    Raises:
        ValueError: another codec, a codec for stereo or with normalised loudness, or levels that it does not have.
    """

    model_type = "triglot_codec_units"
    _auto_class = "AutoConfig"

    codec_config: dict[str, Any] | None = None
    levels: int = 1
    level_size: int = 2048
    sampling_rate: int = 24_000
    hop_length: int = 1920
    modality: str = "speech"
    fingerprint: str = ""

    def __post_init__(self, **kwargs):
        if self.codec_config is None:
            self.codec_config = {"model_type": "mimi"}
        super().__post_init__(**kwargs)
        kind = self.codec_config.get("model_type")
        if kind not in CODECS:
            raise ValueError(f"codec_config is that of a {kind!r}; allowed is one of {', '.join(CODECS)}.")
        if self.levels < 1:
            raise ValueError(f"levels is {self.levels}; at least 1 is needed.")
        if self.hop_length % self.levels:
            raise ValueError(
                f"levels is {self.levels} and a frame has {self.hop_length} samples; its divisors are allowed, so that every "
                "code makes a whole number of samples."
            )

    @property
    def codebook_size(self) -> int:
        """Number of codes K: every level has codes of its own."""
        return self.levels * self.level_size

    @property
    def frame_rate(self) -> float:
        """Codes per second: those of all levels."""
        return self.levels * self.sampling_rate / self.hop_length


__all__ = ["CodecUnitsConfig"]
