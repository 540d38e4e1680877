"""The judge: a small CTC recogniser that says which words a waveform carries, and that owes the model nothing.

    waveform (S,) ─ log-mel of its own (2T, 64) ─ convolutions at 50 Hz (T, D) ─ characters of the language's script

It shares no weights, features or sentences with what it judges: it is trained by `train_judge` on random strings of words, and
it sees less than a second of sound at a time. A lexicon settles how words are spelt, every word being as likely as any other
after any other: it makes words of what it hears, but no sentences.

Shapes: B items, S samples, T frames of 50 Hz, D width, V = 1 + characters (index 0 the blank).
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.audio_utils import mel_filter_bank

from ..processing.errors import TriglotError
from .ctc import ctc_loss
from .lexicon import Lexicon

WINDOW, HOP, MEL_BINS = 512, 160, 64  # samples, samples, bins, at 16 kHz
STRIDE = 2  # mel frames a judge's frame: 50 Hz
LOG_OFFSET = 1e-5  # added to mel energies


@strict
class JudgeConfig(PreTrainedConfig):
    """Settings of `Judge`.

    Args:
        sampling_rate: Hz of the waveforms.
        alphabets: {ISO code: the characters, space among them, that the judge writes in that language}.
        words: {ISO code: the words it may write}; None for whatever the characters spell.
        hidden_size: Width D.
        num_blocks: Convolution blocks; each widens the view by `kernel_size` - 1 frames of 20 ms.
        kernel_size: Frames of one convolution; odd.
    """

    model_type = "triglot_judge"

    sampling_rate: int = 16_000
    alphabets: dict[str, str] | None = None
    words: dict[str, list[str]] | None = None
    hidden_size: int = 256
    num_blocks: int = 8
    kernel_size: int = 7

    @property
    def languages(self) -> list[str]:
        """ISO codes, in the order of the language embedding."""
        return sorted(self.alphabets or {})

    @property
    def characters(self) -> str:
        """All characters of all alphabets; the head's index is 1 + the place in this string."""
        return "".join(sorted(set("".join((self.alphabets or {}).values()))))


class JudgeBlock(nn.Module):
    """Depthwise convolution and a feed-forward part, (B, D, T) -> (B, D, T)."""

    def __init__(self, config: JudgeConfig):
        super().__init__()
        width, kernel = config.hidden_size, config.kernel_size
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        update = self.norm(self.depthwise(hidden).transpose(1, 2))
        return hidden + self.outer(F.gelu(self.inner(update))).transpose(1, 2)


class Judge(PreTrainedModel):
    """The recogniser. Satisfies `evaluate.Judge`."""

    config: JudgeConfig
    config_class = JudgeConfig
    main_input_name = "input_values"
    input_modalities = "audio"
    mel_filters: torch.Tensor
    allowed: torch.Tensor
    name = "triglot judge"

    def __init__(self, config: JudgeConfig):
        super().__init__(config)
        width, outputs = config.hidden_size, 1 + len(config.characters)
        # non-persistent: they follow from the config
        self.register_buffer("mel_filters", self._mel_bank(), persistent=False)
        self.register_buffer("allowed", self._allowed(), persistent=False)
        self.language = nn.Embedding(max(1, len(config.languages)), width)
        self.stem = nn.Conv1d(MEL_BINS, width, 5, stride=STRIDE, padding=2)
        self.blocks = nn.ModuleList(JudgeBlock(config) for _ in range(config.num_blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        self.lexicons = {code: Lexicon(words, config.characters) for code, words in (config.words or {}).items()}
        self.post_init()

    def _mel_bank(self) -> torch.Tensor:
        bank = mel_filter_bank(
            num_frequency_bins=WINDOW // 2 + 1, num_mel_filters=MEL_BINS, min_frequency=60.0, max_frequency=7_600.0,
            sampling_rate=self.config.sampling_rate, mel_scale="kaldi", triangularize_in_mel_space=True,
        )  # fmt: skip
        return torch.tensor(bank, dtype=torch.float32, device="cpu")

    def _allowed(self) -> torch.Tensor:
        """bool (languages, V): what may be written in each language."""
        rows = [
            [True, *(character in (self.config.alphabets or {})[code] for character in self.config.characters)]
            for code in self.config.languages
        ]
        return torch.tensor(rows or [[True]], device="cpu")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            init.copy_(self.mel_filters, self._mel_bank())
            init.copy_(self.allowed, self._allowed())

    def features(self, input_values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Log-mel, each bin with mean 0 and deviation 1 over the item: waveforms (B, S) -> float32 (B, 64, 2T)."""
        with torch.autocast(device_type=input_values.device.type, enabled=False):
            samples = torch.arange(input_values.shape[1], device=input_values.device)
            wave = input_values.float().masked_fill(samples >= lengths[:, None], 0.0)
            wave = wave / wave.abs().amax(1, keepdim=True).clamp(min=1e-4)
            window = torch.hann_window(WINDOW, device=wave.device)
            spectrum = torch.stft(
                wave, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True
            )
            log_mel = (self.mel_filters.T.float() @ spectrum.abs().square() + LOG_OFFSET).log()
            real = torch.arange(log_mel.shape[-1], device=wave.device) < (lengths // HOP + 1)[:, None]
            real = real[:, None]  # (B, 1, 2T)
            count = real.sum(-1, keepdim=True)
            mean = (log_mel * real).sum(-1, keepdim=True) / count
            centred = (log_mel - mean) * real
            deviation = (centred.square().sum(-1, keepdim=True) / count).sqrt()
            return centred / (deviation + 0.1)

    def frames(self, lengths: torch.Tensor) -> torch.Tensor:
        """Samples (B,) -> frames (B,)."""
        return (lengths // HOP) // STRIDE + 1

    def forward(
        self,
        input_values: torch.Tensor,
        lengths: torch.Tensor,
        languages: torch.Tensor,
        transcripts: torch.Tensor | None = None,
        feature_mask: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Waveforms -> what each frame says.

        Args:
            input_values: float (B, S) at `config.sampling_rate`.
            lengths: int64 (B,), samples of each item.
            languages: int64 (B,), places in `config.languages`.
            transcripts: int64 (B, L), 1 + the place in `config.characters`, -100 after the last; for training.
            feature_mask: bool (B, 64, 2T), log-mel values to hide; for training.

        Returns:
            {"logits": float32 (B, T, V), minus infinity for characters of other languages, "loss": () with transcripts}.
        """
        features = self.features(input_values, lengths)
        if feature_mask is not None:
            features = features.masked_fill(feature_mask[..., : features.shape[-1]], 0.0)
        hidden = self.stem(features.to(self.stem.weight.dtype)) + self.language(languages)[..., None]
        frames = self.frames(lengths)
        real = torch.arange(hidden.shape[-1], device=hidden.device) < frames[:, None]
        for block in self.blocks:  # what a block sees past an item's end is zero, as it is alone
            hidden = block(hidden * real[:, None])
        logits = self.head(self.norm(hidden.transpose(1, 2))).float()
        logits = logits.masked_fill(~self.allowed[languages][:, None], float("-inf"))
        output = {"logits": logits}
        if transcripts is not None:
            output["loss"] = ctc_loss(logits, frames, transcripts)
        return output

    @torch.no_grad()
    def transcribe(self, waveforms: Sequence[np.ndarray], languages: Sequence[str]) -> list[str]:
        """The words of each waveform: the best path through the lexicon, greedy CTC without one; nothing for silence.

        Args:
            waveforms: float32 (S,) each, at 16 kHz.
            languages: ISO code of each.

        Raises:
            TriglotError: a language the judge was not trained for.
        """
        known, characters = self.config.languages, self.config.characters
        unknown = sorted(set(languages) - set(known))
        if unknown:
            raise TriglotError(f"The judge knows {', '.join(known)}; {unknown[0]!r} came.")
        texts = []
        # one by one: exact, and short enough to be quick
        for wave, language in zip(waveforms, languages, strict=True):
            if len(wave) < WINDOW:
                texts.append("")
                continue
            values = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None].to(self.device)
            place = torch.tensor([known.index(language)], device=self.device)
            logits = self(values, torch.tensor([len(wave)], device=self.device), place)["logits"][0]
            if language in self.lexicons:
                words = self.lexicons[language].best_words(logits.log_softmax(-1).cpu().numpy())
            else:
                kept = torch.unique_consecutive(logits.argmax(-1)).tolist()
                words = "".join(characters[output - 1] for output in kept if output).split()
            texts.append(" ".join(words))
        return texts
