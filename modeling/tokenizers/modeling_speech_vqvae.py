"""SpeechVqvae: a VQ-VAE over log-mel, a speech tokenizer that can also turn its codes back into log-mel.

Papers: VQ-VAE (arXiv 1711.00937), speech representations by VQ-VAEs (arXiv 1901.08810), dead codes (arXiv 2005.00341).

    waveform (B, S) ─ log-mel (B, 4T, 80) ─ convolutions ─ (B, T, d) ─ nearest of K codes ─ (B, T)
                      log-mel (B, 4T, 80) ─ convolutions ─ (B, T, d) ─ code book ──────────┘

The log-mel is that of `BestRqEncoder`: the mean of each band over the utterance is subtracted, so that the codes need not tell
microphones and voices apart by their colour, and what comes out lacks it as well.

Shapes: B items, S samples, T codes (25 Hz), N = 4 T mel frames, M mel bins, C channels, d of a code, K codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_speech_vqvae import SpeechVqvaeConfig
from .media_tokenizer import MediaTokenizer, weights_fingerprint
from .modeling_best_rq import BestRqFrontEnd
from .moving_codebook import MovingCodebook


@dataclass
class SpeechVqvaeOutput(ModelOutput):
    """What `SpeechVqvae.forward` returns.

    Args:
        loss: `reconstruction_loss` + `commitment_weight` * `commitment_loss`.
        log_mel: The reconstruction, (B, N, M).
        codes: int64 (B, T); what is written past an item's end holds no meaning.
        reconstruction_loss: Mean absolute difference of the log-mel over real frames, in deviations of 3 nats. Detached.
        commitment_loss: Mean squared distance between the encoder's vectors and their codes. Detached.
        perplexity: 2 to the entropy of the codes of this batch; K at most.
    """

    loss: torch.Tensor | None = None
    log_mel: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None


class ResidualBlock(nn.Module):
    """Depthwise convolution over time and an MLP over channels, added to the stream; (B, N, C) -> (B, N, C)."""

    def __init__(self, config: SpeechVqvaeConfig):
        super().__init__()
        width, kernel = config.hidden_size, config.kernel_size
        self.mixer = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is not None:  # beyond an item's end the kernel must see zeros, as at the end of a single item
            hidden = hidden * mask
        mixed = self.norm(self.mixer(hidden.transpose(1, 2)).transpose(1, 2))
        return hidden + self.contract(F.gelu(self.expand(mixed)))


class ConvolutionStack(nn.Module):
    """Blocks at each of several rates, (B, N, in) -> (B, N / factor, out), or (B, N factor, out) when `up`.

    Neighbouring frames are joined into one and split again by linear layers, so every frame belongs to one code alone.
    """

    def __init__(self, config: SpeechVqvaeConfig, inputs: int, outputs: int, up: bool):
        super().__init__()
        width = config.hidden_size
        self.up = up
        self.first = nn.Linear(inputs, width)
        self.stages = nn.ModuleList(
            nn.ModuleList(ResidualBlock(config) for _ in range(config.num_blocks)) for _ in range(config.halvings + 1)
        )
        sizes = (width, 2 * width) if up else (2 * width, width)
        self.steps = nn.ModuleList(nn.Linear(*sizes) for _ in range(config.halvings))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.last = nn.Linear(width, outputs)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """`mask` (B, N, 1) is 1 for real frames, N those of the input."""
        hidden = self.first(hidden)
        for number, blocks in enumerate(self.stages):
            if number:
                step = self.steps[number - 1]
                if self.up:
                    hidden = step(hidden).unflatten(-1, (2, -1)).flatten(1, 2)
                    mask = None if mask is None else mask.repeat_interleave(2, 1)
                else:
                    hidden = step(hidden.unflatten(1, (-1, 2)).flatten(2))
                    mask = None if mask is None else mask[:, ::2]
            for block in cast(nn.ModuleList, blocks):
                hidden = block(hidden, mask)
        return self.last(self.norm(hidden))


class SpeechVqvae(MediaTokenizer):
    """A speech tokenizer trained to say with K codes what it takes to draw the log-mel again.

    Items are encoded one by one, so that a batch gives the very codes of its items.

    Example:
        >>> model = SpeechVqvae(SpeechVqvaeConfig()).train()
        >>> _ = model(torch.randn(2, 16_000))  # a training step; the first one fills the code book
        >>> [codes] = model.eval().encode([torch.randn(16_000)])
        >>> codes.shape, model.decode([codes])[0].shape
        (torch.Size([25]), torch.Size([100, 80]))
    """

    config: SpeechVqvaeConfig
    config_class = SpeechVqvaeConfig
    main_input_name = "input_values"
    input_modalities = "audio"
    _auto_class = "AutoModel"
    modality = "speech"

    def __init__(self, config: SpeechVqvaeConfig):
        super().__init__(config)
        self.modality = config.modality
        self.front_end = BestRqFrontEnd(config)  # type: ignore[arg-type]  # its settings have the same names
        self.encoder = ConvolutionStack(config, config.num_mel_bins, config.code_dim, up=False)
        self.codebook = MovingCodebook(config)
        self.decoder = ConvolutionStack(config, config.code_dim, config.num_mel_bins, up=True)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, BestRqFrontEnd):
            init.copy_(module.mel_filters, module.compute_mel_filters())
        elif isinstance(module, MovingCodebook):
            module.empty()

    @property
    def codebook_size(self) -> int:
        """Number of codes K."""
        return self.config.codebook_size

    @property
    def centroids(self) -> torch.Tensor:  # type: ignore[override]
        """The code book, (K, d)."""
        return self.codebook.vectors

    def compute_fingerprint(self, state_dict: Mapping[str, torch.Tensor] | None = None) -> str:
        """sha256 (hex) over the encoder, the code book and the front end's settings; "" before training."""
        weights = self.state_dict() if state_dict is None else state_dict
        if not bool(weights["codebook.vectors"].isfinite().all()):
            return ""
        deciding = {
            name: tensor
            for name, tensor in weights.items()
            if name.startswith("encoder.") or name == "codebook.vectors"
        }
        names = ("sampling_rate", "num_mel_bins", "window_length", "hop_length", "frame_stack")
        return weights_fingerprint(deciding, {name: getattr(self.config, name) for name in names})

    def log_mel(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is reconstructed: waveforms (B, S) -> log-mel float32 (B, N, M) and which frames are real, (B, N, 1)."""
        batch, samples = input_values.shape
        if attention_mask is None:
            lengths = torch.full((batch,), samples, device=input_values.device)
        else:
            lengths = attention_mask.sum(1)
        mel = self.front_end(input_values, lengths).unflatten(2, (self.config.frame_stack, -1)).flatten(1, 2)
        frames = -(-lengths // self.config.samples_per_frame) * self.config.frame_stack
        real = torch.arange(mel.shape[1], device=mel.device) < frames[:, None]
        return mel, real[..., None].to(mel)

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SpeechVqvaeOutput | tuple:
        """One step of training; in training mode the code book moves as well.

        Args:
            input_values: float (B, S) at `config.sampling_rate`.
            attention_mask: (B, S), 1 for samples and 0 for the padding on their right.
            return_dict: False for a tuple.

        Raises:
            ValueError: not (B, S), or in evaluation mode no code book yet.
        """
        if input_values.ndim != 2 or input_values.shape[1] == 0:
            raise ValueError(f"input_values has the shape {tuple(input_values.shape)}; (items, samples) is needed.")
        mel, real = self.log_mel(input_values, attention_mask)
        vectors = self.encoder(mel.to(self.dtype), real).float()  # (B, T, d)
        kept = real[:, :: self.config.frame_stack, 0] > 0  # (B, T)
        if self.training:
            self.codebook.learn(vectors[kept])
        self._check_codebook()
        codes = self.codebook.nearest(vectors.flatten(0, 1)).view(kept.shape)
        chosen = self.codebook.vectors.float()[codes]
        commitment = (vectors - chosen)[kept].square().mean()
        through = vectors + (chosen - vectors).detach()  # the decoder's gradient goes straight to the encoder
        drawn = self.decoder(through.to(self.dtype), real[:, :: self.config.frame_stack]).float()
        reconstruction = ((drawn - mel).abs() * real).sum() / (real.sum() * mel.shape[-1])
        share = torch.bincount(codes[kept], minlength=self.codebook_size) / kept.sum()
        output = SpeechVqvaeOutput(
            loss=reconstruction + self.config.commitment_weight * commitment,
            log_mel=drawn,
            codes=codes,
            reconstruction_loss=reconstruction.detach(),
            commitment_loss=commitment.detach(),
            perplexity=torch.special.entr(share).sum().exp(),
        )
        return output.to_tuple() if return_dict is False else output

    def encode(self, media: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Codes of each waveform, as `MediaTokenizer.encode` promises."""
        self._check_codebook()
        codes = []
        with torch.inference_mode():
            for index, waveform in enumerate(media):
                wave = self.check_waveform(waveform, f"item {index}")[None].to(self.device)
                mel, _ = self.log_mel(wave)
                codes.append(self.codebook.nearest(self.encoder(mel.to(self.dtype), None)[0]))
        return [
            item.cpu().clone() for item in codes
        ]  # cloned outside of inference mode, so that autograd accepts them

    def decode(self, codes: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The log-mel of each code sequence.

        Args:
            codes: int64 (T,) for each item, 0..K-1.

        Returns:
            float32 (N, M) each on the CPU, N = T `frame_stack` frames of `hop_length` samples: natural logarithms of mel energies
            without the mean of each band, divided by 3, as `log_mel` computes them.

        Raises:
            ValueError: no code book yet, an empty sequence, or a code outside 0..K-1.
        """
        self._check_codebook()
        drawn = []
        with torch.inference_mode():
            for index, item in enumerate(codes):
                item = torch.as_tensor(item)
                if item.ndim != 1 or not item.numel() or item.is_floating_point():
                    raise ValueError(
                        f"codes {index} are {item.dtype} {tuple(item.shape)}; whole numbers (codes,) are needed."
                    )
                if int(item.min()) < 0 or int(item.max()) >= self.codebook_size:
                    raise ValueError(
                        f"codes {index} run from {int(item.min())} to {int(item.max())}; this code book has 0 to "
                        f"{self.codebook_size - 1}."
                    )
                vectors = self.codebook.vectors[item.to(self.device, torch.long)][None]
                drawn.append(self.decoder(vectors.to(self.dtype), None)[0].float())
        return [item.cpu().clone() for item in drawn]

    def _check_codebook(self) -> None:
        if not self.codebook.is_set:
            raise ValueError("This tokenizer has no code book yet: train it with triglot.training.train_speech_vqvae.")


__all__ = ["MovingCodebook", "SpeechVqvae", "SpeechVqvaeOutput"]
