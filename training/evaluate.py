"""`triglot evaluate CHECKPOINT --rows DIR --out DIR`: what a checkpoint does with rows it has not seen, as one table.

rows (audio, transcript, source_language, translated_audio, translated_transcript, target_language, speaker, image)
  ─▶  questions of each task, each once  ─▶  checkpoint  ─▶  printed text, speech  ─▶  judge  ─▶  its text
                                                         ─▶  pictures  ─▶  checker  ─▶  whether the scene is right
  ─▶  out/results.json, report.md, items.jsonl, audio/*.wav, images/*.png
"""

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm

from ..processing.audio_io import write_audio
from ..processing.errors import TriglotError
from ..processing.image_io import write_image
from ..processing.processing_triglot import TriglotProcessor
from ..processing.whole_files import whole_folder
from ..provenance import synthetic
from ..version import __version__
from .checkpoint_files import weights_digest
from .data.load_rows import load_rows
from .data.sources import field_rows, load_sources
from .evaluate_arguments import DEFAULT_TASKS, PICTURE_TASKS, add_arguments, command_line
from .evaluate_models import Answer, CheckpointUnderTest, Question, at_judge_rate, load_judge, load_speaker_model
from .evaluate_questions import (
    CONTROL,
    CONTROL_TASK,
    EVALUATION_TASKS,
    Asked,
    EvaluationTask,
    check_languages,
    check_rows,
    check_tasks,
    questions,
)
from .evaluate_scenes import has_pictures, scene_score
from .metrics import SpeakerSimilarity
from .progress import bar_settings
from .report import EvaluatedItem, signatures, summarise, write_results

__all__ = ["EVALUATION_TASKS", "Judge", "add_arguments", "evaluate_checkpoint", "load_rows", "run"]


class Judge(Protocol):
    """An independent speech recogniser."""

    def transcribe(self, waveforms: list[np.ndarray], languages: list[str]) -> list[str]:
        """The words of each float32 (samples,) at 16 kHz, spoken in that language (ISO code)."""


def evaluate_checkpoint(
    checkpoint: str | os.PathLike,
    rows: Dataset,
    *,
    output_dir: str | os.PathLike,
    judge: Judge | None = None,
    embed: Any = None,
    tasks: Sequence[str] = DEFAULT_TASKS,
    batch_size: int = 8,
    seed: int = 0,
    limit: int | None = None,
    keep_audio: int = 20,
    resamples: int = 1000,
    device: str | None = None,
    generate_kwargs: Mapping[str, Any] | None = None,
    progress: bool = True,
    command: str | None = None,
) -> dict[str, Any]:
    """Measures a checkpoint and writes what it found.

    A question that several rows ask (the same recording in two directions, a sentence in many voices for MT) is asked once.
    Speech comes in the voice of the row's own audio; TTS without audio in the decoder's fallback voice.

    Args:
        checkpoint: Folder or Hub id.
        rows: With AudioPaLM's fields, see `data.demo_world`. A row counts for each task whose fields it has.
        output_dir: Gets results.json, report.md, items.jsonl, audio/ and images/, whole or not at all; an older evaluation there is
            replaced.
        judge: Reads the spoken output. None leaves ASR-BLEU and ASR-WER out.
        embed: float32 (samples,) at 16 kHz -> a speaker's embedding (D,). None leaves the speaker similarity out.
        tasks: Names of EVALUATION_TASKS.
        batch_size: Items a `generate` call.
        seed: Of the choice under `limit`, of sampling if the checkpoint samples, and of the bootstrap.
        limit: Most items of each task and direction, chosen at random; None for all.
        keep_audio: Most wavs and pictures to keep of each task.
        resamples: Of the bootstrap.
        device: None for a GPU where there is one.
        generate_kwargs: For `model.generate`, beside the checkpoint's own generation config.
        progress: Whether to show a bar.
        command: That gave these numbers, for those who read them.

    Returns:
        What results.json holds: {"checkpoint", "weights": their digest, "command", "tasks": {task: see `report.summarise`},
        "signatures", "settings", "versions", "fingerprints"}.

    Raises:
        TriglotError: an unknown task, rows that are empty or lack columns, a language the checkpoint does not know, a
            checkpoint that cannot be loaded, a folder that cannot be written or holds something else.
    """
    chosen = {name: EVALUATION_TASKS[name] for name in check_tasks(tasks)}
    for name, number, least in (("batch_size", batch_size, 1), ("limit", limit, 1), ("keep_audio", keep_audio, 0)):
        if number is not None and number < least:
            raise TriglotError(f"{name} is {number}; at least {least} is needed.")
    rows = check_rows(rows, chosen)
    folder = _check_output_dir(output_dir)
    judged = judge is not None and any(task.speaks for task in chosen.values())
    if judged and set(CONTROL_TASK.columns.values()) <= set(rows.column_names):
        chosen[CONTROL] = CONTROL_TASK

    model = CheckpointUnderTest(checkpoint, device)
    languages = check_languages(rows, chosen, model.processor.languages)
    model.check([task.chain for task in chosen.values() if task.chain])
    plan = {name: questions(task, rows, languages, limit, seed) for name, task in chosen.items()}
    empty = [name for name, asked in plan.items() if not asked and name != CONTROL]
    if empty:
        raise TriglotError(f"No row has the fields that {empty[0]!r} needs; leave it out of tasks.")

    with contextlib.ExitStack() as stack:
        try:
            partial = stack.enter_context(whole_folder(folder))
            for name in ("audio", "images"):
                (partial / name).mkdir()
        except OSError as error:
            raise TriglotError(f"{folder} cannot be written: {error}.") from error
        run = _Run(model, rows, judge, embed, partial, keep_audio, dict(generate_kwargs or {}))
        items = run.items(chosen, plan, batch_size, seed, progress)
        summaries = {
            name: summarise([item for item in items if item.task == name], task.measures, seed, resamples)
            for name, task in chosen.items()
            if plan[name]
        }
        measured = dict.fromkeys(key for summary in summaries.values() for key in summary["mean"])
        results = {
            "checkpoint": os.fspath(checkpoint),
            "weights": weights_digest(checkpoint),
            "command": command,
            "tasks": summaries,
            "signatures": signatures(list(measured)),
            "settings": {
                "rows": len(rows), "items": len(items), "limit": limit, "seed": seed, "resamples": resamples,
                "batch_size": batch_size, "judge": _name(judge), "embedding": _name(embed), "device": str(model.device),
                "generate_kwargs": {key: str(value) for key, value in (generate_kwargs or {}).items()},
            },
            "versions": {
                "triglot": __version__,
                **{name: version(name) for name in ("transformers", "torch", "datasets", "evaluate", "jiwer", "sacrebleu")},
            },
            "fingerprints": {entry["name"]: entry.get("fingerprint") for entry in model.processor.modalities[1:]},
        }  # fmt: skip
        write_results(partial, results, items)
    return results


def _check_output_dir(output_dir: str | os.PathLike) -> Path:
    """The folder, resolved; refused if replacing it would destroy anything but an older evaluation."""
    folder = Path(output_dir).resolve()
    if folder.exists() and not folder.is_dir():
        raise TriglotError(f"{folder} is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "items.jsonl").is_file():
        raise TriglotError(f"{folder} holds something that is no evaluation; name a new or an empty folder.")
    return folder


# ---- answers


class _Run:
    """One evaluation under way; everything it needs to turn questions into items."""

    def __init__(
        self,
        model: CheckpointUnderTest,
        rows: Dataset,
        judge: Judge | None,
        embed: Any,
        folder: Path,
        keep_audio: int,
        generate_kwargs: dict[str, Any],
    ):
        self.model, self.rows, self.judge, self.embed = model, rows, judge, embed
        self.folder, self.keep_audio, self.generate_kwargs = folder, keep_audio, generate_kwargs
        self.tags = synthetic(model.model.name_or_path)
        self.speakers = rows["speaker"][:] if "speaker" in rows.column_names else [None] * len(rows)

    def items(
        self,
        tasks: Mapping[str, EvaluationTask],
        plan: Mapping[str, Sequence[Asked]],
        batch_size: int,
        seed: int,
        progress: bool,
    ) -> list[EvaluatedItem]:
        """All questions, in batches of like length, back in the order of tasks and rows."""
        items: list[EvaluatedItem] = []
        total = sum(map(len, plan.values()))
        with tqdm(total=total, desc="evaluating", **bar_settings(progress)) as bar, torch.random.fork_rng():
            torch.manual_seed(seed)
            for name, task in tasks.items():
                kept = {asked.row for asked in plan[name][: self.keep_audio]}
                by_length = sorted(plan[name], key=lambda asked: len(asked.text))
                answered: list[EvaluatedItem] = []
                for start in range(0, len(by_length), batch_size):
                    batch = by_length[start : start + batch_size]
                    answered += self._batch(name, task, batch, kept)
                    bar.update(len(batch))
                items += sorted(answered, key=lambda item: item.row)
        return items

    def _batch(
        self, name: str, task: EvaluationTask, batch: Sequence[Asked], kept: set[int]
    ) -> Iterator[EvaluatedItem]:
        asked_now = [
            Question(
                asked.text,
                self.rows[asked.row][asked.audio_column] if asked.audio_column else None,
                asked.source_language,
                asked.target_language,
                f"{asked.image_column or asked.audio_column or 'audio'} of row {asked.row}",
                self.rows[asked.row][asked.image_column] if asked.image_column else None,
            )
            for asked in batch
        ]
        if task.chain is None:
            answers = [Answer([wave := self.model.hear(question)], None, wave) for question in asked_now]
        else:
            answers = self.model.answer(task.chain, asked_now, self._settings(task))
        rate = self.model.spoken_rate if task.chain and task.speaks else self.model.sampling_rate
        spoken = (
            [at_judge_rate(answer.pieces[-1], rate) for answer in answers] if task.speaks or not task.chain else []
        )
        heard = self._judged(spoken, [asked.target_language or asked.source_language for asked in batch])
        for number, (asked, answer) in enumerate(zip(batch, answers)):
            item_id = f"{name.lower().replace(' ', '_')}-{asked.row}"
            path = f"audio/{item_id}.wav" if task.speaks and asked.row in kept else None
            if path:
                write_audio(self.folder / path, answer.pieces[-1], rate, self.tags)
            drawn = f"images/{item_id}.png" if task.draws and asked.row in kept else None
            if drawn:
                write_image(self.folder / drawn, answer.pieces[-1], self.tags)
            printed = None if task.printed is None else answer.pieces[task.printed]
            seen = scene_score(task, asked, answer, printed)
            yield EvaluatedItem(
                id=item_id,
                row=asked.row,
                task=name,
                source_language=asked.source_language,
                target_language=asked.target_language,
                speaker=self.speakers[asked.row],
                input_text=asked.text,
                reference=seen.reference,
                hypothesis=printed,
                judge=heard[number] if heard else None,
                codes=answer.codes,
                seconds=len(answer.pieces[-1]) / rate if spoken else None,
                audio=path,
                speaker_similarity=self._similarity(task, answer, spoken[number]) if spoken else None,
                scene_right=seen.right,
                image=drawn,
            )

    def _settings(self, task: EvaluationTask) -> dict[str, Any]:
        """What `generate` is told of a task: guidance is for pictures."""
        return {key: value for key, value in self.generate_kwargs.items() if task.draws or key != "guidance_scale"}

    def _judged(self, waves: list[np.ndarray], languages: list[str]) -> list[str]:
        if self.judge is None or not waves:
            return []
        texts = list(self.judge.transcribe(waves, languages))
        if len(texts) != len(waves) or not all(isinstance(text, str) for text in texts):
            raise TriglotError(
                f"The judge gave {len(texts)} answers to {len(waves)} waveforms; one str each is needed."
            )
        return texts

    def _similarity(self, task: EvaluationTask, answer: Answer, spoken: np.ndarray) -> float | None:
        """To the voice that was asked for."""
        if self.embed is None or answer.heard is None or not task.speaks:
            return None
        return SpeakerSimilarity(self.embed).cosine(spoken, at_judge_rate(answer.heard, self.model.sampling_rate))


def _sees(checkpoint: str) -> bool:
    """Whether a checkpoint has an image tokenizer."""
    try:
        settings, _ = TriglotProcessor.get_processor_dict(checkpoint)
    except (OSError, ValueError) as error:
        raise TriglotError(f"The checkpoint {checkpoint!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    return "image_tokenizer" in (settings.get("parts") or ())


def _name(of: Any) -> str | None:
    """How to call a judge or an embedding in the results."""
    return None if of is None else str(getattr(of, "name", None) or getattr(of, "__name__", type(of).__name__))


# ---- command line


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs what `add_arguments` parsed, and prints the report.

    Args:
        arguments: Of `add_arguments`.

    Raises:
        TriglotError: see `evaluate_checkpoint`; also rows, judge or speaker model that cannot be loaded.
    """
    asked = (
        [name.strip() for name in arguments.tasks.split(",") if name.strip()] if arguments.tasks is not None else None
    )
    tasks = check_tasks(asked) if asked is not None else []
    listed = arguments.rows.endswith((".yaml", ".yml"))
    rows = field_rows(load_sources(arguments.rows)) if listed else load_rows(arguments.rows)
    _check_output_dir(arguments.out)
    if asked is None:
        tasks = [*DEFAULT_TASKS, *(PICTURE_TASKS if has_pictures(rows) and _sees(arguments.checkpoint) else ())]
    results = evaluate_checkpoint(
        arguments.checkpoint,
        rows,
        output_dir=arguments.out,
        judge=load_judge(arguments.judge) if arguments.judge else None,
        embed=load_speaker_model(arguments.speaker_model) if arguments.speaker_model else None,
        tasks=tasks,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        limit=arguments.limit,
        keep_audio=arguments.keep_audio,
        device=arguments.device,
        generate_kwargs={"guidance_scale": arguments.guidance} if arguments.guidance is not None else None,
        command=command_line(arguments),
    )
    print((Path(arguments.out) / "report.md").read_text(encoding="utf-8"))
    return results
