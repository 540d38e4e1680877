"""Captions and drawings of scenes are scored, by an evaluation as a whole and one by one."""

import argparse
import json

import pytest
from image_testing import seeing_checkpoint
from PIL import Image

from triglot.training import evaluate as evaluate_module
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.data.scene_pictures import draw_scene
from triglot.training.data.scenes import parse_scene
from triglot.training.evaluate import EVALUATION_TASKS, add_arguments, evaluate_checkpoint, run
from triglot.training.evaluate_arguments import DEFAULT_TASKS, PICTURE_TASKS
from triglot.training.evaluate_models import Answer
from triglot.training.evaluate_questions import Asked, questions
from triglot.training.evaluate_scenes import scene_score
from triglot.training.report import EvaluatedItem, drawings, markdown, signatures, summarise

SENTENCE = "a small red circle is above a big blue square"
TURNED = "a big blue square is below a small red circle"


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, tmp_path_factory):
    return seeing_checkpoint(random_checkpoint, tmp_path_factory.mktemp("seeing") / "checkpoint")


@pytest.fixture(scope="module")
def rows():
    """Two scenes, both directions, by two speakers; and a phrase, of which there is no picture."""
    rows = demo_world(DemoWorldArguments(sentences=2, speakers="m3-170-45 f2-180-55"))
    return rows.map(lambda row, number: {"image": None if number == 0 else row["image"]}, with_indices=True)


def score(task, hypothesis=None, picture=None, text=SENTENCE, language="en"):
    asked = Asked(0, text, text, language, None, None)
    return scene_score(EVALUATION_TASKS[task], asked, Answer([picture], None, None), hypothesis)


def test_a_caption_may_tell_the_scene_from_either_object():
    assert score("CAPTION", SENTENCE).right == score("CAPTION", TURNED).right == 1.0
    assert score("CAPTION", SENTENCE).reference == SENTENCE and score("CAPTION", TURNED).reference == TURNED
    for wrong in (SENTENCE.replace("small", "big"), SENTENCE.replace("above", "below"), SENTENCE[:-1], "", "hello"):
        assert score("CAPTION", wrong).right == 0.0
    assert score("CAPTION", TURNED.replace("red", "green")).reference == TURNED
    spanish = "un círculo rojo pequeño está encima de un cuadrado azul grande"
    assert score("image to speech", spanish, text=spanish, language="es").right == 1.0
    assert score("CAPTION", "hi", text="where is the station").right is None
    assert score("ASR", SENTENCE).right is None


def test_a_picture_is_judged_by_its_pixels():
    right, wrong = (draw_scene(parse_scene(text, "en")) for text in (SENTENCE, SENTENCE.replace("red", "pink")))
    assert score("T2I", picture=right).right == 1.0 and score("T2I", picture=wrong).right == 0.0
    assert score("speech to image", "misheard", right).right == 1.0
    assert score("T2I", picture=right, text=TURNED).right == 1.0


def test_each_picture_is_asked_once(rows):
    codes = {"en": "en", "es": "es"}
    count = {name: len(questions(EVALUATION_TASKS[name], rows, codes, None, 0)) for name in PICTURE_TASKS}
    assert count == {"CAPTION": 4, "T2I": 4, "speech to image": 7, "image to speech": 7}


def test_the_evaluation_of_pictures(checkpoint, rows, tmp_path):
    results = evaluate_checkpoint(
        checkpoint, rows, output_dir=tmp_path / "out", tasks=PICTURE_TASKS, batch_size=3, keep_audio=2, resamples=20,
        progress=False, generate_kwargs={"guidance_scale": 2.0},
    )  # fmt: skip
    measures = {name: set(task["mean"]) for name, task in results["tasks"].items()}
    assert measures == {
        "CAPTION": {"scene_right", "bleu"}, "T2I": {"scene_right"}, "speech to image": {"scene_right", "wer"},
        "image to speech": {"scene_right", "bleu"},
    }  # fmt: skip
    items = [json.loads(line) for line in (tmp_path / "out" / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = [item["image"] for item in items if item["image"]]
    assert len(kept) == 4 and all(Image.open(tmp_path / "out" / path).size == (16, 16) for path in kept)
    assert all(len(item["codes"]) == 4 for item in items if item["task"] in ("T2I", "speech to image"))
    assert all(item["scene_right"] == 0.0 for item in items)
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| whole scene right, % |" in report and "told from either object" in report
    assert "## Drawings: T2I" in report and "## Drawings: CAPTION" not in report
    assert all(f'<img src="{path}"' in report for path in kept)


def test_the_grid_of_drawings():
    asked = ["a | b", "<b>\nc", *"defg"]
    items = [
        EvaluatedItem(
            f"t2i-{i}", i, "T2I", "en", None, None, text, text, image=f"images/{i}.png", scene_right=float(i > 0)
        )
        for i, text in enumerate(asked)
    ]
    *_, first, second = drawings(items, columns=4).strip().splitlines()
    cells = first.strip("| ").split(" | ")
    assert cells[:2] == [
        '<img src="images/0.png" width="128"><br>a &#124; b ✗', '<img src="images/1.png" width="128"><br>&lt;b&gt; c ✓',
    ]  # fmt: skip
    assert len(cells) == 4 and second.count("<img") == 2 and second.count("|") == 5
    assert drawings([EvaluatedItem("asr-0", 0, "ASR", "en", None, None, "x", "x")]) == ""


def test_the_share_is_printed_in_percent():
    items = [
        EvaluatedItem(f"t2i-{i}", i, "T2I", "en", None, None, "x", f"reference {i}", scene_right=float(i > 0))
        for i in range(4)
    ]
    summary = summarise(items, ["scene_right"], 0, 50)
    assert summary["directions"]["en"]["scene_right"]["value"] == 0.75
    results = {
        "checkpoint": "x", "tasks": {"T2I": summary}, "settings": {"judge": None}, "versions": {},
        "signatures": signatures(["scene_right"]),
    }  # fmt: skip
    assert "| T2I | en | 4 | 75.0 [" in markdown(results)


def test_pictures_are_evaluated_where_there_are_some(checkpoint, random_checkpoint, rows, tmp_path, monkeypatch):
    asked = []

    def stop(*args, tasks, **settings):
        asked.append(tuple(tasks))
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_module, "evaluate_checkpoint", stop)
    rows.save_to_disk(str(tmp_path / "rows"))
    rows.remove_columns("image").save_to_disk(str(tmp_path / "blind"))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for model, folder in ((checkpoint, "rows"), (checkpoint, "blind"), (random_checkpoint, "rows")):
        with pytest.raises(KeyboardInterrupt):
            run(parser.parse_args([str(model), "--rows", str(tmp_path / folder), "--out", str(tmp_path / "out")]))
    assert asked == [(*DEFAULT_TASKS, *PICTURE_TASKS), DEFAULT_TASKS, DEFAULT_TASKS]
