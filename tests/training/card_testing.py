"""Reports and checkpoints for the tests of model cards: measured by the real code, from answers made here."""

import shutil
from pathlib import Path

from environments import ROOT

from triglot.training.checkpoint_files import weights_digest
from triglot.training.evaluate_questions import EVALUATION_TASKS
from triglot.training.report import EvaluatedItem, summarise

TINY = ROOT / "hub_configs" / "triglot-tiny"


def checkpoint_copy(folder: Path) -> Path:
    """triglot-tiny without its card and its code."""
    return Path(shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.py", "README.md", "card.json")))


def report(checkpoint, wrong: int = 1, rows: int = 10, **more) -> dict:
    """What `triglot evaluate` writes down of ten sentences, `wrong` of which end in a wrong word."""
    texts = [f"a square is above the star number {n}" for n in range(10)]
    answers = [text.replace("number", "nombre") if n < wrong else text for n, text in enumerate(texts)]
    asked = {"ASR": (("en", None), ("es", None)), "AST": (("en", "es"), ("es", "en"))}
    tasks = {}
    for task, directions in asked.items():
        items = [
            EvaluatedItem(f"{task}-{n}", n, task, *direction, None, text, text, hypothesis=answer)
            for direction in directions
            for n, (text, answer) in enumerate(zip(texts, answers))
        ]
        tasks[task] = summarise(items, EVALUATION_TASKS[task].measures, seed=0, resamples=50)
    return {
        "checkpoint": str(checkpoint),
        "weights": weights_digest(checkpoint),
        "command": f"triglot evaluate {checkpoint} --rows rows --tasks ASR,AST --out report",
        "tasks": tasks,
        "settings": {"rows": rows, "items": 40, "limit": None, "seed": 0, "judge": None, "generate_kwargs": {}},
        "versions": {"triglot": "0.1.0", "transformers": "5.23.0", "torch": "2.13.0"},
        **more,
    }
