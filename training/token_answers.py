"""What a language model answers to token rows: an evaluation without sound, for models that share one speech tokenizer's codes.

token rows (codes, texts) ─▶ `questions` of a task ─▶ prompts, in batches of like length ─▶ model.generate ─▶ items as dicts
                                                            what is spoken ─ decoder ─ judge ─▶ its text

Scoring is another step (`report.EvaluatedItem(**item)`): its packages need not be there where the model runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..processing.errors import TriglotError
from ..processing.processing_triglot import TriglotProcessor
from ..processing.task_formats import parse_chain
from .evaluate_models import at_judge_rate
from .evaluate_questions import EVALUATION_TASKS, EvaluationTask, questions

COLUMNS = {  # of a dataset: of token rows
    "audio": "speech_source", "transcript": "text_source", "translated_transcript": "text_target",
    "source_language": "source_language", "target_language": "target_language",
}  # fmt: skip


class TokenTable:
    """Token rows by the columns of a dataset, as `questions` reads them; who said what stands for a recording's file,
    or its codes where nobody knows who: so that models of other codes are asked the same."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]):
        self.rows, self.column_names = rows, list(COLUMNS)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        values = [row.get(COLUMNS[column]) for row in self.rows]
        if column != "audio":
            return values
        named = [
            f"{row['speaker']}: {row['text_source']}" if row.get("speaker") else str(row.get("speech_source"))
            for row in self.rows
        ]
        return [{"path": name} if codes else None for name, codes in zip(named, values)]


def check_answerable(tasks: Sequence[str]) -> dict[str, EvaluationTask]:
    """The tasks by name.

    Raises:
        TriglotError: one that does not read speech.
    """
    fitting = {name: task for name, task in EVALUATION_TASKS.items() if task.hears and task.chain}
    if unknown := [name for name in tasks if name not in fitting]:
        raise TriglotError(f"{unknown[0]!r} is not asked of token rows; {', '.join(fitting)} are.")
    return {name: fitting[name] for name in tasks}


@torch.no_grad()
def answer_tokens(
    model: TriglotForConditionalGeneration,
    processor: TriglotProcessor,
    rows: Sequence[Mapping[str, Any]],
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    judge: Any = None,
) -> list[dict[str, Any]]:
    """Asks all questions of all tasks.

    Args:
        model: On any device.
        processor: Of its vocabulary; needs a speech decoder for tasks that speak, in its fallback voice, and no other codecs.
        rows: Token rows with text.
        tasks: Of EVALUATION_TASKS, those that read speech.
        limit: Most questions of each task and direction, chosen at random; None for all.
        batch_size: Questions at a time.
        seed: Of the choice under `limit`: with the same rows, limit and seed every model is asked the same.
        judge: `evaluate.Judge`; reads what is spoken.

    Returns:
        What `report.EvaluatedItem` is made of, in the order of tasks and rows.

    Raises:
        TriglotError: another task, one without a question, or one that speaks without a judge.
    """
    languages = {code: code for code in processor.languages}
    if judge is None and (silent := [name for name, task in check_answerable(tasks).items() if task.speaks]):
        raise TriglotError(f"{silent[0]!r} speaks; a judge is needed that reads it.")
    items: list[dict[str, Any]] = []
    for name, task in check_answerable(tasks).items():
        chain = parse_chain(str(task.chain))
        asked = questions(task, TokenTable(rows), languages, limit, seed)
        if not asked:
            raise TriglotError(f"No row has the fields that {name!r} needs.")
        prompts = {
            one.row: processor.prompt_ids(
                chain, one.source_language, one.target_language, rows[one.row]["speech_source"]
            )
            for one in asked
        }
        spans = [processor.space.index(slot.modality) for slot in chain.outputs]
        texts: dict[int, str | None] = {}
        heard: dict[int, str] = {}
        targets = {one.row: one.target_language or one.source_language for one in asked}
        by_length = sorted(prompts, key=lambda row: len(prompts[row]))
        for start in range(0, len(by_length), batch_size):
            batch = by_length[start : start + batch_size]
            inputs = processor.pad([prompts[row] for row in batch], [spans] * len(batch)).to(model.device)
            ids = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :].cpu()
            for row, pieces in zip(batch, processor.post_process_multimodal_output(ids)):
                pieces += [""] * (len(spans) - len(pieces))  # an empty text at the end leaves no run of ids
                texts[row] = None if task.printed is None else pieces[task.printed]
                if task.speaks:
                    wave = at_judge_rate(pieces[-1], processor.speech_decoder().sampling_rate)
                    heard[row] = judge.transcribe([wave], [targets[row]])[0]
        items += [
            {
                "id": f"{name.lower().replace(' ', '_')}-{one.row}",
                "row": one.row,
                "task": name,
                "source_language": one.source_language,
                "target_language": one.target_language,
                "speaker": rows[one.row].get("speaker"),
                "input_text": one.text,
                "reference": one.reference,
                "hypothesis": texts[one.row],
                "judge": heard.get(one.row),
            }
            for one in asked
        ]
    return items
