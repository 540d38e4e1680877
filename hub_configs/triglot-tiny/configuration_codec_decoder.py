"""Settings of CodecDecoder: which neural codec, and how many of its RVQ levels come in."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class CodecDecoderConfig(PreTrainedConfig):
    """Settings of `CodecDecoder`; its fields mean what they mean in `CodecUnitsConfig`.

    Args:
        codec_config: Config of the codec as a dict with its `model_type`. Default: Mimi.
        levels: RVQ levels that come in, one after another in every frame.
        level_size: Entries of a level's codebook.
        sampling_rate: Hz of the waveforms.
        hop_length: Samples of one frame of the codec.
        fingerprint: Of the `CodecUnits` whose codes it decodes.

    Raises:
        ValueError: levels that do not divide a frame.
    """

    model_type = "triglot_codec_decoder"
    _auto_class = "AutoConfig"

    codec_config: dict[str, Any] | None = None
    levels: int = 1
    level_size: int = 2048
    sampling_rate: int = 24_000
    hop_length: int = 1920
    fingerprint: str = ""

    def __post_init__(self, **kwargs):
        if self.codec_config is None:
            self.codec_config = {"model_type": "mimi"}
        super().__post_init__(**kwargs)
        if self.levels < 1 or self.hop_length % self.levels:
            raise ValueError(
                f"levels is {self.levels}; a divisor of the {self.hop_length} samples of a frame is needed."
            )

    @property
    def codebook_size(self) -> int:
        """Number of codes: those of all levels."""
        return self.levels * self.level_size


__all__ = ["CodecDecoderConfig"]
