"""`triglot evaluate tokenizer`: a report card of speech tokenizers, side by side on the same held-out sound.

    held-out sentences x languages x voices ─ espeak-ng ─ waveform (S,) and the phonemes where they are spoken
    each tokenizer: codes ─ bits, phonemes, ABX, speakers, speed; with a decoder of its codes and a judge also resynthesis WER

results.json, report.md and report.png go into one folder. What each number means: `tokenizer_metrics`.
"""

import argparse
import itertools
import math
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.audio_io import resample
from ..processing.codecs_triglot import prompt_encoder
from ..processing.errors import TriglotError
from ..version import __version__
from . import image_tokenizer_report
from .card_report import write_cards
from .data.demo_world import parse_speaker
from .data.espeak import EspeakSynthesizer, Phone
from .data.splits import HELD_OUT_VOICES, TRAINING_VOICES, held_out_sentences, random_speaker
from .evaluate_models import at_judge_rate, load_judge
from .every_frame import deduplicates, every_frame
from .load_parts import load_speech_decoder, load_tokenizer
from .metrics import WordErrorRate
from .named_parts import named_parts
from .tokenizer_metrics import Segment, abx_error, code_use, phone_use, speaker_leakage

RATE = 16_000  # Hz of the sound kept here
LANGUAGES = ("en", "es", "hi")
QUIET = 0.01  # of the utterance's largest sample: frames below it are pauses, whatever espeak-ng says


@dataclass(frozen=True)
class Utterance:
    """A sentence spoken by one voice.

    Attributes:
        wave: float32 (S,) at `RATE`.
        phones: The phonemes, in samples of `wave`.
        text: What is said.
        language: ISO code.
        speaker: As `parse_speaker` reads it.
        sentence: Its number; the same in all languages and voices.
    """

    wave: np.ndarray
    phones: tuple[Phone, ...]
    text: str
    language: str
    speaker: str
    sentence: int

    @property
    def seconds(self) -> float:
        """Length, s."""
        return len(self.wave) / RATE

    def phones_at(self, rate: float, count: int) -> list[str]:
        """The phoneme in the middle of each of `count` frames, `rate` a second; "" in pauses and beyond the end."""
        starts = np.array([phone.start for phone in self.phones])
        names, loudest = [], float(np.abs(self.wave).max())
        for frame in range(count):
            first, last = round(frame * RATE / rate), round((frame + 1) * RATE / rate)
            piece, middle = np.abs(self.wave[first:last]), (first + last) // 2
            place = int(np.searchsorted(starts, middle, side="right")) - 1
            silent = not piece.size or float(piece.max()) < QUIET * loudest or place < 0
            names.append("" if silent else self.phones[place].name)
        return names


@dataclass(frozen=True)
class TokenizerCard:
    """What was measured of one tokenizer. Shares and error rates are 0 to 1; None where it was not or cannot be measured."""

    name: str
    kind: str  # its class
    parameters: int
    codebook_size: int
    codes_per_second: float  # after deduplication
    bitrate: float  # bits/s
    entropy_rate: float  # bits/s
    used: float
    perplexity: float
    phone_purity: float
    cluster_purity: float
    pnmi: float
    abx_within: float | None
    abx_across: float | None
    speaker_accuracy: float
    hours_per_hour: float  # of sound, by this machine
    resynthesis_wer: float | None


COLUMNS = {  # field: (title, factor, digits)
    "codebook_size": ("codes", 1, 0),
    "codes_per_second": ("codes/s", 1, 1),
    "bitrate": ("bits/s", 1, 0),
    "entropy_rate": ("entropy, bits/s", 1, 0),
    "used": ("used, %", 100, 0),
    "perplexity": ("perplexity", 1, 0),
    "phone_purity": ("phone purity", 1, 3),
    "cluster_purity": ("cluster purity", 1, 3),
    "pnmi": ("PNMI", 1, 3),
    "abx_within": ("ABX within, %", 100, 1),
    "abx_across": ("ABX across, %", 100, 1),
    "speaker_accuracy": ("speaker probe, %", 100, 0),
    "resynthesis_wer": ("resynthesis WER, %", 100, 1),
    "hours_per_hour": ("hours/hour", 1, 0),
}
PANELS = {  # field: what is better
    "pnmi": "more",
    "abx_across": "less",
    "speaker_accuracy": "less",
    "resynthesis_wer": "less",
    "entropy_rate": "less",
    "hours_per_hour": "more",
}


def aligned_utterances(sentences: int = 20, voices: int = 4, seed: int = 0) -> list[Utterance]:
    """Held-out sentences in every language by each of 2 x `voices` speakers, half of them of voices kept from training.

    Args:
        sentences: In each language.
        voices: Of training and as many of the held-out ones.
        seed: Of sentences, voices, rates and pitches.
    """
    rng = random.Random(f"tokenizer report {seed}")
    chosen = [*rng.sample(TRAINING_VOICES, voices), *rng.sample(HELD_OUT_VOICES, min(voices, len(HELD_OUT_VOICES)))]
    speakers = [random_speaker(rng, [voice]) for voice in chosen]
    items, espeak, found = held_out_sentences(sentences, seed), EspeakSynthesizer(), []
    for (number, item), language in tqdm(
        list(itertools.product(enumerate(items), LANGUAGES)), desc="speaking", unit="sentence"
    ):
        for speaker in speakers:
            variant, rate, pitch = parse_speaker(speaker)
            wave, phones = espeak.speak_aligned(
                item.sentence(language), language=language, voice=f"{language}+{variant}", rate=rate, pitch=pitch
            )
            scale = RATE / espeak.sampling_rate
            moved = tuple(Phone(name, round(scale * start), round(scale * end)) for name, start, end in phones)
            resampled = resample(wave, espeak.sampling_rate, RATE)
            found.append(Utterance(resampled, moved, item.sentence(language), language, speaker, number))
    return found


def measure_tokenizer(
    name: str,
    tokenizer: MediaTokenizer,
    utterances: Sequence[Utterance],
    *,
    decoder: Any = None,
    judge: Any = None,
    seed: int = 0,
) -> TokenizerCard:
    """All that can be measured of one tokenizer on these utterances.

    Args:
        name: In the report.
        tokenizer: With a code book; its rate may be any.
        utterances: Of `aligned_utterances`.
        decoder: For its codes; with `judge`, what is heard in the resynthesis is counted.
        judge: Of `load_judge`.
        seed: Of ABX triples and the probe.
    """
    if decoder is not None and decoder.fingerprint and decoder.fingerprint != tokenizer.fingerprint:
        raise TriglotError(f"The decoder given for {name!r} was trained on codes of another tokenizer.")
    if decoder is not None and not decoder.codebook_size and not hasattr(tokenizer, "decode"):
        raise TriglotError(
            f"The decoder given for {name!r} reads log-mel, which a {type(tokenizer).__name__} does not draw."
        )
    waves = [_at_rate(utterance.wave, tokenizer) for utterance in utterances]
    tokenizer.encode(waves[:1])  # whatever is made once is not counted
    start = time.perf_counter()
    codes = [item.numpy() for item in tokenizer.encode(waves)]
    elapsed, seconds = time.perf_counter() - start, sum(utterance.seconds for utterance in utterances)
    frames = codes if not deduplicates(tokenizer) else [item.numpy() for item in every_frame(tokenizer, waves)]

    rate = float(tokenizer.frame_rate or 0)
    phones = [utterance.phones_at(rate, len(item)) for utterance, item in zip(utterances, frames)]
    heard = np.concatenate([[bool(phone) for phone in names] for names in phones])
    use = phone_use(np.concatenate(frames)[heard], [phone for names in phones for phone in names if phone])
    segments = _segments(utterances, frames, rate, tokenizer.centroids.detach().float().cpu().numpy())
    within, across = (abx_error(segments, across=across, seed=seed) for across in (False, True))
    return TokenizerCard(
        name=name,
        kind=type(tokenizer).__name__,
        parameters=sum(weight.numel() for weight in tokenizer.parameters()),
        codebook_size=tokenizer.codebook_size,
        **code_use(codes, tokenizer.codebook_size, seconds)._asdict(),
        **use._asdict(),
        abx_within=None if math.isnan(within) else within,
        abx_across=None if math.isnan(across) else across,
        speaker_accuracy=speaker_leakage(
            codes, [item.speaker for item in utterances], [item.sentence for item in utterances], tokenizer.codebook_size, seed
        ),
        hours_per_hour=seconds / elapsed,
        resynthesis_wer=None if decoder is None or judge is None else _resynthesis(tokenizer, codes, utterances, decoder, judge),
    )  # fmt: skip


def _at_rate(wave: np.ndarray, tokenizer: MediaTokenizer) -> torch.Tensor:
    rate = tokenizer.sampling_rate or RATE
    return torch.from_numpy(resample(wave, RATE, rate))


def _segments(
    utterances: Sequence[Utterance], frames: Sequence[np.ndarray], rate: float, vectors: np.ndarray
) -> list[Segment]:
    """Each phoneme between two others, with the vectors of the codes of all three."""
    vectors, found = vectors - vectors.mean(0), []
    for utterance, codes in zip(utterances, frames):
        for before, phone, after in zip(utterance.phones, utterance.phones[1:], utterance.phones[2:]):
            first, last = round(before.start * rate / RATE), round(after.end * rate / RATE)
            piece = codes[first:last]
            if before.name and phone.name and after.name and len(piece):
                context = utterance.language, before.name, after.name
                found.append(Segment(vectors[piece], phone.name, context, utterance.speaker))
    return found


def _resynthesis(
    tokenizer: Any,
    codes: Sequence[np.ndarray],
    utterances: Sequence[Utterance],
    decoder: Any,
    judge: Any,
) -> float:
    """Word error rate of what the judge hears in decoded codes, each in its own voice."""
    spoken, rate = [], decoder.config.sampling_rate
    encode = prompt_encoder(lambda: tokenizer, rate)
    for item, utterance in zip(tqdm(codes, desc="resynthesis", unit="utterance"), utterances):
        inputs = [torch.from_numpy(item)]
        if not decoder.codebook_size:  # a vocoder of the log-mel that the tokenizer itself draws
            inputs = tokenizer.decode(inputs)
        prompt = torch.from_numpy(resample(utterance.wave, RATE, rate))
        [sound] = decoder.decode(inputs, [decoder.voice_from_waveform(prompt, encode)])
        spoken.append(at_judge_rate(sound.numpy(), rate))
    heard = judge.transcribe(spoken, [utterance.language for utterance in utterances])
    texts = [utterance.text for utterance in utterances]
    return float(WordErrorRate().compute(predictions=heard, references=texts)["wer"])  # type: ignore[index]


def report_tokenizers(
    tokenizers: Mapping[str, MediaTokenizer],
    utterances: Sequence[Utterance],
    output_dir: str | os.PathLike,
    *,
    decoders: Mapping[str, Any] | None = None,
    judge: Any = None,
    seed: int = 0,
) -> list[TokenizerCard]:
    """Measures every tokenizer and writes results.json, report.md and report.png.

    Args:
        tokenizers: {name in the report: tokenizer with a code book}.
        utterances: Of `aligned_utterances`.
        output_dir: An older report there is replaced.
        decoders: {name: decoder} for those whose resynthesis is to be read.
        judge: Of `load_judge`; needed for that.
        seed: Of what is drawn at random.

    Raises:
        TriglotError: no tokenizer, a decoder without a tokenizer or a judge, or one that does not fit.
    """
    decoders = decoders or {}
    strange = sorted(set(decoders) - set(tokenizers))
    if not tokenizers or strange:
        raise TriglotError(
            f"Tokenizers are {sorted(tokenizers)}; decoders are given for {strange or 'none'} beside them."
        )
    if decoders and judge is None:
        raise TriglotError("Decoders are given but no judge to read what they speak; give one, e.g. tests/data/judge.")
    cards = [
        measure_tokenizer(name, tokenizer, utterances, decoder=decoders.get(name), judge=judge, seed=seed)
        for name, tokenizer in tokenizers.items()
    ]
    speakers = len({utterance.speaker for utterance in utterances})
    facts = {
        "utterances": len(utterances),
        "speakers": speakers,
        "minutes": round(sum(utterance.seconds for utterance in utterances) / 60, 1),
        "seed": seed,
        "threads": torch.get_num_threads(),
        "versions": {"triglot": __version__, "torch": torch.__version__},
    }
    notes = (
        f"{facts['utterances']} utterances, {facts['minutes']} minutes of held-out sentences by {facts['speakers']} "
        "voices, half of which no training heard. PNMI: the share of the uncertainty about a frame's phoneme that its code "
        "takes away. ABX: how often a phoneme is taken for another one in the same context, by one speaker (within) or two "
        f"(across); chance is 50 %. Speaker probe: chance is {100 / speakers:.0f} %. Hours/hour: of sound, "
        f"{facts['threads']} threads of this machine."
    )
    write_cards(
        output_dir,
        cards,
        COLUMNS,
        PANELS,
        kind="tokenizer",
        facts=facts,
        notes=notes,
        chances={"speaker_accuracy": 1 / speakers},
    )
    return cards


def run(arguments: argparse.Namespace) -> list[TokenizerCard] | list[image_tokenizer_report.ImageTokenizerCard]:
    """`triglot evaluate tokenizer`, with the arguments of `evaluate_arguments.add_tokenizer_arguments`; of images as well."""
    tokenizers, decoders = named_parts(arguments.tokenizers), named_parts(arguments.decoder or [])
    loaded = {name: load_tokenizer(folder) for name, folder in tokenizers.items()}
    for name, tokenizer in loaded.items():
        if not tokenizer.fingerprint:
            raise TriglotError(f"The tokenizer {name!r} has no code book yet; train it first.")
    seeing = sorted(name for name, tokenizer in loaded.items() if tokenizer.grid is not None)
    if len(seeing) == len(loaded):
        return image_tokenizer_report.run(arguments, loaded)
    if seeing:
        raise TriglotError(
            f"{', '.join(seeing)} take images and the others speech; compare each kind in a report of its own."
        )
    cards = report_tokenizers(
        loaded,
        aligned_utterances(arguments.sentences, arguments.voices, arguments.seed),
        arguments.out,
        decoders={name: load_speech_decoder(folder) for name, folder in decoders.items()},
        judge=load_judge(arguments.judge) if arguments.judge else None,
        seed=arguments.seed,
    )
    print((Path(arguments.out) / "report.md").read_text(encoding="utf-8"))
    return cards
