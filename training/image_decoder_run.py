"""What the training of image decoders shares: pictures with their codes, the sizes that follow from the tokenizer, the run.

pictures (3, any, any) ─ crop, flip ─ made to fit (B, 3, H, W) ─┬─ tokenizer ─ codes (B, h w) ┐
                                                                └─────────────────────────────┴─ a decoder ─ folder
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import set_seed

from ..modeling.decoders.image_decoder import ImageDecoder
from ..modeling.decoders.image_draft import draft_settings
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..modeling.tokenizers.modeling_image_vqvae import ImageVqvae
from ..processing.errors import TriglotError
from .data.row_digests import dataset_digest
from .image_tokenizer_run import (
    PictureCollator,
    PictureRunArguments,
    add_pictures,
    fit_to_pictures,
    fitting,
    open_pictures,
    pictures_of,
    told_pictures,
)
from .load_parts import load_image_tokenizer
from .runs import check_counts, open_run, save_trained, whole_numbers
from .stage_command import stage_command


@dataclass(frozen=True)
class ImageDecoderArguments(PictureRunArguments):
    """Settings that all image decoders are trained with."""

    image_size: int = 64  # pixels of what is drawn; the tokenizer sees the same pictures in its own size
    code_dim: int = 16  # of the codes' embedding, which begins where the tokenizer's codes lie
    draft: bool = False  # start from what the tokenizer itself draws, and learn what that leaves out

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, "image_size", "code_dim", "batch_size", "save_steps", "logging_steps")

    def of_codes(self, tokenizer: MediaTokenizer) -> dict[str, Any]:
        """The settings of `ImageDecoderConfig`.

        Raises:
            TriglotError: a draft by a tokenizer that is no VQ-VAE.
            ValueError: one that gives no draft.
        """
        assert tokenizer.grid is not None
        if self.draft and not isinstance(tokenizer, ImageVqvae):
            raise TriglotError(
                f"draft is on, and the tokenizer is no ImageVqvae but a {type(tokenizer).__name__}; leave it off."
            )
        return {
            "codebook_size": tokenizer.codebook_size,
            "grid": list(tokenizer.grid),
            "image_size": self.shape,
            "code_dim": self.code_dim,
            "modality": tokenizer.modality,
            "fingerprint": tokenizer.fingerprint,
            "draft_config": draft_settings(tokenizer) if self.draft else None,
        }


def numbers(text: str, name: str) -> list[int]:
    """The whole numbers of a setting like "64 96", or a TriglotError."""
    return whole_numbers(text, name, "64 96")


class PicturesWithCodes:
    """Pictures of any size -> {"pixel_values": (B, 3, H, W) in 0..1, "codes": (B, h w)}, cropped and flipped at random.

    Args:
        tokenizer: Sees the very pictures that are to be drawn, by its own rule of size.
        arguments: Of the stage.
    """

    def __init__(self, tokenizer: MediaTokenizer, arguments: PictureRunArguments):
        self.tokenizer = tokenizer
        self.pictures = PictureCollator(fitting(arguments.shape, fit_of(tokenizer)), arguments)

    def __call__(self, items: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        batch = self.pictures(items)
        return {**batch, "codes": torch.stack(self.tokenizer.encode(list(batch["pixel_values"])))}


def fit_of(tokenizer: MediaTokenizer) -> str:
    """How a tokenizer makes pictures fit: "pad", "crop" or "stretch"."""
    preparation = getattr(tokenizer.config, "preparation", None) or {}
    return getattr(tokenizer.config, "fit", None) or preparation.get("fit", "pad")


def shape_of(tokenizer: MediaTokenizer) -> tuple[int, int] | None:
    """(height, width) that a tokenizer makes pictures fit, pixels; None for one that takes any size as it is."""
    preparation = getattr(tokenizer.config, "preparation", None) or {}
    shape = preparation.get("image_size") or getattr(tokenizer.config, "shape", None)
    return None if shape is None else (shape[0], shape[1])


def codes_tokenizer(folder: str | os.PathLike) -> MediaTokenizer:
    """The image tokenizer whose codes are to be drawn.

    Raises:
        TriglotError: none in the folder, or one without a code book.
    """
    tokenizer = load_image_tokenizer(folder)
    if not tokenizer.fingerprint:
        raise TriglotError(f"{os.fspath(folder)!r} holds an image tokenizer without a code book; train it first.")
    return tokenizer


@dataclass(frozen=True)
class Begun:
    """A run that is about to learn.

    Attributes:
        decoder: In training mode.
        pictures: With len and [index].
        collate: Pictures -> batch with `codes` and `pixel_values`.
        checkpoint: Of `open_run`.
        facts: For the report.
    """

    decoder: Any
    pictures: Any
    collate: PicturesWithCodes
    checkpoint: str | None
    facts: dict[str, str]


def begin_run(
    build: Callable[[MediaTokenizer], ImageDecoder],
    dataset: Dataset | None,
    tokenizer_dir: str | os.PathLike,
    output_dir: Path,
    arguments: ImageDecoderArguments,
    *,
    seed: int,
    inputs: dict[str, str] | None = None,
) -> Begun:
    """All that comes before the first step; see `fit_image_decoder`."""
    tokenizer = codes_tokenizer(tokenizer_dir)
    pictures = pictures_of(dataset, arguments, seed)
    set_seed(seed)
    decoder = built(build, tokenizer)
    run = {"tokenizer": tokenizer.fingerprint, "dataset": dataset_digest(dataset), **(inputs or {})}
    checkpoint = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs=run)
    facts = decoder_facts(decoder, told_pictures(pictures, arguments))
    return Begun(decoder.train(), pictures, PicturesWithCodes(tokenizer, arguments), checkpoint, facts)


def fit_image_decoder(
    build: Callable[[MediaTokenizer], ImageDecoder],
    dataset: Dataset | None,
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: ImageDecoderArguments,
    parts: Sequence[str],
    *,
    seed: int,
    inputs: dict[str, str] | None = None,
    built_on: Mapping[str, str | os.PathLike] | None = None,
) -> Path:
    """Trains a decoder whose `forward` takes `codes` and `pixel_values`, and saves it.

    Args:
        build: Makes it for a tokenizer's codes; may raise ValueError.
        dataset: Rows with "image"; not looked at where `arguments.scenes` are drawn.
        tokenizer_dir: Folder of an image tokenizer with a code book.
        output_dir: Becomes the folder of the decoder, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: The stage's.
        parts: Fields of the decoder's output that are logged.
        seed: Of weights, crops, noise, scenes and the order of the data.
        inputs: Fingerprints of what else it is built on.
        built_on: That of `save_whole`.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: no pictures, a tokenizer without a code book, sizes that do not fit together, checkpoints of other settings, or a
            loss that is not finite.
    """
    output_dir = Path(output_dir)
    begun = begin_run(build, dataset, tokenizer_dir, output_dir, arguments, seed=seed, inputs=inputs)
    trained = fit_to_pictures(
        begun.decoder, begun.pictures, begun.collate, output_dir, arguments, parts, begun.facts, seed=seed,
        checkpoint=begun.checkpoint,
    )  # fmt: skip
    return save_trained(trained, output_dir, arguments, built_on)


def built(build: Callable[[MediaTokenizer], Any], tokenizer: MediaTokenizer) -> Any:
    """A new decoder whose embedding begins where the tokenizer's codes lie, and its pictures at the tokenizer's own, where it is given a draft.

    Raises:
        TriglotError: sizes that do not fit together.
    """
    try:
        decoder = build(tokenizer)
    except (OSError, ValueError) as error:
        raise TriglotError(str(error)) from error
    embedding = getattr(decoder, "code_embedding", None)
    if embedding is not None:
        embedding.start(tokenizer.centroids)
    if decoder.draft is not None:
        decoder.take_draft(tokenizer)
    return decoder


def decoder_facts(decoder: ImageDecoder, pictures: str) -> dict[str, str]:
    """What a decoder learns from, for its report."""
    (height, width), (rows, columns) = decoder.config.shape, decoder.grid
    return {
        "pictures": pictures,
        "codes": f"{rows} x {columns} of {decoder.codebook_size}",
        "draws": f"{height} x {width} pixels",
        "parameters": f"{sum(weight.numel() for weight in decoder.parameters()):,}",
    }


def run_command(
    doc: str | None, arguments_class: type, train: Callable[..., Path], argv: Sequence[str] | None, **folders: str
) -> None:
    """`stage_command` of pictures, with the tokenizer before further `folders`."""
    told = {"tokenizer": "folder of the image tokenizer whose codes are to be drawn", **folders}
    stage_command(
        doc,
        arguments_class,
        train,
        argv,
        add_pictures,
        lambda given: open_pictures(given.dataset, given.split),
        **told,
    )
