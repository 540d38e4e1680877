"""AudioLM's acoustic stages (arXiv 2209.03143, sections 3.3 and 3.4): speech codes + a voice prompt -> RVQ codes, one by one.

    coarse   codes (T,), start, first Q' levels frame by frame (N Q',)                 ─ causal transformer ─▶ the next code
    fine     first Q' levels (n Q',), start, the other levels (n (Q - Q'),), n frames of `fine_seconds` ─▶ the next code

Each stage is a Llama with a key-value cache; a code is drawn from its level's head alone. Other than in the paper, positions are
times: a code's is that of its frame and level, whichever stream it is in; and beside the code before it, each step reads what is
given of its own frame, which would else have to be found by attention. Bark's semantic, coarse and fine models are these stages with
a text model in front.

Shapes: B items, T codes, N frames, Q levels of K entries, Q' coarse ones, L ids of a stage, C given codes of a frame, D width.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, LlamaConfig, LlamaModel
from transformers.utils import ModelOutput

from .codec_token_decoder import CodecTokenDecoder, gumbel
from .configuration_audiolm import AudioLmConfig

IGNORE = -100  # label of ids that are given and not asked for


@dataclass
class AudioLmOutput(ModelOutput):
    """What `AudioLm.forward` returns.

    Args:
        loss: Sum of the two stages' cross entropies, nats a code.
        coarse_loss, fine_loss: Of each; 0 for the fine stage where there are no fine levels. Detached.
        coarse_accuracy: Share of coarse codes that are the likeliest. Detached.
    """

    loss: torch.Tensor | None = None
    coarse_loss: torch.Tensor | None = None
    fine_loss: torch.Tensor | None = None
    coarse_accuracy: torch.Tensor | None = None


class Stream(NamedTuple):
    """What a stage reads.

    Attributes:
        ids: (L,), the given stream, the start and the codes that are written.
        positions: (L,), of each.
        given: How many ids are given: the given stream and the start.
        beside: (N, C), of each frame that is or will be written what is given of it, as rows of the stage's `beside`.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    given: int
    beside: torch.Tensor


class AudioLmStage(nn.Module):
    """A causal transformer over a given stream, a start, and a written stream.

    Args:
        config: Of the model.
        given: Different ids of the given stream.
        beside: Different codes that are given of a frame, each slot's counted apart.
        levels: The levels that are written, as a range.
    """

    def __init__(self, config: AudioLmConfig, given: int, beside: int, levels: range):
        super().__init__()
        self.given, self.levels, self.entries = given, levels, config.level_size
        self.beside = nn.Embedding(beside, config.hidden_size)
        body = LlamaConfig(
            vocab_size=given + 1 + len(levels) * config.level_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            rope_theta=config.rope_theta,
            attention_dropout=config.dropout,
            max_position_embeddings=1 << 20,
            initializer_range=config.initializer_range,
            pad_token_id=None,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.body = LlamaModel(body)
        self.heads = nn.ModuleList(nn.Linear(config.hidden_size, config.level_size, bias=False) for _ in levels)

    @property
    def start(self) -> int:
        """The id between the streams."""
        return self.given

    def tables(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows (entries, D) that read and that write the level at `place` of `levels`."""
        first, head = self.start + 1 + place * self.entries, self.heads[place]
        assert isinstance(head, nn.Linear)
        return self.body.embed_tokens.weight[first : first + self.entries], head.weight

    def written_ids(self, frames: torch.Tensor) -> torch.Tensor:
        """Codes (len(levels), N) -> ids (N len(levels),), frame by frame."""
        offsets = torch.arange(len(self.levels), device=frames.device)[:, None] * self.entries
        return (frames + offsets + self.start + 1).T.flatten()

    def embed(self, stream: Stream) -> torch.Tensor:
        """(L, D): each id, and from the start on what is given of the frame of the code that follows it."""
        states, frames = self.body.embed_tokens(stream.ids), self.beside(stream.beside).sum(1)
        following = torch.arange(len(stream.ids) - stream.given + 1, device=states.device) // len(self.levels)
        told = frames[following.clamp(max=len(frames) - 1)]  # after the last code of all, nothing follows
        return torch.cat([states[: stream.given - 1], states[stream.given - 1 :] + told])

    def forward(
        self, embedded: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None = None, cache: Any = None
    ) -> torch.Tensor:
        """embedded (B, L, D), positions (B, L) -> states (B, L, D)."""
        output = self.body(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def loss(self, states: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross entropy and accuracy; labels (B, L) are the id that follows each, `IGNORE` where it is given."""
        losses, right = [], []
        codes = labels - self.start - 1
        for place in range(len(self.levels)):
            chosen = (labels != IGNORE) & (codes // self.entries == place)
            logits = self.heads[place](states[chosen]).float()
            wanted = codes[chosen] % self.entries
            losses.append(F.cross_entropy(logits, wanted, reduction="none"))
            right.append(logits.detach().argmax(-1) == wanted)
        return torch.cat(losses).mean(), torch.cat(right).float().mean()


class AudioLm(CodecTokenDecoder):
    """Codes and a voice prompt -> speech, code by code.

    Example:
        >>> config = {"codec_config": {"model_type": "dac", "sampling_rate": 16_000}, "sampling_rate": 16_000}
        >>> model = AudioLm(AudioLmConfig(**config, hop_length=512, level_size=1024, frame_rate=31.25))
        >>> [wave] = model.decode([torch.tensor([5, 5, 17])])
        >>> wave.shape
        torch.Size([1536])
    """

    config: AudioLmConfig
    config_class = AudioLmConfig
    base_model_prefix = "audiolm"
    _auto_class = "AutoModel"

    def __init__(self, config: AudioLmConfig):
        super().__init__(config)
        coarse = config.coarse_levels
        heard = self.aligner.slots * (config.codebook_size + 1)
        self.coarse = AudioLmStage(config, config.codebook_size, heard, range(coarse))
        self.fine = None
        if coarse < config.levels:
            given = coarse * config.level_size
            self.fine = AudioLmStage(config, given, given, range(coarse, config.levels))
        self.post_init()

    def code_tables(self) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
        """See `CodecTokenDecoder.code_tables`: each stage reads and writes its own levels, and reads what is given twice."""
        codes, entries = self.config.codebook_size, self.config.level_size
        beside = self.coarse.beside.weight.view(self.aligner.slots, codes + 1, -1)[:, :codes]
        semantic = [self.coarse.body.embed_tokens.weight[:codes], *beside]
        acoustic = [list(self.coarse.tables(place)) for place in range(self.config.coarse_levels)]
        if self.fine is not None:
            for table in (self.fine.body.embed_tokens.weight[: self.fine.given], self.fine.beside.weight):
                for rows, more in zip(acoustic, table.view(self.config.coarse_levels, entries, -1)):
                    rows.append(more)
            acoustic += [list(self.fine.tables(place)) for place in range(len(self.fine.levels))]
        return semantic, acoustic

    # ---- streams

    def _times(self, frames: torch.Tensor, levels: range) -> torch.Tensor:
        """Positions (n len(levels),) of the codes of these levels in the frames (n,)."""
        places = torch.arange(levels.start, levels.stop, device=frames.device)
        return (frames[:, None] * self.config.levels + places).flatten()

    def _coarse_stream(self, semantic: torch.Tensor, frames: torch.Tensor) -> Stream:
        """Of codes (T,) and the frames (Q', n) that are there already."""
        stage, device = self.coarse, semantic.device
        starts = torch.arange(len(semantic), device=device) * self.aligner.block_frames // self.aligner.block_codes
        place = torch.arange(frames.shape[1], device=device)
        ids = [semantic, torch.tensor([stage.start], device=device), stage.written_ids(frames)]
        # the start stands before the first frame
        positions = [starts * self.config.levels, torch.tensor([0], device=device), self._times(place, stage.levels)]
        return Stream(torch.cat(ids), torch.cat(positions), len(semantic) + 1, self.heard_codes(semantic[None])[0])

    def _fine_stream(self, frames: torch.Tensor, known: int) -> Stream:
        """Of frames (Q, n), of whose fine levels the first `known` are there."""
        stage, device, coarse = self.fine, frames.device, self.config.coarse_levels
        assert stage is not None
        offsets = torch.arange(coarse, device=device)[:, None] * self.config.level_size
        place = torch.arange(frames.shape[1], device=device)
        beside = (frames[:coarse] + offsets).T
        given = beside.flatten()
        ids = [given, torch.tensor([stage.start], device=device), stage.written_ids(frames[coarse:, :known])]
        positions = [
            self._times(place, range(coarse)),
            torch.tensor([0], device=device),
            self._times(place[:known], stage.levels),
        ]
        return Stream(torch.cat(ids), torch.cat(positions), len(given) + 1, beside)

    # ---- training

    def forward(
        self, semantic: torch.Tensor, acoustic: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> AudioLmOutput:
        """One training step of both stages; the fine one sees a random window of each item.

        Args:
            semantic: int64 (B, T); anything where padded.
            acoustic: int64 (B, Q, N), N = `aligner.frames(T)`; likewise.
            lengths: int64 (B,), frames of each item; None for N.
        """
        config, (batch, _, frames) = self.config, acoustic.shape
        self.check_batch(semantic, acoustic)
        ends = [frames] * batch if lengths is None else lengths.tolist()
        window = self._fine_window()
        coarse: list[Stream] = []
        fine: list[Stream] = []
        for row, end in enumerate(ends):
            codes = semantic[row, : min(semantic.shape[1], self.aligner.codes(end))]
            coarse.append(self._coarse_stream(codes, acoustic[row, : config.coarse_levels, :end]))
            begin = int(torch.randint(max(1, end - window + 1), ()))
            piece = acoustic[row, :, begin : min(end, begin + window)]
            if self.fine is not None:
                fine.append(self._fine_stream(piece, piece.shape[1]))
        coarse_loss, accuracy = self._stage_loss(self.coarse, coarse)
        loss, fine_loss = coarse_loss, torch.zeros(())
        if self.fine is not None:
            fine_loss, _ = self._stage_loss(self.fine, fine)
            loss = coarse_loss + fine_loss
        return AudioLmOutput(
            loss=loss, coarse_loss=coarse_loss.detach(), fine_loss=fine_loss.detach(), coarse_accuracy=accuracy
        )

    @staticmethod
    def _stage_loss(stage: AudioLmStage, streams: list[Stream]) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = torch.tensor([len(stream.ids) for stream in streams], device=streams[0].ids.device)
        embedded = pad_sequence([stage.embed(stream) for stream in streams], batch_first=True)
        positions = pad_sequence([stream.positions for stream in streams], batch_first=True)
        place = torch.arange(positions.shape[1], device=lengths.device)
        labels = torch.full_like(positions, IGNORE)
        for row, stream in enumerate(streams):
            labels[row, stream.given - 1 : len(stream.ids) - 1] = stream.ids[stream.given :]
        # the mask is given even where nothing is padded: without it positions that do not count up mean packed sequences
        mask = (place < lengths[:, None]).long()
        return stage.loss(stage(embedded, positions, mask), labels)

    def _fine_window(self) -> int:
        """Frames of `fine_seconds`."""
        return max(1, round(self.config.fine_seconds * self.codec.frame_rate))

    # ---- decoding

    def complete(self, semantic: torch.Tensor, known: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The coarse levels of all frames, then the others window by window; see `CodecTokenDecoder.complete`."""
        config, given = self.config, known.shape[1]
        frames, coarse = self.aligner.frames(len(semantic)), config.coarse_levels
        codes = known.new_zeros(config.levels, frames)
        codes[:, :given] = known
        stream = self._coarse_stream(semantic, known[:coarse])
        codes[:coarse, given:] = self._write(self.coarse, stream, frames - given, given, config.temperature, generator)
        if self.fine is None:
            return codes
        window = self._fine_window()
        done = given
        while done < frames:
            # a third was written before, so that no window begins without knowing how the last one ended
            first = max(0, min(done - window // 3, frames - window))
            end = min(frames, first + window)
            stream = self._fine_stream(codes[:, first:end], done - first)
            codes[coarse:, done:end] = self._write(
                self.fine, stream, end - done, done - first, config.fine_temperature, generator
            )
            done = end
        return codes

    def _write(
        self,
        stage: AudioLmStage,
        stream: Stream,
        frames: int,
        first: int,
        temperature: float,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Codes (levels of the stage, `frames`) that follow a stream; the first of them belongs to frame `first`."""
        device = stream.ids.device
        cache, levels = DynamicCache(), len(stage.levels)
        times = self._times(torch.arange(first, first + frames, device=device), stage.levels)
        told = stage.beside(stream.beside[first : first + frames]).sum(1)
        states = stage(stage.embed(stream)[None], stream.positions[None], torch.ones_like(stream.ids)[None], cache)[
            :, -1
        ]
        noise = gumbel((frames * levels, stage.entries), generator).to(device) if temperature else None
        written = stream.ids.new_zeros(frames * levels)
        for step in range(frames * levels):
            place = step % levels
            logits = stage.heads[place](states).float()[0]
            if step < levels:  # broken weights show at once
                self.check_logits(logits)
            if noise is not None:
                logits = logits / temperature + noise[step]
            code = logits.argmax()
            written[step] = code
            if step + 1 < len(written):
                embedded = stage.tables(place)[0][code] + told[(step + 1) // levels]
                states = stage(embedded[None, None], times[step][None, None], None, cache)[:, -1]
        return written.view(frames, levels).T


__all__ = ["AudioLm", "AudioLmOutput"]
