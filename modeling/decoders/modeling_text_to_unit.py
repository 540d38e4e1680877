"""TextToUnit: text -> the codes of a speech tokenizer, for language models that write text alone (SeamlessM4T, arXiv 2308.11596).

    characters (B, N) ─ embedding, language ─ conformer ─▶ states (B, N, D)
        autoregressive   states, start, codes so far ─ causal transformer ─▶ the next code, or the end
        else             states ─ durations ─ each as often as it lasts (B, T, D) ─ conformer ─▶ all codes (B, T)

Characters are read rather than pieces of words, as SeamlessM4T v2's decoder does (arXiv 2312.05187): each lasts for one or
two codes, and no text tokenizer ties the model to one language model. How long each lasts is learnt by `monotonic_alignment`.

Shapes: B items, N symbols (characters between two borders), T codes of K, D width.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel, Qwen3Config, Qwen3Model
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2VariancePredictor
from transformers.utils import ModelOutput

from .configuration_text_to_unit import TextToUnitConfig
from .conformer import Conformer
from .monotonic_alignment import (
    IMPOSSIBLE,
    best_path,
    diagonal_prior,
    durations_of,
    forward_sum_loss,
    places_within,
)

BEGIN, END, BORDERS = 0, 1, 2  # symbols before and behind the characters; characters count from BORDERS
IGNORE = -100  # label of places that carry no loss
PLACES = 32  # places within a character that are told apart
ALIGNER_KERNEL = 3  # characters or codes that are compared together


@dataclass
class TextToUnitOutput(ModelOutput):
    """What `TextToUnit.forward` returns.

    Args:
        loss: Sum of the parts.
        unit_loss: Cross entropy of the codes (and the end), nats a code. Detached.
        accuracy: Share of them that are the likeliest. Detached.
        duration_loss: Mean squared error of log(1 + duration); None for the autoregressive form. Detached.
        alignment_loss: Of all monotonic paths, nats a code; likewise. Detached.
    """

    loss: torch.Tensor | None = None
    unit_loss: torch.Tensor | None = None
    accuracy: torch.Tensor | None = None
    duration_loss: torch.Tensor | None = None
    alignment_loss: torch.Tensor | None = None


class UnitAligner(nn.Module):
    """How well each code fits each symbol: (B, N, D), (B, T) -> scores (B, T, N)."""

    def __init__(self, config: TextToUnitConfig):
        super().__init__()
        width, size, around = config.hidden_size, config.aligner_size, ALIGNER_KERNEL // 2
        self.units = nn.Embedding(config.codebook_size, size)
        self.keys = nn.Conv1d(width, size, ALIGNER_KERNEL, padding=around)
        self.queries = nn.Conv1d(size, size, ALIGNER_KERNEL, padding=around)

    def forward(self, symbols: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        keys = self.keys(symbols.transpose(1, 2))
        queries = self.queries(self.units(codes).transpose(1, 2))
        return queries.transpose(1, 2) @ keys / math.sqrt(keys.shape[1])


class TextToUnit(PreTrainedModel):
    """Text in a language -> codes.

    Example:
        >>> model = TextToUnit(TextToUnitConfig(codebook_size=200)).eval()
        >>> [codes] = model.units(["a red star"], ["en"])
        >>> codes.ndim, bool((0 <= codes.min()) & (codes.max() < 200))
        (1, True)
    """

    config: TextToUnitConfig
    config_class = TextToUnitConfig
    base_model_prefix = "text_to_unit"
    main_input_name = "symbols"
    _auto_class = "AutoModel"

    def __init__(self, config: TextToUnitConfig):
        super().__init__(config)
        width, codes = config.hidden_size, config.codebook_size
        self.symbols = nn.Embedding(BORDERS + len(config.characters), width)
        self.languages = nn.Embedding(len(config.languages), width)
        self.encoder = Conformer(config)
        self._known = {character: BORDERS + place for place, character in enumerate(config.characters)}
        if config.autoregressive:
            self.codes = nn.Embedding(codes + 1, width)  # the last one is the start
            self.decoder: nn.Module = Qwen3Model(_causal(config))
            self.decoder.embed_tokens = None  # type: ignore[assignment]  # it reads states
            self.head = nn.Linear(width, codes + 1)  # the last one is the end
        else:
            self.aligner = UnitAligner(config)
            self.dur_predictor = SeamlessM4Tv2VariancePredictor(width, width, config.kernel_size, config.dropout)
            self.places = nn.Embedding(PLACES, width)
            self.decoder = Conformer(_frames(config))
            self.head = nn.Linear(width, codes)
        self.post_init()

    @property
    def codebook_size(self) -> int:
        """Number of codes K it can write."""
        return self.config.codebook_size

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the tokenizer whose codes it writes."""
        return self.config.fingerprint

    # ---- text -> symbols

    def symbols_of(self, text: str, language: str) -> tuple[torch.Tensor, int]:
        """A text as int64 (N,), borders included, and the place of its language; unknown characters are skipped.

        Raises:
            ValueError: an unknown language, or a text that is too long.
        """
        if language not in self.config.languages:
            raise ValueError(f"The language is {language!r}; this TextToUnit says {', '.join(self.config.languages)}.")
        characters = plain_text(text)
        if len(characters) > self.config.longest_text:
            raise ValueError(
                f"The text has {len(characters)} characters; at most {self.config.longest_text} at a time: cut it first."
            )
        readable = "".join(character for character in characters if character in self._known)
        known = [self._known[character] for character in " ".join(readable.split())]
        return torch.tensor([BEGIN, *known, END]), self.config.languages.index(language)

    def check_text(self, text: str, language: str) -> None:
        """Raises ValueError for a text that cannot be said: as `symbols_of`, or one that says nothing in known characters."""
        symbols, _ = self.symbols_of(text, language)
        if len(symbols) == BORDERS:
            raise ValueError(
                f"There is nothing to say in {text[:40]!r}; this TextToUnit reads the characters {self.config.characters!r}."
            )

    def _embed(self, symbols: torch.Tensor, languages: torch.Tensor) -> torch.Tensor:
        return self.symbols(symbols) + self.languages(languages)[:, None]

    # ---- training

    def forward(
        self,
        symbols: torch.Tensor,
        languages: torch.Tensor,
        codes: torch.Tensor,
        symbol_mask: torch.Tensor | None = None,
        code_mask: torch.Tensor | None = None,
    ) -> TextToUnitOutput:
        """One training step.

        Args:
            symbols: int64 (B, N) of `symbols_of`; anything where padded.
            languages: int64 (B,), places in `config.languages`.
            codes: int64 (B, T); anything where padded.
            symbol_mask: bool (B, N), False where padded, at the end; None for none.
            code_mask: bool (B, T), likewise.
        """
        symbol_mask = torch.ones_like(symbols, dtype=torch.bool) if symbol_mask is None else symbol_mask
        code_mask = torch.ones_like(codes, dtype=torch.bool) if code_mask is None else code_mask
        symbols, codes = symbols.masked_fill(~symbol_mask, END), codes.masked_fill(~code_mask, 0)
        embedded = self._embed(symbols, languages)
        states = self.encoder(embedded, symbol_mask)
        if self.config.autoregressive:
            return self._one_by_one_loss(states, symbol_mask, codes, code_mask)
        return self._at_once_loss(embedded, states, symbol_mask, codes, code_mask)

    def _one_by_one_loss(
        self, states: torch.Tensor, symbol_mask: torch.Tensor, codes: torch.Tensor, code_mask: torch.Tensor
    ) -> TextToUnitOutput:
        count = self.codebook_size
        start = self.codes.weight[count][None]
        rows, labels = [], []
        for state, symbols, row, length in zip(states, symbol_mask.sum(1).tolist(), codes, code_mask.sum(1).tolist()):
            given = state[:symbols]
            rows.append(torch.cat([given, start.to(given), self.codes(row[:length]).to(given)]))
            answer = torch.cat([row[:length], row.new_tensor([count])])
            labels.append(torch.cat([row.new_full((symbols,), IGNORE), answer]))
        inputs, wanted = (
            pad_sequence(rows, batch_first=True),
            pad_sequence(labels, batch_first=True, padding_value=IGNORE),
        )
        lengths = torch.tensor([len(row) for row in rows], device=codes.device)
        mask = (torch.arange(inputs.shape[1], device=codes.device) < lengths[:, None]).long()
        hidden = self.decoder(inputs_embeds=inputs, attention_mask=mask, use_cache=False).last_hidden_state
        asked = wanted != IGNORE
        loss, accuracy = _told(self.head(hidden[asked]), wanted[asked])
        return TextToUnitOutput(loss=loss, unit_loss=loss.detach(), accuracy=accuracy)

    def _at_once_loss(
        self,
        embedded: torch.Tensor,
        states: torch.Tensor,
        symbol_mask: torch.Tensor,
        codes: torch.Tensor,
        code_mask: torch.Tensor,
    ) -> TextToUnitOutput:
        symbol_counts, code_counts = symbol_mask.sum(1), code_mask.sum(1)
        scores = self.aligner(embedded, codes).float().masked_fill(~symbol_mask[:, None], IMPOSSIBLE)
        scores = scores.log_softmax(-1) + diagonal_prior(code_counts, symbol_counts)
        alignment_loss = forward_sum_loss(scores, code_counts, symbol_counts)
        path = best_path(scores, code_counts, symbol_counts)
        durations = durations_of(path, code_counts, symbol_mask.shape[1])
        guessed = self.dur_predictor(states, symbol_mask).float()
        wrong = (guessed - durations.float().log1p()).square()
        duration_loss = (wrong * symbol_mask).sum() / symbol_mask.sum()
        hidden = self._decode_path(states, path, code_mask)
        unit_loss, accuracy = _told(self.head(hidden[code_mask]), codes[code_mask])
        return TextToUnitOutput(
            loss=unit_loss + duration_loss + alignment_loss,
            unit_loss=unit_loss.detach(),
            accuracy=accuracy,
            duration_loss=duration_loss.detach(),
            alignment_loss=alignment_loss.detach(),
        )

    def _decode_path(self, states: torch.Tensor, path: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """States (B, N, D), each at the codes that the path (B, T) gives it -> (B, T, D)."""
        spread = states.gather(1, path[..., None].expand(-1, -1, states.shape[2]))
        return self.decoder(spread + self.places(places_within(path).clamp(max=PLACES - 1)), mask)

    # ---- inference

    @torch.inference_mode()
    def units(self, texts: Sequence[str], languages: Sequence[str]) -> list[torch.Tensor]:
        """The codes of each text, one by one, so that a batch gives what its items give; the likeliest each.

        Args:
            texts: Case and doubled spaces do not count, unknown characters are skipped; what is empty then is a pause.
            languages: ISO codes, one a text.

        Returns:
            int64 (T,) each, T at least 1, on the CPU.

        Raises:
            ValueError: an unknown language, a text that is too long, or broken weights.
        """
        if len(texts) != len(languages):
            raise ValueError(f"{len(languages)} languages came for {len(texts)} texts; give one each.")
        read = [self.symbols_of(text, language) for text, language in zip(texts, languages)]
        return [self._units(symbols.to(self.device), language).cpu() for symbols, language in read]

    def _units(self, symbols: torch.Tensor, language: int) -> torch.Tensor:
        states = self.encoder(self._embed(symbols[None], torch.tensor([language], device=self.device)))
        if not bool(torch.isfinite(states).all()):
            raise ValueError(f"States of this {type(self).__name__} are NaN or infinite: its weights are broken.")
        most = max(1, math.ceil(self.config.most_codes_per_symbol * len(symbols)))
        if self.config.autoregressive:
            return self._one_by_one(states, most)
        guessed = torch.expm1(self.dur_predictor(states)[0].float()).clamp(0, most)
        # what rounding takes from one character it gives to the next: most last for one code or two
        durations = guessed.cumsum(0).round().long().diff(prepend=symbols.new_zeros(1))
        if int(durations.sum()) == 0:
            durations[0] = 1
        path = torch.arange(len(symbols), device=self.device).repeat_interleave(durations)[:most]
        return self.head(self._decode_path(states, path[None], None))[0].argmax(-1)

    def _one_by_one(self, states: torch.Tensor, most: int) -> torch.Tensor:
        """States (1, N, D) -> the likeliest codes (T,), T at most `most`."""
        count, cache = self.codebook_size, DynamicCache()
        inputs = torch.cat([states, self.codes.weight[count][None, None]], 1)
        written: list[torch.Tensor] = []
        while len(written) < most:
            hidden = self.decoder(inputs_embeds=inputs, past_key_values=cache, use_cache=True).last_hidden_state
            logits = self.head(hidden[0, -1])
            if not written:
                logits[count] = -math.inf  # something is said
            code = logits.argmax()
            if int(code) == count:
                break
            written.append(code)
            inputs = self.codes(code)[None, None]
        return torch.stack(written)


def plain_text(text: str) -> str:
    """As it is read: composed characters, lower case, single spaces.

    Example:
        >>> plain_text("  Una  Estrella ")
        'una estrella'
    """
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def _told(logits: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy and share of right ones: (n, K), (n,) -> scalars."""
    return F.cross_entropy(logits.float(), wanted), (logits.argmax(-1) == wanted).float().mean().detach()


def _frames(config: TextToUnitConfig) -> Any:
    """What `Conformer` asks for, with the decoder's depth."""
    names = ("hidden_size", "num_attention_heads", "intermediate_size", "kernel_size", "rope_theta", "dropout")
    sizes = {name: getattr(config, name) for name in names}
    return SimpleNamespace(**sizes, num_hidden_layers=config.num_decoder_layers)


def _causal(config: TextToUnitConfig) -> Qwen3Config:
    """A transformer without an embedding of its own; queries and keys of one length look things up sooner."""
    return Qwen3Config(
        vocab_size=1,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_decoder_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_attention_heads,
        head_dim=config.hidden_size // config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        max_position_embeddings=1 << 20,
        initializer_range=config.initializer_range,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )


__all__ = ["TextToUnit", "TextToUnitOutput"]
