"""Whether captions and pictures have the whole scene right.

caption  ─ parse_scene ─▶ scene ─┐
picture  ─ scene_checker ─▶ scene ─┴─ the scene of the row, told from either object ─▶ 1.0 | 0.0
"""

import difflib
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from .data.scenes import LATER_LANGUAGES, SCENE_LANGUAGES, parse_scene
from .evaluate_models import Answer
from .evaluate_questions import PICTURE_COLUMN, Asked, EvaluationTask
from .scene_checker import shows


@dataclass(frozen=True)
class SceneScore:
    """Attributes:
    right: 1.0 where all of the scene is right, else 0.0; None where the task has no picture or the row is no scene.
    reference: What a text is scored against: of the two orders in which a scene can be told, the one nearer to it.
    """

    right: float | None
    reference: str


def has_pictures(rows: Dataset) -> bool:
    """Whether any of the rows holds one."""
    return PICTURE_COLUMN in rows.column_names and any(picture is not None for picture in rows[PICTURE_COLUMN])


def scene_score(task: EvaluationTask, asked: Asked, answer: Answer, printed: str | None) -> SceneScore:
    """How an answer is scored as a scene."""
    known = asked.source_language in (*SCENE_LANGUAGES, *LATER_LANGUAGES)
    scene = parse_scene(asked.text, asked.source_language) if known and (task.sees or task.draws) else None
    if scene is None:
        return SceneScore(None, asked.reference)
    if task.draws:
        return SceneScore(float(shows(answer.pieces[-1], scene)), asked.reference)
    caption: Any = printed if printed is not None else ""
    orders = [one.sentence(asked.source_language) for one in (scene, scene.turned)]
    nearer = max(orders, key=lambda order: difflib.SequenceMatcher(None, order.split(), caption.split()).ratio())
    right = parse_scene(caption, asked.source_language) in (scene, scene.turned)
    return SceneScore(float(right), nearer)
