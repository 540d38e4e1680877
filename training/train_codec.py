"""A neural codec of your own: a small DAC (transformers' `DacModel`), from sound alone.

    dataset {"audio"} ─ crops at one loudness (B, S) ─ DacModel ─▶ sound again (B, S), codes (B, Q, N)
    loss = multi-resolution STFT + log-mel + the quantizer's own two losses (arXiv 2306.06546, section 3)

Weights begin as a linear transform that gives back what it hears, code books where its vectors lie (`codec_start`). Begun at random, as
published trainers do with many times the steps, all sound falls into a few codes within minutes (docs/experiments.md). Codes nobody uses
are begun anew.

A random number of RVQ levels is used for half of the crops, so that the coarse ones alone say something. There is no adversary: what
that costs in crispness it saves in divergence, of which users of other trainers complain most. Steps whose loss or gradient is not
finite, or whose loss leaps, are left out and counted; too many in a row stop the run with an error that says what to do.

The finished folder loads with `AutoModel.from_pretrained`, as any published DAC does.

    python -m triglot.training.train_codec --dataset speech/ --out codec/
"""

import argparse
import math
import os
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from torch.nn import functional as F
from transformers import DacConfig, DacFeatureExtractor, DacModel, TrainerCallback, set_seed
from transformers.trainer_callback import ExportableState
from transformers.utils import ModelOutput

from ..command_output import run_script
from ..modeling.decoders.speech_signal import log_mel, normalise_level, stft_loss
from ..processing.errors import TriglotError
from .codec_start import begin_codec
from .data.load_rows import load_rows
from .data.row_digests import dataset_digest
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import (
    add_settings,
    check_counts,
    check_dtype,
    check_optimizer,
    chosen_optimizers,
    given_settings,
    open_run,
    save_whole,
    trainer_arguments,
    whole_numbers,
)
from .seeded_data import seeded_data
from .train_encoder import WaveformDataset

REFERENCE_LEVEL = 0.1  # RMS of active speech in the crops, as in `CodecTokensConfig`
LEVEL_HOP = 160  # samples in which loudness is measured
STFT_SIZES = (128, 512, 2048)  # windows of the loss
START_CROPS = 256  # in which the first weights look for principal directions
MEL = {"mel_window": 512, "mel_fft": 1024, "hop_length": 160, "num_mel_bins": 80, "log_floor": 1e-3}


@dataclass(frozen=True)
class CodecArguments:
    """Settings of `train_codec`. The sizes are those of `DacConfig`."""

    sampling_rate: int = 16_000
    encoder_hidden_size: int = 16  # channels at the full rate; they double with every ratio
    decoder_hidden_size: int = 256  # channels at the frame rate; they halve with every ratio
    ratios: str = "2 4 5 8"  # of the decoder, coarse to fine; their product is the hop: 320 samples, 50 frames/s. Large ones last
    # leave one block at the full rate, which costs most: "8 5 4 2" takes twice as long and learns no more in as many steps
    levels: int = 12  # RVQ levels
    level_size: int = 1024  # entries of each; a power of 2
    code_dim: int = 8
    all_levels_share: float = 0.5  # of the crops: how many use all levels, the others a random number
    revive_after: int = 50  # steps without use, after which an entry begins anew
    max_steps: int = 6_000
    batch_size: int = 8  # crops per step and device
    optimizer: str = "adamw"
    learning_rate: float = 2e-3  # peak; cosine decay to 0
    warmup_steps: int = 100
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    crop_seconds: float = 0.64
    mel_weight: float = 2.0  # of log-mel in the loss
    waveform_weight: float = (
        1.0  # of the difference of samples in the loss: it tells the phase, which spectra leave open
    )
    leap: float = 4.0  # times the usual loss, from which on a step is left out
    patience: int = 20  # steps left out in a row that stop the run
    bf16: bool = False  # autocast: faster on a GPU, slower on most CPUs, where convolutions gain nothing
    compiled: bool = False  # layers by torch.compile: minutes before the first step, then a third faster
    dtype: str = "float32"  # of the saved weights; or "float16"
    save_steps: int = 200
    logging_steps: int = 50
    num_workers: int = 0

    def __post_init__(self):
        check_optimizer(self.optimizer)
        check_dtype(self.dtype)
        ratios = whole_numbers(self.ratios, "ratios", "8 5 4 2")
        if self.decoder_hidden_size % 2 ** len(ratios):
            raise TriglotError(
                f"decoder_hidden_size is {self.decoder_hidden_size}; it must divide by {2 ** len(ratios)}, since {len(ratios)} ratios "
                "halve it."
            )
        if self.level_size < 2 or self.level_size & (self.level_size - 1):
            raise TriglotError(f"level_size is {self.level_size}; a power of 2 is needed.")
        check_counts(self, "levels", "max_steps", "patience", "revive_after")
        if not self.leap > 1:
            raise TriglotError(f"leap is {self.leap}; it must be above 1.")

    def codec_config(self) -> DacConfig:
        """That of the model."""
        ratios = whole_numbers(self.ratios, "ratios", "8 5 4 2")
        return DacConfig(
            encoder_hidden_size=self.encoder_hidden_size,
            downsampling_ratios=ratios[::-1],
            decoder_hidden_size=self.decoder_hidden_size,
            upsampling_ratios=ratios,
            n_codebooks=self.levels,
            codebook_size=self.level_size,
            codebook_dim=self.code_dim,
            quantizer_dropout=1.0 - self.all_levels_share,
            sampling_rate=self.sampling_rate,
        )


@dataclass
class CodecOutput(ModelOutput):
    """What `CodecInTraining.forward` returns.

    Args:
        loss: Sum of the parts.
        stft_loss, mel_loss: Multi-resolution STFT, and L1 of log-mel. Detached.
        waveform_loss: L1 of samples over the mean magnitude of the crop's. Detached.
        quantizer_loss: Commitment and code book. Detached.
        use: Share of the entries that this batch used, mean over levels.
    """

    loss: torch.Tensor | None = None
    stft_loss: torch.Tensor | None = None
    mel_loss: torch.Tensor | None = None
    waveform_loss: torch.Tensor | None = None
    quantizer_loss: torch.Tensor | None = None
    use: torch.Tensor | None = None


class CodecInTraining(torch.nn.Module):
    """A `DacModel` with its losses and its care for entries that nobody uses.

    Args:
        codec: The model.
        revive_after: Steps without use, after which an entry begins anew.
        mel_weight, waveform_weight: Of log-mel and of the difference of samples in the loss, where STFT and quantizer have 1.

    Attributes:
        unused: int64 (Q, K), steps since each entry was used; kept with the weights.
    """

    unused: torch.Tensor

    def __init__(
        self,
        codec: DacModel,
        revive_after: int = 50,
        mel_weight: float = 2.0,
        waveform_weight: float = 1.0,
    ):
        super().__init__()
        self.codec, self.revive_after = codec, revive_after
        self.mel_weight, self.waveform_weight = mel_weight, waveform_weight
        self.mel = mel_settings(codec.config.sampling_rate)
        self.register_buffer(
            "unused", torch.zeros(codec.config.n_codebooks, codec.config.codebook_size, dtype=torch.long)
        )

    def forward(self, waveforms: torch.Tensor) -> CodecOutput:
        """float (B, S), S a multiple of the hop -> losses."""
        output = self.codec(waveforms[:, None])
        made, quantizer = output.audio_values, output.loss.float().mean()
        used = torch.zeros_like(self.unused, dtype=torch.bool)
        used.scatter_(1, output.audio_codes.transpose(0, 1).flatten(1), True)
        if self.training:
            self._revive(used, output.projected_latents.detach())
        made, wanted = F.pad(made.float(), (0, waveforms.shape[1] - made.shape[1])), waveforms.float()
        with torch.autocast(waveforms.device.type, enabled=False):
            spectral = stft_loss(made, wanted, STFT_SIZES, MEL["log_floor"])
            mel = (log_mel(made, self.mel) - log_mel(wanted, self.mel)).abs().mean()
            size = wanted.abs().mean(1).clamp(min=MEL["log_floor"])
            samples = ((made - wanted).abs().mean(1) / size).mean()
        return CodecOutput(
            loss=spectral + self.mel_weight * mel + self.waveform_weight * samples + quantizer,
            stft_loss=spectral.detach(),
            mel_loss=mel.detach(),
            waveform_loss=samples.detach(),
            quantizer_loss=quantizer.detach(),
            use=used.float().mean(),
        )

    @torch.no_grad()
    def _revive(self, used: torch.Tensor, projected: torch.Tensor) -> None:
        """Entries unused for long take the place of random vectors of this batch; `projected` is (B, Q D, N)."""
        size = self.codec.config.codebook_dim
        for level, row in enumerate(used):
            self.unused[level] = (self.unused[level] + 1).masked_fill(row, 0)
            dead = (self.unused[level] >= self.revive_after).nonzero()[:, 0]
            if len(dead):
                vectors = projected[:, level * size : (level + 1) * size].transpose(1, 2).flatten(0, 1)
                chosen = vectors[torch.randint(len(vectors), (len(dead),), device=vectors.device)]
                # a copy: backward still wants the entries that this step has looked up
                book = self.codec.quantizer.quantizers[level].codebook
                book.weight.data = book.weight.data.index_copy(0, dead, chosen.to(book.weight))
                self.unused[level, dead] = 0


def mel_settings(sampling_rate: int) -> Any:
    """What `log_mel` asks of a config."""
    return SimpleNamespace(sampling_rate=sampling_rate, **MEL)


class GuardedTrainer(PartsTrainer):
    """Leaves out steps that would break the model.

    Args:
        leap: Times the median of the last losses, from which on a step is left out.
        patience: Steps left out in a row that raise a TriglotError.

    Attributes:
        left_out: Steps left out so far.
    """

    def __init__(self, *args: Any, leap: float, patience: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leap, self.patience, self.left_out = leap, patience, 0
        self._usual: deque[float] = deque(maxlen=50)
        self._row = 0
        self._broken = False
        self.add_callback(_DropBrokenSteps(self))

    def remembered(self) -> dict[str, Any]:
        """What a run that goes on has to know, for JSON."""
        return {"usual": list(self._usual), "row": self._row, "left_out": self.left_out}

    def remember(self, before: dict[str, Any]) -> None:
        """Takes what `remembered` gave."""
        self._usual.extend(before["usual"])
        self._row, self.left_out = before["row"], before["left_out"]

    def accepts(self, loss: float) -> bool:
        """Whether a loss is finite, and no leap from the usual; the step of one that is not will be left out."""
        leaps = len(self._usual) >= 10 and loss > self.leap * statistics.median(self._usual)
        if not math.isfinite(loss) or leaps:
            self._broken = True  # until the optimizer's step, whatever else adds up to it
            return False
        self._usual.append(loss)
        return True

    def drop_if_broken(self) -> None:
        """Before the optimizer's step: forgets gradients that are not finite or come from a broken loss."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        if finite and not self._broken:
            self._row = 0
            return
        self._broken = False
        self.model.zero_grad(set_to_none=True)
        self.left_out, self._row = self.left_out + 1, self._row + 1
        if self._row >= self.patience:
            raise TriglotError(
                f"{self._row} steps in a row gave no usable loss or gradient (step {self.state.global_step}); lower learning_rate "
                f"({self.args.learning_rate:g}), switch bf16 off, or look for broken recordings, then start again: the run goes on "
                "from its last checkpoint."
            )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, "left_out": self.left_out}, start_time)


class _DropBrokenSteps(TrainerCallback, ExportableState):
    """Its state lies in each checkpoint's trainer_state.json."""

    def __init__(self, trainer: GuardedTrainer):
        self.trainer = trainer

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.drop_if_broken()

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": self.trainer.remembered()}

    def on_train_begin(self, args, state, control, **kwargs):
        before = state.stateful_callbacks.get(type(self).__name__)
        if state.global_step and before:
            self.trainer.remember(before["attributes"])


class CodecCrops:
    """Random crops of `crop_samples` at one loudness: waveforms (S,) -> {"waveforms": (B, crop_samples)}."""

    def __init__(self, crop_samples: int):
        self.crop_samples = crop_samples

    def __call__(self, items: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        crops = []
        for waveform in items:
            waveform = normalise_level(waveform, LEVEL_HOP, REFERENCE_LEVEL)
            waveform = F.pad(waveform, (0, max(0, self.crop_samples - len(waveform))))
            start = int(torch.randint(len(waveform) - self.crop_samples + 1, ()))
            crops.append(waveform[start : start + self.crop_samples])
        return {"waveforms": torch.stack(crops)}


def train_codec(
    dataset: Dataset, output_dir: str | os.PathLike, arguments: CodecArguments | None = None, *, seed: int = 0
) -> Path:
    """Trains a `DacModel` and saves it with its feature extractor.

    Args:
        dataset: Rows with "audio", any format and rate.
        output_dir: Becomes the folder of the model, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings; default: `CodecArguments()`.
        seed: Of weights, crops and numbers of levels.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: no "audio" column, unreadable sound, checkpoints of other settings, or training that diverges for
            `patience` steps in a row.
    """
    arguments = arguments or CodecArguments()
    output_dir = Path(output_dir)
    config = arguments.codec_config()
    hop = int(config.hop_length)
    crop_samples = max(1, round(arguments.crop_seconds * config.sampling_rate / hop)) * hop
    if crop_samples < STFT_SIZES[-1]:
        raise TriglotError(
            f"crop_seconds is {arguments.crop_seconds}; at least {STFT_SIZES[-1] / config.sampling_rate:.3f} s, the largest window of the loss, "
            "are needed."
        )
    waveforms = WaveformDataset(dataset, config.sampling_rate)
    last = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs={"dataset": dataset_digest(dataset)})
    set_seed(seed)
    model = CodecInTraining(DacModel(config), arguments.revive_after, arguments.mel_weight, arguments.waveform_weight)
    crops = CodecCrops(crop_samples)
    if last is None:
        chosen = torch.randperm(len(waveforms))[:START_CROPS].tolist()
        begin_codec(model.codec, crops([waveforms[place] for place in chosen])["waveforms"])
    if arguments.compiled:
        model.codec.encoder.compile()
        model.codec.decoder.compile()
    trainer = GuardedTrainer(
        model=model,
        args=trainer_arguments(output_dir / "checkpoints", arguments, seed=seed),
        **seeded_data(waveforms, crops, seed),
        optimizers=chosen_optimizers(model, arguments, convolutions=True),
        parts=("stft_loss", "mel_loss", "waveform_loss", "quantizer_loss", "use"),
        leap=arguments.leap,
        patience=arguments.patience,
    )
    train_and_report(trainer, last, arguments)
    codec = trainer.accelerator.unwrap_model(trainer.model).codec
    if trainer.is_world_process_zero():
        save_whole(codec.float().cpu().to(getattr(torch, arguments.dtype)).eval(), output_dir, built_on={})
        DacFeatureExtractor(sampling_rate=config.sampling_rate, hop_length=hop).save_pretrained(output_dir)
    trainer.accelerator.wait_for_everyone()
    return output_dir


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--dataset", required=True, help="rows with audio: a folder of save_to_disk, or a parquet file"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser, CodecArguments)
    arguments = parser.parse_args(argv)
    settings = given_settings(arguments, CodecArguments)
    print(train_codec(load_rows(arguments.dataset), arguments.out, settings, seed=arguments.seed))


if __name__ == "__main__":
    run_script(main)
