"""The unit vocoder `CodeHifiGan` against HiFi-GAN's discriminators (arXiv 2104.00355, 2010.05646): units + a voice -> waveform.

    dataset {"audio", "speaker"} ─ crops, as of `train_decoder` ─ CodeHifiGan ─ made ┬─ its own loss: STFT, log-mel (and durations)
                                                                                     └─ discriminators: adversarial, features

A tokenizer that drops repeats gets a vocoder that predicts how long each code lasts; it hears the codes with their repeats in
training.

    python -m triglot.training.train_code_hifigan --dataset speech/ --tokenizer units/ --out vocoder/
"""

import argparse
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
from .adversarial_run import run_duel
from .data.load_rows import load_rows
from .every_frame import deduplicates, every_frame
from .load_parts import load_speech_tokenizer
from .runs import add_settings, check_counts, check_dtype, given_settings, open_run, save_whole
from .speech_adversary import (
    Heard,
    SpeechAdversaryArguments,
    SpeechDiscriminators,
    discriminator_loss,
    generator_losses,
    least_samples,
    set_weight_norm,
)
from .train_decoder import UtteranceCrops, check_speech, collate_crops

RUNS, DURATIONS = "runs", "durations"


@dataclasses.dataclass(frozen=True)
class CodeHifiGanArguments(SpeechAdversaryArguments):
    """Settings of the stage; the sizes are those of `CodeHifiGanConfig`."""

    unit_embed_dim: int = 128
    spkr_embed_dim: int = 64
    upsample_initial_channel: int = 256
    upsample_rates: str = "5 4 4 4 2"
    upsample_kernel_sizes: str = "11 8 8 8 4"
    resblock_kernel_sizes: str = "3 7"
    resblock_dilations: str = "1 3"  # of every kernel
    max_steps: int = 6_000
    batch_size: int = 8
    learning_rate: float = 2e-3  # peak, of the vocoder; cosine decay to 0
    discriminator_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_steps: int = 50
    max_grad_norm: float = 50.0  # of a loss of which the reconstruction alone counts twentyfold
    crop_seconds: float = 0.64  # s; 16 codes at 25 Hz
    bf16: bool = False  # autocast: faster on a GPU; most CPUs gain nothing in convolutions
    dtype: str = "float32"  # of the saved weights: "float32" or "float16"
    save_steps: int = 500
    logging_steps: int = 50

    def __post_init__(self):
        super().__post_init__()
        check_dtype(self.dtype)
        check_counts(self, "max_steps", "batch_size", "save_steps", "logging_steps")
        if not self.crop_seconds > 0:
            raise TriglotError(f"crop_seconds is {self.crop_seconds}; it must be above 0.")
        for name in ("upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes", "resblock_dilations"):
            self.numbers(name)

    def numbers(self, name: str) -> list[int]:
        """The whole numbers of a setting like "5 4 4 4 2"."""
        words = getattr(self, name).split()
        if not words or not all(word.isdigit() and int(word) > 0 for word in words):
            raise TriglotError(
                f"{name} is {getattr(self, name)!r}; whole numbers with spaces between are needed, e.g. '5 4 4 4 2'."
            )
        return [int(word) for word in words]

    def config(self, tokenizer: Any) -> CodeHifiGanConfig:
        """That of the model, for the tokenizer's codes.

        Raises:
            TriglotError: sizes that do not fit together.
        """
        kernels = self.numbers("resblock_kernel_sizes")
        try:
            return CodeHifiGanConfig(
                codebook_size=tokenizer.codebook_size,
                fingerprint=tokenizer.fingerprint,
                sampling_rate=tokenizer.sampling_rate,
                frame_rate=tokenizer.frame_rate,
                deduplicated=deduplicates(tokenizer),
                unit_embed_dim=self.unit_embed_dim,
                spkr_embed_dim=self.spkr_embed_dim,
                upsample_initial_channel=self.upsample_initial_channel,
                upsample_rates=self.numbers("upsample_rates"),
                upsample_kernel_sizes=self.numbers("upsample_kernel_sizes"),
                resblock_kernel_sizes=kernels,
                resblock_dilation_sizes=[self.numbers("resblock_dilations")] * len(kernels),
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


class VocoderDuel:
    """A `CodeHifiGan` and its discriminators; see `Duel`."""

    def __init__(self, model: CodeHifiGan, arguments: SpeechAdversaryArguments):
        self.generator: Any = model
        self.discriminator: Any = SpeechDiscriminators(arguments)
        self.arguments = arguments

    def judged(self, batch: Any, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """float (B, S) of what was recorded and what was made."""
        heard = batch["mask"].repeat_interleave(batch["waveforms"].shape[1] // batch["mask"].shape[1], 1)
        return batch["waveforms"] * heard, output.waveforms

    def discriminator_loss(self, heard: Heard) -> torch.Tensor:
        return discriminator_loss(heard)

    def generator_loss(
        self, output: Any, recorded: Heard | None, made: Heard | None, parts: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        for name in ("stft_loss", "mel_loss", "duration_loss"):
            if output.get(name) is not None:
                parts[name] = output[name].detach()
        loss = self.arguments.reconstruction_weight * output.loss
        if recorded is not None and made is not None:
            adversarial, features = generator_losses(recorded, made)
            parts |= {"adversarial_loss": adversarial.detach(), "feature_loss": features.detach()}
            loss = loss + adversarial + self.arguments.feature_weight * features
        return loss


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
    least = least_samples(arguments, config.stft_sizes) / config.sampling_rate
    if arguments.crop_seconds < least:
        raise TriglotError(
            f"crop_seconds is {arguments.crop_seconds}; at least {least:.3f} s are needed for the losses."
        )
    checkpoints = output_dir / "checkpoints"
    last = open_run(checkpoints, arguments, seed=seed, inputs={"tokenizer": tokenizer.fingerprint})
    torch.manual_seed(seed)
    model = CodeHifiGan(config)
    crops = UnitCrops(dataset, tokenizer, model, arguments.crop_seconds)
    model.set_voice_statistics(crops.voices)
    duel = VocoderDuel(model, arguments)
    set_weight_norm(model.hifi_gan, True)
    facts = {
        "utterances": len(crops),
        "parameters": f"{sum(weight.numel() for weight in model.parameters()):,}",
        "of the discriminators": f"{sum(weight.numel() for weight in duel.discriminator.parameters()):,}",
    }
    run_duel(duel, crops, collate_units, checkpoints, arguments, seed=seed, last=last, facts=facts)
    trained: CodeHifiGan = duel.generator.cpu()
    set_weight_norm(trained.hifi_gan, False)
    if int(os.environ.get("RANK", 0)) == 0:
        save_whole(trained.to(getattr(torch, arguments.dtype)).eval(), output_dir)
    return output_dir


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--dataset", required=True, help="rows with audio and speaker: a folder of save_to_disk, or a parquet file"
    )
    parser.add_argument(
        "--tokenizer", required=True, help="folder of the speech tokenizer whose codes are to be spoken"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser, CodeHifiGanArguments)
    given = parser.parse_args(argv)
    settings = given_settings(given, CodeHifiGanArguments)
    print(train_code_hifigan(load_rows(given.dataset), given.tokenizer, given.out, settings, seed=given.seed))


if __name__ == "__main__":
    run_script(main)
