"""The report card of image tokenizers, on ones whose marks are known."""

import json
import weakref
from pathlib import Path

import pytest
import torch
from picture_rows_testing import picture_rows
from PIL import Image as Pictures

from triglot.cli import main
from triglot.modeling.tokenizers.configuration_image_dvae import ImageDvaeConfig
from triglot.modeling.tokenizers.modeling_image_dvae import ImageDvae
from triglot.processing.errors import TriglotError
from triglot.training.data.picture_rows import held_out_scenes
from triglot.training.evaluate_scenes import captions_right
from triglot.training.image_tokenizer_report import measure_image_tokenizer, report_image_tokenizers, scene_pictures

SIZES = {
    "image_size": 16, "codebook_size": 16, "hidden_size": 4, "num_blocks_per_group": 1, "code_dim": 4, "decoder_hidden_size": 4,
    "decoder_blocks_per_group": 1,
}  # fmt: skip


class Perfect(ImageDvae):
    """Stands for a tokenizer that loses nothing: it draws the pictures that it saw last; its codes count pictures."""

    def encode(self, media):
        self.seen = [self.prepare(image) for image in media]
        return [torch.full((4,), number % 16) for number in range(len(media))]

    def decode(self, codes):
        return self.seen


class Grey(Perfect):
    """Draws grey, whatever it saw, and says so with one code."""

    def encode(self, media):
        return [codes * 0 for codes in super().encode(media)]

    def decode(self, codes):
        return [torch.full((3, 16, 16), 225 / 255) for _ in codes]


def build(kind, **changes):
    torch.manual_seed(0)
    model = kind(ImageDvaeConfig(**{**SIZES, **changes})).eval()
    model.config.fingerprint = model.compute_fingerprint()
    return model


@pytest.fixture(scope="module")
def pictures():
    return scene_pictures(16, side=32, seed=1)


def test_the_pictures_are_held_out_scenes(pictures):
    assert len(pictures) == 16 and pictures[0].shape == (3, 32, 32) and pictures[0].dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(pictures, scene_pictures(16, side=32, seed=1)))
    assert sum(scene.held_out for scene in held_out_scenes(40)) > 10


def test_marks_of_the_best_and_the_worst(pictures):
    best, drawn = measure_image_tokenizer("best", build(Perfect), pictures)
    assert (best.psnr, best.least_psnr) == (100.0, 100.0) and best.ssim == pytest.approx(1.0) and len(drawn) == 16
    assert (best.codes, best.bits, best.used, best.score) == (4, 16.0, 1.0, None)
    assert best.entropy == pytest.approx(16.0) and best.perplexity == pytest.approx(16.0)
    worst, _ = measure_image_tokenizer("worst", build(Grey), pictures)
    assert worst.psnr < 20 and worst.ssim < 0.9 and worst.least_psnr < worst.psnr
    assert (worst.entropy, worst.perplexity, worst.used) == (0.0, 1.0, 1 / 16)


def test_a_score_is_asked_of_the_drawn_and_of_the_true_pictures(pictures):
    def coloured(images):
        return sum(float(image.std(0).max()) > 0.05 for image in images) / len(images)

    card, _ = measure_image_tokenizer("worst", build(Grey), pictures, coloured)
    assert card.score == 0.0 and card.original_score > 0.5


def test_the_report_is_written(pictures, tmp_path):
    tokenizers = {"best": build(Perfect), "other": build(ImageDvae, image_size=(16, 24))}
    report_image_tokenizers(tokenizers, pictures, tmp_path / "card", what="scenes")
    results = json.loads((tmp_path / "card" / "results.json").read_text())
    assert [card["name"] for card in results["tokenizers"]] == ["best", "other"] and results["pictures"] == 16
    text = (tmp_path / "card" / "report.md").read_text()
    assert text.startswith("# Image tokenizers") and "| PSNR, dB |" in text and "score" not in text
    sheet = Pictures.open(tmp_path / "card" / "pictures.png")
    assert sheet.size == (12 * 36, 3 * 36) and sheet.text["Comment"].startswith("synthetic; ")
    assert (tmp_path / "card" / "report.png").is_file()
    with pytest.raises(TriglotError, match="0 tokenizers"):
        report_image_tokenizers({}, pictures, tmp_path / "x")


def test_the_command_line(tmp_path, capsys):
    build(ImageDvae).save_pretrained(tmp_path / "dvae")
    picture_rows(5).save_to_disk(str(tmp_path / "rows"))
    command = ["evaluate", "tokenizer", f"mine={tmp_path / 'dvae'}", "--out", str(tmp_path / "card")]
    assert main([*command, "--pictures", "4", "--side", "16"]) == 0
    assert "| mine |" in capsys.readouterr().out
    assert main([*command, "--rows", str(tmp_path / "rows")]) == 0
    assert "5 pictures of rows" in capsys.readouterr().out
    assert main([*command, "--pictures", "2"]) == 0
    assert Pictures.open(tmp_path / "card" / "pictures.png").size == (2 * 20, 2 * 20)  # the tokenizer's own 16 pixels
    assert main([*command, "--judge", "x"]) == 1
    assert "these are of images" in capsys.readouterr().err
    assert main([*command, "--pictures", "0"]) == 1


def test_pictures_are_read_one_by_one_and_kept_as_they_fit():
    class Photographs(list):
        alive = weakref.WeakSet()
        most = 0

        def __getitem__(self, index):
            image = super().__getitem__(index).clone()
            self.alive.add(image)
            self.most = max(self.most, len(self.alive))
            return image

    photographs = Photographs(torch.rand(3, 40, 30) for _ in range(6))
    card, drawn = measure_image_tokenizer("mine", build(ImageDvae), photographs)
    assert photographs.most <= 2 and len(drawn) == 6 and card.psnr > 0


def test_a_captioner_reads_what_is_drawn(tmp_path, capsys):
    tiny = Path(__file__).resolve().parents[2] / "hub_configs" / "triglot-tiny"
    command = ["evaluate", "tokenizer", f"tiny={tiny / 'image_tokenizer'}", "--captioner", str(tiny)]
    assert main([*command, "--out", str(tmp_path / "card"), "--pictures", "12"]) == 0
    assert "score: share that triglot-tiny describes rightly" in capsys.readouterr().out
    [card] = json.loads((tmp_path / "card" / "results.json").read_text())["tokenizers"]
    assert min(card["score"], card["original_score"]) > 0.8
    grey = [torch.full((3, 64, 64), 0.9)] * 4
    assert captions_right(str(tiny), held_out_scenes(4))(grey) == 0.0
    assert main([*command, "--out", str(tmp_path / "other"), "--rows", "any"]) == 1
    assert "leave --rows out" in capsys.readouterr().err


def test_speech_and_images_do_not_mix(tmp_path, capsys, random_checkpoint):
    build(ImageDvae).save_pretrained(tmp_path / "dvae")
    both = [f"a={tmp_path / 'dvae'}", f"b={random_checkpoint / 'speech_tokenizer'}"]
    assert main(["evaluate", "tokenizer", *both, "--out", str(tmp_path / "card")]) == 1
    assert "a take images" in capsys.readouterr().err
