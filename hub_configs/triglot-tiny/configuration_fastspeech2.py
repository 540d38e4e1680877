"""FastSpeech2Config: settings of the decoder that writes a log-mel spectrogram from units and a voice, and of the vocoder in it.

Units: codes for durations, frames of `hop_length` samples for the spectrogram.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from transformers import FastSpeech2ConformerConfig, FastSpeech2ConformerHifiGanConfig, PreTrainedConfig

from .configuration_spectral_voice import SpectralVoiceConfig
from .hifi_gan import check_hifi_gan_sizes

MEL = "mel"  # entry of the config of a vocoder trained here: `MEL_SETTINGS` that it learnt
# Of `acoustic_config` where it says nothing; transformers' own make a model twenty times as large.
ACOUSTIC_SIZES = {
    "hidden_size": 128, "encoder_layers": 2, "decoder_layers": 3, "encoder_linear_units": 256, "decoder_linear_units": 256,
    "encoder_normalize_before": True, "decoder_normalize_before": True, "decoder_kernel_size": 15,
    "speech_decoder_postnet_layers": 3, "speech_decoder_postnet_units": 128, "speech_decoder_postnet_dropout": 0.1,
    "duration_predictor_channels": 128, "pitch_predictor_channels": 128, "pitch_predictor_layers": 3,
    "pitch_predictor_dropout": 0.1, "energy_predictor_channels": 128, "energy_predictor_dropout": 0.1,
    "duration_predictor_dropout_rate": 0.1, "encoder_dropout_rate": 0.1, "encoder_positional_dropout_rate": 0.0,
    "encoder_attention_dropout_rate": 0.1, "decoder_dropout_rate": 0.1, "decoder_positional_dropout_rate": 0.0,
    "decoder_attention_dropout_rate": 0.1,
}  # fmt: skip
# Of `vocoder_config`, likewise: as many multiplications as `CodeHifiGan` by default
VOCODER_SIZES = {
    "upsample_initial_channel": 128, "upsample_rates": [5, 4, 4, 2], "upsample_kernel_sizes": [11, 8, 8, 4],
    "resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3], [1, 3]],
}  # fmt: skip
# What decides how a log-mel spectrogram is computed: a vocoder reads only what it learnt to read
MEL_SETTINGS = ("sampling_rate", "hop_length", "num_mel_bins", "mel_window", "mel_fft", "log_floor", "reference_level")


class FastSpeech2Config(SpectralVoiceConfig):
    r"""Settings of `FastSpeech2` beside those of its voices and its log-mel.

    Args:
        acoustic_config: Fields of transformers' `FastSpeech2ConformerConfig`, whose other fields are `ACOUSTIC_SIZES`, then its own
            defaults. What follows from this config (vocab_size, num_mel_bins, speaker_embed_dim) need not be in it.
        vocoder_config: Fields of `FastSpeech2ConformerHifiGanConfig`, likewise with `VOCODER_SIZES`; its rates multiply to `hop_length`.
        speaker_embed_dim: Numbers of a voice after its MLP.
        voice_hidden_size: Width of that MLP.
        deduplicated: Whether the codes come without repeats, so that it has to predict how long each lasts.
        longest_duration: Codes, the most that one code without repeats is taken to stand for.
        chunk_codes: Codes whose spectrogram is written at a time; attention within a chunk is all it remembers of longer sequences.
        context_codes: Codes to both sides of a chunk that it sees as well.
        chunk_frames: Frames that the vocoder reads at a time; bounds its memory and changes nothing else.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_fastspeech2"
    _auto_class = "AutoConfig"

    acoustic_config: dict[str, Any] | None = None
    vocoder_config: dict[str, Any] | None = None
    speaker_embed_dim: int = 64
    voice_hidden_size: int = 128
    deduplicated: bool = False
    longest_duration: int = 50
    chunk_codes: int = 125
    context_codes: int = 25
    chunk_frames: int = 2000

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        # all of them, so that a saved model stays what it is when a default changes; id 0 is padding, a code is read as the next id
        self.acoustic_config = {
            **ACOUSTIC_SIZES, **_known(FastSpeech2ConformerConfig, self.acoustic_config),
            "vocab_size": self.codebook_size + 1, "num_mel_bins": self.num_mel_bins, "speaker_embed_dim": self.speaker_embed_dim,
            "num_speakers": None, "num_languages": None,
        }  # fmt: skip
        self.vocoder_config = {
            **VOCODER_SIZES, **_known(FastSpeech2ConformerHifiGanConfig, self.vocoder_config),
            "model_in_dim": self.num_mel_bins,
        }  # fmt: skip
        acoustic, vocoder = self.acoustic(), self.vocoder()
        if acoustic.reduction_factor != 1:
            raise ValueError(f"reduction_factor is {acoustic.reduction_factor}; 1 is needed, a frame for every step.")
        check_hifi_gan_sizes(vocoder, self.hop_length, "a frame")
        if self.longest_duration < 1 or self.chunk_codes < 1 or self.chunk_frames < 1 or self.context_codes < 0:
            raise ValueError(
                f"longest_duration is {self.longest_duration}, chunk_codes {self.chunk_codes}, chunk_frames {self.chunk_frames} and "
                f"context_codes {self.context_codes}; at least 1, and 0 of context, are needed."
            )

    @property
    def frames_per_code(self) -> int:
        """Frames of the spectrogram that one code makes."""
        return self.samples_per_code // self.hop_length

    def acoustic(self) -> FastSpeech2ConformerConfig:
        """That of transformers' acoustic model."""
        return _built(FastSpeech2ConformerConfig, self.acoustic_config or {})

    def vocoder(self) -> FastSpeech2ConformerHifiGanConfig:
        """That of transformers' vocoder."""
        return _built(FastSpeech2ConformerHifiGanConfig, self.vocoder_config or {})


def own_settings(config: PreTrainedConfig) -> dict[str, Any]:
    """What a config says, without what every config of transformers says."""
    return {name: getattr(config, name) for name in _own_fields(type(config))}


def _own_fields(config_class: Any) -> set[str]:
    own, general = ({field.name for field in dataclasses.fields(kind)} for kind in (config_class, PreTrainedConfig))
    return own - general


def _known(config_class: Any, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was given; ValueError for an unknown field."""
    known = _own_fields(config_class)
    unknown = sorted(set(given or {}) - known)
    if unknown:
        raise ValueError(f"{config_class.__name__} knows no {unknown[0]!r}; it has {', '.join(sorted(known))}.")
    return dict(given or {})


def _built(config_class: Any, settings: dict[str, Any]) -> Any:
    """A config of transformers; whatever it finds wrong is a ValueError."""
    try:
        return config_class(**settings)
    except Exception as error:  # its own checks raise several classes
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ValueError(f"{config_class.__name__} refuses its settings: {reason.strip()}") from error


__all__ = ["FastSpeech2Config"]
