"""Log-mel frames in the place of codes, to train `MelVocoder` by the stage that trains `UnitVocoder`."""

from collections.abc import Sequence

import torch

from ..modeling.tokenizers.configuration_best_rq import BestRqConfig
from ..modeling.tokenizers.modeling_best_rq import BestRqFrontEnd
from ..modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from ..processing.errors import TriglotError


class MelFrames:
    """Waveforms -> the normalised log-mel of `BestRqEncoder` and `SpeechVqvae`, as it is or as a VQ-VAE draws it again.

    Args:
        vqvae: What draws; None for the log-mel itself.
    """

    sampling_rate: int = 16_000
    codebook_size: int = 0

    def __init__(self, vqvae: SpeechVqvae | None = None):
        config = BestRqConfig()
        self.vqvae, self.front_end = vqvae, BestRqFrontEnd(config)
        self.stack, self.input_bins, self.hop = config.frame_stack, config.num_mel_bins, config.hop_length
        self.frame_rate = config.sampling_rate / config.hop_length
        self.fingerprint = "" if vqvae is None else vqvae.fingerprint
        if vqvae is not None:
            theirs = (vqvae.config.sampling_rate, vqvae.config.num_mel_bins, vqvae.config.hop_length)
            if theirs != (config.sampling_rate, config.num_mel_bins, config.hop_length):
                raise TriglotError(
                    f"The VQ-VAE draws {theirs[1]} mel bins every {theirs[2]} samples of {theirs[0]} Hz; the vocoder is for "
                    f"{config.num_mel_bins} every {config.hop_length} of {config.sampling_rate}."
                )

    @torch.no_grad()
    def encode(self, media: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Waveforms float (S,) -> frames float32 (ceil(S / 160), 80)."""
        if self.vqvae is not None:
            found = self.vqvae.decode(self.vqvae.encode(media))
        else:
            stacked = [self.front_end(wave[None], torch.tensor([len(wave)]))[0] for wave in media]
            found = [item.unflatten(1, (self.stack, -1)).flatten(0, 1) for item in stacked]
        return [frames[: -(-len(wave) // self.hop)] for frames, wave in zip(found, media)]
