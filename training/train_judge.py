"""The judge's training: strings of the world's words by chance, by espeak-ng in the training voices, in light and heavy noise.

    python -m triglot.training.train_judge --output-dir DIR       a step a second on one CPU core

No sentence of the demo world is ever spoken to it. In half of the strings single words follow one another by chance, in the
others pieces of two or three words, since "left of a" is spoken otherwise than its words by themselves; common words and pieces
come more often than rare ones, but none is rare. So it can only write what it hears. `--start-from` goes on from a judge, e.g. at a
lower rate. `--check` reads held-out sentences in training and held-out voices and prints the word error rates.
"""

import argparse
import functools
import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, set_seed

from ..command_output import run_script
from ..processing.audio_io import load_audio
from ..processing.errors import TriglotError
from .ctc import character_ids, pad_targets
from .data.augment import RecordingConditions, resample_voice
from .data.demo_world import VOICES, speak
from .data.splits import TRAINING_VOICES, held_out_sentences, random_speaker, training_sentences
from .evaluate_models import JUDGE_RATE, AnyJudge, load_judge
from .judge import HOP, MEL_BINS, Judge, JudgeConfig
from .metrics import WordErrorRate
from .run_report import train_and_report
from .runs import check_optimizer, chosen_optimizers, open_run, save_trained, take_weights, trainer_arguments
from .seeded_data import seeded_data
from .text_normaliser import normalise_text

LANGUAGES = ("en", "es", "hi")
WORDS_FROM = 10_000  # training sentences whose words the judge knows
STRING_WORDS = (2, 9)  # least and most words of a string


@dataclass(frozen=True)
class JudgeArguments:
    """Settings of `train_judge`."""

    hidden_size: int = 256
    num_blocks: int = 8
    kernel_size: int = 7
    pieces_share: float = 0.5  # of the strings: made of pieces of sentences instead of words
    augmented_share: float = 0.5  # of the strings: heard through recording conditions
    other_voice_share: float = 0.3  # of the strings: by a smaller or larger speaker
    start_from: str = ""  # folder of a judge; "" to start from nothing
    max_steps: int = 8_000
    batch_size: int = 24
    optimizer: str = "muon"  # or "adamw"
    learning_rate: float = 4e-3
    warmup_steps: int = 200
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    bf16: bool = True
    dtype: str = "float16"
    save_steps: int = 500
    logging_steps: int = 50
    num_workers: int = 1

    def __post_init__(self):
        check_optimizer(self.optimizer)


@functools.cache
def _known_sentences() -> dict[str, list[list[str]]]:
    """{language: the words of each of `WORDS_FROM` training sentences}."""
    items = training_sentences(WORDS_FROM)
    return {language: [normalise_text(item.sentence(language)).split() for item in items] for language in LANGUAGES}


def vocabulary() -> dict[str, list[str]]:
    """{language: the words of the world, each as often as it occurs in `WORDS_FROM` sentences, at most 30 times}."""
    counts = {language: Counter(itertools.chain(*sentences)) for language, sentences in _known_sentences().items()}
    return {
        language: [word for word in sorted(known) for _ in range(min(known[word], 30))]
        for language, known in counts.items()
    }


def pieces() -> dict[str, list[str]]:
    """{language: all runs of two and three words in `WORDS_FROM` sentences, each as often as it occurs}."""
    return {
        language: [
            " ".join(words[start : start + size])
            for words in sentences
            for size in (2, 3)
            for start in range(len(words) - size + 1)
        ]
        for language, sentences in _known_sentences().items()
    }


def _types(drawn: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """{language: what may be drawn, each once}."""
    return {language: sorted(set(texts)) for language, texts in drawn.items()}


def spoken(text: str, language: str, speaker: str) -> np.ndarray:
    """The text by that speaker, float32 (samples,) at the judge's rate."""
    wave, rate = speak(text, language, speaker)
    return load_audio(wave, rate, target_rate=JUDGE_RATE)


class RandomStrings(torch.utils.data.Dataset):
    """String i of a seed: {"waveform": (S,), "language": its place, "text"}; spoken when asked for."""

    def __init__(self, count: int, seed: int, arguments: JudgeArguments):
        self.count, self.seed, self.arguments = count, seed, arguments
        self.words = vocabulary()
        self.types = _types(self.words)
        self.pieces = pieces() if arguments.pieces_share else {}
        self.piece_types = _types(self.pieces)

    @property
    def alphabets(self) -> dict[str, str]:
        """{language: the characters of its words, and the space}."""
        return {language: "".join(sorted(set(" ".join(words)))) for language, words in self.types.items()}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = random.Random(f"judge {self.seed} {index}")
        language = rng.choice(LANGUAGES)
        count = rng.randint(*STRING_WORDS)
        in_pieces = rng.random() < self.arguments.pieces_share
        each_once, as_spoken = (self.piece_types, self.pieces) if in_pieces else (self.types, self.words)
        # rare ones as often as common ones, and then again common ones more often
        pools = [each_once if rng.random() < 0.5 else as_spoken for _ in range(1 + count // 3 if in_pieces else count)]
        text = " ".join(rng.choice(pool[language]) for pool in pools)
        wave = spoken(text, language, random_speaker(rng, TRAINING_VOICES))
        noise = np.random.default_rng(rng.getrandbits(64))
        if rng.random() < self.arguments.other_voice_share:
            wave = resample_voice(wave, noise)
        if rng.random() < self.arguments.augmented_share:
            wave = RecordingConditions.draw(noise).apply(wave, JUDGE_RATE, noise)
        pauses = [np.zeros(rng.randrange(6_400), np.float32) for _ in range(2)]
        return {
            "waveform": torch.from_numpy(np.concatenate((pauses[0], wave, pauses[1])).astype(np.float32)),
            "language": LANGUAGES.index(language),
            "text": text,
        }


class StringCollator:
    """Items -> a batch for `Judge`, with stripes of time and frequency hidden."""

    def __init__(self, characters: str):
        self.characters = characters

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        lengths = torch.tensor([len(item["waveform"]) for item in items])
        values = torch.zeros(len(items), int(lengths.max()))
        frames = int(lengths.max()) // HOP + 1
        mask = torch.zeros(len(items), MEL_BINS, frames, dtype=torch.bool)
        for row, item in enumerate(items):
            values[row, : lengths[row]] = item["waveform"]
            for _ in range(2):
                start, width = int(torch.randint(frames, ())), int(torch.randint(8, ()))
                mask[row, :, start : start + width] = True
                start, width = int(torch.randint(MEL_BINS, ())), int(torch.randint(10, ()))
                mask[row, start : start + width] = True
        return {
            "input_values": values,
            "lengths": lengths,
            "languages": torch.tensor([item["language"] for item in items]),
            "transcripts": pad_targets([character_ids(item["text"], self.characters) for item in items]),
            "feature_mask": mask,
        }


def train_judge(output_dir: Path, arguments: JudgeArguments | None = None, *, seed: int = 0) -> Path:
    """Trains a judge from nothing and saves it; a run that was cut off goes on from its last checkpoint.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: checkpoints of other settings, or espeak-ng is missing.
    """
    arguments = arguments or JudgeArguments()
    output_dir = Path(output_dir)
    strings = RandomStrings(arguments.max_steps * arguments.batch_size, seed, arguments)
    config = JudgeConfig(
        alphabets=strings.alphabets, words=strings.types, hidden_size=arguments.hidden_size, num_blocks=arguments.num_blocks,
        kernel_size=arguments.kernel_size,
    )  # fmt: skip
    checkpoint = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs={})
    set_seed(seed)
    model = Judge(config)
    if arguments.start_from and checkpoint is None:  # checkpoints of this run are further on
        begun = load_judge(arguments.start_from)
        if not isinstance(begun, Judge):
            raise TriglotError(f"{arguments.start_from} holds another recogniser than a judge of train_judge.")
        take_weights(model, begun, arguments.start_from, "alphabets")
    trainer = Trainer(
        model=model,
        args=trainer_arguments(output_dir / "checkpoints", arguments, seed=seed),
        **seeded_data(strings, StringCollator(config.characters), seed),
        optimizers=chosen_optimizers(model, arguments),
    )
    train_and_report(trainer, checkpoint, arguments)
    return save_trained(trainer.accelerator.unwrap_model(trainer.model), output_dir, arguments)


def word_error_rates(judge: AnyJudge, voices: str, sentences: int, seed: int = 0) -> dict[str, float]:
    """The judge on held-out sentences, each in every language by a random speaker of `voices`: {language: WER in %}.

    `sentences` of them, in each language.
    """
    rng = random.Random(seed)
    items = held_out_sentences(sentences, seed)
    rates: dict[str, float] = {}
    for language in LANGUAGES:
        texts = [item.sentence(language) for item in items]
        waves = [spoken(text, language, random_speaker(rng, VOICES[voices])) for text in texts]
        heard = judge.transcribe(waves, [language] * len(waves))
        rates[language] = 100 * WordErrorRate().compute(predictions=heard, references=texts)["wer"]
    return rates


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output-dir", type=Path, default=Path("tests/data/judge"))
    parser.add_argument("--max-steps", type=int, default=JudgeArguments.max_steps)
    parser.add_argument("--learning-rate", type=float, default=JudgeArguments.learning_rate)
    parser.add_argument("--start-from", default="", metavar="FOLDER", help="a judge to go on from")
    parser.add_argument("--check", type=int, metavar="SENTENCES", help="only measure the judge that is there")
    arguments = parser.parse_args(argv)
    if arguments.check is None:
        settings = {name: getattr(arguments, name) for name in ("max_steps", "learning_rate", "start_from")}
        train_judge(arguments.output_dir, JudgeArguments(**settings))
    judge = load_judge(arguments.output_dir)
    for voices in VOICES:
        rates = word_error_rates(judge, voices, arguments.check or 300)
        mean = sum(rates.values()) / len(rates)
        print(f"{voices} voices: WER {mean:.2f} % " + " ".join(f"{name} {rate:.2f}" for name, rate in rates.items()))


if __name__ == "__main__":
    run_script(main)
