"""Settings of SpeakerEncoder, the small x-vector model that is trained here."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class SpeakerEncoderConfig(PreTrainedConfig):
    """Settings of `SpeakerEncoder`.

    Args:
        sampling_rate: Hz of the waveforms.
        hop_length: Samples between two frames of log-mel.
        num_mel_bins: Mel bands M.
        mel_window, mel_fft: Samples of the Hann window, and of its zero-padded FFT.
        log_floor: Smallest magnitude told apart from silence, for speech at `reference_level`.
        reference_level: RMS of active speech to which every waveform is scaled: how loud somebody is says nothing.
        hidden_size: Width D of the frame layers.
        pooled_size: Width of the last one, whose mean and deviation over time are pooled.
        embedding_size: Numbers E of an embedding.
        num_speakers: Of the training set; 0 leaves the classifier out.
        margin, scale: Of the additive angular margin loss (arXiv 1801.07698).
        initializer_range: Standard deviation of the initial weights.
    """

    model_type = "triglot_speaker_encoder"
    _auto_class = "AutoConfig"

    sampling_rate: int = 16_000
    hop_length: int = 160
    num_mel_bins: int = 64
    mel_window: int = 512
    mel_fft: int = 1024
    log_floor: float = 1e-3
    reference_level: float = 0.1
    hidden_size: int = 256
    pooled_size: int = 512
    embedding_size: int = 128
    num_speakers: int = 0
    margin: float = 0.2
    scale: int | float = 30.0
    initializer_range: float = 0.02


__all__ = ["SpeakerEncoderConfig"]
