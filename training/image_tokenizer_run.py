"""What the training of image tokenizers shares: pictures, their crops and flips, the run, and what is saved.

pictures (3, any, any) ─ crop, flip ─ the tokenizer's own `prepare` ─ (B, 3, H, W) ─ a model in training ─ folder
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from transformers import TrainerCallback

from ..modeling.tokenizers.image_fitting import check_image, fit_image
from ..processing.errors import TriglotError
from .data.load_rows import open_whole_rows
from .data.picture_rows import DrawnScenes, ImageRows, training_scenes
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import check_dtype, check_optimizer, chosen_optimizers, save_trained, trainer_arguments
from .seeded_data import seeded_data


@dataclass(frozen=True)
class PictureRunArguments:
    """Settings that all that learns from pictures is trained with."""

    image_size: int = 256  # pixels, the height
    image_width: int = 0  # pixels; 0 for squares
    scenes: int = (
        0  # drawn ones of the demo world, their things elsewhere each time; 0 for the pictures of the dataset
    )
    least_crop: float = 1.0  # share of either side that a random crop keeps at least; 1 for whole pictures
    flip_share: float = 0.0  # of the pictures: how many are seen in a mirror
    max_steps: int = 10_000
    batch_size: int = 32  # pictures per step and device
    optimizer: str = "adamw"
    learning_rate: float = 1e-3  # peak; cosine decay to 0
    warmup_steps: int = 100
    weight_decay: float = 0.01
    adam_beta2: float = 0.99
    max_grad_norm: float = 1.0
    bf16: bool = True  # autocast; also on a CPU
    dtype: str = "float32"  # of the saved weights; or "float16"
    save_steps: int = 500
    logging_steps: int = 50
    num_workers: int = 0  # processes that read or draw pictures

    def __post_init__(self):
        check_optimizer(self.optimizer)
        check_dtype(self.dtype)
        if self.max_steps < 1:
            raise TriglotError(f"max_steps is {self.max_steps}; at least 1 is needed.")
        if self.scenes < 0:
            raise TriglotError(f"scenes is {self.scenes}; 0 or more is needed.")
        for name in ("least_crop", "flip_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TriglotError(f"{name} is {getattr(self, name)}; allowed is 0 to 1.")

    @property
    def shape(self) -> list[int]:
        """[height, width], pixels."""
        return [self.image_size, self.image_width or self.image_size]


@dataclass(frozen=True)
class ImageRunArguments(PictureRunArguments):
    """Settings that all image tokenizers are trained with."""

    fit: str = "pad"  # pictures of other sizes; or "crop", "stretch"


def fitting(shape: Sequence[int], fit: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """float (3, any, any) in 0..1 -> (3, H, W) of the `shape`."""
    height, width = shape
    return lambda image: fit_image(check_image(image, "a picture"), (height, width), fit)


class PictureCollator:
    """Pictures of any size -> {"pixel_values": (B, 3, H, W)} in 0..1, cropped and flipped at random.

    Args:
        prepare: Makes a picture fit.
        arguments: Say how much of a picture is seen, and how often in a mirror.
    """

    def __init__(self, prepare: Callable[[torch.Tensor], torch.Tensor], arguments: PictureRunArguments):
        self.prepare, self.least_crop, self.flip_share = prepare, arguments.least_crop, arguments.flip_share

    def __call__(self, items: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        pictures = []
        for image in items:
            if self.least_crop < 1:
                share = self.least_crop + (1 - self.least_crop) * float(torch.rand(()))
                height, width = (max(1, round(share * side)) for side in image.shape[1:])
                top, left = (
                    int(torch.randint(whole - part + 1, ())) for whole, part in zip(image.shape[1:], (height, width))
                )
                image = image[:, top : top + height, left : left + width]
            if float(torch.rand(())) < self.flip_share:
                image = image.flip(2)
            pictures.append(self.prepare(image))
        return {"pixel_values": torch.stack(pictures)}


def pictures_of(dataset: Dataset | None, arguments: PictureRunArguments, seed: int) -> ImageRows | DrawnScenes:
    """What the run sees.

    Raises:
        TriglotError: neither a dataset nor scenes, or a dataset without pictures.
    """
    if arguments.scenes:
        return DrawnScenes(training_scenes(arguments.scenes, seed), arguments.image_size)
    if dataset is None:
        raise TriglotError("There is no dataset and scenes is 0; give rows with an `image` column, or scenes to draw.")
    return ImageRows(dataset)


def run_training(
    in_training: nn.Module,
    pictures: ImageRows | DrawnScenes,
    output_dir: Path,
    arguments: ImageRunArguments,
    parts: Sequence[str],
    *,
    seed: int,
    checkpoint: str | None,
    built_on: Mapping[str, str | os.PathLike] | None = None,
) -> Path:
    """Trains and saves.

    Args:
        in_training: Holds the `tokenizer` and is told the `step`; (B, 3, H, W) -> losses.
        pictures: Of `pictures_of`.
        output_dir: Becomes the folder of the tokenizer, with `checkpoints/` in it.
        arguments: The stage's.
        parts: Fields of the losses that are logged.
        seed: Of the run.
        checkpoint: Of `open_run`.
        built_on: That of `save_whole`.

    Returns:
        `output_dir`, complete.
    """
    tokenizer: Any = in_training.tokenizer
    height, width = tokenizer.config.shape
    facts = {
        "pictures": told_pictures(pictures, arguments),
        "codes": f"{tokenizer.grid[0]} x {tokenizer.grid[1]} of {tokenizer.codebook_size} for {height} x {width} pixels",
        "parameters": f"{sum(weight.numel() for weight in tokenizer.parameters()):,}",
    }
    collate = PictureCollator(tokenizer.prepare, arguments)
    trained = fit_to_pictures(
        in_training, pictures, collate, output_dir, arguments, parts, facts, seed=seed, checkpoint=checkpoint,
        callbacks=[_TellsStep(in_training)],
    )  # fmt: skip
    return save_trained(trained.tokenizer, output_dir, arguments, built_on)


def told_pictures(pictures: ImageRows | DrawnScenes, arguments: PictureRunArguments) -> str:
    """What was seen, for a report."""
    return f"{len(pictures)}{' scenes, drawn each time' if arguments.scenes else ''}"


def fit_to_pictures(
    in_training: nn.Module,
    pictures: Any,
    collate: Callable[[Any], dict[str, torch.Tensor]],
    output_dir: Path,
    arguments: PictureRunArguments,
    parts: Sequence[str],
    facts: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: str | None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Any:
    """Trains whatever learns from pictures.

    Args:
        in_training: Batch -> losses.
        pictures: With len and [index].
        collate: Pictures -> batch.
        output_dir: Gets `checkpoints/`.
        arguments: The stage's.
        parts: Fields of the losses that are logged.
        facts: For the report.
        seed: Of the run.
        checkpoint: Of `open_run`.
        callbacks: Beside those of every run.

    Returns:
        What was trained, as it was given.
    """
    data = seeded_data(pictures, collate, seed)
    trainer = PartsTrainer(
        model=in_training,
        args=trainer_arguments(output_dir / "checkpoints", arguments, seed=seed),
        **{**data, "callbacks": [*data["callbacks"], *callbacks]},
        optimizers=chosen_optimizers(in_training, arguments),
        parts=parts,
    )
    train_and_report(trainer, checkpoint, arguments, facts)
    trainer.accelerator.wait_for_everyone()
    return trainer.accelerator.unwrap_model(trainer.model)


class _TellsStep(TrainerCallback):
    def __init__(self, in_training: Any):
        self.in_training = in_training

    def on_step_begin(self, args, state, control, **kwargs):
        self.in_training.step = state.global_step


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """What the command lines have in common."""
    parser.add_argument(
        "--dataset",
        help="a folder of save_to_disk, or what datasets.load_dataset takes; none where --scenes are drawn",
    )
    parser.add_argument("--split", default="train")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)


def open_pictures(where: str | None, split: str) -> Dataset | None:
    """The rows of a command line; None where none were named.

    Raises:
        TriglotError: rows that are only streamed.
    """
    return None if where is None else open_whole_rows(where, split, "pictures are shuffled")
