"""What a language model that writes text alone is asked of each chain, and what is spoken of its answer."""

import pytest

from triglot import TriglotError
from triglot.processing.spoken_plan import READ, spoken_plan
from triglot.processing.task_formats import TASKS, parse_chain


@pytest.mark.parametrize(
    ("asked", "written", "places", "roles"),
    [
        ("ASR AST S2ST", "ASR AST", (0, 1, 1), (None, None, "target")),
        ("S2ST", "AST", (0,), ("target",)),
        ("ASR S2ST", "ASR AST", (0, 1), (None, "target")),
        ("AST S2ST", "AST", (0, 0), (None, "target")),
        ("S2ST ASR", "ASR AST", (1, 1), ("target", None)),
        ("TTS", None, (READ,), ("source",)),
        ("MT TTS", "MT", (0, 0), (None, "target")),
        ("TTS MT", "MT", (READ, 0), ("source", None)),
        ("ASR TTS", "ASR", (0, 0), (None, "source")),
        ("CAPTION TTS", "CAPTION", (0, 0), (None, "source")),
        ("CAPTION MT TTS", "CAPTION MT", (0, 1, 1), (None, None, "target")),
        ("ASR AST T2I S2ST", "ASR AST T2I", (0, 1, 2, 1), (None, None, None, "target")),
    ],
)
def test_plans(asked, written, places, roles):
    plan = spoken_plan(parse_chain(asked))
    assert (plan.written.name if plan.written else None, plan.places, plan.roles) == (written, places, roles)


def test_nothing_spoken_is_left_to_the_model():
    for one in TASKS:
        for two in (*TASKS, ""):
            try:
                chain = parse_chain(f"{one} {two}")
                plan = spoken_plan(chain)
            except TriglotError:
                continue
            assert len(plan.places) == len(plan.roles) == len(chain.outputs)
            if plan.written is not None:
                assert "speech" not in {slot.modality for slot in plan.written.outputs}
