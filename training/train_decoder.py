"""Stage 3 of the media models: train `UnitVocoder`, speech codes + a voice -> waveform, or `MelVocoder`, log-mel + a voice.

    dataset {"audio": {"bytes", "path"}, "speaker"} ─ load_audio ─▶ waveform (S,) at the tokenizer's rate
    waveform ─ tokenizer ─▶ codes (T,), ─ autocorrelation ─▶ F0 (4 T,), ─ log-mel statistics ─▶ voice (V,)
    crops of `crop_seconds`, with the voice of ANOTHER utterance of the same speaker ─▶ UnitVocoder.forward ─▶ loss

Codes (or log-mel frames), F0 and voices are computed once; sound is read again for every crop, so memory stays small.

    python -m triglot.training.train_decoder --dataset speech/ --tokenizer units/ --out decoder/
    python -m triglot.training.train_decoder --dataset speech/ --mel --out mel_vocoder/
    python -m triglot.training.train_decoder --dataset speech/ --mel --tokenizer vqvae/ --out mel_vocoder/  # its own drawings
"""

import argparse
import copy
import dataclasses
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..command_output import run_script
from ..modeling.decoders.configuration_mel_vocoder import MelVocoderConfig
from ..modeling.decoders.configuration_unit_vocoder import UnitVocoderConfig
from ..modeling.decoders.modeling_mel_vocoder import MelVocoder
from ..modeling.decoders.modeling_unit_vocoder import UnitVocoder
from ..modeling.decoders.spectral_voice import SpectralVoiceDecoder
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from ..processing.audio_io import load_audio
from ..processing.errors import TriglotError
from .data.load_rows import load_rows
from .data.row_digests import dataset_digest
from .load_parts import load_speech_tokenizer
from .mel_frames import MelFrames
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
    save_trained,
    trainer_arguments,
)
from .seeded_data import seeded_data
from .speech_command import TOKENIZER, add_speech

ENCODE_BATCH = 8  # utterances given to the tokenizer at a time


@dataclasses.dataclass(frozen=True)
class CropRunArguments:
    """Settings of a training on crops of utterances, whatever it trains."""

    max_steps: int = 2_000
    batch_size: int = 16
    optimizer: str = "adamw"  # or "muon", for the matrices inside the layers
    learning_rate: float = 2e-3  # peak; cosine decay to 0
    weight_decay: float = 0.01
    warmup_steps: int = 50
    max_grad_norm: float = 2.0
    crop_seconds: float = 1.92  # s; 48 codes at 25 Hz
    bf16: bool = True  # autocast in training; signal processing stays float32
    dtype: str = "float32"  # of the saved weights: "float32" or "float16"
    save_steps: int = 500
    logging_steps: int = 50

    def __post_init__(self):
        check_dtype(self.dtype)
        check_optimizer(self.optimizer)
        check_counts(self, "max_steps", "batch_size", "save_steps", "logging_steps")
        if not self.crop_seconds > 0:
            raise TriglotError(f"crop_seconds is {self.crop_seconds}; it must be above 0.")


@dataclasses.dataclass(frozen=True)
class DecoderArguments(CropRunArguments):
    """Settings of the stage; the widths and depths are those of `UnitVocoderConfig`."""

    hidden_size: int = 256
    mlp_size: int = 512
    depth_codes: int = 3
    depth_frames: int = 4
    f0_hidden_size: int = 128
    f0_mlp_size: int = 256
    f0_depth_codes: int = 3
    f0_depth_frames: int = 2
    voice_hidden_size: int = 128
    num_mel_bins: int = 80

    def model_settings(self) -> dict[str, Any]:
        """The fields that `UnitVocoderConfig` shares."""
        known = {field.name for field in dataclasses.fields(UnitVocoderConfig)}
        return {name: value for name, value in dataclasses.asdict(self).items() if name in known and name != "dtype"}


def train_decoder(
    dataset: datasets.Dataset,
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: DecoderArguments,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `UnitVocoder` for the tokenizer saved in `tokenizer_dir`.

    Args:
        dataset: Columns "audio" (dicts {"bytes", "path"}: `Audio(decode=False)`) and "speaker" (str).
        tokenizer_dir: Folder of a speech tokenizer with a code book.
        output_dir: Becomes the folder of the model, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings of the stage.
        seed: Of the initial weights, crops and voices.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: missing columns, unreadable sound, codes that do not fit the sound, checkpoints of other settings,
            or a loss that is not finite.
    """
    return fit_decoder(dataset, load_speech_tokenizer(tokenizer_dir), output_dir, arguments, seed=seed)


def fit_decoder(
    dataset: datasets.Dataset,
    tokenizer: MediaTokenizer | MelFrames,
    output_dir: str | os.PathLike,
    arguments: DecoderArguments,
    *,
    seed: int = 0,
) -> Path:
    """`train_decoder` with the tokenizer as an object: a speech `MediaTokenizer` without deduplication, or `MelFrames`."""
    check_speech(dataset)
    output_dir = Path(output_dir)
    checkpoints = output_dir / "checkpoints"
    last = open_run(
        checkpoints,
        arguments,
        seed=seed,
        inputs={"tokenizer": tokenizer.fingerprint, "dataset": dataset_digest(dataset)},
    )

    torch.manual_seed(seed)
    settings = {
        "fingerprint": tokenizer.fingerprint,
        "sampling_rate": tokenizer.sampling_rate,
        "frame_rate": tokenizer.frame_rate,
        **arguments.model_settings(),
    }
    if isinstance(tokenizer, MelFrames):
        model: UnitVocoder = MelVocoder(MelVocoderConfig(input_bins=tokenizer.input_bins, **settings))
    else:
        model = UnitVocoder(UnitVocoderConfig(codebook_size=tokenizer.codebook_size, **settings))
    crops = UtteranceCrops(dataset, tokenizer, model, arguments.crop_seconds)
    model.set_voice_statistics(crops.voices)
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(checkpoints, arguments, seed=seed),
        **seeded_data(crops, collate_crops, seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=("stft_loss", "mel_loss", "f0_loss", "voicing_loss"),
    )
    train_and_report(trainer, last, arguments)
    return save_trained(copy.deepcopy(model), output_dir, arguments, {})


def check_speech(dataset: datasets.Dataset) -> None:
    """Raises TriglotError for rows that a decoder cannot learn from."""
    missing = {"audio", "speaker"} - set(dataset.column_names)
    if missing:
        raise TriglotError(f"The dataset lacks {sorted(missing)}; it has {dataset.column_names}.")
    if len(dataset) == 0:
        raise TriglotError("The dataset is empty; the decoder needs at least one utterance.")


class UtteranceCrops(torch.utils.data.Dataset):
    """Random crops, aligned to codes, of utterances whose codes, F0 and voices are computed once."""

    pitched = True  # whether F0 is part of a crop

    def __init__(
        self,
        dataset: datasets.Dataset,
        tokenizer: MediaTokenizer | MelFrames,
        model: SpectralVoiceDecoder,
        crop_seconds: float,
    ) -> None:
        self.dataset, self.rate, self.per_code = dataset, model.config.sampling_rate, model.samples_per_code
        self.per_frame = model.config.hop_length
        self.crop = max(1, round(crop_seconds * model.config.frame_rate))
        self.codes: list[torch.Tensor] = []
        self.f0: list[torch.Tensor] = []
        self.gain: list[float] = []
        voices: list[torch.Tensor] = []
        speakers: dict[str, list[int]] = defaultdict(list)
        for index, speaker in enumerate(dataset["speaker"]):
            speakers[speaker].append(index)
        self.group = [speakers[speaker] for speaker in dataset["speaker"]]
        for start in tqdm(range(0, len(dataset), ENCODE_BATCH), desc="codes, F0 and voices"):
            waves = [self._read(index) for index in range(start, min(start + ENCODE_BATCH, len(dataset)))]
            for wave, codes in zip(waves, self.encode(tokenizer, waves)):
                if len(codes) != -(-len(wave) // self.per_code):
                    raise TriglotError(
                        f"Utterance {len(self.codes)} has {len(wave)} samples and {len(codes)} codes; one code for every "
                        f"{self.per_code} samples is needed: switch the tokenizer's deduplication off."
                    )
                level = model.normalise_level(wave)
                self.gain.append(float(level.abs().max() / wave.abs().max()))
                self.codes.append(codes.to(torch.float16 if codes.is_floating_point() else torch.int32))
                if self.pitched:
                    padded = F.pad(level, (0, len(codes) * self.per_code - len(wave)))
                    self.f0.append(model.estimate_f0(padded).to(torch.float32))
                voices.append(model.voice_statistics(wave))
        self.voices = torch.stack(voices)

    def encode(self, tokenizer: Any, waves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """One code for every `per_code` samples of each waveform."""
        return tokenizer.encode(waves)

    def _read(self, index: int) -> torch.Tensor:
        name = f"utterance {index}"
        return torch.from_numpy(load_audio(self.dataset[index]["audio"], target_rate=self.rate, name=name))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """codes (T,) or frames (T, M), waveforms (T samples_per_code,), voices (V,), mask (T,) and, if pitched, f0 (N,), T of the crop."""
        codes = self.codes[index]
        start = int(torch.randint(max(1, len(codes) - self.crop + 1), ()))
        kept = min(self.crop, len(codes) - start)
        missing = self.crop - kept
        wave = self._read(index)[start * self.per_code : (start + kept) * self.per_code] * self.gain[index]
        other = self.another(index)
        codes = codes[start : start + kept]
        codes = codes.float() if codes.is_floating_point() else codes.long()
        return {
            **self.beside(index, start, kept),
            "codes": torch.cat([codes, codes.new_zeros(missing, *codes.shape[1:])]),
            "waveforms": F.pad(wave, (0, self.crop * self.per_code - len(wave))),
            "voices": self.voices[other],
            "mask": torch.arange(self.crop) < kept,
        }

    def another(self, index: int) -> int:
        """Another utterance of the speaker, so that the condition tells who speaks and not what is said."""
        others = [other for other in self.group[index] if other != index] or [index]
        return others[int(torch.randint(len(others), ()))]

    def beside(self, index: int, start: int, kept: int) -> dict[str, torch.Tensor]:
        """What else belongs to a crop that begins at code `start` and has `kept` of them."""
        if not self.pitched:
            return {}
        frames = self.per_code // self.per_frame
        f0 = self.f0[index][start * frames : (start + kept) * frames]
        return {"f0": F.pad(f0, (0, (self.crop - kept) * frames))}


def collate_crops(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Crops are equally long, so a batch is a stack."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_speech(parser)
    parser.add_argument("--tokenizer", default="", help=TOKENIZER)
    parser.add_argument(
        "--mel", action="store_true", help="from log-mel frames instead; with --tokenizer as that VQ-VAE draws them"
    )
    add_settings(parser, DecoderArguments)
    arguments = parser.parse_args(argv)
    tokenizer = load_speech_tokenizer(arguments.tokenizer) if arguments.tokenizer else None
    if tokenizer is None and not arguments.mel:
        raise TriglotError("Give --tokenizer for a decoder of codes, or --mel for one of log-mel.")
    if arguments.mel and tokenizer is not None and not isinstance(tokenizer, SpeechVqvae):
        raise TriglotError(
            f"--mel takes the drawings of a SpeechVqvae; {arguments.tokenizer!r} is a {type(tokenizer).__name__}."
        )
    source = MelFrames(tokenizer if isinstance(tokenizer, SpeechVqvae) else None) if arguments.mel else tokenizer
    assert source is not None
    rows, settings = load_rows(arguments.dataset), given_settings(arguments, DecoderArguments)
    print(fit_decoder(rows, source, arguments.out, settings, seed=arguments.seed))


if __name__ == "__main__":
    run_script(main)
