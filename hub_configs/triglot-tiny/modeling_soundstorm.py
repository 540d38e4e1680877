"""SoundStorm (arXiv 2305.09636): speech codes + a voice prompt -> the RVQ codes of a codec, all frames of a level at once.

    codes (B, T) ─ RateAligner ─ embeddings of the codes heard in a frame ┐
    frames (B, Q, N), partly masked ─ sum of the levels' embeddings       ┴─ + ─ conformer ─ head of a level ─▶ (B, N, K)

Training (section 3.2): frames before a random cut are a prompt; of a random level a share of the frames behind the cut is hidden, and
all of the finer levels; the hidden codes of that level are to be told. Decoding (section 3.3): the first level in `iterations`
passes, each keeping the codes drawn with the most confidence (MaskGIT, arXiv 2202.04200); each finer level in one greedy pass.

Shapes: B items, T codes, N frames, Q levels of K entries (index K: hidden), C codes a frame hears, D width.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers.utils import ModelOutput

from .codec_token_decoder import CodecTokenDecoder, gumbel
from .configuration_soundstorm import SoundStormConfig
from .conformer import Conformer


@dataclass
class SoundStormOutput(ModelOutput):
    """What `SoundStorm.forward` returns.

    Args:
        loss: Cross entropy of the hidden codes of the levels in question, nats, and `finer_weight` times that of the finer ones.
        accuracy: Share of them that the likeliest code is right. Detached.
        first_accuracy: The same for the first level alone; NaN where no item asked for it. Detached.
    """

    loss: torch.Tensor | None = None
    accuracy: torch.Tensor | None = None
    first_accuracy: torch.Tensor | None = None


class SoundStorm(CodecTokenDecoder):
    """Codes and a voice prompt -> speech, in `iterations` + Q - 1 passes whatever the length.

    Example:
        >>> config = {"codec_config": {"model_type": "dac", "sampling_rate": 16_000}, "sampling_rate": 16_000}
        >>> model = SoundStorm(SoundStormConfig(**config, hop_length=512, level_size=1024, frame_rate=31.25))
        >>> [wave] = model.decode([torch.tensor([5, 5, 17])])
        >>> wave.shape
        torch.Size([1536])
    """

    config: SoundStormConfig
    config_class = SoundStormConfig
    base_model_prefix = "soundstorm"
    _auto_class = "AutoModel"

    def __init__(self, config: SoundStormConfig):
        super().__init__(config)
        width, entries = config.hidden_size, config.level_size
        self.semantic = nn.Embedding(self.aligner.slots * (config.codebook_size + 1), width)
        self.acoustic = nn.Embedding(config.levels * (entries + 1), width)
        self.conformer = Conformer(config)
        self.heads = nn.ModuleList(nn.Linear(width, entries) for _ in range(config.levels))
        self.post_init()

    @property
    def hidden_code(self) -> int:
        """The index that stands for a code that is not known: K."""
        return self.config.level_size

    def code_tables(self) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
        """See `CodecTokenDecoder.code_tables`: a table for each slot, and an embedding and a head for each level."""
        codes, entries = self.config.codebook_size, self.config.level_size
        semantic = list(self.semantic.weight.view(self.aligner.slots, codes + 1, -1)[:, :codes])
        acoustic = self.acoustic.weight.view(self.config.levels, entries + 1, -1)[:, :entries]
        return semantic, [[rows, head.weight] for rows, head in zip(acoustic, self.heads)]

    # ---- one pass

    def embed_semantic(self, semantic: torch.Tensor) -> torch.Tensor:
        """Codes (B, T) -> (B, N, D): the sum over the codes that a frame hears, each slot with a table of its own."""
        return self.semantic(self.heard_codes(semantic)).sum(2)

    def embed_acoustic(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (B, Q, N) with hidden codes -> (B, N, D): the sum over levels."""
        offsets = torch.arange(self.config.levels, device=frames.device)[:, None] * (self.config.level_size + 1)
        return self.acoustic(frames + offsets).sum(1)

    def forward(
        self,
        semantic: torch.Tensor,
        acoustic: torch.Tensor,
        lengths: torch.Tensor | None = None,
        levels: torch.Tensor | None = None,
        hidden: torch.Tensor | None = None,
        cuts: torch.Tensor | None = None,
    ) -> SoundStormOutput:
        """One training step.

        Args:
            semantic: int64 (B, T); anything where padded.
            acoustic: int64 (B, Q, N), N = `aligner.frames(T)`; likewise.
            lengths: int64 (B,), frames of each item; None for N.
            levels: int64 (B,), the level asked for; drawn when None.
            hidden: bool (B, N), which of its codes are hidden; drawn when None.
            cuts: int64 (B,), from which frame on the finer levels are hidden; drawn together with `hidden`, else the first hidden
                frame when None.
        """
        config, (batch, _, frames) = self.config, acoustic.shape
        self.check_batch(semantic, acoustic)
        place = torch.arange(frames, device=acoustic.device)
        real = None if lengths is None else place < lengths[:, None]
        if levels is None:
            levels = self._draw_levels(batch, acoustic.device)
        if hidden is None:
            hidden, cuts = self._draw_hidden(lengths, batch, frames, acoustic.device)
        if cuts is None:
            cuts = torch.where(hidden.any(1), hidden.int().argmax(1), frames)
        finer = torch.arange(config.levels, device=acoustic.device) > levels[:, None]
        asked = torch.arange(config.levels, device=acoustic.device) == levels[:, None]
        masked = finer[..., None] & (place >= cuts[:, None])[:, None] | asked[..., None] & hidden[:, None]
        known = acoustic.masked_fill(masked, self.hidden_code)
        if real is not None:
            hidden = hidden & real
            known = known.masked_fill(~real[:, None], self.hidden_code)
            semantic = semantic.clamp(0, config.codebook_size - 1)
            masked = masked & real[:, None]
        states = self.conformer(self.embed_semantic(semantic) + self.embed_acoustic(known), real)
        output = self._loss(states, acoustic, levels, hidden)
        if config.finer_weight:
            assert output.loss is not None
            finer_loss = self._finer_loss(states, acoustic, finer[..., None] & masked)
            output.loss = output.loss + config.finer_weight * finer_loss
        return output

    def _draw_levels(self, batch: int, device: torch.device) -> torch.Tensor:
        """Levels (B,): the first for `first_share` of the items, any other alike for the rest."""
        config = self.config
        if config.first_share is None or config.levels == 1:
            return torch.randint(config.levels, (batch,), device=device)
        finer = torch.randint(1, config.levels, (batch,), device=device)
        return finer.masked_fill(torch.rand(batch, device=device) < config.first_share, 0)

    def _draw_hidden(
        self, lengths: torch.Tensor | None, batch: int, frames: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cuts (B,) ~ U{0..length-1} and bool (B, N): behind them a share cos(u), u ~ U[0, pi/2], of the frames, at least one."""
        ends = torch.full((batch,), frames, device=device) if lengths is None else lengths
        cuts = (torch.rand(batch, device=device) * ends).long().clamp(max=frames - 1)
        share = torch.cos(torch.rand(batch, device=device) * math.pi / 2)
        place = torch.arange(frames, device=device)
        open_frames = (place >= cuts[:, None]) & (place < ends[:, None])
        count = (share * open_frames.sum(1)).ceil().long().clamp(min=1)
        order = torch.rand(batch, frames, device=device).masked_fill(~open_frames, 2.0).argsort(1).argsort(1)
        return (order < count[:, None]) & open_frames, cuts

    def _loss(
        self, states: torch.Tensor, acoustic: torch.Tensor, levels: torch.Tensor, hidden: torch.Tensor
    ) -> SoundStormOutput:
        losses, right, first = [], [], torch.full((), torch.nan)
        for level in levels.unique().tolist():
            rows = levels == level
            chosen = hidden[rows]
            logits = self.heads[level](states[rows][chosen]).float()
            wanted = acoustic[rows, level][chosen]
            losses.append(F.cross_entropy(logits, wanted, reduction="none"))
            right.append(logits.detach().argmax(-1) == wanted)
            if level == 0:
                first = right[-1].float().mean()
        return SoundStormOutput(
            loss=torch.cat(losses).mean(), accuracy=torch.cat(right).float().mean(), first_accuracy=first
        )

    def _finer_loss(self, states: torch.Tensor, acoustic: torch.Tensor, guessed: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy of the codes `guessed`, bool (B, Q, N); 0 where there are none."""
        losses = [states.new_zeros(0, dtype=torch.float32)]
        for level, head in enumerate(self.heads):
            chosen = guessed[:, level]
            logits = head(states[chosen]).float()
            losses.append(F.cross_entropy(logits, acoustic[:, level][chosen], reduction="none"))
        found = torch.cat(losses)
        return found.sum() / max(1, len(found))

    # ---- decoding

    def complete(self, semantic: torch.Tensor, known: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Level by level, see `CodecTokenDecoder.complete`."""
        config, given = self.config, known.shape[1]
        frames = self.aligner.frames(len(semantic))
        codes = torch.full((config.levels, frames), self.hidden_code, device=known.device)
        codes[:, :given] = known
        if given == frames:
            return codes
        seen = (self.embed_semantic(semantic[None]) + self.embed_acoustic(codes[None]))[0]
        tables = self.acoustic.weight.view(config.levels, config.level_size + 1, -1)
        for level in range(config.levels):
            passes = config.iterations if level == 0 else 1
            for step in range(passes):
                hidden = (codes[level] == self.hidden_code).nonzero()[:, 0]
                states = self.conformer(seen[None])[0, hidden]
                logits = self.check_logits(self.heads[level](states).float())
                if passes == 1:
                    self._tell(codes[level], seen, hidden, logits.argmax(-1), tables[level])
                    continue
                left = math.floor((frames - given) * math.cos(math.pi / 2 * (step + 1) / passes))
                drawn, confidence = self._draw(logits, 1 - (step + 1) / passes, generator)
                kept = confidence.topk(max(1, len(hidden) - left)).indices if left else slice(None)
                self._tell(codes[level], seen, hidden[kept], drawn[kept], tables[level])
                if left == 0 or len(hidden) == 1:  # fewer frames than passes
                    break
        return codes

    def _tell(
        self,
        codes: torch.Tensor,
        seen: torch.Tensor,
        places: torch.Tensor,
        told: torch.Tensor,
        table: torch.Tensor,
    ) -> None:
        """Writes codes that were hidden into a level (N,), and into the sum of embeddings (N, D)."""
        codes[places] = told
        seen[places] += table[told] - table[self.hidden_code]

    def _draw(
        self, logits: torch.Tensor, remaining: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes drawn from (n, K) and how sure they are, with noise that fades with the `remaining` share of the passes."""
        temperature = self.config.temperature
        probabilities = (logits / (temperature or 1.0)).softmax(-1)
        if temperature:  # where the sum from the left passes a number drawn from 0 to 1: one draw a frame
            sums = probabilities.cumsum(-1)
            points = torch.rand((len(logits), 1), generator=generator, device="cpu").to(sums.device) * sums[:, -1:]
            drawn = torch.searchsorted(sums, points, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
        else:
            drawn = probabilities.argmax(-1)
        confidence = probabilities.gather(-1, drawn[:, None])[:, 0].log()
        if self.config.choice_temperature:
            noise = gumbel((len(logits),), generator).to(confidence.device)
            confidence = confidence + self.config.choice_temperature * remaining * noise
        return drawn, confidence


__all__ = ["SoundStorm", "SoundStormOutput"]
