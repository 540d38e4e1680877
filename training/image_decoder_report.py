"""`triglot evaluate image-decoder`: image decoders side by side, on the same codes of held-out pictures.

    held-out scenes, or any rows with "image" ─ tokenizer ─ codes ─ each decoder ─▶ pictures
    beside the originals: PSNR, SSIM, FID on the features of a classifier, the checker of scenes, seconds a picture, parameters

The tokenizer itself is the first row where it draws, and the originals the last. results.json, report.md, report.png and pictures.png
(some of the originals, and under them what each decoder draws of their codes) go into one folder.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from ..modeling.decoders.image_decoder import ImageDecoder
from ..modeling.tokenizers.image_autoencoder import ImageAutoencoder
from ..modeling.tokenizers.image_fitting import fit_image
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError
from ..version import __version__
from .card_report import write_cards
from .data.load_rows import open_whole_rows
from .data.picture_rows import ImageRows, as_image, as_tensor, held_out_scenes
from .data.scene_pictures import draw_scene
from .data.scenes import Scene
from .diffusion_settings import check_guidance, guidance_scale, parse_guidance, rows_by_guidance
from .image_decoder_run import codes_tokenizer, fit_of, shape_of
from .image_metrics import frechet_distance, psnr, ssim
from .image_tokenizer_report import SIDE, show_pictures
from .image_tokenizer_run import fitting
from .load_parts import load_image_decoder
from .named_parts import named_parts
from .scene_checker import share_right
from .scene_classifier import SceneClassifier, load_scene_classifier

SHOWN = 10  # pictures in pictures.png
ORIGINALS = "originals"  # the row of the pictures themselves

At = Callable[
    [tuple[int, int]], list[torch.Tensor]
]  # (height, width) -> the pictures in that size, float (3, H, W) in 0..1


@dataclass(frozen=True)
class ImageDecoderCard:
    """What was measured of one decoder; None where it was not or cannot be.

    Attributes:
        name: In the report.
        kind: Its class.
        size: "height x width" of what it draws.
        parameters: Millions, of all that is asked to draw; of a tokenizer its encoder too.
        psnr: dB, mean over pictures, beside the originals in that size.
        ssim: Mean over pictures.
        fid: Fréchet distance of the classifier's features from those of the originals.
        score: Share of the scenes that the checker sees in their pictures.
        guidance: Scale of a decoder by diffusion that can be guided.
        seconds: A picture, drawn one by one.
    """

    name: str
    kind: str
    size: str
    guidance: float | None = None
    parameters: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    fid: float | None = None
    score: float | None = None
    seconds: float | None = None


COLUMNS = {  # field: (title, factor, digits)
    "size": ("pixels", 1, 0),
    "guidance": ("guidance", 1, 2),
    "psnr": ("PSNR, dB", 1, 1),
    "ssim": ("SSIM", 1, 3),
    "fid": ("FID", 1, 3),
    "score": ("scene right, %", 100, 1),
    "seconds": ("s/picture", 1, 3),
    "parameters": ("parameters, M", 1, 2),
}
PANELS = {"psnr": "more", "ssim": "more", "fid": "less", "score": "more", "seconds": "less"}


def measure_image_decoder(
    name: str,
    decoder: Any,
    codes: Sequence[torch.Tensor],
    wanted: Sequence[torch.Tensor],
    *,
    scenes: Sequence[Scene] | None = None,
    classifier: SceneClassifier | None = None,
) -> tuple[ImageDecoderCard, list[torch.Tensor]]:
    """All that can be measured of one decoder, or of a tokenizer that draws.

    Args:
        name: In the report.
        decoder: Has `decode`.
        codes: int64 (h w,) each.
        wanted: The pictures that the codes are of, float (3, H, W) in 0..1, in the decoder's size.
        scenes: What they show; None leaves the checker out.
        classifier: Gives features; None leaves FID out.

    Returns:
        The card, and what was drawn.
    """
    decoder.decode(codes[:1])  # whatever is made once is not counted
    drawn, elapsed = [], 0.0
    for item in tqdm(codes, desc=name, unit="picture"):
        start = time.perf_counter()
        drawn += decoder.decode([item])
        elapsed += time.perf_counter() - start
    pairs = [(one[None], two[None]) for one, two in zip(drawn, wanted)]
    card = ImageDecoderCard(
        name=name,
        kind=type(decoder).__name__,
        parameters=sum(weight.numel() for weight in decoder.parameters()) / 1e6,
        size=f"{drawn[0].shape[1]} x {drawn[0].shape[2]}",
        guidance=guidance_scale(decoder),
        psnr=float(torch.cat([psnr(*pair) for pair in pairs]).mean()),
        ssim=float(torch.cat([ssim(*pair) for pair in pairs]).mean()),
        seconds=elapsed / len(codes),
        **_of_all(drawn, wanted, scenes, classifier),
    )
    return card, drawn


def _of_all(
    drawn: Sequence[torch.Tensor],
    wanted: Sequence[torch.Tensor],
    scenes: Sequence[Scene] | None,
    classifier: SceneClassifier | None,
) -> dict[str, float | None]:
    """FID and the checker's score."""
    fid = None
    if classifier is not None:
        fid = frechet_distance(classifier.features(drawn).numpy(), classifier.features(wanted).numpy())
    return {"fid": fid, "score": None if scenes is None else share_right([as_image(one) for one in drawn], scenes)}


def report_image_decoders(
    decoders: Mapping[str, ImageDecoder],
    tokenizer: MediaTokenizer,
    output_dir: str | os.PathLike,
    pictures: At,
    *,
    side: int | None = None,
    what: str = "pictures",
    scenes: Sequence[Scene] | None = None,
    classifier: SceneClassifier | None = None,
    guidance: Sequence[float] = (),
) -> list[ImageDecoderCard]:
    """Measures every decoder, and the tokenizer where it draws, and writes the report; an older one there is replaced.

    Args:
        decoders: {name in the report: decoder}.
        tokenizer: Whose codes are drawn.
        output_dir: A folder.
        pictures: The same ones in any size.
        side: Pixels of the pictures that the tokenizer is shown, which are squares then; default: as it takes them apart.
        what: How the report calls the pictures.
        scenes: What they show; None leaves the checker out.
        classifier: Gives features; None leaves FID out.
        guidance: Scales at which decoders by diffusion are measured, each as a row of its own; none for their own scale alone.

    Raises:
        TriglotError: a decoder of another tokenizer's codes, fewer than 2 pictures, nothing that draws, or scales that nobody can take.
    """
    for name, decoder in decoders.items():  # all are looked at before the first is measured
        if decoder.fingerprint and decoder.fingerprint != tokenizer.fingerprint:
            raise TriglotError(f"The decoder {name!r} was trained on codes of another tokenizer.")
    drawing: dict[str, Any] = {"tokenizer": tokenizer} if isinstance(tokenizer, ImageAutoencoder) else {}
    drawing |= decoders
    if not drawing:
        raise TriglotError(
            f"A {type(tokenizer).__name__} does not draw; name an image decoder of its codes as NAME=FOLDER."
        )
    check_guidance(drawing, guidance)
    size = (side, side) if side is not None else shape_of(tokenizer) or (SIDE, SIDE)
    shown = pictures(size)
    if len(shown) < 2:
        raise TriglotError(f"{len(shown)} pictures came; at least 2 are needed.")
    codes = tokenizer.encode(shown)
    cards, sheet = [], {}
    for name, decoder in drawing.items():
        wanted = pictures(decoder.config.shape)
        for row, setting in rows_by_guidance(name, decoder, guidance):
            with setting:
                card, drawn = measure_image_decoder(row, decoder, codes, wanted, scenes=scenes, classifier=classifier)
            cards.append(card)
            sheet[row] = drawn[:SHOWN]
    of_all = _of_all(shown, shown, scenes, classifier)
    cards.append(ImageDecoderCard(name=ORIGINALS, kind=ORIGINALS, size=f"{size[0]} x {size[1]}", **of_all))
    facts = {
        "pictures": len(codes),
        "what": what,
        "threads": torch.get_num_threads(),
        "versions": {"triglot": __version__, "torch": torch.__version__},
    }
    notes = (
        f"{len(codes)} {what}, shown to the tokenizer in {size[0]} x {size[1]} pixels; every decoder draws the same codes, one by one, "
        f"{facts['threads']} threads of this machine. PSNR and SSIM beside the originals in the decoder's own size. FID: Fréchet distance, from "
        "the originals, of the features of a small classifier of scenes at 64 x 64; with so few pictures it compares decoders here and nothing "
        "else. Scene right: what an independent checker reads from the pixels."
    )
    largest = max((images[0].shape[1] for images in sheet.values()), default=size[0])
    whole = (
        pictures((largest, largest))[:SHOWN]
        if len({tuple(images[0].shape) for images in sheet.values()}) > 1
        else shown[:SHOWN]
    )
    write_cards(
        output_dir,
        cards,
        COLUMNS,
        PANELS,
        kind="decoder",
        media="Image",
        facts=facts,
        notes=notes,
        more=lambda folder: show_pictures(whole, sheet, folder / "pictures.png"),
    )
    return cards


def scenes_at(scenes: Sequence[Scene]) -> At:
    """Scenes drawn in any size, the same ones in each; in one that is no square they are made to fit."""

    def drawn(shape: tuple[int, int]) -> list[torch.Tensor]:
        images = [as_tensor(draw_scene(scene, max(shape), number)) for number, scene in enumerate(scenes)]
        return [fit_image(image, shape, "pad") for image in images]

    return drawn


def rows_at(rows: Any, count: int, fit: str) -> At:
    """The first pictures of rows, made to fit any size; read one by one, and anew for each size."""
    found = ImageRows(rows)

    def fitted(shape: tuple[int, int]) -> list[torch.Tensor]:
        prepare = fitting(shape, fit)
        return [prepare(found[index]) for index in range(min(len(found), count))]

    return fitted


def run(arguments: argparse.Namespace) -> list[ImageDecoderCard]:
    """`triglot evaluate image-decoder`, with the arguments of `evaluate_arguments.add_image_decoder_arguments`."""
    if arguments.pictures < 2:
        raise TriglotError(f"pictures is {arguments.pictures}; at least 2 are needed.")
    guidance = parse_guidance(arguments.guidance)
    tokenizer = codes_tokenizer(arguments.tokenizer)
    decoders = {name: load_image_decoder(folder) for name, folder in named_parts(arguments.decoders).items()}
    classifier = load_scene_classifier(arguments.classifier) if arguments.classifier else None
    scenes, what = None, f"pictures of {Path(arguments.rows or '').name}"
    if arguments.rows:
        rows = open_whole_rows(arguments.rows, arguments.split)
        pictures = rows_at(rows, arguments.pictures, fit_of(tokenizer))
    else:
        scenes, what = held_out_scenes(arguments.pictures, arguments.seed), "held-out scenes"
        pictures = scenes_at(scenes)
    told = {"side": arguments.side, "what": what, "scenes": scenes, "classifier": classifier, "guidance": guidance}
    cards = report_image_decoders(decoders, tokenizer, arguments.out, pictures, **told)
    print((Path(arguments.out) / "report.md").read_text(encoding="utf-8"))
    return cards
