"""A speaker model from recordings with a speaker's name each: `SpeakerEncoder`, which tells voices apart, strangers' included.

    dataset {"audio", "speaker"} ─ recording conditions at random ─ crops ─ log-mel ─ SpeakerEncoder.forward ─▶ loss

A pitch or a rate of the demo world makes another speaker of a voice. What it is for: to measure whose voice a decoder speaks in
(`triglot evaluate --speaker-model`), and to condition decoders that want an embedding. To measure, train it on nothing that the
decoders heard.

    python -m triglot.training.train_speaker_encoder --dataset speech/ --out speaker_encoder/
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import set_seed

from ..command_output import run_script
from ..modeling.decoders.configuration_speaker_encoder import SpeakerEncoderConfig
from ..modeling.decoders.modeling_speaker_encoder import SpeakerEncoder
from ..processing.errors import TriglotError
from .data.augment import RecordingConditions
from .data.row_digests import dataset_digest
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import (
    check_dtype,
    check_optimizer,
    chosen_optimizers,
    fitting_deviation,
    open_run,
    save_trained,
    trainer_arguments,
)
from .seeded_data import seeded_data
from .speech_command import run_command
from .train_encoder import WaveformDataset

LEAST_UTTERANCES = 2  # of a speaker: of one alone a model learns the sentence


@dataclass(frozen=True)
class SpeakerEncoderArguments:
    """Settings of `train_speaker_encoder`. The sizes are those of `SpeakerEncoderConfig`."""

    hidden_size: int = 256
    pooled_size: int = 512
    embedding_size: int = 128
    max_steps: int = 1_500
    batch_size: int = 32  # crops per step and device
    optimizer: str = "adamw"  # or "muon", for the matrices inside the layers
    learning_rate: float = 1e-3  # peak; cosine decay to 0
    warmup_steps: int = 100
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    crop_seconds: float = 1.5
    recorded_share: float = 0.5  # of the crops: how many are heard through a microphone, in a room
    bf16: bool = True
    dtype: str = "float32"  # of the saved weights; or "float16"
    save_steps: int = 500
    logging_steps: int = 50
    num_workers: int = 0

    def __post_init__(self):
        check_optimizer(self.optimizer)
        check_dtype(self.dtype)
        if self.max_steps < 1 or self.batch_size < 1:
            raise TriglotError(f"max_steps {self.max_steps} and batch_size {self.batch_size} must be at least 1.")
        if not self.crop_seconds >= 0.1:
            raise TriglotError(f"crop_seconds is {self.crop_seconds}; at least 0.1 s is needed to hear a voice.")


class SpeakerCrops(torch.utils.data.Dataset):
    """Recordings of speakers heard at least twice: {"waveform": (S,), "label": place in `speakers`}."""

    def __init__(self, dataset: Dataset, sampling_rate: int):
        missing = {"audio", "speaker"} - set(dataset.column_names)
        if missing:
            raise TriglotError(f"The dataset lacks {sorted(missing)}; it has {dataset.column_names}.")
        counts = Counter(dataset["speaker"])
        self.speakers = sorted(name for name, count in counts.items() if count >= LEAST_UTTERANCES)
        if len(self.speakers) < 2:
            raise TriglotError(
                f"{len(self.speakers)} of {len(counts)} speakers have {LEAST_UTTERANCES} recordings or more; two such speakers at "
                "least are needed to tell apart."
            )
        place = {name: index for index, name in enumerate(self.speakers)}
        known = [(index, place[name]) for index, name in enumerate(dataset["speaker"]) if name in place]
        self.rows, self.labels = [index for index, _ in known], [label for _, label in known]
        self.waveforms = WaveformDataset(dataset, sampling_rate)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor | int]:
        return {"waveform": self.waveforms[self.rows[index]], "label": self.labels[index]}


class SpeakerCollator:
    """Random crops of `crop_samples`, short recordings repeated, some through recording conditions -> log-mel, mask, labels."""

    def __init__(self, model: SpeakerEncoder, crop_samples: int, recorded_share: float):
        self.model, self.crop_samples, self.recorded_share = model, crop_samples, recorded_share

    def __call__(self, items: Sequence[dict]) -> dict[str, torch.Tensor]:
        found = [self.model.features(self._crop(item["waveform"])) for item in items]
        return {
            "mel": torch.stack([mel for mel, _ in found]),
            "mask": torch.stack([mask for _, mask in found]),
            "labels": torch.tensor([item["label"] for item in items]),
        }

    def _crop(self, waveform: torch.Tensor) -> torch.Tensor:
        if len(waveform) < self.crop_samples:
            waveform = waveform.repeat(-(-self.crop_samples // len(waveform)))
        start = int(torch.randint(len(waveform) - self.crop_samples + 1, ()))
        crop = waveform[start : start + self.crop_samples]
        if float(torch.rand(())) >= self.recorded_share:
            return crop
        rng = np.random.default_rng(int(torch.randint(2**62, ())))  # from torch's seed: a run repeats
        recorded = RecordingConditions.draw(rng).apply(crop.numpy(), self.model.config.sampling_rate, rng)
        return torch.from_numpy(recorded)


def train_speaker_encoder(
    dataset: Dataset, output_dir: str | os.PathLike, arguments: SpeakerEncoderArguments | None = None, *, seed: int = 0
) -> Path:
    """Trains a `SpeakerEncoder` and saves it, without the classifier.

    Args:
        dataset: Columns "audio" (any format and rate) and "speaker" (str).
        output_dir: Becomes the folder of the model, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings; default: `SpeakerEncoderArguments()`.
        seed: Of weights, crops and recording conditions.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: missing columns, fewer than two speakers with two recordings each, unreadable sound, checkpoints of other
            settings, or a loss that is not finite.
    """
    arguments = arguments or SpeakerEncoderArguments()
    output_dir = Path(output_dir)
    sizes = {name: getattr(arguments, name) for name in ("hidden_size", "pooled_size", "embedding_size")}
    config = SpeakerEncoderConfig(**sizes, initializer_range=fitting_deviation(arguments.hidden_size))
    crops = SpeakerCrops(dataset, config.sampling_rate)
    config.num_speakers = len(crops.speakers)
    last = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs={"dataset": dataset_digest(dataset)})
    set_seed(seed)
    model = SpeakerEncoder(config)
    collate = SpeakerCollator(
        SpeakerEncoder(SpeakerEncoderConfig(hidden_size=8, pooled_size=8)),  # its features have no weights
        int(arguments.crop_seconds * config.sampling_rate),
        arguments.recorded_share,
    )
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(output_dir / "checkpoints", arguments, seed=seed),
        **seeded_data(crops, collate, seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=("accuracy",),
    )
    train_and_report(trainer, last, arguments)
    model = trainer.accelerator.unwrap_model(trainer.model)
    model.speakers, model.config.num_speakers = None, 0
    return save_trained(model, output_dir, arguments)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(__doc__, SpeakerEncoderArguments, train_speaker_encoder, argv)


if __name__ == "__main__":
    run_script(main)
