"""A speech tokenizer by VQ-VAE, in place of the stages encoder and kmeans: from sound alone, without a teacher.

    datasets.Dataset with "audio" ─ load_audio ─ other voices and rooms ─ crops (B, S) ─ SpeechVqvae ─ folder

Papers: VQ-VAE (arXiv 1711.00937), speech representations by VQ-VAEs (arXiv 1901.08810).

Checkpoints lie in `output_dir/checkpoints`; a run that was cut off goes on from the last complete one. The finished tokenizer lies
in `output_dir` itself, where `train_decoder`, the token rows and `train_lm` take it from.

    python -m triglot.training.train_speech_vqvae --dataset speech/ --out vqvae/ --max-steps 4000
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from transformers import set_seed

from ..command_output import run_script
from ..modeling.tokenizers.configuration_speech_vqvae import SpeechVqvaeConfig
from ..modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from ..processing.errors import TriglotError
from .data.load_rows import open_whole_rows
from .data.row_digests import dataset_digest
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import (
    add_settings,
    check_dtype,
    check_optimizer,
    chosen_optimizers,
    fitting_deviation,
    given_settings,
    open_run,
    save_trained,
    trainer_arguments,
)
from .seeded_data import seeded_data
from .train_encoder import CropCollator, WaveformDataset


@dataclass(frozen=True)
class SpeechVqvaeArguments:
    """Settings of `train_speech_vqvae`. The sizes are those of `SpeechVqvaeConfig`."""

    codebook_size: int = 512
    code_dim: int = 64
    hidden_size: int = 256
    num_blocks: int = 2
    kernel_size: int = 7
    frame_stack: int = 4  # mel frames of 10 ms a code: 4 for 25 codes/s
    commitment_weight: float = 0.25
    ema_decay: float = 0.99
    revive_after: int = 200  # steps
    max_steps: int = 4_000
    batch_size: int = 16  # crops per step and device
    optimizer: str = "adamw"  # or "muon", for the matrices inside the blocks
    learning_rate: float = 1e-3  # peak; cosine decay to 0
    warmup_steps: int = 200
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    crop_seconds: float = 2.0  # longer utterances are cut at random to this length
    augmented_share: float = 0.0  # of the utterances: how many are heard as another voice, in another room
    bf16: bool = True  # autocast; also on a CPU
    dtype: str = "float32"  # of the saved weights; or "float16"
    save_steps: int = 500
    logging_steps: int = 50
    num_workers: int = 0  # processes that read sound files

    def __post_init__(self):
        check_optimizer(self.optimizer)
        check_dtype(self.dtype)
        if self.max_steps < 1:
            raise TriglotError(f"max_steps is {self.max_steps}; at least 1 is needed.")


def train_speech_vqvae(
    dataset: Dataset, output_dir: str | os.PathLike, arguments: SpeechVqvaeArguments | None = None, *, seed: int = 0
) -> Path:
    """Trains a `SpeechVqvae` and saves it.

    Args:
        dataset: Rows with "audio": {"bytes": ..., "path": ...}, any format and rate.
        output_dir: Where the tokenizer and, under `checkpoints`, the state of the run go.
        arguments: Settings; default: `SpeechVqvaeArguments()`.
        seed: Of weights, crops, the code book and the order of the data.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: no "audio" column, no rows, a broken sound file, a loss that is not finite, or checkpoints of other
            settings.
    """
    arguments = arguments or SpeechVqvaeArguments()
    output_dir = Path(output_dir)
    names = (
        "codebook_size",
        "code_dim",
        "hidden_size",
        "num_blocks",
        "kernel_size",
        "frame_stack",
        "commitment_weight",
    )
    sizes = {name: getattr(arguments, name) for name in (*names, "ema_decay", "revive_after")}
    config = SpeechVqvaeConfig(**sizes, initializer_range=fitting_deviation(arguments.hidden_size))
    crop_samples = int(arguments.crop_seconds * config.sampling_rate)
    if crop_samples < config.samples_per_frame:
        raise TriglotError(
            f"crop_seconds is {arguments.crop_seconds}; at least one code of {1 / config.frame_rate} s is needed."
        )
    waveforms = WaveformDataset(dataset, config.sampling_rate)
    checkpoint = open_run(
        output_dir / "checkpoints", arguments, seed=seed, inputs={"dataset": dataset_digest(dataset)}
    )
    set_seed(seed)
    model = SpeechVqvae(config)
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(output_dir / "checkpoints", arguments, seed=seed),
        **seeded_data(waveforms, CropCollator(crop_samples, config.sampling_rate, arguments.augmented_share), seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=("reconstruction_loss", "commitment_loss", "perplexity"),
    )
    train_and_report(trainer, checkpoint, arguments)
    model = trainer.accelerator.unwrap_model(trainer.model)
    return save_trained(model, output_dir, arguments, {})


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--dataset", required=True, help="a folder of save_to_disk, or what datasets.load_dataset takes"
    )
    parser.add_argument("--split", default="train")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser, SpeechVqvaeArguments)
    arguments = parser.parse_args(argv)
    dataset = open_whole_rows(arguments.dataset, arguments.split, "crops are drawn at random")
    print(
        train_speech_vqvae(
            dataset, arguments.out, given_settings(arguments, SpeechVqvaeArguments), seed=arguments.seed
        )
    )


if __name__ == "__main__":
    run_script(main)
