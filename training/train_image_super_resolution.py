"""Super-resolution by a cascade of diffusion, `ImageSuperResolution` (Imagen, arXiv 2205.11487), on top of a trained image decoder.

pictures of the last stage's size ─ each stage: a crop, made small and noisy ─ UNet ─ the crop ─ folder, with the base in it

python -m triglot.training.train_image_super_resolution --scenes 12000 --tokenizer vqvae/ --base diffusion/ --out large/
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..command_output import run_script
from ..modeling.decoders.modeling_image_super_resolution import ImageSuperResolution
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer, weights_fingerprint
from ..processing.errors import TriglotError
from .image_decoder_run import ImageDecoderArguments, begin_run, numbers, run_command
from .image_tokenizer_run import fit_to_pictures
from .load_parts import load_image_decoder
from .runs import save_trained


@dataclass(frozen=True)
class ImageSuperResolutionArguments(ImageDecoderArguments):
    """Settings of `train_image_super_resolution`; the sizes are those of `ImageSuperResolutionConfig`."""

    image_size: int = 256  # pixels after the last stage
    scales: str = "2 2"  # of each stage: how many times longer the sides become
    patch_sizes: str = "4 4"  # of each stage: pixels squared that are one position
    block_out_channels: str = "64 128"  # of each stage, each further resolution halves both sides
    layers_per_block: int = 1
    norm_num_groups: int = 8
    pixel_mean: float = 0.5  # of the pictures, of pixels in 0..1
    pixel_std: float = 0.5
    most_augmented: float = 0.4  # deviation of the noise that small pictures get at most, in units of pixel_std
    augmented: float = 0.1  # that which they get in a decode
    crop_size: int = 64  # pixels of what a stage learns to draw; 0 for whole pictures
    sampling_steps: int = 4

    def __post_init__(self):
        super().__post_init__()
        for name in ("scales", "patch_sizes", "block_out_channels"):
            numbers(getattr(self, name), name)
        if self.draft:
            raise TriglotError("draft is on; train the base decoder with it instead, which these stages enlarge.")

    def build(self, tokenizer: MediaTokenizer, base: Any) -> ImageSuperResolution:
        """New stages on top of a decoder of the tokenizer's codes."""
        if base.fingerprint != tokenizer.fingerprint:
            raise ValueError("The base decoder draws the codes of another tokenizer.")
        names = (
            "layers_per_block",
            "norm_num_groups",
            "pixel_mean",
            "pixel_std",
            "most_augmented",
            "augmented",
            "crop_size",
        )
        sizes = {name: getattr(self, name) for name in (*names, "sampling_steps")}
        lists = {name: numbers(getattr(self, name), name) for name in ("scales", "patch_sizes", "block_out_channels")}
        model = ImageSuperResolution.from_base(base, **sizes, **lists)
        if list(model.config.shape) != list(self.shape):
            raise ValueError(
                f"image_size is {self.shape[0]} x {self.shape[1]}; the stages make {model.config.shape[0]} x {model.config.shape[1]} "
                "pixels of the base decoder's."
            )
        return model


def train_image_super_resolution(
    dataset: Dataset | None,
    tokenizer_dir: str | os.PathLike,
    base_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: ImageSuperResolutionArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains the stages; the base stays as it is. What comes and what is raised is as for `fit_image_decoder`.

    Args:
        dataset: Rows with "image"; not looked at where `arguments.scenes` are drawn.
        tokenizer_dir: Folder of the image tokenizer whose codes the base draws.
        base_dir: Folder of an `ImageDiffusion`, `ImageGan` or `LatentDiffusion`.
        output_dir: Becomes the folder of the whole decoder.
        arguments: Settings.
        seed: Of weights, crops, noise, scenes and the order of the data.
    """
    given, output_dir = arguments or ImageSuperResolutionArguments(), Path(output_dir)
    base = load_image_decoder(base_dir)
    if base.config.model_type == ImageSuperResolution.config_class.model_type:
        raise TriglotError(f"{os.fspath(base_dir)!r} holds a cascade; give more scales on top of its base instead.")
    inputs = {"base": weights_fingerprint(base.state_dict(), {})}
    begun = begin_run(
        lambda tokenizer: given.build(tokenizer, base), dataset, tokenizer_dir, output_dir, given, seed=seed, inputs=inputs
    )  # fmt: skip
    pictures_alone = begun.collate.pictures
    trained = fit_to_pictures(
        begun.decoder, begun.pictures, pictures_alone, output_dir, given, (), begun.facts, seed=seed, checkpoint=begun.checkpoint
    )  # fmt: skip
    return save_trained(trained, output_dir, given, {"base": base_dir})


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    told = {"base": "folder of the image decoder that draws the small pictures"}
    run_command(__doc__, ImageSuperResolutionArguments, train_image_super_resolution, argv, **told)


if __name__ == "__main__":
    run_script(main)
