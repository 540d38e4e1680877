"""The unit vocoder `CodeHifiGan` against HiFi-GAN's discriminators (arXiv 2104.00355, 2010.05646): units + a voice -> waveform.

    dataset {"audio", "speaker"} ─ crops, as of `train_decoder` ─ CodeHifiGan ─ made ┬─ its own loss: STFT, log-mel (and durations)
                                                                                     └─ discriminators: adversarial, features

A tokenizer that drops repeats gets a vocoder that predicts how long each code lasts; it hears the codes with their repeats in
training.

    python -m triglot.training.train_code_hifigan --dataset speech/ --tokenizer units/ --out vocoder/
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from torch.nn.utils.rnn import pad_sequence

from ..command_output import run_script
from ..modeling.decoders.configuration_code_hifigan import CodeHifiGanConfig
from ..modeling.decoders.modeling_code_hifigan import CodeHifiGan
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError
from .data.row_digests import dataset_digest
from .every_frame import deduplicates, every_frame
from .load_parts import load_speech_tokenizer
from .runs import open_run, save_trained
from .speech_command import TOKENIZER, run_command
from .train_decoder import UtteranceCrops, check_speech, collate_crops
from .vocoder_duel import HifiGanArguments, train_vocoder

RUNS, DURATIONS = "runs", "durations"


@dataclasses.dataclass(frozen=True)
class CodeHifiGanArguments(HifiGanArguments):
    """Settings of the stage; the sizes are those of `CodeHifiGanConfig`."""

    unit_embed_dim: int = 128
    spkr_embed_dim: int = 64

    def config(self, tokenizer: Any) -> CodeHifiGanConfig:
        """That of the model, for the tokenizer's codes.

        Raises:
            TriglotError: sizes that do not fit together.
        """
        try:
            return CodeHifiGanConfig(
                codebook_size=tokenizer.codebook_size,
                fingerprint=tokenizer.fingerprint,
                sampling_rate=tokenizer.sampling_rate,
                frame_rate=tokenizer.frame_rate,
                deduplicated=deduplicates(tokenizer),
                unit_embed_dim=self.unit_embed_dim,
                spkr_embed_dim=self.spkr_embed_dim,
                **self.sizes(),
            )
        except ValueError as error:
            raise TriglotError(str(error)) from error


class UnitCrops(UtteranceCrops):
    """Crops without F0; where the tokenizer drops repeats, with the runs of the whole utterance and how long they last."""

    pitched = False

    def __init__(self, dataset: datasets.Dataset, tokenizer: Any, model: CodeHifiGan, crop_seconds: float):
        self.deduplicated = deduplicates(tokenizer)
        super().__init__(dataset, tokenizer, model, crop_seconds)

    def encode(self, tokenizer: Any, waves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return every_frame(tokenizer, waves)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        item = super().__getitem__(index)
        if self.deduplicated:
            item[RUNS], item[DURATIONS] = self.codes[index].long().unique_consecutive(return_counts=True)
        return item


def collate_units(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """As `collate_crops`; runs are padded, with durations of 0."""
    runs = {name: [item.pop(name) for item in items] for name in (RUNS, DURATIONS) if name in items[0]}
    padded = {name: pad_sequence(rows, batch_first=True) for name, rows in runs.items()}
    return {**collate_crops(items), **padded}


def train_code_hifigan(
    dataset: datasets.Dataset,
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: CodeHifiGanArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `CodeHifiGan` for the tokenizer saved in `tokenizer_dir`.

    Args:
        dataset: Columns "audio" (dicts {"bytes", "path"}: `Audio(decode=False)`) and "speaker" (str).
        tokenizer_dir: Folder of a speech tokenizer with a code book, with repeats or without.
        output_dir: Becomes the folder of the model, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings of the stage.
        seed: Of the initial weights, crops and voices.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: missing columns, unreadable sound, codes that do not fit the sound, sizes that do not fit together,
            checkpoints of other settings, or a loss that is not finite.
    """
    return fit_code_hifigan(
        dataset, load_speech_tokenizer(tokenizer_dir), output_dir, arguments or CodeHifiGanArguments(), seed=seed
    )


def fit_code_hifigan(
    dataset: datasets.Dataset,
    tokenizer: MediaTokenizer,
    output_dir: str | os.PathLike,
    arguments: CodeHifiGanArguments,
    *,
    seed: int = 0,
) -> Path:
    """`train_code_hifigan` with the tokenizer as an object."""
    check_speech(dataset)
    output_dir, config = Path(output_dir), arguments.config(tokenizer)
    arguments.check_crop(config.stft_sizes, config.sampling_rate)
    checkpoints = output_dir / "checkpoints"
    last = open_run(
        checkpoints,
        arguments,
        seed=seed,
        inputs={"tokenizer": tokenizer.fingerprint, "dataset": dataset_digest(dataset)},
    )
    torch.manual_seed(seed)
    model = CodeHifiGan(config)
    crops = UnitCrops(dataset, tokenizer, model, arguments.crop_seconds)
    model.set_voice_statistics(crops.voices)
    trained = train_vocoder(model, "hifi_gan", crops, collate_units, checkpoints, arguments, seed=seed, last=last)
    return save_trained(trained, output_dir, arguments, {})


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(__doc__, CodeHifiGanArguments, train_code_hifigan, argv, tokenizer=TOKENIZER)


if __name__ == "__main__":
    run_script(main)
