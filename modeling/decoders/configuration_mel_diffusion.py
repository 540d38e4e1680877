"""MelDiffusionConfig: settings of the decoder that turns codes and a voice into log-mel by diffusion, and that into a waveform."""

from typing import Any

from .configuration_diffusion import DiffusionConfig
from .configuration_mel_vocoder import MelVocoderConfig
from .configuration_spectral_voice import SpectralVoiceConfig

# what the vocoder has in common with the decoder around it
SHARED = (
    "sampling_rate", "hop_length", "num_mel_bins", "mel_window", "mel_fft", "log_floor", "reference_level", "min_f0", "max_f0",
    "neutral_f0",
)  # fmt: skip


class MelDiffusionConfig(DiffusionConfig, SpectralVoiceConfig):
    r"""Settings of `MelDiffusion` beside those of its diffusion and its voices.

    Args:
        prediction_type: "sample" by default: the denoiser then says how frames differ from the prior's mean, which is right before it has
            learnt anything; it has to carry no noise through a width that has hardly room for it.
        prior_hidden_size, prior_mlp_size: Width of what reads the codes, and of the hidden layer of its blocks.
        prior_depth_codes, prior_depth_frames: Its blocks at the rate of the codes, then at the rate of the frames.
        condition_size: Numbers a frame that it tells the denoiser beside the mean of the log-mel.
        voice_hidden_size: Width of the voice after its MLP.
        patch_frames: Frames that the denoiser treats as one; divides the frames of a code. Twice as many halve the work, but
            `hidden_size` must have room for the noise of all of them.
        hidden_size, num_hidden_layers: Of the denoiser.
        mlp_ratio: How many times wider the hidden layer of its blocks is.
        kernel_size: Codes, frames or patches that the depthwise convolution of a block sees (odd).
        least_deviation: Of the voice, of a mel band, that frames are divided by at the least; nats.
        vocoder_config: Settings of the `MelVocoder` that they are not shared: sizes of its trunks.
        vocoder_share: Share of a training batch that the vocoder learns from: it learns sooner, and its steps take longer.
        chunk_codes: Codes treated at a time; bounds the memory of long sequences and changes nothing else.
        initializer_range: Standard deviation of the weights that begin small; the others keep the size of what goes through them.

    Raises:
        ValueError: settings out of range, or sizes that do not fit together.
    """

    model_type = "triglot_mel_diffusion"
    _auto_class = "AutoConfig"

    prediction_type: str = "sample"
    prior_hidden_size: int = 256
    prior_mlp_size: int = 512
    prior_depth_codes: int = 3
    prior_depth_frames: int = 2
    condition_size: int = 80
    voice_hidden_size: int = 128
    patch_frames: int = 2
    hidden_size: int = 256
    num_hidden_layers: int = 5
    mlp_ratio: int = 3
    kernel_size: int = 7
    least_deviation: float = 0.3
    vocoder_config: dict | None = None
    vocoder_share: float = 0.25
    chunk_codes: int = 500
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; it must be odd, so that a block sees both sides alike."
            )
        if self.patch_frames < 1 or self.frames_per_code % self.patch_frames:
            raise ValueError(
                f"patch_frames is {self.patch_frames}; it must divide the {self.frames_per_code} frames of a code."
            )
        if self.num_hidden_layers < 1 or self.chunk_codes < 1 or self.condition_size < 1:
            raise ValueError(
                f"num_hidden_layers is {self.num_hidden_layers}, chunk_codes {self.chunk_codes} and condition_size "
                f"{self.condition_size}; at least 1 is needed."
            )
        if not 0 < self.vocoder_share <= 1 or not self.least_deviation > 0:
            raise ValueError(
                f"vocoder_share is {self.vocoder_share} and least_deviation {self.least_deviation}; above 0 to 1, and above 0, "
                "is needed."
            )
        unknown = sorted(
            name for name in self.vocoder_config or {} if name in SHARED or not hasattr(MelVocoderConfig, name)
        )
        if unknown:
            raise ValueError(
                f"vocoder_config sets {', '.join(unknown)}; it takes sizes of a MelVocoder, such as hidden_size, alone."
            )
        self.vocoder_settings()

    @property
    def frames_per_code(self) -> int:
        """Frames of log-mel that one code makes."""
        return self.samples_per_code // self.hop_length

    def vocoder_settings(self) -> MelVocoderConfig:
        """Those of the vocoder: one frame of log-mel for one of its codes."""
        shared: dict[str, Any] = {name: getattr(self, name) for name in SHARED}
        return MelVocoderConfig(
            **shared,
            **self.vocoder_config or {},
            input_bins=self.num_mel_bins,
            frame_rate=self.sampling_rate / self.hop_length,
            chunk_codes=self.chunk_codes * self.frames_per_code,
        )


__all__ = ["MelDiffusionConfig"]
