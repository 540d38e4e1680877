"""`triglot evaluate tokenizer` for image tokenizers: a report card, side by side on the same held-out pictures.

    held-out scenes, or any rows with "image" ─ pictures (3, H, W)
    each tokenizer: codes ─ bits, use, speed; where it can draw what they say also PSNR, SSIM, and a score of the drawn pictures

results.json, report.md, report.png and pictures.png (some of the pictures, and under them what each tokenizer draws) go into one folder.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from ..modeling.tokenizers.image_autoencoder import ImageAutoencoder
from ..modeling.tokenizers.image_fitting import fit_image
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError
from ..processing.image_io import write_image
from ..provenance import synthetic
from ..version import __version__
from .card_report import write_cards
from .data.load_rows import open_whole_rows
from .data.picture_rows import ImageRows, as_tensor, held_out_scenes
from .data.scene_pictures import draw_scene
from .evaluate_scenes import captions_right
from .image_decoder_run import fit_of, shape_of
from .image_metrics import psnr, ssim
from .image_tokenizer_run import fitting
from .tokenizer_metrics import code_use

SHOWN = 12  # pictures in pictures.png
SIDE = 64  # pixels of scenes for tokenizers that take any size

Score = Callable[
    [Sequence[torch.Tensor]], float
]  # drawn pictures (3, H, W), in the order of the report's -> share that is right


@dataclass(frozen=True)
class ImageTokenizerCard:
    """What was measured of one tokenizer; None where it cannot be.

    Attributes:
        name: In the report.
        kind: Its class.
        parameters: Of encoder and, where it draws, decoder.
        codebook_size: Number of codes K.
        codes: Of a picture.
        bits: Of a picture, if every code takes log2 K bits.
        entropy: Bits of a picture, if every code takes what its frequency says.
        used: Share of the K codes that came at all.
        perplexity: 2 to the entropy of a code; K at most.
        psnr: Of what is drawn from the codes, dB, mean over pictures.
        least_psnr: Of the worst picture.
        ssim: Mean over pictures.
        score: Of the drawn pictures, 0 to 1: captions that are right, or whatever the report was given to ask.
        original_score: The same of the pictures themselves.
        pictures_per_second: Encoded by this machine, once they fit.
    """

    name: str
    kind: str
    parameters: int
    codebook_size: int
    codes: int
    bits: float
    entropy: float
    used: float
    perplexity: float
    psnr: float | None
    least_psnr: float | None
    ssim: float | None
    score: float | None
    original_score: float | None
    pictures_per_second: float


COLUMNS = {  # field: (title, factor, digits)
    "codes": ("codes/picture", 1, 0),
    "codebook_size": ("of", 1, 0),
    "bits": ("bits/picture", 1, 0),
    "entropy": ("entropy, bits/picture", 1, 0),
    "used": ("used, %", 100, 0),
    "perplexity": ("perplexity", 1, 0),
    "psnr": ("PSNR, dB", 1, 1),
    "least_psnr": ("least PSNR, dB", 1, 1),
    "ssim": ("SSIM", 1, 3),
    "score": ("score, %", 100, 1),
    "original_score": ("score of originals, %", 100, 1),
    "parameters": ("parameters", 1, 0),
    "pictures_per_second": ("pictures/s", 1, 0),
}
PANELS = {  # field: what is better
    "psnr": "more",
    "ssim": "more",
    "score": "more",
    "entropy": "less",
    "used": "more",
    "pictures_per_second": "more",
}


def scene_pictures(count: int = 300, side: int = 64, seed: int = 0) -> list[torch.Tensor]:
    """Held-out scenes, drawn: float32 (3, side, side) in 0..1 each. The same seed gives the same pictures."""
    return [as_tensor(draw_scene(scene, side, number)) for number, scene in enumerate(held_out_scenes(count, seed))]


def measure_image_tokenizer(
    name: str, tokenizer: MediaTokenizer, pictures: Sequence[torch.Tensor], score: Score | None = None
) -> tuple[ImageTokenizerCard, list[torch.Tensor]]:
    """All that can be measured of one tokenizer on these pictures.

    Args:
        name: In the report.
        tokenizer: With a code book and a grid.
        pictures: float (3, H, W) in 0..1, of any sizes; each is asked for once, and kept as it fits the tokenizer.
        score: Asked of what the tokenizer draws, and of the pictures themselves; the more right, the nearer to 1.

    Returns:
        The card, and what it draws; nothing where it cannot draw.
    """
    shape = shape_of(tokenizer)
    prepare = None if shape is None else fitting(shape, fit_of(tokenizer))
    each = (pictures[index] for index in range(len(pictures)))
    wanted = [image if prepare is None else prepare(image) for image in each]
    tokenizer.encode(wanted[:1])  # whatever is made once is not counted
    start = time.perf_counter()
    codes = [item.numpy() for item in tokenizer.encode(wanted)]
    elapsed = time.perf_counter() - start
    use = code_use(codes, tokenizer.codebook_size, len(codes))  # "seconds" are pictures here
    drawn: list[torch.Tensor] = []
    marks: dict[str, float | None] = dict.fromkeys(("psnr", "least_psnr", "ssim", "score", "original_score"))
    if isinstance(tokenizer, ImageAutoencoder):
        drawn = tokenizer.decode([torch.from_numpy(item) for item in codes])
        noise = torch.cat([psnr(one[None], two[None]) for one, two in zip(drawn, wanted)])
        marks |= {"psnr": float(noise.mean()), "least_psnr": float(noise.min())}
        alike = [ssim(one[None], two[None]) for one, two in zip(drawn, wanted)]
        marks["ssim"] = float(torch.cat(alike).mean())
        if score is not None:
            marks |= {"score": float(score(drawn)), "original_score": float(score(wanted))}
    card = ImageTokenizerCard(
        name=name,
        kind=type(tokenizer).__name__,
        parameters=sum(weight.numel() for weight in tokenizer.parameters()),
        codebook_size=tokenizer.codebook_size,
        codes=len(codes[0]),
        bits=len(codes[0]) * math.log2(tokenizer.codebook_size),
        entropy=use.entropy_rate,
        used=use.used,
        perplexity=use.perplexity,
        pictures_per_second=len(wanted) / elapsed,
        **marks,
    )
    return card, drawn


def report_image_tokenizers(
    tokenizers: Mapping[str, MediaTokenizer],
    pictures: Sequence[torch.Tensor],
    output_dir: str | os.PathLike,
    *,
    what: str = "pictures",
    score: Score | None = None,
) -> list[ImageTokenizerCard]:
    """Measures every tokenizer and writes the report; an older one there is replaced.

    Args:
        tokenizers: {name in the report: image tokenizer with a code book}.
        pictures: float (3, H, W) in 0..1; read by each tokenizer anew.
        output_dir: A folder.
        what: How the report calls the pictures.
        score: Of `measure_image_tokenizer`.

    Raises:
        TriglotError: no tokenizer, no pictures, or a tokenizer without a code book or of other media.
    """
    if not tokenizers or not pictures:
        raise TriglotError(
            f"{len(tokenizers)} tokenizers and {len(pictures)} pictures came; at least 1 of both is needed."
        )
    for name, tokenizer in tokenizers.items():
        if tokenizer.grid is None or not tokenizer.fingerprint:
            raise TriglotError(f"The tokenizer {name!r} has no code book yet, or is one of other media than images.")
    each = tqdm(tokenizers.items(), desc="measuring", unit="tokenizer")
    measured = {name: measure_image_tokenizer(name, item, pictures, score) for name, item in each}
    cards = [card for card, _ in measured.values()]
    facts = {
        "pictures": len(pictures),
        "what": what,
        "threads": torch.get_num_threads(),
        "versions": {"triglot": __version__, "torch": torch.__version__},
    }
    notes = (
        f"{len(pictures)} {what}, each made to fit a tokenizer by its own rule. PSNR and SSIM compare what a tokenizer draws from "
        "its codes with the picture that it took apart, mean over pictures; a tokenizer that draws nothing has none. Entropy: if "
        f"every code took what its frequency says. Pictures/s: encoded one by one, once they fit, {facts['threads']} threads of this machine."
    )
    drawn = {name: images for name, (_, images) in measured.items() if images}
    shown = [pictures[index] for index in range(min(SHOWN, len(pictures)))]
    write_cards(
        output_dir,
        cards,
        COLUMNS,
        PANELS,
        kind="tokenizer",
        media="Image",
        facts=facts,
        notes=notes,
        more=lambda folder: show_pictures(shown, drawn, folder / "pictures.png"),
    )
    return cards


def show_pictures(pictures: Sequence[torch.Tensor], drawn: Mapping[str, Sequence[torch.Tensor]], path: Path) -> None:
    """A row of pictures, and under it one for what each tokenizer draws of them, all as large as the first picture."""
    shape = (int(pictures[0].shape[1]), int(pictures[0].shape[2]))
    rows = []
    for row in (pictures, *drawn.values()):
        fitted = [fit_image(image, shape, "pad") for image in row[: len(pictures)]]
        rows.append(torch.cat([F.pad(image, (2, 2, 2, 2), value=1.0) for image in fitted], 2))
    write_image(path, torch.cat(rows, 1), synthetic(", ".join(drawn)) if drawn else None)


def run(arguments: argparse.Namespace, tokenizers: Mapping[str, MediaTokenizer]) -> list[ImageTokenizerCard]:
    """`triglot evaluate tokenizer` where the tokenizers see, with the arguments of `evaluate_arguments.add_tokenizer_arguments`."""
    if arguments.decoder or arguments.judge:
        raise TriglotError("--decoder and --judge are for speech tokenizers; these are of images.")
    if arguments.pictures < 1:
        raise TriglotError(f"pictures is {arguments.pictures}; at least 1 is needed.")
    score = None
    if arguments.rows:
        if arguments.captioner:
            raise TriglotError("--captioner is scored by the scenes it describes; leave --rows out.")
        rows = open_whole_rows(arguments.rows, arguments.split)
        found = ImageRows(rows)
        pictures: Any = torch.utils.data.Subset(found, range(min(len(found), arguments.pictures)))  # read one by one
        what = f"pictures of {Path(arguments.rows).name}"
    else:
        sides = [max(shape_of(tokenizer) or (SIDE,)) for tokenizer in tokenizers.values()]
        side = max(sides) if arguments.side is None else arguments.side
        pictures, what = scene_pictures(arguments.pictures, side, arguments.seed), "held-out scenes"
        if arguments.captioner:
            score = captions_right(arguments.captioner, held_out_scenes(arguments.pictures, arguments.seed))
            what = f"held-out scenes; score: share that {Path(arguments.captioner).name} describes rightly from what is drawn"
    cards = report_image_tokenizers(tokenizers, pictures, arguments.out, what=what, score=score)
    print((Path(arguments.out) / "report.md").read_text(encoding="utf-8"))
    return cards
