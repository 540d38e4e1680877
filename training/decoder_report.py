"""`triglot evaluate decoder`: speech decoders side by side, on the same held-out codes and voice prompts.

    ten voices that no training heard, each: sentences to say, another sentence as prompt, more to be known by
    codes of a sentence + the voice's own prompt      ─ decoder ─▶ judge: words;  speaker model: whose voice, how alike
    the same sound, frame by frame against the recording            ─▶ distance of their log-mel
    codes of a sentence + another voice's prompt      ─ decoder ─▶ speaker model: did it move to that voice?
    with a checkpoint: speech in ─ translation ─ decoder ─▶ speaker model: is it still the speaker's voice?

A voice is known by the mean embedding of its own recordings that are neither said nor prompted; the nearest of the ten is whom the
speaker model takes an output for. results.json, report.md and report.png go into one folder; steps.png as well, where decoders by
diffusion are measured at several numbers of steps.
"""

import argparse
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..modeling.decoders.configuration_spectral_voice import SpectralVoiceConfig
from ..modeling.decoders.speech_signal import log_mel, normalise_level
from ..processing.audio_io import resample
from ..processing.codecs_triglot import prompt_encoder
from ..processing.errors import TriglotError
from ..version import __version__
from .card_report import write_cards
from .data.demo_world import speak
from .data.splits import HELD_OUT_VOICES, Item, held_out_sentences, random_speaker
from .diffusion_settings import check_steps, draw_by_steps, parse_steps, rows_by_steps, sampling_steps
from .evaluate_models import JUDGE_RATE, CheckpointUnderTest, at_judge_rate, load_judge, load_speaker_model
from .load_parts import load_speech_decoder, load_speech_tokenizer
from .metrics import WordErrorRate
from .named_parts import named_parts

LANGUAGES = ("en", "es", "hi")
KNOWN_BY = 6  # recordings of a voice that it is known by
RECORDINGS = "recordings"  # the row of the true sound

Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Trial:
    """One sentence to say.

    Attributes:
        voice: Place of its voice among the ten.
        other: Place of the voice whose prompt it is said with the second time.
        language: ISO code.
        text: The words.
        wave: The recording, float32 (S,) at `JUDGE_RATE`.
        prompt, other_prompt: Recordings in another language, of other sentences.
    """

    voice: int
    other: int
    language: str
    text: str
    wave: np.ndarray
    prompt: np.ndarray
    other_prompt: np.ndarray

    @property
    def seconds(self) -> float:
        """Length of the recording, s."""
        return len(self.wave) / JUDGE_RATE


@dataclass(frozen=True)
class Voices:
    """What voices are known by.

    Attributes:
        speakers: Names, as `parse_speaker` reads them.
        recordings: Of each, float32 (S,) at `JUDGE_RATE`.
    """

    speakers: tuple[str, ...]
    recordings: tuple[tuple[np.ndarray, ...], ...]


@dataclass(frozen=True)
class DecoderCard:
    """What was measured of one decoder. Shares, error rates and cosines are 0 to 1; None where it was not or cannot be measured."""

    name: str
    kind: str  # its class
    parameters: float | None = None  # millions
    wer: float | None = None  # of what the judge hears, its own voice
    right_voice: float | None = None  # taken for the voice of the prompt, the speaker's own
    same_voice: float | None = None  # mean cosine to the voice's other recordings
    other_voice: float | None = None  # ... to the other voices' recordings
    moved: float | None = None  # with another's prompt: taken for that other
    mel_distance: float | None = None  # nats; of log-mel to the recording's, where decoding keeps time
    steps: int | None = None  # of diffusion
    translated: float | None = None  # speech translated: taken for the speaker who came in
    real_time_factor: float | None = None


COLUMNS = {
    "parameters": ("parameters, M", 1, 1),
    "steps": ("steps", 1, 0),
    "wer": ("judge's WER, %", 100, 1),
    "mel_distance": ("log-mel distance, nats", 1, 2),
    "right_voice": ("right voice of ten, %", 100, 0),
    "same_voice": ("cosine, same voice", 1, 2),
    "other_voice": ("cosine, others", 1, 2),
    "moved": ("moved by a prompt, %", 100, 0),
    "translated": ("right voice, translated, %", 100, 0),
    "real_time_factor": ("real-time factor", 1, 3),
}
PANELS = {"wer": "less", "right_voice": "more", "moved": "more", "translated": "more", "real_time_factor": "less"}


def held_out_trials(sentences: int = 6, seed: int = 0) -> tuple[Voices, list[Trial]]:
    """The ten held-out voices, one rate and pitch each, and what they say.

    Args:
        sentences: To say, of each voice; the languages take turns.
        seed: Of sentences, rates and pitches.
    """
    rng = random.Random(f"decoder report {seed}")
    speakers = tuple(random_speaker(rng, [voice]) for voice in HELD_OUT_VOICES)
    items = held_out_sentences(sentences + len(LANGUAGES) + KNOWN_BY, seed)
    said, prompted, known = items[:sentences], items[sentences : sentences + len(LANGUAGES)], items[-KNOWN_BY:]
    recordings, prompts = [], []
    for speaker in tqdm(speakers, desc="speaking", unit="voice"):
        recordings.append(
            tuple(_record(item, LANGUAGES[number % len(LANGUAGES)], speaker) for number, item in enumerate(known))
        )
        prompts.append([_record(item, language, speaker) for item, language in zip(prompted, LANGUAGES)])
    trials = []
    for voice, speaker in enumerate(speakers):
        for number, item in enumerate(said):
            place, other = number % len(LANGUAGES), (voice + 1 + number % (len(speakers) - 1)) % len(speakers)
            elsewhere = (place + 1) % len(LANGUAGES)
            trials.append(
                Trial(
                    voice=voice,
                    other=other,
                    language=LANGUAGES[place],
                    text=item.sentence(LANGUAGES[place]),
                    wave=_record(item, LANGUAGES[place], speaker),
                    prompt=prompts[voice][elsewhere],
                    other_prompt=prompts[other][elsewhere],
                )
            )
    return Voices(speakers, tuple(recordings)), trials


def _record(item: Item, language: str, speaker: str) -> np.ndarray:
    wave, rate = speak(item.sentence(language), language, speaker)
    return at_judge_rate(wave, rate)


class VoiceJudge:
    """Whose voice a sound has, of those it knows.

    Args:
        voices: What they are known by.
        embed: float32 (S,) at `JUDGE_RATE` -> (E,).
    """

    def __init__(self, voices: Voices, embed: Embed):
        self.embed = embed
        means = [np.mean([self._unit(wave) for wave in recordings], axis=0) for recordings in voices.recordings]
        self.means = np.stack([mean / np.linalg.norm(mean) for mean in means])

    def cosines(self, wave: np.ndarray) -> np.ndarray:
        """To each voice, (n,)."""
        return self.means @ self._unit(wave)

    def _unit(self, wave: np.ndarray) -> np.ndarray:
        embedding = np.asarray(self.embed(wave), dtype=np.float64).ravel()
        length = float(np.linalg.norm(embedding))
        if not np.isfinite(length) or length == 0:
            raise TriglotError(
                "The speaker model gave an embedding that is 0, NaN or infinite; another model is needed."
            )
        return embedding / length


def measure_decoder(
    name: str,
    decoder: Any,
    tokenizer: Any,
    trials: Sequence[Trial],
    *,
    judge: Any,
    voices: VoiceJudge | None = None,
    checkpoint: CheckpointUnderTest | None = None,
) -> DecoderCard:
    """All that can be measured of one decoder on these trials.

    Args:
        name: In the report.
        decoder: For the tokenizer's codes.
        tokenizer: Whose codes are said.
        trials: Of `held_out_trials`.
        judge: Of `load_judge`.
        voices: Knows the voices; None leaves them out.
        checkpoint: Translates; its own decoder is replaced by this one meanwhile. None leaves it out.

    Raises:
        TriglotError: a decoder of another tokenizer's codes.
    """
    if decoder.fingerprint and decoder.fingerprint != tokenizer.fingerprint:
        raise TriglotError(f"The decoder {name!r} was trained on codes of another tokenizer.")
    own, moved, elapsed = [], [], 0.0
    decode = _Decode(decoder, tokenizer)
    decode(trials[0].wave[:JUDGE_RATE], trials[0].prompt)  # whatever is made once is not counted
    for trial in tqdm(trials, desc=name, unit="sentence"):
        own.append(decode(trial.wave, trial.prompt))
        elapsed += decode.seconds
        if voices is not None:
            moved.append(decode(trial.wave, trial.other_prompt))
    return DecoderCard(
        name=name,
        kind=type(decoder).__name__,
        parameters=sum(weight.numel() for weight in decoder.parameters()) / 1e6,
        steps=sampling_steps(decoder),
        mel_distance=_mel_distance(own, trials),
        real_time_factor=elapsed / sum(trial.seconds for trial in trials),
        translated=None if voices is None or checkpoint is None else _translated(checkpoint, decoder, trials, voices),
        moved=None if voices is None else _share(voices, moved, [trial.other for trial in trials]),
        **_words_and_voice(own, trials, judge, voices),
    )


def measure_recordings(trials: Sequence[Trial], *, judge: Any, voices: VoiceJudge | None = None) -> DecoderCard:
    """The true recordings, as the row that decoders are compared with."""
    waves = [trial.wave for trial in trials]
    measured = _words_and_voice(waves, trials, judge, voices)
    return DecoderCard(RECORDINGS, RECORDINGS, **measured)


def _mel_distance(waves: Sequence[np.ndarray], trials: Sequence[Trial]) -> float | None:
    """Mean absolute difference of log-mel to the recordings', both at one level; None for a decoder that keeps no time."""
    config, found = SpectralVoiceConfig(sampling_rate=JUDGE_RATE), []
    for wave, trial in zip(waves, trials):
        if abs(len(wave) - len(trial.wave)) > config.samples_per_code:
            return None
        both = [torch.from_numpy(item[: min(len(wave), len(trial.wave))]).float() for item in (wave, trial.wave)]
        made, true = (
            log_mel(normalise_level(item, config.hop_length, config.reference_level), config) for item in both
        )
        found.append((made - true).abs().mean())
    return float(torch.stack(found).mean())


class _Decode:
    """Recording and prompt, at `JUDGE_RATE` -> what the decoder says, at the same rate; `seconds` is what decoding took."""

    def __init__(self, decoder: Any, tokenizer: Any):
        self.decoder, self.tokenizer, self.rate, self.seconds = decoder, tokenizer, decoder.sampling_rate, 0.0
        self.encode = prompt_encoder(lambda: tokenizer, self.rate)

    def __call__(self, wave: np.ndarray, prompt: np.ndarray) -> np.ndarray:
        codes = self.tokenizer.encode([torch.from_numpy(resample(wave, JUDGE_RATE, self.tokenizer.sampling_rate))])
        voice = self.decoder.voice_from_waveform(
            torch.from_numpy(resample(prompt, JUDGE_RATE, self.rate)), self.encode
        )
        start = time.perf_counter()
        [sound] = self.decoder.decode(codes, [voice])
        self.seconds = time.perf_counter() - start
        return at_judge_rate(sound.numpy(), self.rate)


def _words_and_voice(
    waves: Sequence[np.ndarray], trials: Sequence[Trial], judge: Any, voices: VoiceJudge | None
) -> dict[str, Any]:
    heard = judge.transcribe(list(waves), [trial.language for trial in trials])
    found: dict[str, Any] = {"wer": _word_error_rate(heard, trials)}
    if voices is None:
        return {**found, "right_voice": None, "same_voice": None, "other_voice": None}
    cosines = np.stack([voices.cosines(wave) for wave in waves])
    places = np.array([trial.voice for trial in trials])
    same = cosines[np.arange(len(trials)), places]
    others = (cosines.sum(1) - same) / (cosines.shape[1] - 1)
    return {
        **found,
        "right_voice": float((cosines.argmax(1) == places).mean()),
        "same_voice": float(same.mean()),
        "other_voice": float(others.mean()),
    }


def _word_error_rate(heard: Sequence[str], trials: Sequence[Trial]) -> float:
    texts = [trial.text for trial in trials]
    return float(WordErrorRate().compute(predictions=list(heard), references=texts)["wer"])  # type: ignore[index]


def _share(voices: VoiceJudge, waves: Sequence[np.ndarray], places: Sequence[int]) -> float:
    """Of the sounds that are taken for the voices of these places."""
    return float(np.mean([int(voices.cosines(wave).argmax()) == place for wave, place in zip(waves, places)]))


def _translated(checkpoint: CheckpointUnderTest, decoder: Any, trials: Sequence[Trial], voices: VoiceJudge) -> float:
    """Share of recordings, translated into the next language, that keep their voice."""
    waves = []
    processor = checkpoint.processor
    before = processor.codecs.get("speech_decoder")
    processor.codecs.speech_decoder = decoder
    try:
        for trial in tqdm(trials, desc="translating", unit="sentence"):
            waves.append(checkpoint.translate(trial.wave, JUDGE_RATE, trial.language, _next_language(trial.language)))
    finally:
        processor.codecs.speech_decoder = before
    # what says nothing has no voice, and counts as lost
    right = [
        bool(np.abs(wave).max() > 0) and int(voices.cosines(wave).argmax()) == trial.voice if len(wave) else False
        for wave, trial in zip(waves, trials)
    ]
    return float(np.mean(right))


def _next_language(language: str) -> str:
    return LANGUAGES[(LANGUAGES.index(language) + 1) % len(LANGUAGES)]


def report_decoders(
    decoders: Mapping[str, Any],
    tokenizer: Any,
    output_dir: str | os.PathLike,
    *,
    judge: Any,
    embed: Embed | None = None,
    checkpoint: CheckpointUnderTest | None = None,
    sentences: int = 6,
    seed: int = 0,
    steps: Sequence[int] = (),
) -> list[DecoderCard]:
    """Measures every decoder, and the true recordings, and writes results.json, report.md and report.png.

    Args:
        decoders: {name in the report: decoder}.
        tokenizer: Whose codes are said.
        output_dir: An older report there is replaced.
        judge: Of `load_judge`.
        embed: Speaker model; None leaves voices out.
        checkpoint: Translates; None leaves translated voices out.
        sentences: Of each voice.
        seed: Of sentences, rates and pitches.
        steps: Numbers of steps at which decoders by diffusion are measured, each as a row of its own; none for their own number alone.
    """
    if sentences < 1:
        raise TriglotError(f"sentences is {sentences}; at least 1 is needed.")
    check_steps(decoders, steps)
    known, trials = held_out_trials(sentences, seed)
    voices = None if embed is None else VoiceJudge(known, embed)
    cards = [measure_recordings(trials, judge=judge, voices=voices)]
    for name, decoder in decoders.items():
        for row, setting in rows_by_steps(name, decoder, steps):
            with setting:
                cards.append(
                    measure_decoder(row, decoder, tokenizer, trials, judge=judge, voices=voices, checkpoint=checkpoint)
                )
    facts = {
        "sentences": len(trials),
        "voices": list(known.speakers),
        "minutes": round(sum(trial.seconds for trial in trials) / 60, 1),
        "seed": seed,
        "threads": torch.get_num_threads(),
        "versions": {"triglot": __version__, "torch": torch.__version__},
    }
    notes = (
        f"{len(trials)} held-out sentences ({facts['minutes']} minutes) by {len(known.speakers)} voices that no training heard; codes "
        "of the voice's own recording, prompt: another sentence of the voice in another language. Voices: the nearest of the "
        f"{len(known.speakers)} by mean embedding of {KNOWN_BY} other recordings; chance is {100 / len(known.speakers):.0f} %. Moved by a "
        "prompt: the same codes with another voice's prompt, taken for that voice. Real-time factor: codes to sound, one by one, "
        f"{facts['threads']} threads of this machine."
    )
    chance = 1 / len(known.speakers)
    write_cards(
        output_dir, cards, COLUMNS, PANELS, kind="decoder", facts=facts, notes=notes,
        chances=dict.fromkeys(("right_voice", "moved", "translated"), chance),
        more=(lambda folder: draw_by_steps(cards, COLUMNS, folder / "steps.png")) if steps else None,
    )  # fmt: skip
    return cards


def run(arguments: argparse.Namespace) -> list[DecoderCard]:
    """`triglot evaluate decoder`, with the arguments of `evaluate_arguments.add_decoder_arguments`."""
    folders = named_parts(arguments.decoders)
    tokenizer = load_speech_tokenizer(arguments.tokenizer)
    decoders = {name: load_speech_decoder(folder) for name, folder in folders.items()}
    for name, decoder in decoders.items():  # all are looked at before the first is measured
        if decoder.fingerprint and decoder.fingerprint != tokenizer.fingerprint:
            raise TriglotError(
                f"The decoder {name!r} was trained on codes of another tokenizer than {arguments.tokenizer!r}."
            )
    steps = parse_steps(arguments.steps)
    check_steps(decoders, steps)
    checkpoint = CheckpointUnderTest(arguments.checkpoint, "cpu") if arguments.checkpoint else None
    if checkpoint is not None and set(LANGUAGES) - set(checkpoint.processor.languages):
        missing = ", ".join(sorted(set(LANGUAGES) - set(checkpoint.processor.languages)))
        raise TriglotError(f"{arguments.checkpoint!r} knows no {missing}; the trials are in {', '.join(LANGUAGES)}.")
    cards = report_decoders(
        decoders,
        tokenizer,
        arguments.out,
        judge=load_judge(arguments.judge),
        embed=load_speaker_model(arguments.speaker_model) if arguments.speaker_model else None,
        checkpoint=checkpoint,
        sentences=arguments.sentences,
        seed=arguments.seed,
        steps=steps,
    )
    print((Path(arguments.out) / "report.md").read_text(encoding="utf-8"))
    return cards
