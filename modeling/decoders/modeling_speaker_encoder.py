"""SpeakerEncoder: a waveform -> who speaks, as a vector; the x-vector network (Snyder et al., ICASSP 2018) on log-mel.

    waveform (S,) ─ log-mel (N, M) ─ time-delay layers (N, D) ─ mean and deviation over speech (2 P,) ─ linear ─▶ embedding (E,)

Trained to tell speakers apart with an additive angular margin (arXiv 1801.07698), so that the cosine of two embeddings says how
alike two voices are, those of strangers included. For published weights transformers has `WavLMForXVector` and its kin.

Shapes: B items, S samples, N frames of 10 ms, M mel bands, D width, P pooled width, E numbers of an embedding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_speaker_encoder import SpeakerEncoderConfig
from .speech_signal import active_frames, log_mel, normalise_level

LAYERS = ((5, 1), (3, 2), (3, 3), (1, 1))  # kernel and dilation of the frame layers: 15 frames in view
LEAST_DEVIATION = 1e-4  # variance below which a pooled band counts as still


@dataclass
class SpeakerEncoderOutput(ModelOutput):
    """What `SpeakerEncoder.forward` returns.

    Args:
        loss: Cross entropy of the speakers, with the margin; None without labels.
        embeddings: float (B, E), of length 1.
        accuracy: Share of items whose speaker is the likeliest, without the margin. Detached.
    """

    loss: torch.Tensor | None = None
    embeddings: torch.Tensor | None = None
    accuracy: torch.Tensor | None = None


class SpeakerEncoder(PreTrainedModel):
    """Embeds voices.

    Example:
        >>> model = SpeakerEncoder(SpeakerEncoderConfig())
        >>> model.embed([torch.randn(16_000)]).shape
        torch.Size([1, 128])
    """

    config: SpeakerEncoderConfig
    config_class = SpeakerEncoderConfig
    base_model_prefix = "speaker_encoder"
    main_input_name = "input_values"
    input_modalities = "audio"
    _auto_class = "AutoModel"

    def __init__(self, config: SpeakerEncoderConfig):
        super().__init__(config)
        widths = [config.num_mel_bins, *[config.hidden_size] * (len(LAYERS) - 1), config.pooled_size]
        self.layers = nn.ModuleList(
            nn.Conv1d(width, out, kernel, dilation=dilation, padding=dilation * (kernel // 2))
            for (kernel, dilation), width, out in zip(LAYERS, widths, widths[1:])
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths[1:])
        self.pooled_norm = nn.LayerNorm(2 * config.pooled_size)
        self.project = nn.Linear(2 * config.pooled_size, config.embedding_size)
        self.speakers = (
            nn.Linear(config.embedding_size, config.num_speakers, bias=False) if config.num_speakers else None
        )
        self.post_init()

    def features(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(S,) -> log-mel (N, M) and which frames are speech, bool (N,)."""
        config = self.config
        waveform = normalise_level(waveform.float(), config.hop_length, config.reference_level)
        return log_mel(waveform, config), active_frames(waveform, config.hop_length)[0]

    def forward(
        self,
        mel: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        input_values: torch.Tensor | None = None,
    ) -> SpeakerEncoderOutput:
        """Embeddings of a batch.

        Args:
            mel: float (B, N, M) of `features`.
            mask: bool (B, N), which frames count.
            labels: int64 (B,), speakers of the training set.
            input_values: float (B, S) in place of mel and mask, at `config.sampling_rate`.
        """
        if mel is None or mask is None:
            assert input_values is not None
            found = [self.features(item) for item in input_values]
            mel, mask = torch.stack([item[0] for item in found]), torch.stack([item[1] for item in found])
        hidden = mel.to(self.project.weight.dtype)
        for layer, norm in zip(self.layers, self.norms):
            hidden = F.gelu(norm(layer(hidden.transpose(1, 2)).transpose(1, 2)))
        weight = mask[..., None].to(hidden)
        count = weight.sum(1).clamp(min=1.0)
        mean = (hidden * weight).sum(1) / count
        variance = ((hidden - mean[:, None]).square() * weight).sum(1) / count
        pooled = self.pooled_norm(torch.cat([mean, (variance + LEAST_DEVIATION).sqrt()], -1))
        embeddings = F.normalize(self.project(pooled).float(), dim=-1)
        if labels is None or self.speakers is None:
            return SpeakerEncoderOutput(embeddings=embeddings)
        cosine = embeddings @ F.normalize(self.speakers.weight.float(), dim=-1).T
        loss = F.cross_entropy(self._with_margin(cosine, labels), labels)
        accuracy = (cosine.argmax(-1) == labels).float().mean()
        return SpeakerEncoderOutput(loss=loss, embeddings=embeddings, accuracy=accuracy)

    def _with_margin(self, cosine: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """scale cos(angle + margin) for the right speaker, scale cos(angle) for the others."""
        margin, scale = self.config.margin, self.config.scale
        right = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        pushed = right * math.cos(margin) - (1 - right.square()).sqrt() * math.sin(margin)
        return scale * cosine.scatter(1, labels[:, None], pushed)

    @torch.inference_mode()
    def embed(self, waveforms: Sequence[torch.Tensor]) -> torch.Tensor:
        """Waveforms float (S,) at `config.sampling_rate`, one by one -> float32 (n, E) of length 1, on the CPU.

        Raises:
            ValueError: not 1-D, shorter than a frame, NaN or infinite, or silent.
        """
        found = []
        for index, waveform in enumerate(waveforms):
            if waveform.ndim != 1 or len(waveform) < self.config.hop_length:
                raise ValueError(
                    f"Waveform {index} has the shape {tuple(waveform.shape)}; mono (S,) of at least {self.config.hop_length} samples "
                    "is needed."
                )
            if not bool(torch.isfinite(waveform).all()) or float(waveform.abs().max()) == 0.0:
                raise ValueError(f"Waveform {index} is silent, or holds NaN or infinite samples.")
            mel, mask = self.features(waveform.to(self.device))
            found.append(self(mel[None], mask[None]).embeddings[0])
        return torch.stack(found).cpu() if found else torch.zeros(0, self.config.embedding_size)


__all__ = ["SpeakerEncoder", "SpeakerEncoderOutput"]
