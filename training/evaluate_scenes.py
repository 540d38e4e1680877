"""Whether captions and pictures have the whole scene right.

caption  ─ parse_scene ─▶ scene ─┐
picture  ─ scene_checker ─▶ scene ─┴─ the scene of the row, told from either object ─▶ 1.0 | 0.0
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers import pipeline

from ..processing.errors import TriglotError
from .data.picture_rows import as_image
from .data.scenes import LATER_LANGUAGES, SCENE_LANGUAGES, Scene, parse_scene
from .evaluate_models import Answer
from .evaluate_questions import PICTURE_COLUMN, Asked, EvaluationTask
from .load_parts import load_stock
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
    return SceneScore(float(tells(caption, asked.source_language, scene)), nearer)


def tells(caption: str, language: str, scene: Scene) -> bool:
    """Whether a caption has the whole scene right, told from either object."""
    return parse_scene(caption, language) in (scene, scene.turned)


def captions_right(
    checkpoint: str, scenes: Sequence[Scene], batch_size: int = 25
) -> Callable[[Sequence[torch.Tensor]], float]:
    """How well a checkpoint still sees what pictures of these scenes show: pictures (3, H, W) in 0..1 -> share of whole scenes right.

    Args:
        checkpoint: Folder or Hub id of one that captions; asked in its first language of the demo world.
        scenes: What the pictures will show, in their order.
        batch_size: Pictures at a time.

    Raises:
        TriglotError: a checkpoint that cannot see, or knows none of the demo world's languages.
    """
    see: Any = load_stock(
        lambda name: pipeline("task-chain", model=name, trust_remote_code=False),
        checkpoint,
        "checkpoint that captions",
    )
    known = [code for code in see.processor.languages if code in (*SCENE_LANGUAGES, *LATER_LANGUAGES)]
    if not known:
        raise TriglotError(
            f"{checkpoint!r} knows {', '.join(see.processor.languages)}; scenes are described in {', '.join(SCENE_LANGUAGES)}."
        )

    def score(pictures: Sequence[torch.Tensor]) -> float:
        images = [as_image(picture) for picture in pictures]
        found = see(images, tasks="CAPTION", language=known[0], batch_size=batch_size)
        return sum(tells(steps[0]["text"], known[0], scene) for steps, scene in zip(found, scenes)) / len(scenes)

    return score
