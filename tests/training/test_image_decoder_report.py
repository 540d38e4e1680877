"""The report card of image decoders, on ones whose marks are known; and the classifier whose features FID is measured by."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from image_decoder_testing_parts import tiny_decoders
from picture_rows_testing import picture_rows
from PIL import Image as Pictures
from transformers import AutoModel

pytest.importorskip("diffusers")

from triglot.cli import main, parse
from triglot.processing.errors import TriglotError
from triglot.training.data.picture_rows import held_out_scenes
from triglot.training.data.scenes import Scene, SceneObject
from triglot.training.image_decoder_report import measure_image_decoder, report_image_decoders, scenes_at
from triglot.training.scene_classifier import SceneClassifier, SceneClassifierConfig, facts_of, load_scene_classifier
from triglot.training.train_scene_classifier import SceneClassifierArguments, accuracy, train_scene_classifier


class Drawer(torch.nn.Linear):
    """Draws what it was told to, one after another."""

    def __init__(self, pictures):
        super().__init__(1, 1)
        self.pictures = pictures

    def decode(self, codes):
        return [self.pictures[int(item[0])] for item in codes]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    SceneClassifier(SceneClassifierConfig(channels=[8, 8, 8, 8], feature_size=6)).half().save_pretrained(folder)
    return folder


def test_marks_of_the_best_and_the_worst(classifier):
    scenes = held_out_scenes(12, seed=1)
    pictures = scenes_at(scenes)((64, 64))
    codes = [torch.tensor([number]) for number in range(12)]
    told = {"scenes": scenes, "classifier": load_scene_classifier(str(classifier))}
    best, drawn = measure_image_decoder("best", Drawer(pictures), codes, pictures, **told)
    assert (best.psnr, best.score, best.size) == (100.0, 1.0, "64 x 64") and best.ssim == pytest.approx(1.0)
    assert best.fid == pytest.approx(0.0, abs=1e-3) and len(drawn) == 12 and best.parameters == 2e-6
    swapped, _ = measure_image_decoder("swapped", Drawer(pictures[1:] + pictures[:1]), codes, pictures, **told)
    assert (
        swapped.fid == pytest.approx(0.0, abs=1e-3) and swapped.score < 0.2 and swapped.psnr < 30
    )  # as a whole the same pictures
    blurred = [torch.nn.functional.avg_pool2d(picture[None], 9, 1, 4)[0] for picture in pictures]
    worst, _ = measure_image_decoder("worst", Drawer(blurred), codes, pictures, **told)
    assert worst.fid > 10 * max(swapped.fid, 1e-3) and worst.psnr < 30


def test_the_kept_classifier_knows_held_out_scenes():
    model = load_scene_classifier(str(Path(__file__).resolve().parents[1] / "data" / "scene_classifier"))
    assert accuracy(model, 100, seed=7) > 0.9 and sum(weight.numel() for weight in model.parameters()) < 500_000


def test_scenes_are_the_same_in_every_size():
    drawn = scenes_at(held_out_scenes(3))
    small, large = drawn((32, 32)), drawn((64, 64))
    for one, two in zip(small, large):
        assert float((one - torch.nn.functional.avg_pool2d(two[None], 2)[0]).abs().max()) < 0.1
    assert drawn((32, 48))[0].shape == (3, 32, 48)


def test_the_command_line(image_tokenizer, classifier, tmp_path, capsys):
    tokenizer = AutoModel.from_pretrained(image_tokenizer)
    torch.manual_seed(0)
    decoders = tiny_decoders(tokenizer.grid, tokenizer.codebook_size, tokenizer.fingerprint)
    for name in ("gan", "super-resolution"):
        decoders[name].save_pretrained(tmp_path / name)
    parts = [
        f"plain={tmp_path / 'gan'}",
        f"large={tmp_path / 'super-resolution'}",
        "--tokenizer",
        str(image_tokenizer),
    ]
    command = ["evaluate", "image-decoder", *parts, "--out", str(tmp_path / "card"), "--side", "16"]
    assert main([*command, "--pictures", "3", "--classifier", str(classifier)]) == 0
    told = capsys.readouterr().out
    assert (
        all(f"| {name} |" in told for name in ("tokenizer", "plain", "large", "originals"))
        and "held-out scenes" in told
    )
    results = json.loads((tmp_path / "card" / "results.json").read_text())
    rows = {card["name"]: card for card in results["decoders"]}
    assert rows["large"]["size"] == "32 x 32" and rows["originals"]["score"] is not None
    assert rows["plain"]["fid"] > 0 and rows["originals"]["fid"] == pytest.approx(0.0, abs=1e-3)
    assert Pictures.open(tmp_path / "card" / "pictures.png").size == (3 * 36, 4 * 36)
    picture_rows(4).save_to_disk(str(tmp_path / "rows"))
    assert main([*command, "--rows", str(tmp_path / "rows")]) == 0
    told = capsys.readouterr().out
    assert "4 pictures of rows" in told and "FID |" not in told and "scene right" not in told
    alone = ["evaluate", "image-decoder", "--tokenizer", str(image_tokenizer), "--pictures", "3"]
    assert main([*alone, "--out", str(tmp_path / "alone")]) == 0
    height, width = tokenizer.config.shape
    assert f"shown to the tokenizer in {height} x {width} pixels" in capsys.readouterr().out
    assert [card["name"] for card in json.loads((tmp_path / "alone" / "results.json").read_text())["decoders"]] == [
        "tokenizer", "originals",
    ]  # fmt: skip
    assert main([*command, "--pictures", "1"]) == 1
    assert main([*command, "--classifier", str(image_tokenizer)]) == 1
    assert "no scene classifier" in capsys.readouterr().err


def test_scales_of_guidance_are_rows(image_tokenizer, tmp_path, capsys):
    tokenizer = AutoModel.from_pretrained(image_tokenizer)
    torch.manual_seed(0)
    decoders = tiny_decoders(tokenizer.grid, tokenizer.codebook_size, tokenizer.fingerprint)
    kept = {"gan": decoders["gan"], "latent": decoders["latent"].eval()}
    kept["latent"].config.guidance_scale = 1.5
    told = (tokenizer, tmp_path / "card", scenes_at(held_out_scenes(2)))
    cards = {card.name: card for card in report_image_decoders(kept, *told, side=16, guidance=(1, 3))}
    assert list(cards) == ["tokenizer", "gan", "latent@g1", "latent@g3", "originals"]
    assert [card.guidance for card in cards.values()] == [None, None, 1, 3, None]
    assert cards["latent@g1"].psnr != cards["latent@g3"].psnr and kept["latent"].config.guidance_scale == 1.5
    assert "| guidance |" in (tmp_path / "card" / "report.md").read_text()
    [_, card, _] = report_image_decoders({"latent": kept["latent"]}, *told, side=16)
    assert (card.name, card.guidance) == ("latent", 1.5)
    for given, scales, message in (
        ({"gan": decoders["gan"]}, (2,), "trained with condition_dropout; of tokenizer, gan none is one"),
        (kept, (-1,), "guidance is -1; numbers of at least 0"),
        (kept, (2, 2), "each once"),
        (kept, (float("nan"),), "guidance is nan"),
    ):
        with pytest.raises(TriglotError, match=message):
            report_image_decoders(given, *told, side=16, guidance=scales)
    command = ["evaluate", "image-decoder", "--tokenizer", str(image_tokenizer), "--out", str(tmp_path / "none")]
    assert main([*command, "--guidance", "1, 2"]) == 1
    assert "numbers with spaces between" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_codes_of_another_tokenizer_are_refused(image_tokenizer, tmp_path):
    tokenizer = AutoModel.from_pretrained(image_tokenizer)
    decoders = {"other": tiny_decoders(tokenizer.grid, 8, "another")["gan"]}
    with pytest.raises(TriglotError, match="'other' was trained on codes of another"):
        report_image_decoders(decoders, tokenizer, tmp_path / "card", scenes_at(held_out_scenes(2)), side=16)
    assert not (tmp_path / "card").exists()


def test_a_tokenizer_that_does_not_draw_needs_a_decoder(tmp_path):
    with pytest.raises(TriglotError, match="A Linear does not draw; name an image decoder"):
        report_image_decoders({}, torch.nn.Linear(1, 1), tmp_path / "card", scenes_at(held_out_scenes(2)), side=16)


def test_facts_are_told_from_the_upper_or_left_object():
    red, blue = SceneObject("big", "red", "circle"), SceneObject("small", "blue", "heart")
    above = Scene(red, "above", blue)
    assert facts_of(above) == facts_of(above.turned) == [0, 0, *facts_of(above)[2:]]
    assert facts_of(Scene(blue, "above", red))[:3] == facts_of(above)[3:6]
    assert facts_of(Scene(red, "to the left of", blue))[:6] == facts_of(above)[:6] != facts_of(above)


def test_a_classifier_learns(tmp_path):
    arguments = SceneClassifierArguments(
        max_steps=40, batch_size=16, scenes=4, warmup_steps=2, save_steps=100, logging_steps=20
    )
    folder = train_scene_classifier(tmp_path / "classifier", arguments)
    model = load_scene_classifier(str(folder))
    log = json.loads((folder / "checkpoints" / "checkpoint-40" / "trainer_state.json").read_text())["log_history"]
    assert log[1]["loss"] < 0.7 * log[0]["loss"] and 0 <= accuracy(model, 3) <= 1
    assert model.features([torch.rand(3, 64, 64), torch.rand(3, 128, 128), torch.rand(3, 32, 32)]).shape == (3, 64)
    with pytest.raises(TriglotError, match="scenes of 64 x 64"):
        SceneClassifierArguments(scenes=0)


def test_the_guides_commands_are_understood():
    guide = (Path(__file__).resolve().parents[2] / "docs" / "image_decoders.md").read_text(encoding="utf-8")
    lines = [
        shlex.split(line) for block in re.findall(r"```bash\n(.*?)```", guide, re.S) for line in block.splitlines()
    ]
    modules = [words[2] for words in lines if words[0] == "python"]
    assert len(modules) == 5 and all(hasattr(importlib.import_module(name), "main") for name in modules)
    for words in lines:
        if words[0] == "triglot":
            parse(words[1:])
