"""CodecTokenDecoder: what SoundStorm and AudioLM share. Speech codes + a prompt -> RVQ codes of a codec -> waveform.

    prompt (S,) ─ tokenizer ─▶ codes (P,) ┐                                    ┌─▶ known (Q, P')
    prompt (S,) ─ codec ─▶ frames (Q, P') ┴─ Voice ─▶ semantic (P + C + W,), ──┤
    codes (T,) ─ windows of W, with C codes and frames of what was said before ┴─ `complete` ─▶ frames (Q, N) ─ codec ─▶ (S,)

The prompt stands in front as semantic AND codec tokens (AudioPaLM, arXiv 2306.12925, section 3). It stays in front of every
window, so a voice does not drift however long the output; memory is bounded by the window, and time grows linearly.

Shapes: T codes, N frames, Q levels of K entries, S = T samples_per_code samples.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from .configuration_codec_tokens import CodecTokensConfig
from .media_decoder import SpeechDecoder
from .neural_codec import NeuralCodec
from .rate_aligner import NO_CODE
from .speech_signal import active_frames, normalise_level
from .voice import Voice

SEMANTIC, ACOUSTIC = "semantic", "acoustic"  # the names of a voice's tensors
LEVEL_HOP_SECONDS = 0.01  # frames in which the loudness of a prompt is measured


class CodecTokenDecoder(SpeechDecoder):
    """A subclass completes frames; codec, prompts and windows are here."""

    config: CodecTokensConfig
    main_input_name = "semantic"
    voice_kind = "codec_prompt"
    prompt_semantic: torch.Tensor
    prompt_acoustic: torch.Tensor

    def __init__(self, config: CodecTokensConfig):
        super().__init__(config)
        self.aligner = config.aligner()
        codes = config.whole_codes(config.prompt_seconds)
        self.codec = NeuralCodec(config)
        self.register_buffer("prompt_semantic", torch.zeros(codes, dtype=torch.long))
        self.register_buffer(
            "prompt_acoustic", torch.zeros(config.levels, self.aligner.frames(codes), dtype=torch.long)
        )

    def take_codec(self, codec: PreTrainedModel) -> None:
        """The weights of a trained codec; those of `codec_config`'s class and sizes."""
        self.codec.take(codec)

    @property
    def samples_per_code(self) -> int:
        """Samples of sound that one code makes."""
        return self.config.samples_per_code

    def normalise_level(self, waveform: torch.Tensor) -> torch.Tensor:
        """Scales (S,) so that its active frames have the RMS `reference_level`; silence stays as it is."""
        return normalise_level(waveform, self._level_hop, self.config.reference_level)

    @property
    def _level_hop(self) -> int:
        """Samples in which loudness is measured."""
        return round(LEVEL_HOP_SECONDS * self.config.sampling_rate)

    def check_batch(self, semantic: torch.Tensor, acoustic: torch.Tensor) -> None:
        """Raises ValueError where acoustic (B, Q, N) has not the levels, or not the frames of semantic (B, T)."""
        levels, frames = self.config.levels, self.aligner.frames(semantic.shape[1])
        if tuple(acoustic.shape) != (len(acoustic), levels, frames):
            raise ValueError(
                f"acoustic has the shape {tuple(acoustic.shape)}; {levels} levels of {frames} frames are needed for "
                f"{semantic.shape[1]} codes."
            )

    def heard_codes(self, semantic: torch.Tensor) -> torch.Tensor:
        """Codes (B, T) -> the C codes that each of N frames hears, (B, N, C), as rows of a table of (codebook_size + 1) for each
        slot, of which the last stands for none."""
        places, none = self.aligner.heard(semantic.shape[1], semantic.device), self.config.codebook_size
        codes = semantic[:, places.clamp(min=0)].masked_fill(places == NO_CODE, none)
        return codes + torch.arange(self.aligner.slots, device=semantic.device) * (none + 1)

    # ---- the voice

    @property
    def voice_fingerprint(self) -> str:
        """Of the speech tokenizer and the codec whose codes a voice holds."""
        return f"{self.config.fingerprint}+{self.config.codec_fingerprint}"

    @property
    def voice_shapes(self) -> dict[str, tuple[int, ...]]:
        """Codes (P,) and frames (Q, P') of `prompt_seconds`."""
        return {SEMANTIC: tuple(self.prompt_semantic.shape), ACOUSTIC: tuple(self.prompt_acoustic.shape)}

    def _check_voice(self, voice: Voice, index: int) -> Voice:
        super()._check_voice(voice, index)
        for name, size in ((SEMANTIC, self.config.codebook_size), (ACOUSTIC, self.config.level_size)):
            low, high = int(voice.tensors[name].min()), int(voice.tensors[name].max())
            if voice.tensors[name].is_floating_point() or low < 0 or high >= size:
                raise ValueError(f"Voice {index} holds {name} codes from {low} to {high}; allowed is 0 to {size - 1}.")
        return voice

    def voice_from_waveform(
        self, waveform: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> Voice:
        """Codes and frames of a prompt.

        The `prompt_seconds` with the most speech in them count; a shorter prompt is repeated until it is as long. Its gain does
        not matter.

        Args:
            waveform: float (S,) at `sampling_rate`.
            encode: Waveform -> codes, as of any speech decoder; needed here.

        Raises:
            ValueError: not 1-D, empty, NaN or infinite, silent; or no `encode`, or one that makes another number of codes.
        """
        if encode is None:
            raise ValueError(f"A {type(self).__name__} needs the codes of a voice prompt as well: give encode=.")
        config, wanted = self.config, len(self.prompt_semantic) * self.samples_per_code
        waveform = self.check_prompt(waveform)
        if len(waveform) < wanted:
            waveform = waveform.repeat(-(-wanted // len(waveform)))
        waveform = waveform[self._most_speech(waveform, wanted) :][:wanted]
        waveform = self.normalise_level(waveform)
        codes = encode(waveform)
        if len(codes) != len(self.prompt_semantic):
            raise ValueError(
                f"The tokenizer makes {len(codes)} codes of the voice prompt's {wanted / config.sampling_rate:g} s; "
                f"{len(self.prompt_semantic)} are needed, {config.frame_rate:g} a second without deduplication."
            )
        frames = self.codec.encode(waveform)[:, : self.prompt_acoustic.shape[1]]
        return Voice(self.voice_kind, {SEMANTIC: codes.long().cpu(), ACOUSTIC: frames}, self.voice_fingerprint)

    def _most_speech(self, waveform: torch.Tensor, wanted: int) -> int:
        """Where the `wanted` samples with the most active frames begin."""
        hop = self._level_hop
        active, _ = active_frames(waveform, hop)
        span = min(len(active), wanted // hop)
        total = nn.functional.pad(active.double().cumsum(0), (1, 0))
        best = int((total[span:] - total[:-span]).argmax())
        return min(best * hop, len(waveform) - wanted)

    def fallback_voice(self) -> Voice:
        """That of `set_fallback_voice`."""
        tensors = {SEMANTIC: self.prompt_semantic.cpu(), ACOUSTIC: self.prompt_acoustic.cpu()}
        return Voice(self.voice_kind, tensors, self.voice_fingerprint)

    def set_fallback_voice(self, voice: Voice) -> None:
        """Who speaks where no voice was asked for."""
        self._check_voice(voice, 0)
        self.prompt_semantic.copy_(voice.tensors[SEMANTIC])
        self.prompt_acoustic.copy_(voice.tensors[ACOUSTIC])

    # ---- codes -> frames -> sound

    @abstractmethod
    def complete(self, semantic: torch.Tensor, known: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The frames of a stretch of speech that begins with known ones.

        Args:
            semantic: int64 (T,), on the model's device.
            known: int64 (Q, P), P frames at the beginning, likewise.
            generator: On the CPU; what is drawn is drawn from it.

        Returns:
            int64 (Q, `aligner.frames(T)`), the known ones first.
        """

    @abstractmethod
    def code_tables(self) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
        """The rows of weights that stand for codes, for a training to begin: those of the semantic codes, each (K, D), and for
        each level those that read or write its entries, each (entries, D)."""

    def frames_of(self, codes: torch.Tensor, voice: Voice, generator: torch.Generator) -> torch.Tensor:
        """int64 (T,) -> int64 (Q, N) on the CPU, window by window."""
        config, aligner = self.config, self.aligner
        window, context = config.whole_codes(config.window_seconds), config.whole_codes(config.context_seconds)
        codes = codes.to(self.device)
        prompt, known = voice.tensors[SEMANTIC].to(self.device), voice.tensors[ACOUSTIC].to(self.device)
        made = known[:, :0]
        for start in range(0, len(codes), window):
            first = max(0, start - context)
            before = made[:, aligner.frames(first) : aligner.frames(start)]
            semantic = torch.cat([prompt, codes[first : start + window]])
            given = torch.cat([known, before], 1)
            made = torch.cat([made, self.complete(semantic, given, generator)[:, given.shape[1] :]], 1)
        return made.cpu()

    @torch.inference_mode()
    def decode(  # type: ignore[override]
        self, codes: Sequence[torch.Tensor], voices: Sequence[Voice | None] | None = None, *, seed: int = 0
    ) -> list[torch.Tensor]:
        """Speech of each code sequence; items are decoded one by one, so a batch gives what its items give.

        Args:
            codes: int64 (T,) for each item, 0..K-1.
            voices: Of `voice_from_waveform` for each item, or None for the fallback voice.
            seed: Of what is drawn; the same seed gives the same samples.

        Returns:
            float32 (T samples_per_code,) each, at `sampling_rate`, |x| <= 1, on the CPU.

        Raises:
            ValueError: an empty sequence, a code outside 0..K-1, a voice of another kind, fingerprint or shape, or weights
                that give NaN.
        """
        self.check_codes(codes)
        result = []
        for item, voice in zip(codes, self.check_voices(voices, len(codes))):
            frames = self.frames_of(item, voice, torch.Generator("cpu").manual_seed(seed))
            sound = self.check_sound(self.codec.decode(frames))
            result.append(sound[: len(item) * self.samples_per_code])
        return result

    def check_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits; ValueError where broken weights made them NaN."""
        if not bool(torch.isfinite(logits.sum())):  # NaN and infinite as well where one of them is
            raise ValueError(
                f"{int((~torch.isfinite(logits)).sum())} of {logits.numel()} logits of this {type(self).__name__} are NaN or "
                "infinite: its weights are broken."
            )
        return logits


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Gumbel noise, drawn on the CPU so that every device draws the same."""
    uniform = torch.rand(shape, generator=generator, device="cpu")
    return -(-uniform.clamp(min=1e-20).log()).clamp(min=1e-20).log()
