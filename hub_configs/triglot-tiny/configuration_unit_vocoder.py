"""UnitVocoderConfig: settings of the decoder that turns speech codes and a voice into a waveform.

Units: samples for hops, full scale = 1 for levels.
"""

from .configuration_spectral_voice import SpectralVoiceConfig


class UnitVocoderConfig(SpectralVoiceConfig):
    r"""Settings of `UnitVocoder` beside those of its voices; the smoke size and the real one differ only in these numbers.

    Args:
        hidden_size, mlp_size: Width of the main trunk and of the hidden layer of its blocks.
        depth_codes, depth_frames: Its blocks at the rate of the codes, then at the rate of the frames.
        f0_hidden_size, f0_mlp_size, f0_depth_codes, f0_depth_frames: The same for the trunk of F0 and voicing.
        kernel_size: Frames that the depthwise convolution of a block sees (odd).
        voice_hidden_size: Width of the voice after its MLP.
        filter_size: Taps of the filters, so `filter_size // 2 + 1` magnitudes each (a power of two).
        stft_sizes: FFT sizes of the multi-resolution STFT loss; hops are a quarter of them.
        chunk_codes: Codes decoded at a time; bounds the memory of long sequences and changes nothing else.
        initializer_range: Standard deviation of the initial weights.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_unit_vocoder"
    _auto_class = "AutoConfig"

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
    filter_size: int = 512
    stft_sizes: list | tuple = (256, 512, 1024)
    chunk_codes: int = 500
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.hop_length % 2:
            raise ValueError(f"hop_length is {self.hop_length}; it must be even, since windows are two hops long.")
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; it must be odd, so that a block sees both sides alike."
            )

    @property
    def frames_per_code(self) -> int:
        """Frames of filters and F0 that one code makes."""
        return self.samples_per_code // self.hop_length


__all__ = ["UnitVocoderConfig"]
