"""UnitVocoderConfig: settings of the decoder that turns speech codes and a voice into a waveform.

Units: Hz for rates and F0, samples for hops and windows, full scale = 1 for levels.
"""

from transformers import PreTrainedConfig


class UnitVocoderConfig(PreTrainedConfig):
    r"""Settings of `UnitVocoder`; the smoke size and the real one differ only in these numbers.

    Args:
        codebook_size: Codes K of the tokenizer.
        fingerprint: Fingerprint of that tokenizer; "" before training.
        sampling_rate: Hz of the waveforms and the voice prompts.
        frame_rate: Codes per second.
        hop_length: Samples between two frames of filters, F0 and log-mel; divides `sampling_rate / frame_rate`.
        hidden_size, mlp_size: Width of the main trunk and of the hidden layer of its blocks.
        depth_codes, depth_frames: Its blocks at the rate of the codes, then at the rate of the frames.
        f0_hidden_size, f0_mlp_size, f0_depth_codes, f0_depth_frames: The same for the trunk of F0 and voicing.
        kernel_size: Frames that the depthwise convolution of a block sees (odd).
        voice_hidden_size: Width of the voice after its MLP.
        num_mel_bins: Mel bands M; a voice has V = 2 M + 2 numbers.
        filter_size: Taps of the filters, so `filter_size // 2 + 1` magnitudes each (a power of two).
        mel_window, mel_fft: Samples of the Hann window of the log-mel, and of its zero-padded FFT.
        log_floor: Smallest magnitude told apart from silence in logarithms, for speech at `reference_level`.
        reference_level: RMS of active speech to which prompts and training targets are scaled, and so the
            loudness of what the decoder says.
        min_f0, max_f0: Range of F0 in Hz.
        neutral_f0: Mean F0 in Hz of a voice whose prompt has no voiced frame.
        stft_sizes: FFT sizes of the multi-resolution STFT loss; hops are a quarter of them.
        chunk_codes: Codes decoded at a time; bounds the memory of long sequences and changes nothing else.
        initializer_range: Standard deviation of the initial weights.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_unit_vocoder"
    _auto_class = "AutoConfig"

    codebook_size: int = 1024
    fingerprint: str = ""
    sampling_rate: int = 16_000
    frame_rate: int | float = 25.0
    hop_length: int = 160
    hidden_size: int = 256
    mlp_size: int = 512
    depth_codes: int = 3
    depth_frames: int = 4
    f0_hidden_size: int = 128
    f0_mlp_size: int = 256
    f0_depth_codes: int = 3
    f0_depth_frames: int = 2
    kernel_size: int = 7
    voice_hidden_size: int = 128
    num_mel_bins: int = 80
    filter_size: int = 512
    mel_window: int = 512
    mel_fft: int = 1024
    log_floor: float = 1e-3
    reference_level: float = 0.1
    min_f0: int | float = 60.0
    max_f0: int | float = 500.0
    neutral_f0: int | float = 150.0
    stft_sizes: list | tuple = (256, 512, 1024)
    chunk_codes: int = 500
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        per_code = self.sampling_rate / self.frame_rate
        if per_code != int(per_code) or int(per_code) % self.hop_length:
            raise ValueError(
                f"sampling_rate / frame_rate is {per_code:g} samples; it must be a whole multiple of hop_length "
                f"({self.hop_length})."
            )
        if self.hop_length % 2:
            raise ValueError(f"hop_length is {self.hop_length}; it must be even, since windows are two hops long.")
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; it must be odd, so that a block sees both sides alike."
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
    def frames_per_code(self) -> int:
        """Frames of filters and F0 that one code makes."""
        return self.samples_per_code // self.hop_length

    @property
    def voice_size(self) -> int:
        """Numbers V of a voice: mean and deviation of M log-mel bands, mean and deviation of log-F0."""
        return 2 * self.num_mel_bins + 2


__all__ = ["UnitVocoderConfig"]
