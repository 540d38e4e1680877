"""TokenSpace: codes <-> ids, ids -> runs, and what cannot be read."""

import doctest
import random

import pytest

from triglot import TokenSpace, TriglotError
from triglot.modeling.language_model import configuration_triglot
from triglot.processing import languages, task_formats, token_space

MODALITIES = [{"name": "text", "size": 30}, {"name": "speech", "size": 10}, {"name": "image", "size": 4}]


@pytest.mark.parametrize("module", [token_space, task_formats, languages, configuration_triglot])
def test_examples_in_the_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def random_runs(space, rng):
    """Runs as a model may write them, and their ids; a text run is closed by <|sep|> or by what follows it."""
    runs, ids = [], []
    for _ in range(rng.randint(1, 6)):
        name = rng.choice(space.names)
        codes = [rng.randrange(space.modalities[space.index(name)]["size"]) for _ in range(rng.randint(1, 9))]
        runs.append((name, tuple(codes)))
        ids += [*codes, space.sep_id] if name == "text" else space.span(name, codes)
    return runs, ids


def test_split_is_the_inverse_of_writing():
    rng = random.Random(0)
    space = TokenSpace(MODALITIES)
    for _ in range(500):
        runs, ids = random_runs(space, rng)
        assert [(run.modality, run.codes) for run in space.split(ids)] == runs


def test_a_fourth_modality_needs_no_code():
    space = TokenSpace([*MODALITIES, {"name": "video", "size": 50}])
    old = TokenSpace(MODALITIES)
    assert all(space.range(name) == old.range(name) for name in old.names)
    ids = [1, 2, space.sep_id, *space.span("video", [49, 0]), *space.span("speech", [9])]
    assert [(run.modality, run.codes) for run in space.split(ids)] == [
        ("text", (1, 2)),
        ("video", (49, 0)),
        ("speech", (9,)),
    ]


def test_every_id_has_one_meaning():
    space = TokenSpace(MODALITIES)
    meanings = [space.modality_of(index) for index in range(space.size)]
    assert [meanings.count(name) for name in space.names] == [30, 10, 4]
    assert meanings.count(None) == 1 + 2 * 2


def test_empty_texts_before_a_separator_are_kept_and_controls_are_dropped():
    space = TokenSpace(MODALITIES)
    runs = space.split([1, space.sep_id, space.sep_id, *space.span("speech", [3]), 2], ignore=[1, 2])
    assert [(run.modality, run.codes) for run in runs] == [("text", ()), ("text", ()), ("speech", (3,))]


def test_text_right_before_a_span_is_a_run_of_its_own():
    space = TokenSpace(MODALITIES)
    assert [run.modality for run in space.split([5, *space.span("image", [0]), 6])] == ["text", "image", "text"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([-1], "Id -1 is outside the vocabulary"),
        ([10_000], "outside the vocabulary"),
        ([35], "cannot stand in a text span"),  # a speech code without a border
        ([31, 35], "not closed"),
        ([31, 5, 32], "code of text"),  # text inside speech
        ([31, 32], "after 0 codes"),  # an empty span
        ([31, 35, 44], "control id"),  # an image's end closes speech
        ([32], "control id"),
    ],
)
def test_ids_that_do_not_parse(ids, message):
    with pytest.raises(TriglotError, match=message):
        TokenSpace(MODALITIES).split(ids)


def test_codes_outside_their_range_and_unknown_names():
    space = TokenSpace(MODALITIES)
    with pytest.raises(TriglotError, match="allowed is 0 to 9"):
        space.ids("speech", [10])
    with pytest.raises(TriglotError, match="allowed is 0 to 9"):
        space.ids("speech", [-1])
    with pytest.raises(TriglotError, match="text, speech, image"):
        space.range("video")
    with pytest.raises(TriglotError, match="no border"):
        space.span_ids("text")


@pytest.mark.parametrize(
    "modalities", [[], [{"name": "speech", "size": 3}], [MODALITIES[0], {"name": "a", "size": 0}]]
)
def test_modalities_that_cannot_be(modalities):
    with pytest.raises(TriglotError):
        TokenSpace(modalities)
