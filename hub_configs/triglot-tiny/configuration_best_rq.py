"""Settings of the BEST-RQ speech encoder: the front end, the Conformer-like layers and the pretraining targets.

Papers: BEST-RQ (arXiv 2202.01855), Google USM (arXiv 2303.01037, section 3.1: several codebooks at once), AudioPaLM
(arXiv 2306.12925, section 3.1: the tokens of an encoder with an auxiliary loss on transcripts were the best by far).
"""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class BestRqConfig(PreTrainedConfig):
    """Settings of `BestRqEncoder` and `BestRqForPreTraining`. The defaults make an encoder of 2.5M parameters.

    Args:
        sampling_rate: Hz of the waveforms.
        num_mel_bins: Mel bins of the front end, from 0 Hz to half the sampling rate.
        window_length: Samples of one analysis window (25 ms).
        hop_length: Samples between two mel frames (10 ms).
        frame_stack: Mel frames stacked into one frame of the encoder (4 x 10 ms = 25 Hz).
        hidden_size: Width of the layers.
        num_hidden_layers: Number of layers.
        num_attention_heads: Heads of self-attention; `hidden_size` is a multiple of twice this number.
        intermediate_size: Width inside the feed-forward modules.
        conv_kernel_size: Frames that the depthwise convolution sees; odd.
        hidden_act: Activation of the feed-forward modules.
        hidden_dropout: Dropout after each module.
        attention_dropout: Dropout of the attention weights.
        rotary_base: Longest wavelength of the rotary positions, in frames over 2 pi.
        layer_norm_eps: Epsilon of the layer norms.
        initializer_range: Deviation of the random weights.
        num_codebooks: Frozen random codebooks that give the targets of pretraining.
        codebook_size: Entries of each of them.
        codebook_dim: Dimensions of their entries, and of the random projection.
        mask_probability: Share of the frames at which a masked span starts. 0.04 of the 25 Hz frames is the paper's
            0.01 of its 100 Hz frames.
        mask_span: Frames of a masked span (10 frames of 25 Hz are the paper's 400 ms).
        mask_noise_std: Deviation of the noise that stands in for masked input.
        ctc_characters: The characters that an auxiliary CTC head learns to write, one string; empty for no such head.
        ctc_weight: Factor of the CTC loss.
        ctc_share: Share of the items of a batch that are heard unmasked and written down, where transcripts are given.

    Raises:
        ValueError: sizes that do not fit together, or a probability outside 0..1.
    """

    model_type = "triglot_best_rq"
    _auto_class = "AutoConfig"

    sampling_rate: int = 16_000
    num_mel_bins: int = 80
    window_length: int = 400
    hop_length: int = 160
    frame_stack: int = 4
    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 768
    conv_kernel_size: int = 7
    hidden_act: str = "silu"
    hidden_dropout: float | int = 0.1
    attention_dropout: float | int = 0.0
    rotary_base: float | int = 10_000.0
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    num_codebooks: int = 4
    codebook_size: int = 256
    codebook_dim: int = 16
    mask_probability: float | int = 0.04
    mask_span: int = 10
    mask_noise_std: float | int = 0.1
    ctc_characters: str = ""
    ctc_weight: float | int = 1.0
    ctc_share: float | int = 0.5

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size is {self.hidden_size} with {self.num_attention_heads} attention heads; it must be a "
                f"multiple of {2 * self.num_attention_heads}, since rotary positions turn pairs within a head."
            )
        if self.conv_kernel_size % 2 == 0:
            raise ValueError(f"conv_kernel_size is {self.conv_kernel_size}; it must be odd to keep the frame count.")
        if self.window_length < self.hop_length or (self.window_length - self.hop_length) % 2:
            raise ValueError(
                f"window_length is {self.window_length} with hop_length {self.hop_length} (samples); the window must be "
                "at least one hop long, and longer by an even number of samples."
            )
        if not 0 < self.mask_probability <= 1:
            raise ValueError(f"mask_probability is {self.mask_probability}; allowed is above 0 and up to 1.")
        if self.ctc_weight < 0 or not 0 <= self.ctc_share <= 1:
            raise ValueError(
                f"ctc_weight is {self.ctc_weight} and ctc_share {self.ctc_share}; at least 0, and 0 to 1, are needed."
            )
        if len(set(self.ctc_characters)) < len(self.ctc_characters):
            raise ValueError(f"ctc_characters is {self.ctc_characters!r}; each character may stand there once.")
        if self.mask_span < 1:
            raise ValueError(f"mask_span is {self.mask_span} frames; at least 1 is needed.")

    @property
    def samples_per_frame(self) -> int:
        """Samples of one encoder frame (640 by default)."""
        return self.hop_length * self.frame_stack

    @property
    def frame_rate(self) -> float:
        """Encoder frames per second (25.0 by default)."""
        return self.sampling_rate / self.samples_per_frame
