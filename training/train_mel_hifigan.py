"""The vocoder of `FastSpeech2`: log-mel -> waveform, transformers' `FastSpeech2ConformerHifiGan` against HiFi-GAN's discriminators.

First on the log-mel of recordings; then, beside an acoustic model, on the log-mel that this one predicts for them, aligned with them
by teacher forcing: what a vocoder hears in use is smoother than what was recorded (arXiv 2010.05646, section 4.4).

    dataset {"audio", "speaker"} ─ crops ─ log-mel ─────────────────────────────────────────────────┐
    the same ─ units, voice of another utterance, recorded pitch and level ─ FastSpeech2 ─ log-mel ─┴─ HiFi-GAN ─ made ─ losses

    python -m triglot.training.train_mel_hifigan --dataset speech/ --out vocoder/
    python -m triglot.training.train_mel_hifigan --dataset speech/ --tokenizer units/ --decoder fastspeech2/ --out finetuned/
"""

import argparse
import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
import torch.nn.functional as F
from torch import nn
from transformers import FastSpeech2ConformerHifiGan, FastSpeech2ConformerHifiGanConfig, PreTrainedModel

from ..command_output import run_script
from ..modeling.decoders.configuration_fastspeech2 import MEL, MEL_SETTINGS
from ..modeling.decoders.configuration_spectral_voice import SpectralVoiceConfig
from ..modeling.decoders.hifi_gan import VocoderOutput, check_hifi_gan_sizes
from ..modeling.decoders.modeling_fastspeech2 import FastSpeech2, begin_vocoder
from ..modeling.decoders.speech_signal import log_mel, normalise_level, spectral_losses
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer, weights_fingerprint
from ..processing.audio_io import load_audio
from ..processing.errors import TriglotError
from .data.load_rows import load_rows
from .data.row_digests import dataset_digest
from .every_frame import every_frame
from .load_parts import load_speech_decoder, load_speech_tokenizer
from .runs import add_settings, check_counts, given_settings, open_run, save_trained
from .speech_command import add_speech
from .train_decoder import UtteranceCrops, check_speech, collate_crops
from .vocoder_duel import HifiGanArguments, VocoderRunArguments, train_vocoder

STFT_SIZES = (256, 512, 1024)
MEASURED = 256  # recordings of which the mean and deviation of each band are taken, at most


@dataclasses.dataclass(frozen=True)
class MelHifiGanArguments(HifiGanArguments):
    """Settings of the first run; the sizes are those of `FastSpeech2ConformerHifiGanConfig`."""

    sampling_rate: int = 16_000  # Hz
    hop_length: int = 160  # samples
    num_mel_bins: int = 80
    upsample_initial_channel: int = 128
    upsample_rates: str = "5 4 4 2"
    upsample_kernel_sizes: str = "11 8 8 4"

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, "sampling_rate", "hop_length", "num_mel_bins")

    def mel(self) -> SpectralVoiceConfig:
        """How log-mel is computed.

        Raises:
            TriglotError: sizes that do not fit together.
        """
        try:
            return SpectralVoiceConfig(
                sampling_rate=self.sampling_rate,
                frame_rate=self.sampling_rate / self.hop_length,
                hop_length=self.hop_length,
                num_mel_bins=self.num_mel_bins,
            )
        except ValueError as error:
            raise TriglotError(str(error)) from error

    def config(self) -> FastSpeech2ConformerHifiGanConfig:
        """That of the vocoder, with what log-mel it reads beside transformers' own fields.

        Raises:
            TriglotError: sizes that do not fit together.
        """
        mel = self.mel()
        settings = {name: getattr(mel, name) for name in MEL_SETTINGS}
        config = FastSpeech2ConformerHifiGanConfig(model_in_dim=self.num_mel_bins, **self.sizes(), **{MEL: settings})
        try:
            check_hifi_gan_sizes(config, self.hop_length, "a frame")
        except ValueError as error:
            raise TriglotError(str(error)) from error
        return config


@dataclasses.dataclass(frozen=True)
class FinetuneArguments(VocoderRunArguments):
    """Settings of the second run: the vocoder is there, and its sizes."""

    max_steps: int = 1_000
    learning_rate: float = 5e-4
    warmup_steps: int = 20


class SpectrumVocoder(nn.Module):
    """A vocoder as a `Duel` calls it."""

    def __init__(self, vocoder: PreTrainedModel, mel: SpectralVoiceConfig):
        super().__init__()
        self.vocoder, self.mel = vocoder, mel

    def forward(self, spectrograms: torch.Tensor, waveforms: torch.Tensor, mask: torch.Tensor) -> VocoderOutput:
        """(B, N, M), (B, N hop_length), bool (B, N) -> its waveforms and losses."""
        heard = mask.repeat_interleave(self.mel.hop_length, 1)
        made = self.vocoder(spectrograms) * heard
        with torch.autocast(made.device.type, enabled=False):
            made, wanted = made.float(), waveforms.float() * heard
            stft, mel = spectral_losses(made, wanted, STFT_SIZES, self.mel, mask)
        return VocoderOutput(loss=stft + mel, waveforms=made, stft_loss=stft, mel_loss=mel)


class RecordedSpectra(torch.utils.data.Dataset):
    """Random crops of recordings, and the log-mel of their frames."""

    def __init__(self, dataset: datasets.Dataset, mel: SpectralVoiceConfig, crop_seconds: float):
        self.dataset, self.mel, self.crop = dataset, mel, frames_of(crop_seconds, mel)

    def whole(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel (N, M) and waveform (N hop_length,) of a whole recording, at `reference_level`."""
        sound = self.dataset[index]["audio"]
        wave = torch.from_numpy(load_audio(sound, target_rate=self.mel.sampling_rate, name=f"utterance {index}"))
        wave = normalise_level(wave, self.mel.hop_length, self.mel.reference_level)
        wave = F.pad(wave, (0, -len(wave) % self.mel.hop_length))
        return log_mel(wave, self.mel), wave

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return crop_of(*self.whole(index), self.crop, self.mel.hop_length)


class PredictedSpectra(UtteranceCrops):
    """Random crops of recordings, and the log-mel that an acoustic model predicts for them, told their units, pitch and level.

    Each utterance is predicted as a whole, when it is asked for, with the voice of another one by the same speaker.
    """

    def __init__(self, dataset: datasets.Dataset, tokenizer: Any, decoder: FastSpeech2, crop_seconds: float):
        super().__init__(dataset, tokenizer, decoder, crop_seconds)
        self.decoder, self.frames = decoder.eval(), frames_of(crop_seconds, decoder.config)

    def encode(self, tokenizer: Any, waves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return every_frame(tokenizer, waves)

    @torch.no_grad()
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        codes = self.codes[index].long()
        wave = self._read(index) * self.gain[index]
        wave = F.pad(wave, (0, len(codes) * self.per_code - len(wave)))
        told = (codes, wave, self.voices[self.another(index)])
        predicted = self.decoder(*(item[None] for item in told), f0=self.f0[index][None]).spectrograms[0]
        floor = math.log(self.decoder.config.log_floor)
        return crop_of(predicted.clamp(min=floor), wave, self.frames, self.per_frame)


def frames_of(seconds: float, mel: SpectralVoiceConfig) -> int:
    """How many frames a crop has."""
    return max(1, round(seconds * mel.sampling_rate / mel.hop_length))


def crop_of(spectrum: torch.Tensor, wave: torch.Tensor, frames: int, hop: int) -> dict[str, torch.Tensor]:
    """A random crop of (N, M) and (N hop,): "spectrograms", "waveforms" and "mask" (frames,), zero where there is no more."""
    start = int(torch.randint(max(1, len(spectrum) - frames + 1), ()))
    kept = min(frames, len(spectrum) - start)
    return {
        "spectrograms": F.pad(spectrum[start : start + kept], (0, 0, 0, frames - kept)),
        "waveforms": F.pad(wave[start * hop : (start + kept) * hop], (0, (frames - kept) * hop)),
        "mask": torch.arange(frames) < kept,
    }


@torch.no_grad()
def measure_bands(vocoder: Any, rows: RecordedSpectra) -> None:
    """Gives the vocoder the mean and deviation of each band, by which it standardises what it reads."""
    step = max(1, len(rows) // MEASURED)
    frames = torch.cat([rows.whole(index)[0] for index in range(0, len(rows), step)])
    vocoder.mean.copy_(frames.mean(0))
    vocoder.scale.copy_(frames.std(0, correction=0).clamp(min=0.1))


def train_mel_hifigan(
    dataset: datasets.Dataset,
    output_dir: str | os.PathLike,
    arguments: MelHifiGanArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `FastSpeech2ConformerHifiGan` on the log-mel of recordings.

    Args:
        dataset: Columns "audio" (dicts {"bytes", "path"}: `Audio(decode=False)`) and "speaker" (str).
        output_dir: Becomes the folder of the vocoder, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings of the stage.
        seed: Of the initial weights and crops.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: missing columns, unreadable sound, sizes that do not fit together, checkpoints of other settings, or a loss that
            is not finite.
    """
    arguments, output_dir = arguments or MelHifiGanArguments(), Path(output_dir)
    check_speech(dataset)
    config, mel = arguments.config(), arguments.mel()
    arguments.check_crop(STFT_SIZES, mel.sampling_rate)
    checkpoints = output_dir / "checkpoints"
    last = open_run(checkpoints, arguments, seed=seed, inputs={"dataset": dataset_digest(dataset)})
    torch.manual_seed(seed)
    vocoder: Any = FastSpeech2ConformerHifiGan(config)
    begin_vocoder(vocoder)
    rows = RecordedSpectra(dataset, mel, arguments.crop_seconds)
    measure_bands(vocoder, rows)
    model = SpectrumVocoder(vocoder, mel)
    trained = train_vocoder(model, "vocoder", rows, collate_crops, checkpoints, arguments, seed=seed, last=last)
    return save_trained(trained.vocoder, output_dir, arguments, {})


def finetune_vocoder(
    dataset: datasets.Dataset,
    tokenizer_dir: str | os.PathLike,
    decoder_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: FinetuneArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Goes on with the vocoder of a trained `FastSpeech2`, on the log-mel that its acoustic model predicts for recordings.

    Args:
        dataset: As of `train_mel_hifigan`.
        tokenizer_dir: Folder of the speech tokenizer whose codes the decoder speaks.
        decoder_dir: Folder of the `FastSpeech2`; it stays as it is.
        output_dir: Becomes the folder of one with the other vocoder, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings of the run.
        seed: Of crops and voices.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: as `train_mel_hifigan`, or a decoder of another class or of another tokenizer's codes.
    """
    decoder = load_speech_decoder(decoder_dir)
    if not isinstance(decoder, FastSpeech2):
        raise TriglotError(f"{os.fspath(decoder_dir)!r} holds a {type(decoder).__name__}; a FastSpeech2 is needed.")
    tokenizer = load_speech_tokenizer(tokenizer_dir)
    return fit_finetuned(
        dataset, tokenizer, decoder, output_dir, arguments or FinetuneArguments(), seed=seed, built_on={"decoder": decoder_dir}
    )  # fmt: skip


def fit_finetuned(
    dataset: datasets.Dataset,
    tokenizer: MediaTokenizer,
    decoder: FastSpeech2,
    output_dir: str | os.PathLike,
    arguments: FinetuneArguments,
    *,
    seed: int = 0,
    built_on: Mapping[str, str | os.PathLike] | None = None,
) -> Path:
    """`finetune_vocoder` with tokenizer and decoder as objects; the decoder becomes the new one, `built_on` names its folder for the card."""
    check_speech(dataset)
    if decoder.fingerprint != tokenizer.fingerprint:
        raise TriglotError("The decoder was trained on codes of another tokenizer; give its own.")
    arguments.check_crop(STFT_SIZES, decoder.config.sampling_rate)
    output_dir = Path(output_dir)
    checkpoints = output_dir / "checkpoints"
    inputs = {"tokenizer": tokenizer.fingerprint, "decoder": weights_fingerprint(decoder.state_dict(), {})}
    inputs["dataset"] = dataset_digest(dataset)
    last = open_run(checkpoints, arguments, seed=seed, inputs=inputs)
    torch.manual_seed(seed)
    rows = PredictedSpectra(dataset, tokenizer, decoder, arguments.crop_seconds)
    decoder.vocoder.requires_grad_(True)
    model = SpectrumVocoder(decoder.vocoder, decoder.config)
    trained = train_vocoder(model, "vocoder", rows, collate_crops, checkpoints, arguments, seed=seed, last=last)
    decoder.vocoder = trained.vocoder.requires_grad_(False)
    return save_trained(decoder, output_dir, arguments, built_on)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_speech(parser)
    parser.add_argument("--decoder", default="", help="folder of the FastSpeech2 whose vocoder is to go on learning")
    parser.add_argument("--tokenizer", default="", help="folder of the speech tokenizer of that decoder's codes")
    known, _ = parser.parse_known_args(argv)
    kind = FinetuneArguments if known.decoder else MelHifiGanArguments
    add_settings(parser, kind)
    given = parser.parse_args(argv)
    if bool(given.decoder) != bool(given.tokenizer):
        raise TriglotError("--decoder and --tokenizer belong together: give both to fine-tune, or none.")
    rows, settings = load_rows(given.dataset), given_settings(given, kind)
    if given.decoder:
        print(finetune_vocoder(rows, given.tokenizer, given.decoder, given.out, settings, seed=given.seed))
    else:
        print(train_mel_hifigan(rows, given.out, settings, seed=given.seed))


if __name__ == "__main__":
    run_script(main)
