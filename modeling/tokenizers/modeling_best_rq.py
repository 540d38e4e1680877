"""BestRqEncoder: a small speech encoder, and BestRqForPreTraining, which trains it from sound alone.

Papers: BEST-RQ (arXiv 2202.01855), Google USM (arXiv 2303.01037, section 3.1), Conformer (arXiv 2005.08100).

    waveform (B, S) ─ log-mel (B, 4T, 80) ─ stack x4 (B, T, 320) ─ linear (B, T, D) ─ N layers ─ (B, T, D)

A frozen random projection and frozen random codebooks name each stacked frame (targets, (B, T, C)). Spans of the input
are replaced by noise, and the encoder predicts the names of what was there: no teacher and no k-means in the loop.
Where transcripts are at hand, some items are heard unmasked and a CTC head writes them down, as in the encoder behind
AudioPaLM's best tokens (arXiv 2306.12925, section 3.1).

Shapes: B items, S samples, T frames of 25 Hz, F = 320 stacked mel values, D width, C codebooks, V entries of each,
L characters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

from .configuration_best_rq import BestRqConfig
from .mel_energies import log_mel_energies, mel_bank

DYNAMIC_RANGE = 13.8  # nats = 60 dB; what lies further below the loudest mel value is raised to it
LOG_MEL_DEVIATION = 3.0  # nats; typical deviation of a speech log-mel around its mean
CTC_STEPS = 2  # of CTC a frame: fast speech has more than 25 characters and blanks a second


@dataclass
class BestRqOutput(ModelOutput):
    """Result of pretraining: `loss` (), `logits` (B, T, C, V), `labels` (B, T, C), `masked` bool (B, T).

    `ctc_logits` (B, 2T, 1 + characters), index 0 the blank, where transcripts were given.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    masked: torch.Tensor | None = None
    ctc_logits: torch.Tensor | None = None


class BestRqFrontEnd(nn.Module):
    """Waveform (B, S) -> normalised, stacked log-mel (B, T, F), always in float32.

    Each mel bin has its mean over the utterance subtracted and is divided by a fixed constant. The mean is taken per
    utterance so that neither the gain nor the colour of a microphone changes the codes; the scale is fixed so that the
    noise of a quiet recording is not blown up to the size of speech. Both depend on real frames only, never on padding.
    """

    mel_filters: torch.Tensor

    def __init__(self, config: BestRqConfig):
        super().__init__()
        self.config = config
        # non-persistent: it follows from the config, so a checkpoint need not carry it
        self.register_buffer("mel_filters", self.compute_mel_filters(), persistent=False)

    def compute_mel_filters(self) -> torch.Tensor:
        """The mel bank, float32 (window_length // 2 + 1, num_mel_bins)."""
        return mel_bank(self.config)

    def forward(self, input_values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Args: waveforms (B, S) and their lengths in samples (B,). Returns (B, T, F), zero past an item's last frame."""
        config = self.config
        with torch.autocast(device_type=input_values.device.type, enabled=False):
            wave = input_values.float()
            samples = torch.arange(wave.shape[1], device=wave.device)
            wave = wave.masked_fill(samples >= lengths[:, None], 0.0)  # (B, S)
            log_mel = log_mel_energies(wave, self.mel_filters, config, config.samples_per_frame)  # (B, 4T, 80)
            mel_frames = -(-lengths // config.samples_per_frame) * config.frame_stack
            real = torch.arange(log_mel.shape[1], device=wave.device) < mel_frames[:, None]
            real = real[..., None]  # (B, 4T, 1)
            loudest = log_mel.masked_fill(~real, float("-inf")).amax(dim=(1, 2), keepdim=True)
            log_mel = torch.maximum(log_mel, loudest - DYNAMIC_RANGE)
            mean = (log_mel * real).sum(1, keepdim=True) / mel_frames[:, None, None]
            log_mel = (log_mel - mean) * real / LOG_MEL_DEVIATION
        return log_mel.unflatten(1, (-1, config.frame_stack)).flatten(2)


class BestRqAttention(nn.Module):
    """Self-attention with rotary positions, (B, T, D) -> (B, T, D)."""

    def __init__(self, config: BestRqConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout = config.attention_dropout
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor, rotary: torch.Tensor, frame_mask: torch.Tensor | None) -> torch.Tensor:
        qkv = self.qkv_proj(hidden).unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, heads, D/heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D/heads)
        attended = F.scaled_dot_product_attention(
            rotate(query, rotary),
            rotate(key, rotary),
            value,
            attn_mask=None if frame_mask is None else frame_mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class BestRqConvolution(nn.Module):
    """Conformer's convolution module, (B, T, D) -> (B, T, D).

    It has a layer norm where the paper has a batch norm, so that an item's result does not depend on its batch.
    """

    def __init__(self, config: BestRqConfig):
        super().__init__()
        width = config.hidden_size
        self.pointwise_in = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(
            width, width, config.conv_kernel_size, padding=config.conv_kernel_size // 2, groups=width
        )
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.pointwise_out = nn.Linear(width, width)

    def forward(self, hidden: torch.Tensor, frame_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = F.glu(self.pointwise_in(hidden), dim=-1)
        if frame_mask is not None:  # beyond the last frame the kernel must see zeros, as at the end of a single item
            hidden = hidden.masked_fill(~frame_mask[..., None], 0.0)
        hidden = self.depthwise(hidden.transpose(1, 2)).transpose(1, 2)
        return self.pointwise_out(F.silu(self.norm(hidden)))


class BestRqLayer(nn.Module):
    """One pre-norm layer: attention, convolution, feed-forward, each added to the stream (B, T, D)."""

    def __init__(self, config: BestRqConfig):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = BestRqAttention(config)
        self.convolution_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.convolution = BestRqConvolution(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward_in = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation: Callable = ACT2FN[config.hidden_act]
        self.feed_forward_out = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden: torch.Tensor, rotary: torch.Tensor, frame_mask: torch.Tensor | None) -> torch.Tensor:
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), rotary, frame_mask))
        hidden = hidden + self.dropout(self.convolution(self.convolution_norm(hidden), frame_mask))
        inner = self.activation(self.feed_forward_in(self.feed_forward_norm(hidden)))
        return hidden + self.dropout(self.feed_forward_out(inner))


class BestRqPreTrainedModel(PreTrainedModel):
    """What the encoder and its pretraining model share."""

    config: BestRqConfig
    config_class = BestRqConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    input_modalities = "audio"
    _no_split_modules = ["BestRqLayer"]  # the type that transformers declares
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, BestRqFrontEnd):
            init.copy_(module.mel_filters, module.compute_mel_filters())
        elif isinstance(module, BestRqQuantizer):
            init.xavier_uniform_(module.projection)
            init.normal_(module.codebooks)


class BestRqEncoder(BestRqPreTrainedModel):
    """Speech encoder: waveforms (B, S) -> hidden states (B, T, D) at 25 Hz, T = ceil(S / 640).

    `hidden_states[0]` is the input of the first layer, `hidden_states[i]` the output of layer i. There is no final
    norm, so the last of them is `last_hidden_state`.
    """

    _auto_class = "AutoModel"

    def __init__(self, config: BestRqConfig):
        super().__init__(config)
        self.front_end = BestRqFrontEnd(config)
        self.input_proj = nn.Linear(config.num_mel_bins * config.frame_stack, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(BestRqLayer(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple:
        """Encodes waveforms.

        Args:
            input_values: float (B, S) at `config.sampling_rate`, full scale = 1.
            attention_mask: (B, S), 1 for samples and 0 for the padding on their right; None where nothing is padded.
            output_hidden_states: Whether to return all N+1 hidden states.
            return_dict: False for a tuple.

        Returns:
            `last_hidden_state` (B, T, D). Frames past the end of a padded item hold no meaning: see `frame_mask`.

        Raises:
            ValueError: not (B, S), an empty item, or padding that is not on the right.
        """
        features, frame_mask = self.extract_features(input_values, attention_mask)
        return self.encode_features(features, frame_mask, output_hidden_states, return_dict)

    def extract_features(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The front end alone: float32 (B, T, F) and the frame mask bool (B, T), None where nothing is padded."""
        if input_values.ndim != 2 or input_values.shape[1] == 0:
            raise ValueError(f"input_values has the shape {tuple(input_values.shape)}; (items, samples) is needed.")
        batch, samples = input_values.shape
        if attention_mask is None:
            lengths = torch.full((batch,), samples, device=input_values.device)
            return self.front_end(input_values, lengths), None
        if attention_mask.shape != input_values.shape:
            raise ValueError(
                f"attention_mask has the shape {tuple(attention_mask.shape)}; that of input_values is "
                f"{tuple(input_values.shape)}, and both must agree."
            )
        mask = attention_mask.bool()
        if bool((mask[:, 1:] & ~mask[:, :-1]).any()) or not bool(mask[:, 0].all()):
            raise ValueError(
                "attention_mask must be ones followed by zeros, with a one in each item: pad on the right."
            )
        lengths = mask.sum(1)
        features = self.front_end(input_values, lengths)
        frames = torch.arange(features.shape[1], device=features.device)
        return features, frames < self.frame_lengths(lengths)[:, None]

    def encode_features(
        self,
        features: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple:
        """The layers alone: stacked log-mel (B, T, F) and the frame mask bool (B, T) -> hidden states (B, T, D)."""
        if output_hidden_states is None:
            output_hidden_states = bool(self.config.output_hidden_states)
        hidden = self.dropout(self.input_proj(features.to(self.input_proj.weight.dtype)))
        rotary = rotary_angles(self.config, hidden.shape[1], hidden.device)
        states = [hidden]
        for layer in self.layers:
            hidden = layer(hidden, rotary, frame_mask)
            states.append(hidden)
        output = BaseModelOutput(
            last_hidden_state=hidden, hidden_states=tuple(states) if output_hidden_states else None
        )
        return output.to_tuple() if return_dict is False else output

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Samples of each item (B,) -> frames of each item (B,); a last incomplete frame counts."""
        return -(-lengths // self.config.samples_per_frame)


class BestRqQuantizer(nn.Module):
    """The frozen random names of sound: stacked log-mel (B, T, F) -> int64 (B, T, C)."""

    projection: torch.Tensor
    codebooks: torch.Tensor

    def __init__(self, config: BestRqConfig):
        super().__init__()
        features = config.num_mel_bins * config.frame_stack
        self.register_buffer("projection", torch.empty(features, config.codebook_dim))
        self.register_buffer("codebooks", torch.empty(config.num_codebooks, config.codebook_size, config.codebook_dim))

    @torch.no_grad()
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The nearest entry of each codebook, both sides scaled to length 1 (arXiv 2202.01855, equation 1)."""
        with torch.autocast(device_type=features.device.type, enabled=False):
            projected = features.float() @ self.projection.float()  # (B, T, dim)
            codebooks = F.normalize(self.codebooks.float(), dim=-1)
            # of vectors of length 1 the nearest is the one with the largest inner product; the length of
            # `projected` scales all inner products alike
            return torch.einsum("btd,cvd->btcv", projected, codebooks).argmax(-1)


class BestRqForPreTraining(BestRqPreTrainedModel):
    """BEST-RQ pretraining: spans of the input become noise, and their random names are predicted.

    The masks are drawn from torch's global generator, so a run repeats under `torch.manual_seed`.
    """

    _auto_class = "AutoModelForPreTraining"

    def __init__(self, config: BestRqConfig):
        super().__init__(config)
        self.encoder = BestRqEncoder(config)
        self.quantizer = BestRqQuantizer(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.heads = nn.Linear(config.hidden_size, config.num_codebooks * config.codebook_size)
        if config.ctc_characters:
            self.ctc_head = nn.Linear(config.hidden_size, CTC_STEPS * (1 + len(config.ctc_characters)))
        self.post_init()

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        transcripts: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> BestRqOutput | tuple:
        """One step of pretraining.

        Args:
            input_values: float (B, S) at `config.sampling_rate`.
            attention_mask: (B, S), 1 for samples and 0 for the padding on their right.
            transcripts: int64 (B, L), 1 + the place in `config.ctc_characters` of each character and -100 after the
                last; an item of -100 alone has none, e.g. since its sound was cropped.
            return_dict: False for a tuple.

        Returns:
            The loss is the mean cross-entropy over the masked real frames and all codebooks, plus `ctc_weight` times the
            mean CTC loss a character over the items that were heard unmasked.

        Raises:
            ValueError: not (B, S), an empty item, padding that is not on the right, or transcripts without a CTC head.
        """
        features, frame_mask = self.encoder.extract_features(input_values, attention_mask)
        labels = self.quantizer(features)  # (B, T, C), of the clean input
        masked = self.draw_mask(features, frame_mask)
        if transcripts is not None:
            written = self.draw_written(transcripts)
            masked = masked & ~written[:, None]
        noise = torch.randn_like(features) * self.config.mask_noise_std
        noisy = torch.where(masked[..., None], noise, features)
        hidden = self.norm(self.encoder.encode_features(noisy, frame_mask, return_dict=True)[0])
        logits = self.heads(hidden).unflatten(-1, (self.config.num_codebooks, -1))  # (B, T, C, V)
        # sums, not means: there may be no masked frame at all, and a mean over nothing is NaN
        terms = labels[masked].numel()
        loss = F.cross_entropy(logits[masked].flatten(0, 1).float(), labels[masked].flatten(), reduction="sum")
        loss = loss / max(terms, 1)
        ctc_logits = None
        if transcripts is not None:
            ctc_logits = self.ctc_head(hidden).unflatten(-1, (CTC_STEPS, -1)).flatten(1, 2)
            loss = loss + self.config.ctc_weight * self.ctc_loss(ctc_logits, transcripts, written, frame_mask)
        output = BestRqOutput(loss=loss, logits=logits, labels=labels, masked=masked, ctc_logits=ctc_logits)
        return output.to_tuple() if return_dict is False else output

    def draw_written(self, transcripts: torch.Tensor) -> torch.Tensor:
        """Which items are heard unmasked and written down: transcripts (B, L) -> bool (B,)."""
        if not self.config.ctc_characters:
            raise ValueError(
                "transcripts are given, but there is no CTC head: set ctc_characters in the config before building."
            )
        drawn = torch.rand(len(transcripts), device=transcripts.device) < self.config.ctc_share
        return drawn & (transcripts >= 0).any(1)

    def ctc_loss(
        self,
        ctc_logits: torch.Tensor,
        transcripts: torch.Tensor,
        written: torch.Tensor,
        frame_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """CTC loss a character, mean over the `written` items: logits (B, 2T, 1 + characters) -> (); 0 for none."""
        if not bool(written.any()):
            return ctc_logits.sum() * 0.0
        batch, steps = ctc_logits.shape[:2]
        frames = torch.full((batch,), steps, device=ctc_logits.device)
        if frame_mask is not None:
            frames = CTC_STEPS * frame_mask.sum(1)
        with torch.autocast(device_type=ctc_logits.device.type, enabled=False):
            return F.ctc_loss(
                ctc_logits[written].float().log_softmax(-1).transpose(0, 1),
                transcripts[written].clamp(min=0),
                frames[written],
                (transcripts[written] >= 0).sum(1),
                zero_infinity=True,  # an utterance spoken faster than the steps allow teaches nothing
            )

    def draw_mask(self, features: torch.Tensor, frame_mask: torch.Tensor | None) -> torch.Tensor:
        """Random spans of `mask_span` frames, at least one in each item: (B, T, F) -> bool (B, T)."""
        batch, frames = features.shape[:2]
        device = features.device
        starts = torch.rand(batch, frames, device=device) < self.config.mask_probability
        lengths = torch.full((batch,), frames, device=device) if frame_mask is None else frame_mask.sum(1)
        # one span for certain, so that short items add to the loss and the mean is never over nothing
        certain = (torch.rand(batch, device=device) * lengths).long().clamp(max=frames - 1)
        starts[torch.arange(batch, device=device), certain] = True
        spread = F.pad(starts[:, None].float(), (self.config.mask_span - 1, 0))  # (B, 1, T + span - 1)
        masked = F.max_pool1d(spread, self.config.mask_span, stride=1)[:, 0] > 0
        return masked if frame_mask is None else masked & frame_mask


def rotary_angles(config: BestRqConfig, frames: int, device: torch.device) -> torch.Tensor:
    """Angle of each frame and each pair of a head's dimensions, float32 (T, D / heads / 2)."""
    half = config.hidden_size // config.num_attention_heads // 2
    frequencies = config.rotary_base ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    return torch.arange(frames, device=device, dtype=torch.float32)[:, None] * frequencies


def rotate(vectors: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turns the pairs (i, i + half) of (B, heads, T, D / heads) by `angles` (T, half)."""
    first, second = vectors.float().chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(vectors.dtype)
