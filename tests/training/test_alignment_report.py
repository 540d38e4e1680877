"""Retrieval between views: by hand, on a checkpoint with random weights, and from the command line."""

import json

import numpy as np
import pytest
import torch
from image_testing import seeing_checkpoint
from PIL import Image

from triglot import TriglotError
from triglot.cli import main
from triglot.training.alignment_report import (
    alignment,
    choose_items,
    mean_states,
    places_in_plane,
    recall_at_1,
    view_prompts,
)
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.evaluate_models import CheckpointUnderTest


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, tmp_path_factory):
    return seeing_checkpoint(random_checkpoint, tmp_path_factory.mktemp("seeing") / "checkpoint")


@pytest.fixture(scope="module")
def rows():
    return demo_world(DemoWorldArguments(sentences=5))


def test_recall_by_hand():
    states = np.random.default_rng(0).normal(size=(50, 20))
    assert recall_at_1(states, states) == 1.0
    assert recall_at_1(states, 3 * states + 7) == 1.0, "neither scale nor a shift of a whole view counts"
    assert recall_at_1(states, -states) == 0.0
    assert recall_at_1(states, np.roll(states, 1, 0)) == 0.0
    assert recall_at_1(states, np.random.default_rng(1).normal(size=(50, 20))) < 0.2
    half = np.concatenate([states[:25], np.roll(states[25:], 1, 0)])
    assert recall_at_1(states, half) == pytest.approx(0.5, abs=0.05)


def test_items_are_different_things(rows):
    views = ("text", "speech", "image", "translation")
    assert choose_items(rows, 300, views) == [0, 2, 4, 6, 8], "the way back shows the same picture"
    assert choose_items(rows, 3, views) == [0, 2, 4]


def test_states_are_those_of_the_content_alone(checkpoint, rows):
    under_test = CheckpointUnderTest(checkpoint)
    for view, column in (("text", "transcript"), ("image", "image"), ("speech", "audio")):
        prompts = view_prompts(under_test, rows, [0, 2], view, {"en": "en", "es": "es"})
        states = mean_states(under_test.model, prompts)
        assert states.shape == (2, 2, 32), column
        for number, (ids, first, last) in enumerate(prompts):
            with torch.no_grad():
                alone = under_test.model.language_model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            for layer, wanted in enumerate(alone):
                np.testing.assert_allclose(states[layer, number], wanted[0, first:last].mean(0), atol=1e-5)
            if view == "image":
                assert last - first == 4 and ids[last] == under_test.processor.space.span_ids("image")[1]


def test_pairs_of_what_is_there(checkpoint, random_checkpoint, rows):
    found, middle = alignment(checkpoint, rows)
    assert [pair.pair for pair in found] == ["text-speech", "text-image", "speech-image", "text-translation"]
    assert all(len(pair.trained) == len(pair.untrained) == 2 and pair.chance == 1 / 5 for pair in found)
    assert {states.shape for states in middle.values()} == {(5, 32)}
    blind, _ = alignment(random_checkpoint, rows)
    assert [pair.pair for pair in blind] == ["text-speech", "text-translation"]
    with pytest.raises(TriglotError, match="two of text, speech"):
        alignment(random_checkpoint, rows.select_columns(["transcript", "source_language"]))
    with pytest.raises(TriglotError, match="Only 1 rows"):
        alignment(random_checkpoint, rows.select([0]))


def test_the_plane_holds_views_of_one_item_together_where_they_share_something():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(60, 16))
    views = {
        view: shared + 0.3 * rng.normal(size=shared.shape) + 5 * rng.normal(size=16) for view in ("text", "image")
    }
    places = places_in_plane(views, 10)
    assert {of.shape for of in places.values()} == {(10, 2)}
    gaps = np.linalg.norm(places["text"][:, None] - places["image"][None], axis=-1)
    assert np.median(np.diag(gaps)) < 0.3 * np.median(gaps)
    unrelated = {view: rng.normal(size=shared.shape) for view in views}
    places = places_in_plane(unrelated, 10)
    gaps = np.linalg.norm(places["text"][:, None] - places["image"][None], axis=-1)
    assert np.median(np.diag(gaps)) > 0.5 * np.median(gaps), "found on other items, it cannot flatter"
    assert places_in_plane({view: of[:2] for view, of in views.items()}, 10)["text"].shape == (2, 2)


def test_from_the_command_line(checkpoint, rows, tmp_path, capsys):
    rows.save_to_disk(str(tmp_path / "rows"))
    words = [
        "evaluate",
        "alignment",
        str(checkpoint),
        "--rows",
        str(tmp_path / "rows"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert json.loads(out) == results and "| text-image |" in err
    assert results["items"] == 5 and len(results["pairs"]) == 4
    assert Image.open(tmp_path / "out" / "report.png").width > 800
    assert main([*words, "--pairs", "1"]) == 1
