"""Settings of the speech VQ-VAE: its front end, the convolutions around the code book, and how the code book moves.

Papers: VQ-VAE (arXiv 1711.00937, appendix A.1 for the moving averages), unsupervised speech VQ-VAEs (arXiv 1901.08810),
Jukebox (arXiv 2005.00341, section 3.1: codes that die are drawn anew).
"""

import math

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class SpeechVqvaeConfig(PreTrainedConfig):
    """Settings of `SpeechVqvae`. The defaults make a model of 4.1M parameters with 25 codes/s.

    Args:
        sampling_rate: Hz of the waveforms.
        num_mel_bins: Mel bins of the front end, from 0 Hz to half the sampling rate.
        window_length: Samples of one analysis window (25 ms).
        hop_length: Samples between two mel frames (10 ms).
        frame_stack: Mel frames of one code; a power of two.
        codebook_size: Number of codes K.
        code_dim: Dimensions of a code's vector.
        hidden_size: Channels of the convolutions.
        num_blocks: Residual blocks at each rate, on either side of the code book.
        kernel_size: Frames that a block's convolution sees; odd.
        layer_norm_eps: Epsilon of the layer norms.
        initializer_range: Deviation of the random weights.
        commitment_weight: Factor of the distance between what the encoder says and the code it gets.
        ema_decay: Of the moving averages that the code book follows.
        revive_after: Training steps without use after which a code is drawn anew from what the encoder says.
        modality: Name of the modality in a language model.
        fingerprint: sha256 over all that decides the codes; "" before training.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_speech_vqvae"
    _auto_class = "AutoConfig"

    sampling_rate: int = 16_000
    num_mel_bins: int = 80
    window_length: int = 400
    hop_length: int = 160
    frame_stack: int = 4
    codebook_size: int = 512
    code_dim: int = 64
    hidden_size: int = 256
    num_blocks: int = 2
    kernel_size: int = 7
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.05
    commitment_weight: float | int = 0.25
    ema_decay: float | int = 0.99
    revive_after: int = 200
    modality: str = "speech"
    fingerprint: str = ""

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.frame_stack < 1 or 2**self.halvings != self.frame_stack:
            raise ValueError(f"frame_stack is {self.frame_stack}; a power of two is needed: 1, 2, 4, 8, ...")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; it must be odd to keep the frame count.")
        if self.window_length < self.hop_length or (self.window_length - self.hop_length) % 2:
            raise ValueError(
                f"window_length is {self.window_length} with hop_length {self.hop_length} (samples); the window must be "
                "at least one hop long, and longer by an even number of samples."
            )
        if self.codebook_size < 1:
            raise ValueError(f"codebook_size is {self.codebook_size}; at least 1 is needed.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is {self.ema_decay}; allowed is 0 and more, below 1.")

    @property
    def halvings(self) -> int:
        """How often the encoder halves the frame rate."""
        return round(math.log2(max(1, self.frame_stack)))

    @property
    def samples_per_frame(self) -> int:
        """Samples of one code (640 by default)."""
        return self.hop_length * self.frame_stack

    @property
    def frame_rate(self) -> float:
        """Codes per second (25.0 by default)."""
        return self.sampling_rate / self.samples_per_frame


__all__ = ["SpeechVqvaeConfig"]
