"""Settings of MFCC features as an encoder: the floor that learnt speech tokens are measured against."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

DERIVATIVES = 3  # the coefficients, their slopes and the slopes of those


@strict
class MfccConfig(PreTrainedConfig):
    """Settings of `MfccEncoder`. The defaults are the 39 features of HuBERT's first iteration (arXiv 2106.07447, section 4.2).

    Args:
        sampling_rate: Hz of the waveforms.
        num_mel_bins: Mel bins below the cosine transform.
        window_length: Samples of one analysis window (25 ms).
        hop_length: Samples between two frames (10 ms).
        num_coefficients: Cepstral coefficients kept, the loudness among them.
        slope_span: Frames on either side that a slope is fitted to.

    Raises:
        ValueError: more coefficients than mel bins.
    """

    model_type = "triglot_mfcc"
    _auto_class = "AutoConfig"

    sampling_rate: int = 16_000
    num_mel_bins: int = 40
    window_length: int = 400
    hop_length: int = 160
    num_coefficients: int = 13
    slope_span: int = 2
    hidden_size: int = 39
    num_hidden_layers: int = 1  # what FeatureUnits takes its features from

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if not 1 <= self.num_coefficients <= self.num_mel_bins:
            raise ValueError(
                f"num_coefficients is {self.num_coefficients}; 1 to {self.num_mel_bins}, the number of mel bins, are allowed."
            )
        self.hidden_size = DERIVATIVES * self.num_coefficients

    @property
    def frame_rate(self) -> float:
        """Frames per second (100.0 by default)."""
        return self.sampling_rate / self.hop_length


__all__ = ["MfccConfig"]
