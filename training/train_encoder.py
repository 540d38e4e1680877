"""Stage 1: a speech encoder by BEST-RQ (arXiv 2202.01855), from sound alone or with transcripts as well.

    datasets.Dataset with "audio" ─ load_audio ─ other voices and rooms ─ crops (B, S) ─ BestRqForPreTraining ─ folder

With `ctc_weight` above 0, utterances that fit into a crop also teach the encoder to tell their characters (USM-v2, the
encoder behind AudioPaLM's best tokens, arXiv 2306.12925, section 3.1).

Checkpoints lie in `output_dir/checkpoints`; a run that was cut off goes on from the last complete one. The finished model
lies in `output_dir` itself, where `FeatureUnits.from_encoder` and `train_kmeans` take it from.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import set_seed

from ..modeling.tokenizers.configuration_best_rq import BestRqConfig
from ..modeling.tokenizers.modeling_best_rq import BestRqForPreTraining
from ..processing.audio_io import load_audio
from ..processing.errors import TriglotError
from .ctc import character_ids, pad_targets
from .data.augment import RecordingConditions, resample_voice
from .data.load_rows import media_column
from .data.row_digests import dataset_digest
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import (
    check_counts,
    check_optimizer,
    chosen_optimizers,
    fitting_deviation,
    open_run,
    save_trained,
    trainer_arguments,
)
from .seeded_data import seeded_data
from .text_normaliser import normalise_text


@dataclass(frozen=True)
class EncoderArguments:
    """Settings of `train_encoder`. The sizes are those of `BestRqConfig`."""

    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 768
    conv_kernel_size: int = 7
    num_codebooks: int = 4
    codebook_size: int = 256
    mask_probability: float = 0.04  # share of 25 Hz frames at which a masked span starts
    mask_span: int = 10  # frames of 25 Hz
    epochs: float = 6.0
    max_steps: int = -1  # above 0: instead of epochs
    batch_size: int = 16  # crops per step and device
    optimizer: str = "adamw"  # or "muon", for the matrices inside the layers
    learning_rate: float = 1e-3  # peak; cosine decay to 0
    warmup_steps: int = 200
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    crop_seconds: float = 6.0  # longer utterances are cut at random to this length
    ctc_weight: float = 0.0  # above 0: also learn the characters of the column "transcript"
    ctc_share: float = 0.5  # of the utterances with characters: how many are heard unmasked and written down
    augmented_share: float = 0.0  # of the utterances: how many are heard as another voice, in another room
    bf16: bool = True  # autocast; also on a CPU
    save_steps: int = 500
    logging_steps: int = 50
    num_workers: int = 0  # processes that read sound files

    def __post_init__(self):
        check_optimizer(self.optimizer)
        check_counts(self, "batch_size", "save_steps", "logging_steps")


class WaveformDataset(torch.utils.data.Dataset):
    """The "audio" column of a `datasets.Dataset` as float32 waveforms (S,) at one rate, read when asked for."""

    def __init__(self, dataset: Dataset, sampling_rate: int):
        self.rows = media_column(dataset, "audio")
        self.sampling_rate = sampling_rate

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        row = self.rows[int(index)]
        return torch.from_numpy(load_audio(row["audio"], target_rate=self.sampling_rate, name=f"audio of row {index}"))


class TranscribedWaveforms(torch.utils.data.Dataset):
    """Waveforms with the ids of their characters: {"waveform": (S,), "transcript": int64 (L,)}.

    An id is 1 + the character's place in `characters`: 0 is the blank of CTC.
    """

    def __init__(self, waveforms: WaveformDataset, transcripts: Sequence[str], characters: str):
        self.waveforms = waveforms
        self.ids = [torch.tensor(character_ids(text, characters), dtype=torch.long) for text in transcripts]

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"waveform": self.waveforms[index], "transcript": self.ids[index]}


class CropCollator:
    """Waveforms of any length, with transcripts or without -> a batch for `BestRqForPreTraining`.

    {"input_values": (B, S), "attention_mask": (B, S)}, S <= `crop_samples`; with transcripts also {"transcripts": (B, L)},
    -100 after the last character and for whatever was cropped. `augmented_share` of the waveforms become other voices in
    other rooms.
    """

    def __init__(self, crop_samples: int, sampling_rate: int = 16_000, augmented_share: float = 0.0):
        self.crop_samples, self.sampling_rate, self.augmented_share = crop_samples, sampling_rate, augmented_share

    def __call__(self, items: Sequence[torch.Tensor | Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        waveforms = [self._augment(item["waveform"] if isinstance(item, Mapping) else item) for item in items]
        crops = [self._crop(waveform) for waveform in waveforms]
        longest = max(len(crop) for crop in crops)
        values = torch.zeros(len(crops), longest)
        mask = torch.zeros(len(crops), longest, dtype=torch.long)
        for index, crop in enumerate(crops):
            values[index, : len(crop)] = crop
            mask[index, : len(crop)] = 1
        batch = {"input_values": values, "attention_mask": mask}
        texts = [item["transcript"] for item in items if isinstance(item, Mapping)]
        if texts:
            batch["transcripts"] = pad_targets(
                [text if len(waveform) <= self.crop_samples else text[:0] for text, waveform in zip(texts, waveforms)]
            )
        return batch

    def _augment(self, waveform: torch.Tensor) -> torch.Tensor:
        if self.augmented_share <= 0 or float(torch.rand(())) >= self.augmented_share:
            return waveform
        rng = np.random.default_rng(int(torch.randint(2**62, ())))  # from torch's seed: a run repeats
        wave = resample_voice(waveform.numpy(), rng)
        return torch.from_numpy(RecordingConditions.draw(rng).apply(wave, self.sampling_rate, rng))

    def _crop(self, waveform: torch.Tensor) -> torch.Tensor:
        spare = len(waveform) - self.crop_samples
        if spare <= 0:
            return waveform
        start = int(torch.randint(spare + 1, ()))
        return waveform[start : start + self.crop_samples]


def train_encoder(
    dataset: Dataset, output_dir: str | os.PathLike, arguments: EncoderArguments | None = None, *, seed: int = 0
) -> Path:
    """Trains an encoder and saves it with its pretraining heads.

    Args:
        dataset: Rows with "audio": {"bytes": ..., "path": ...}, any format and rate, and "transcript" for `ctc_weight`.
        output_dir: Where the model and, under `checkpoints`, the state of the run go.
        arguments: Settings; default: `EncoderArguments()`.
        seed: Of weights, targets, crops, masks and the order of the data.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: no "audio" column, or no "transcript" column for `ctc_weight`, no rows, a broken sound file, a loss that is
            not finite, or checkpoints of other settings.
    """
    arguments = arguments or EncoderArguments()
    output_dir = Path(output_dir)
    transcripts = normalised_transcripts(dataset) if arguments.ctc_weight > 0 else []
    config = BestRqConfig(
        hidden_size=arguments.hidden_size,
        num_hidden_layers=arguments.num_hidden_layers,
        num_attention_heads=arguments.num_attention_heads,
        intermediate_size=arguments.intermediate_size,
        conv_kernel_size=arguments.conv_kernel_size,
        num_codebooks=arguments.num_codebooks,
        codebook_size=arguments.codebook_size,
        mask_probability=arguments.mask_probability,
        mask_span=arguments.mask_span,
        ctc_characters="".join(sorted(set().union(*transcripts))),
        ctc_weight=arguments.ctc_weight,
        ctc_share=arguments.ctc_share,
        initializer_range=fitting_deviation(arguments.hidden_size),
    )
    crop_samples = int(arguments.crop_seconds * config.sampling_rate)
    if crop_samples < config.samples_per_frame:
        raise TriglotError(f"crop_seconds is {arguments.crop_seconds}; at least one frame of 0.04 s is needed.")
    waveforms: Any = WaveformDataset(dataset, config.sampling_rate)
    if transcripts:
        waveforms = TranscribedWaveforms(waveforms, transcripts, config.ctc_characters)
    checkpoint = open_run(
        output_dir / "checkpoints", arguments, seed=seed, inputs={"dataset": dataset_digest(dataset)}
    )
    set_seed(seed)
    model = BestRqForPreTraining(config)
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(output_dir / "checkpoints", arguments, seed=seed),
        **seeded_data(waveforms, CropCollator(crop_samples, config.sampling_rate, arguments.augmented_share), seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=(),
    )
    train_and_report(trainer, checkpoint, arguments)
    model = trainer.accelerator.unwrap_model(trainer.model)
    return save_trained(model, output_dir, arguments, {})


def normalised_transcripts(dataset: Dataset) -> list[str]:
    """The column "transcript", normalised as for WER: what is written is words, not punctuation.

    Raises:
        TriglotError: no such column, or no words in it.
    """
    if "transcript" not in dataset.column_names:
        raise TriglotError(
            f"The dataset has the columns {', '.join(dataset.column_names)}; `transcript` is needed for ctc_weight above 0."
        )
    transcripts = [normalise_text(text or "") for text in dataset["transcript"]]
    if not any(transcripts):
        raise TriglotError("The column `transcript` holds no words; set ctc_weight to 0 to train from sound alone.")
    return transcripts
