"""The classifier of scenes whose features FID is measured by: drawn training scenes -> `SceneClassifier`, in minutes of one core.

python -m triglot.training.train_scene_classifier --out tests/data/scene_classifier
python -m triglot.training.train_scene_classifier --out tests/data/scene_classifier --check 1000
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import set_seed

from ..command_output import run_script
from ..processing.errors import TriglotError
from .data.picture_rows import as_tensor, held_out_scenes, training_scenes
from .data.scene_pictures import draw_scene
from .data.scenes import Scene
from .image_tokenizer_run import PictureRunArguments, fit_to_pictures
from .runs import add_settings, given_settings, open_run, save_trained
from .scene_classifier import SIDE, SceneClassifier, SceneClassifierConfig, facts_of, load_scene_classifier

NOISE = 0.03  # deviation of pixels at most, in training, so that features do not hang on last bits


@dataclass(frozen=True)
class SceneClassifierArguments(PictureRunArguments):
    """Settings of `train_scene_classifier`."""

    image_size: int = SIDE
    scenes: int = 12_000
    feature_size: int = 64
    max_steps: int = 900
    batch_size: int = 64
    learning_rate: float = 3e-3
    bf16: bool = False
    dtype: str = "float16"

    def __post_init__(self):
        super().__post_init__()
        if not self.scenes or self.shape != [SIDE, SIDE]:
            raise TriglotError(
                f"scenes is {self.scenes} and the pictures are {self.shape}; scenes of {SIDE} x {SIDE} are needed."
            )


class LabelledScenes(torch.utils.data.Dataset):
    """Scenes as {"pixel_values": (3, 64, 64), "facts"}; where their things lie is drawn from torch's global generator."""

    def __init__(self, scenes: Sequence[Scene]):
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        scene = self.scenes[int(index)]
        pixels = as_tensor(draw_scene(scene, SIDE, int(torch.randint(2**31, ()))))
        pixels = (pixels + NOISE * float(torch.rand(())) * torch.randn(pixels.shape)).clamp(0.0, 1.0)
        return {"pixel_values": pixels, "facts": torch.tensor(facts_of(scene))}


def stacked(items: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Items -> batch."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def train_scene_classifier(
    output_dir: Path, arguments: SceneClassifierArguments | None = None, *, seed: int = 0
) -> Path:
    """Trains a classifier and saves it; a run that was cut off goes on from its last checkpoint.

    Returns:
        `output_dir`, complete.
    """
    arguments, output_dir = arguments or SceneClassifierArguments(), Path(output_dir)
    scenes = LabelledScenes(training_scenes(arguments.scenes, seed))
    checkpoint = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs={})
    set_seed(seed)
    model = SceneClassifier(SceneClassifierConfig(feature_size=arguments.feature_size)).train()
    facts = {"scenes": f"{len(scenes)}, drawn each time"}
    trained = fit_to_pictures(
        model, scenes, stacked, output_dir, arguments, ("right",), facts, seed=seed, checkpoint=checkpoint
    )
    return save_trained(trained, output_dir, arguments)


@torch.no_grad()
def accuracy(model: SceneClassifier, count: int, seed: int = 0) -> float:
    """Share of held-out scenes of which it knows every fact."""
    shares = []
    for number, scene in enumerate(held_out_scenes(count, seed)):
        pixels = as_tensor(draw_scene(scene, SIDE, number))[None]
        shares.append(float(model(pixels, torch.tensor([facts_of(scene)])).right))
    return sum(shares) / len(shares)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", type=int, default=0, metavar="SCENES", help="only measure the one that is there")
    add_settings(parser, SceneClassifierArguments)
    given = parser.parse_args(argv)
    if not given.check:
        train_scene_classifier(given.out, given_settings(given, SceneClassifierArguments), seed=given.seed)
    count = given.check or 1_000
    print(f"{accuracy(load_scene_classifier(str(given.out)), count):.2%} of {count} held-out scenes: all facts right")


if __name__ == "__main__":
    run_script(main)
