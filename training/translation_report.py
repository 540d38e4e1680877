"""`triglot evaluate translation NAME=CHECKPOINT ...`: ways from speech to speech side by side, one row each.

    rows ─ evaluate (S2ST) ─▶ ASR-BLEU, the judge's WER to the own text, the voice        parts ─▶ parameters
    some rows, one by one, timed ─▶ real-time factor

A language model that writes the codes of speech, and one that writes text which `text_to_unit` and a vocoder speak (SeamlessM4T's way),
are asked the same questions; that they have as many parameters is for who trains them, and the table says it.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tqdm.auto import tqdm

from ..processing.codecs_triglot import TEXT_TO_UNIT
from ..processing.errors import TriglotError
from ..version import __version__
from .card_report import write_cards
from .data.load_rows import load_rows
from .evaluate import evaluate_checkpoint
from .evaluate_models import CheckpointUnderTest, Question, load_judge, load_speaker_model
from .evaluate_questions import EVALUATION_TASKS, check_languages, check_rows, questions
from .named_parts import named_parts
from .progress import bar_settings

TASK = "S2ST"  # of EVALUATION_TASKS


@dataclass(frozen=True)
class TranslationCard:
    """What was measured of one checkpoint. Error rates and cosines are 0 to 1; None where it was not measured.

    Attributes:
        name: In the report.
        kind: "units" for a language model that writes the codes of speech, "text, then units" for one that writes text.
        parameters: Of all parts that are needed, in millions; `language_model` of that alone.
        bleu: Of the printed translation.
        asr_bleu: Of what the judge hears; `asr_bleu_low`, `asr_bleu_high` are the ends of its interval, the mean over directions.
        own_text_wer: Of what the judge hears, to the printed translation.
        voice: Cosine to the voice that came in.
        real_time_factor: Seconds of work for a second of speech that came in, one item at a time.
    """

    name: str
    kind: str
    parameters: float
    language_model: float
    bleu: float | None
    asr_bleu: float | None
    asr_bleu_low: float | None
    asr_bleu_high: float | None
    own_text_wer: float | None
    voice: float | None
    real_time_factor: float | None


COLUMNS = {
    "kind": ("the language model writes", 1, 0),
    "parameters": ("parameters, M", 1, 2),
    "language_model": ("of them the language model, M", 1, 2),
    "bleu": ("BLEU of the text", 1, 1),
    "asr_bleu": ("ASR-BLEU", 1, 1),
    "own_text_wer": ("judge's WER to the own text, %", 100, 1),
    "voice": ("cosine to the voice", 1, 2),
    "real_time_factor": ("real-time factor", 1, 3),
}
PANELS = {
    "parameters": "less",
    "asr_bleu": "more",
    "own_text_wer": "less",
    "voice": "more",
    "real_time_factor": "less",
}


def report_translation(
    checkpoints: Mapping[str, str | os.PathLike],
    rows: Dataset,
    output_dir: str | os.PathLike,
    *,
    judge: Any,
    embed: Any = None,
    limit: int | None = None,
    timed: int = 10,
    batch_size: int = 8,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> list[TranslationCard]:
    """Evaluates each checkpoint and writes results.json, report.md, report.png and the evaluation of each in a folder of its name.

    Args:
        checkpoints: {name in the report: folder or Hub id}.
        rows: With AudioPaLM's fields, as for `evaluate_checkpoint`.
        output_dir: An older report there is replaced.
        judge: Reads what they speak.
        embed: Speaker model; None leaves voices out.
        limit: Most items of each direction; None for all.
        timed: Items that are timed.
        batch_size: Items at a time, where nothing is timed.
        seed: Of the choice of items and of the bootstrap.
        device: None for a GPU where there is one.
        progress: Whether to show bars.

    Raises:
        TriglotError: see `evaluate_checkpoint`; a name that is no folder's, or no item to time.
    """
    if timed < 1:
        raise TriglotError(f"timed is {timed}; at least 1 is needed.")
    odd = [name for name in checkpoints if not name or name != os.path.basename(name) or name.startswith(".")]
    if odd:
        raise TriglotError(f"A checkpoint is called {odd[0]!r}; its name becomes a folder: write NAME=FOLDER.")
    parts = {
        name: CheckpointUnderTest(folder, device) for name, folder in checkpoints.items()
    }  # all are looked at first
    for under_test in parts.values():
        under_test.check([str(EVALUATION_TASKS[TASK].chain)])
    cards = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, under_test in parts.items():
            results = evaluate_checkpoint(
                checkpoints[name], rows, output_dir=Path(scratch) / name, judge=judge, embed=embed, tasks=(TASK,),
                batch_size=batch_size, seed=seed, limit=limit, device=device, progress=progress,
            )  # fmt: skip
            factor = _real_time_factor(under_test, rows, timed, seed, progress)
            cards.append(_card(name, under_test, results["tasks"][TASK]["mean"], factor))
        facts = {
            "checkpoints": {name: os.fspath(folder) for name, folder in checkpoints.items()},
            "limit": limit,
            "timed": timed,
            "seed": seed,
            "threads": torch.get_num_threads(),
            "device": str(next(iter(parts.values())).device),
            "versions": {"triglot": __version__, "torch": torch.__version__},
        }
        notes = (
            "Speech to speech with the texts between, means over directions. Parameters: of the language model, the speech tokenizer, "
            "text_to_unit where there is one, and the speech decoder. Voice: cosine of the speaker model's embeddings of what came in "
            f"and what was said. Real-time factor: {timed} items one by one, the first left out of the time, "
            f"{facts['threads']} threads of this machine."
        )
        write_cards(
            output_dir, cards, COLUMNS, PANELS, kind="checkpoint", facts=facts, notes=notes,
            intervals={"asr_bleu": ("asr_bleu_low", "asr_bleu_high")},
            more=lambda partial: _copy_folders(Path(scratch), partial),
        )  # fmt: skip
    return cards


def _copy_folders(source: Path, target: Path) -> None:
    for folder in source.iterdir():
        shutil.copytree(folder, target / folder.name)


def _card(name: str, under_test: CheckpointUnderTest, mean: Mapping[str, Any], factor: float) -> TranslationCard:
    def value(measure: str) -> float | None:
        return mean.get(measure, {}).get("value")

    low, high = mean.get("asr_bleu", {}).get("interval") or (None, None)
    language_model = _millions(under_test.model)
    return TranslationCard(
        name=name,
        kind="text, then units" if under_test.processor.speaks_from_text else "units",
        parameters=language_model + sum(_millions(part) for part in _spoken_parts(under_test)),
        language_model=language_model,
        bleu=value("bleu"),
        asr_bleu=value("asr_bleu"),
        asr_bleu_low=low,
        asr_bleu_high=high,
        own_text_wer=value("asr_wer_own_text"),
        voice=value("speaker_similarity"),
        real_time_factor=factor,
    )


def _spoken_parts(under_test: CheckpointUnderTest) -> list[Any]:
    """Codec components that speech to speech needs."""
    names = ["speech_tokenizer", "speech_decoder", *([TEXT_TO_UNIT] if under_test.processor.speaks_from_text else [])]
    return [under_test.processor.codecs.get(name) for name in names]


def _millions(model: Any) -> float:
    return sum(weight.numel() for weight in model.parameters()) / 1e6


def _real_time_factor(under_test: CheckpointUnderTest, rows: Dataset, count: int, seed: int, progress: bool) -> float:
    task = EVALUATION_TASKS[TASK]
    rows = check_rows(rows, {TASK: task})
    languages = check_languages(rows, {TASK: task}, under_test.processor.languages)
    asked = questions(task, rows, languages, None, seed)[: count + 1]
    work = heard = 0.0
    for number, one in enumerate(tqdm(asked, desc="timing", **bar_settings(progress))):
        question = Question(
            one.text,
            rows[one.row][str(one.audio_column)],
            one.source_language,
            one.target_language,
            f"audio of row {one.row}",
        )
        start = time.perf_counter()
        [answer] = under_test.answer(str(task.chain), [question], {})
        elapsed = time.perf_counter() - start
        if number or len(asked) == 1:  # whatever is made once is not counted
            assert answer.heard is not None
            work, heard = work + elapsed, heard + len(answer.heard) / under_test.sampling_rate
    return work / heard


def run(arguments: argparse.Namespace) -> Sequence[TranslationCard]:
    """`triglot evaluate translation`, with the arguments of `evaluate_arguments.add_translation_arguments`."""
    cards = report_translation(
        named_parts(arguments.checkpoints),
        load_rows(arguments.rows),
        arguments.out,
        judge=load_judge(arguments.judge),
        embed=load_speaker_model(arguments.speaker_model) if arguments.speaker_model else None,
        limit=arguments.limit,
        timed=arguments.timed,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        device=arguments.device,
    )
    print((Path(arguments.out) / "report.md").read_text(encoding="utf-8"))
    return cards
