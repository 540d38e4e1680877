"""The acoustic model of `FastSpeech2` (arXiv 2006.04558): units + a voice -> log-mel, learnt with a vocoder that is there already.

dataset {"audio", "speaker"} ─ crops, as of `train_decoder` ─ FastSpeech2, told pitch, level and durations ─▶ L1 of log-mel before
and behind the postnet, errors of predicted pitch, level and (where the tokenizer drops repeats) durations

python -m triglot.training.train_fastspeech2 --dataset speech/ --tokenizer units/ --vocoder vocoder/ --out fastspeech2/
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
import torch.nn.functional as F
from transformers import (
    AutoModel,
    FastSpeech2ConformerHifiGan,
    FastSpeech2ConformerModel,
    FastSpeech2ConformerWithHifiGan,
    PreTrainedConfig,
    PreTrainedModel,
    set_seed,
)

from ..command_output import run_script
from ..modeling.decoders.configuration_fastspeech2 import MEL, MEL_SETTINGS
from ..modeling.decoders.modeling_fastspeech2 import FastSpeech2
from ..modeling.language_model.modeling_triglot import code_directions
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer, weights_fingerprint
from ..processing.errors import TriglotError
from .data.row_digests import dataset_digest
from .every_frame import deduplicates, every_frame
from .load_parts import load_speech_tokenizer, load_stock
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import (
    chosen_optimizers,
    open_run,
    save_trained,
    trainer_arguments,
)
from .seeded_data import seeded_data
from .speech_command import TOKENIZER, run_command
from .train_decoder import CropRunArguments, UtteranceCrops, check_speech, collate_crops


@dataclasses.dataclass(frozen=True)
class FastSpeech2Arguments(CropRunArguments):
    """Settings of the stage; the sizes are those of `FastSpeech2ConformerConfig`, of both halves."""

    acoustic_model: str = ""  # folder of a published FastSpeech2Conformer: its sizes, and its weights where they fit
    hidden_size: int = 128
    encoder_layers: int = 2
    decoder_layers: int = 3
    num_attention_heads: int = 2
    linear_units: int = 256
    postnet_layers: int = 3
    postnet_units: int = 128
    predictor_channels: int = 128  # of pitch, level and durations
    dropout: float = 0.1
    speaker_embed_dim: int = 64
    max_grad_norm: float = 1.0

    def acoustic_config(self) -> dict[str, Any]:
        """Of a new model."""
        halves = {"num_attention_heads": self.num_attention_heads, "linear_units": self.linear_units,
                  "dropout_rate": self.dropout, "attention_dropout_rate": self.dropout}  # fmt: skip
        return {
            **{f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in halves.items()},
            **{f"{curve}_predictor_channels": self.predictor_channels for curve in ("duration", "pitch", "energy")},
            "hidden_size": self.hidden_size,
            "encoder_layers": self.encoder_layers,
            "decoder_layers": self.decoder_layers,
            "speech_decoder_postnet_layers": self.postnet_layers,
            "speech_decoder_postnet_units": self.postnet_units,
            "speech_decoder_postnet_dropout": self.dropout,
            "pitch_predictor_dropout": self.dropout,
            "energy_predictor_dropout": self.dropout,
            "duration_predictor_dropout_rate": self.dropout,
        }


class RunCrops(UtteranceCrops):
    """Crops with F0; where the tokenizer drops repeats, with how many codes the run of each code has in the whole utterance."""

    def __init__(self, dataset: datasets.Dataset, tokenizer: Any, model: FastSpeech2, crop_seconds: float):
        self.deduplicated = deduplicates(tokenizer)
        super().__init__(dataset, tokenizer, model, crop_seconds)

    def encode(self, tokenizer: Any, waves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return every_frame(tokenizer, waves)

    def beside(self, index: int, start: int, kept: int) -> dict[str, torch.Tensor]:
        found = super().beside(index, start, kept)
        if self.deduplicated:
            _, run, counts = self.codes[index].unique_consecutive(return_inverse=True, return_counts=True)
            found["lasting"] = F.pad(counts[run][start : start + kept], (0, self.crop - kept))
        return found


def load_published(folder: str | os.PathLike, part: str) -> Any:
    """The "model" or the "vocoder" of a folder: of a FastSpeech2Conformer with its HiFi-GAN, of a `FastSpeech2`, or that part alone.

    Raises:
        TriglotError: no such folder, or something else in it.
    """
    kind: type[PreTrainedModel] = {"model": FastSpeech2ConformerModel, "vocoder": FastSpeech2ConformerHifiGan}[part]
    settings = load_stock(PreTrainedConfig.get_config_dict, folder, f"FastSpeech2 {part}")[0]
    alone = settings.get("model_type") == FastSpeech2ConformerHifiGan.config_class.model_type  # no AutoModel knows it
    load = FastSpeech2ConformerHifiGan.from_pretrained if alone else AutoModel.from_pretrained
    loaded = load_stock(load, folder, f"FastSpeech2 {part}", dtype=torch.float32)
    if isinstance(loaded, FastSpeech2):
        loaded = loaded.vocoder if part == "vocoder" else loaded.acoustic
    elif isinstance(loaded, FastSpeech2ConformerWithHifiGan):
        loaded = getattr(loaded, part)
    if not isinstance(loaded, kind):
        raise TriglotError(f"{os.fspath(folder)!r} holds a {type(loaded).__name__}; a {kind.__name__} is needed.")
    return loaded


def train_fastspeech2(
    dataset: datasets.Dataset,
    tokenizer_dir: str | os.PathLike,
    vocoder_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: FastSpeech2Arguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `FastSpeech2` for the tokenizer saved in `tokenizer_dir`.

    Args:
        dataset: Columns "audio" (dicts {"bytes", "path"}: `Audio(decode=False)`) and "speaker" (str).
        tokenizer_dir: Folder of a speech tokenizer with a code book, with repeats or without.
        vocoder_dir: Folder of the vocoder that goes into it: of `train_mel_hifigan`, or a published one of the same hop.
        output_dir: Becomes the folder of the model, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings of the stage.
        seed: Of the initial weights, crops and voices.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: missing columns, unreadable sound, codes that do not fit the sound, sizes that do not fit together, a vocoder of
            other log-mel, checkpoints of other settings, or a loss that is not finite.
    """
    vocoder, tokenizer = load_published(vocoder_dir, "vocoder"), load_speech_tokenizer(tokenizer_dir)
    return fit_fastspeech2(
        dataset, tokenizer, vocoder, output_dir, arguments or FastSpeech2Arguments(), seed=seed,
        built_on={"vocoder": vocoder_dir},
    )  # fmt: skip


def fit_fastspeech2(
    dataset: datasets.Dataset,
    tokenizer: MediaTokenizer,
    vocoder: Any,
    output_dir: str | os.PathLike,
    arguments: FastSpeech2Arguments,
    *,
    seed: int = 0,
    built_on: Mapping[str, str | os.PathLike] | None = None,
) -> Path:
    """`train_fastspeech2` with tokenizer and vocoder as objects; `built_on` names the folder of the vocoder, for the card."""
    check_speech(dataset)
    output_dir = Path(output_dir)
    set_seed(seed)
    model, left = new_model(tokenizer, vocoder, arguments)
    begin_codes(model, tokenizer)
    checkpoints = output_dir / "checkpoints"
    inputs = {"tokenizer": tokenizer.fingerprint, "vocoder": weights_fingerprint(vocoder.state_dict(), {})}
    inputs["dataset"] = dataset_digest(dataset)
    last = open_run(checkpoints, arguments, seed=seed, inputs=inputs)
    crops = RunCrops(dataset, tokenizer, model, arguments.crop_seconds)
    model.set_voice_statistics(crops.voices)
    parts = ["mel_loss", "pitch_loss", "energy_loss", *(["duration_loss"] if model.config.deduplicated else [])]
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(checkpoints, arguments, seed=seed),
        **seeded_data(crops, collate_crops, seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=parts,
    )
    facts = {
        "utterances": len(crops),
        "parameters": f"{sum(weight.numel() for weight in model.parameters()):,}",
        "of the vocoder": f"{sum(weight.numel() for weight in model.vocoder.parameters()):,}",
    }
    if arguments.acoustic_model:
        if built_on is not None:
            built_on = {**built_on, "acoustic_model": arguments.acoustic_model}
        facts["weights that found no place"] = ", ".join(left)
    train_and_report(trainer, last, arguments, facts)
    trained: Any = trainer.accelerator.unwrap_model(trainer.model)
    return save_trained(trained, output_dir, arguments, built_on)


def new_model(tokenizer: Any, vocoder: Any, arguments: FastSpeech2Arguments) -> tuple[FastSpeech2, list[str]]:
    """A `FastSpeech2` for the tokenizer's codes, and the names of published weights that found no place in it.

    Raises:
        TriglotError: sizes that do not fit together, or a vocoder that learnt to read other log-mel.
    """
    published = load_published(arguments.acoustic_model, "model") if arguments.acoustic_model else None
    settings = {
        "codebook_size": tokenizer.codebook_size,
        "fingerprint": tokenizer.fingerprint,
        "sampling_rate": tokenizer.sampling_rate,
        "frame_rate": tokenizer.frame_rate,
        "deduplicated": deduplicates(tokenizer),
        "speaker_embed_dim": arguments.speaker_embed_dim,
        "acoustic_config": arguments.acoustic_config(),
        "num_mel_bins": vocoder.config.model_in_dim,
    }
    learnt = getattr(vocoder.config, MEL, None) or {}
    settings |= {name: learnt[name] for name in MEL_SETTINGS if name in learnt and name != "sampling_rate"}
    rate = learnt.get("sampling_rate", tokenizer.sampling_rate)
    if rate != tokenizer.sampling_rate:
        raise TriglotError(
            f"The vocoder speaks at {rate} Hz, the tokenizer hears at {tokenizer.sampling_rate}; train one of its rate."
        )
    try:
        return FastSpeech2.from_parts(published, vocoder, **settings)
    except (ValueError, TypeError) as error:
        raise TriglotError(f"The parts of this FastSpeech2 do not fit together: {error}") from error


@torch.no_grad()
def begin_codes(model: FastSpeech2, tokenizer: Any) -> None:
    """Codes that sound alike start alike: a fixed random projection of the centroids, where the tokenizer has some.

    The encoder multiplies embeddings by the root of its width. At transformers' initial size, 1 before that, some hundred steps would
    hardly move them (docs/experiments.md).
    """
    rows = model.acoustic.encoder.embed.weight
    centroids = getattr(tokenizer, "centroids", None)
    if centroids is not None and len(centroids) == len(rows) - 1:
        rows[1:] = code_directions(centroids, rows.shape[1]) / math.sqrt(rows.shape[1])
    else:
        rows /= math.sqrt(rows.shape[1])


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    told = {"tokenizer": TOKENIZER, "vocoder": "folder of the vocoder, of train_mel_hifigan or published"}
    run_command(__doc__, FastSpeech2Arguments, train_fastspeech2, argv, **told)


if __name__ == "__main__":
    run_script(main)
