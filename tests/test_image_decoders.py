"""docs/image_decoders.md: image decoders of few weights are made of pictures, compared and tried, as the page says it."""

import io
import shlex
import shutil
from importlib import import_module

import datasets
import pytest
from environments import ROOT
from shell_testing import bash_lines
from transformers import AutoModel

from triglot.cli import main
from triglot.training.data.picture_rows import training_scenes
from triglot.training.data.scene_pictures import draw_scene

pytest.importorskip("diffusers")

GUIDE = (ROOT / "docs" / "image_decoders.md").read_text(encoding="utf-8")
NETWORK = "--block-out-channels '8 8' --layers-per-block 1 --norm-num-groups 4"
SMALL = {
    "image_diffusion": f"{NETWORK} --image-size 32 --patch-size 4 --sampling-steps 2",
    "image_gan": f"{NETWORK} --image-size 32 --patch-size 2 --discriminator-channels 8 --discriminator-layers 2",
    "autoencoder_kl": f"{NETWORK} --image-size 32 --patch-size 2",
    "latent_diffusion": f"{NETWORK} --image-size 32 --sampling-steps 2",
    "image_super_resolution": "--block-out-channels '8 8' --norm-num-groups 4 --image-size 128 --crop-size 32 --sampling-steps 2",
}


def png(picture) -> dict:
    """As `datasets` keeps it."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def test_its_lines_run(tmp_path, monkeypatch, image_tokenizer, capsys):
    monkeypatch.chdir(tmp_path)
    datasets.Dataset.from_dict({"image": [png(draw_scene(scene)) for scene in training_scenes(4)]}).save_to_disk(
        "photos"
    )
    shutil.copytree(image_tokenizer, "my_tokenizer")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    made = []
    for line in bash_lines(GUIDE):
        words = shlex.split(line)
        if words[:3] == ["triglot", "train", "tiny_image_decoders"]:  # hours; its smoke twin is run in test_run_recipe
            continue
        if words[0] == "python":
            stage = words[2].rpartition("train_")[2]
            few = f"{SMALL[stage]} --max-steps 1 --batch-size 2 --save-steps 1"
            import_module(words[2]).main([*words[3:], *shlex.split(few)])
            made.append(words[words.index("--out") + 1])
        else:
            assert words[:3] == ["triglot", "evaluate", "image-decoder"]
            compared = [word.partition("=")[2] for word in words if "=" in word]
            assert main([*words[1:], "--pictures", "4"]) == 0
            assert (tmp_path / "report" / "pictures.png").is_file()
    assert set(compared) <= set(made) and len(made) == 5
    types = [AutoModel.from_pretrained(folder).config.model_type for folder in compared]
    assert types == [
        f"triglot_{name}" for name in ("image_diffusion", "image_gan", "latent_diffusion", "image_super_resolution")
    ]
