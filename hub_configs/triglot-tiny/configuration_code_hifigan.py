"""CodeHifiGanConfig: settings of the vocoder that turns units and a voice into a waveform in one step.

Units: samples for rates of upsampling, codes for durations. Names are those of transformers' SeamlessM4T.
"""

from .configuration_spectral_voice import SpectralVoiceConfig
from .hifi_gan import check_hifi_gan_sizes


class CodeHifiGanConfig(SpectralVoiceConfig):
    r"""Settings of `CodeHifiGan` beside those of its voices.

    SeamlessM4T's vocoder has 1280 numbers a unit, 512 channels, rates 5 4 4 2 2 from 50 units a second, and kernels 3 7 11 with dilations
    1 3 5: some twelve times the multiplications of the defaults here, which take one core about a fiftieth of real time.

    Args:
        unit_embed_dim: Numbers of a unit's embedding.
        spkr_embed_dim: Numbers of a voice after its MLP.
        voice_hidden_size: Width of that MLP.
        upsample_initial_channel: Channels at the rate of the codes; they halve with every rate.
        upsample_rates: Factors whose product is the samples of a code.
        upsample_kernel_sizes: Of each transposed convolution; longer than its rate by an even number.
        resblock_kernel_sizes: Of the residual blocks behind each of them, whose mean is taken (odd).
        resblock_dilation_sizes: Of each kind of block, the dilations of its layers.
        leaky_relu_slope: Of the activations.
        deduplicated: Whether the codes come without repeats, so that it has to predict how long each lasts.
        variance_predictor_kernel_size: Codes that a layer of the duration predictor sees (odd).
        var_pred_dropout: Of the duration predictor, in training.
        longest_duration: Codes, the most that one code without repeats is taken to stand for.
        stft_sizes: FFT sizes of the multi-resolution STFT loss; hops are a quarter of them.
        chunk_codes: Codes decoded at a time; bounds the memory of long sequences and changes nothing else.
        initializer_range: Standard deviation of the initial embeddings; the other weights keep the size of what goes through them.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_code_hifigan"
    _auto_class = "AutoConfig"

    unit_embed_dim: int = 128
    spkr_embed_dim: int = 64
    voice_hidden_size: int = 128
    upsample_initial_channel: int = 256
    upsample_rates: list | tuple = (5, 4, 4, 4, 2)
    upsample_kernel_sizes: list | tuple = (11, 8, 8, 8, 4)
    resblock_kernel_sizes: list | tuple = (3, 7)
    resblock_dilation_sizes: list | tuple = ((1, 3), (1, 3))
    leaky_relu_slope: float = 0.1
    deduplicated: bool = False
    variance_predictor_kernel_size: int = 3
    var_pred_dropout: int | float = 0.1
    longest_duration: int = 50
    stft_sizes: list | tuple = (256, 512, 1024)
    chunk_codes: int = 500
    initializer_range: float = 1.0

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        check_hifi_gan_sizes(self, self.samples_per_code, "a code")
        if self.variance_predictor_kernel_size % 2 == 0:
            raise ValueError(
                f"variance_predictor_kernel_size is {self.variance_predictor_kernel_size}; it must be odd."
            )
        if self.longest_duration < 1 or self.chunk_codes < 1:
            raise ValueError(
                f"longest_duration is {self.longest_duration} and chunk_codes {self.chunk_codes}; at least 1 is needed."
            )

    @property
    def lang_embed_dim(self) -> int:
        """0: a decoder here is told codes and a voice, and no language; transformers' generator asks for it."""
        return 0


__all__ = ["CodeHifiGanConfig"]
