"""Settings of decoders that know a voice by statistics of its spectrum and pitch (`SpectralVoiceDecoder`).

Units: Hz for rates and F0, samples for hops and windows, full scale = 1 for levels.
"""

from transformers import PreTrainedConfig


class SpectralVoiceConfig(PreTrainedConfig):
    r"""What such decoders have in common.

    Args:
        codebook_size: Codes K of the tokenizer.
        fingerprint: Fingerprint of that tokenizer; "" before training.
        sampling_rate: Hz of the waveforms and the voice prompts.
        frame_rate: Codes per second, before deduplication.
        hop_length: Samples between two frames of log-mel and F0; divides `sampling_rate / frame_rate`.
        num_mel_bins: Mel bands M; a voice has V = 2 M + 2 numbers.
        mel_window, mel_fft: Samples of the Hann window of the log-mel, and of its zero-padded FFT.
        log_floor: Smallest magnitude told apart from silence in logarithms, for speech at `reference_level`.
        reference_level: RMS of active speech to which prompts and training targets are scaled, and so the
            loudness of what the decoder says.
        min_f0, max_f0: Range of F0 in Hz.
        neutral_f0: Mean F0 in Hz of a voice whose prompt has no voiced frame.

    Raises:
        ValueError: sizes that do not fit together.
    """

    codebook_size: int = 1024
    fingerprint: str = ""
    sampling_rate: int = 16_000
    frame_rate: int | float = 25.0
    hop_length: int = 160
    num_mel_bins: int = 80
    mel_window: int = 512
    mel_fft: int = 1024
    log_floor: float = 1e-3
    reference_level: float = 0.1
    min_f0: int | float = 60.0
    max_f0: int | float = 500.0
    neutral_f0: int | float = 150.0

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        per_code = self.sampling_rate / self.frame_rate
        if per_code != int(per_code) or int(per_code) % self.hop_length:
            raise ValueError(
                f"sampling_rate / frame_rate is {per_code:g} samples; it must be a whole multiple of hop_length "
                f"({self.hop_length})."
            )
        if self.mel_fft < self.mel_window:
            raise ValueError(f"mel_fft is {self.mel_fft}; it must be at least mel_window ({self.mel_window}).")
        if not self.min_f0 < self.neutral_f0 < self.max_f0:
            raise ValueError(f"neutral_f0 is {self.neutral_f0} Hz; it must lie in {self.min_f0} to {self.max_f0} Hz.")

    @property
    def samples_per_code(self) -> int:
        """Samples of sound that one code makes."""
        return int(self.sampling_rate / self.frame_rate)

    @property
    def voice_size(self) -> int:
        """Numbers V of a voice: mean and deviation of M log-mel bands, mean and deviation of log-F0."""
        return 2 * self.num_mel_bins + 2


__all__ = ["SpectralVoiceConfig"]
