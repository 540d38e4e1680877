"""MelVocoderConfig: settings of the decoder that turns log-mel frames and a voice into a waveform."""

from .configuration_unit_vocoder import UnitVocoderConfig


class MelVocoderConfig(UnitVocoderConfig):
    """Settings of `MelVocoder`: those of `UnitVocoderConfig`, where one frame stands for one code.

    Args:
        input_bins: Numbers of an input frame.
        codebook_size: 0; there are no codes.
        frame_rate: Input frames per second.
        fingerprint: Names how the input frames are computed; "" for none.
    """

    model_type = "triglot_mel_vocoder"
    _auto_class = "AutoConfig"

    input_bins: int = 80
    codebook_size: int = 0
    frame_rate: int | float = 100.0
    chunk_codes: int = 2000


__all__ = ["MelVocoderConfig"]
