"""The decoder by diffusion `MelDiffusion` (arXiv 2305.07243, 2006.11239): codes + a voice -> log-mel -> waveform.

    dataset {"audio", "speaker"} ─ crops, as of `train_decoder` ─ MelDiffusion.forward ─▶ loss of denoiser + prior + vocoder

All three learn at once, the vocoder from true frames of a part of each batch. With `--codes-column` the codes are not those of the
recording but a column of the rows, one for each code that the tokenizer makes, e.g. what a language model guesses in their place when the
true ones are given before: so the decoder learns, with `--start-from` in a few steps, to bear the mistakes of who writes for it.

    python -m triglot.training.train_mel_diffusion --dataset speech/ --tokenizer units/ --out decoder/
"""

import copy
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch

from ..command_output import run_script
from ..modeling.decoders.configuration_mel_diffusion import MelDiffusionConfig
from ..modeling.decoders.modeling_mel_diffusion import MelDiffusion
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError
from .data.row_digests import dataset_digest
from .every_frame import deduplicates
from .load_parts import load_speech_decoder, load_speech_tokenizer
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import (
    chosen_optimizers,
    open_run,
    save_trained,
    take_weights,
    trainer_arguments,
)
from .seeded_data import seeded_data
from .speech_command import TOKENIZER, run_command
from .train_decoder import CropRunArguments, UtteranceCrops, check_speech, collate_crops


@dataclasses.dataclass(frozen=True)
class MelDiffusionArguments(CropRunArguments):
    """Settings of the stage; sizes are those of `MelDiffusionConfig`, with `vocoder_` those of its vocoder's trunks."""

    prior_hidden_size: int = 256
    prior_mlp_size: int = 512
    prior_depth_codes: int = 3
    prior_depth_frames: int = 2
    hidden_size: int = 256
    num_hidden_layers: int = 5
    patch_frames: int = 2
    vocoder_hidden_size: int = 192
    vocoder_mlp_size: int = 384
    vocoder_depth_codes: int = 2
    vocoder_depth_frames: int = 2
    vocoder_share: float = 0.25  # of each batch, what the vocoder learns from
    prediction_type: str = "sample"
    sampling_steps: int = 8
    guidance_scale: float = 1.0
    condition_dropout: float = 0.1
    codes_column: str = ""  # of the rows; "" for the tokenizer's own codes
    start_from: str = ""  # folder of a trained MelDiffusion of the same sizes
    max_steps: int = 2_500
    optimizer: str = "muon"

    def config(self, tokenizer: Any) -> MelDiffusionConfig:
        """That of the model, for the tokenizer's codes.

        Raises:
            TriglotError: settings out of range, sizes that do not fit together, or a tokenizer that drops repeats.
        """
        if deduplicates(tokenizer):
            raise TriglotError(
                "MelDiffusion needs codes with their repeats; switch the tokenizer's deduplication off."
            )
        known = {field.name for field in dataclasses.fields(MelDiffusionConfig)}
        settings = {name: value for name, value in dataclasses.asdict(self).items() if name in known - {"dtype"}}
        vocoder = ("hidden_size", "mlp_size", "depth_codes", "depth_frames")
        try:
            return MelDiffusionConfig(
                codebook_size=tokenizer.codebook_size,
                fingerprint=tokenizer.fingerprint,
                sampling_rate=tokenizer.sampling_rate,
                frame_rate=tokenizer.frame_rate,
                vocoder_config={name: getattr(self, f"vocoder_{name}") for name in vocoder},
                **settings,
            )
        except ValueError as error:
            raise TriglotError(str(error)) from error


class WrittenCrops(UtteranceCrops):
    """Crops whose codes are a column of the rows, where one is named."""

    def __init__(
        self, dataset: datasets.Dataset, tokenizer: Any, model: MelDiffusion, arguments: MelDiffusionArguments
    ):
        self.column = arguments.codes_column
        if self.column and self.column not in dataset.column_names:
            raise TriglotError(f"The dataset has no column {self.column!r} of codes; it has {dataset.column_names}.")
        super().__init__(dataset, tokenizer, model, arguments.crop_seconds)

    def encode(self, tokenizer: Any, waves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        if not self.column:
            return tokenizer.encode(waves)
        first, found = len(self.codes), []
        for index in range(first, first + len(waves)):
            codes = torch.as_tensor(self.dataset[index][self.column])
            if (
                codes.ndim != 1
                or codes.is_floating_point()
                or not 0 <= int(codes.min()) <= int(codes.max()) < tokenizer.codebook_size
            ):
                raise TriglotError(
                    f"Row {index}: {self.column!r} must hold codes from 0 to {tokenizer.codebook_size - 1}, in one list."
                )
            found.append(codes)
        return found


def train_mel_diffusion(
    dataset: datasets.Dataset,
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: MelDiffusionArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `MelDiffusion` for the tokenizer saved in `tokenizer_dir`.

    Args:
        dataset: Columns "audio" (dicts {"bytes", "path"}: `Audio(decode=False)`) and "speaker" (str).
        tokenizer_dir: Folder of a speech tokenizer with a code book.
        output_dir: Becomes the folder of the model, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings of the stage.
        seed: Of the initial weights, crops, voices and noise.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: missing columns, unreadable sound, codes that do not fit the sound, sizes that do not fit together, checkpoints
            of other settings, or a loss that is not finite.
    """
    arguments = arguments or MelDiffusionArguments()
    return fit_mel_diffusion(dataset, load_speech_tokenizer(tokenizer_dir), output_dir, arguments, seed=seed)


def fit_mel_diffusion(
    dataset: datasets.Dataset,
    tokenizer: MediaTokenizer,
    output_dir: str | os.PathLike,
    arguments: MelDiffusionArguments,
    *,
    seed: int = 0,
) -> Path:
    """`train_mel_diffusion` with the tokenizer as an object."""
    check_speech(dataset)
    output_dir, config = Path(output_dir), arguments.config(tokenizer)
    begun = load_speech_decoder(arguments.start_from) if arguments.start_from else None
    if begun is not None and not isinstance(begun, MelDiffusion):
        raise TriglotError(
            f"start_from is {arguments.start_from!r}, a {type(begun).__name__}; a MelDiffusion is needed."
        )
    checkpoints = output_dir / "checkpoints"
    last = open_run(
        checkpoints,
        arguments,
        seed=seed,
        inputs={"tokenizer": tokenizer.fingerprint, "dataset": dataset_digest(dataset)},
    )
    torch.manual_seed(seed)
    model = MelDiffusion(config)
    if begun is not None:
        take_weights(model, begun, arguments.start_from, "fingerprint")
    crops = WrittenCrops(dataset, tokenizer, model, arguments)
    if begun is None:
        model.set_voice_statistics(crops.voices)
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(checkpoints, arguments, seed=seed),
        **seeded_data(crops, collate_crops, seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=("diffusion_loss", "prior_loss", "vocoder_loss"),
    )
    train_and_report(trainer, last, arguments, {"utterances": len(crops), "parameters": f"{model.num_parameters():,}"})
    return save_trained(copy.deepcopy(model), output_dir, arguments, {})


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(__doc__, MelDiffusionArguments, train_mel_diffusion, argv, tokenizer=TOKENIZER)


if __name__ == "__main__":
    run_script(main)
