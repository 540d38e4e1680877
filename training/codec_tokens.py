"""What `train_soundstorm` and `train_audiolm` share: a codec, rows of codes, stretches of one speaker, one Trainer.

dataset {"audio", "speaker"} + speech tokenizer + codec ─ codec_rows ─ SpeakerStretches ─ model.forward ─▶ loss
"""

import copy
import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModel, set_seed

from ..modeling.decoders.codec_token_decoder import ACOUSTIC, SEMANTIC, CodecTokenDecoder
from ..modeling.decoders.voice import Voice
from ..modeling.language_model.modeling_triglot import code_directions
from ..modeling.tokenizers.media_tokenizer import weights_fingerprint
from ..modeling.tokenizers.modeling_codec_units import codec_entries, codec_settings
from ..processing.errors import TriglotError
from .data.codec_rows import SpeakerStretches, codec_rows, most_ordinary
from .data.row_digests import dataset_digest
from .load_parts import load_speech_tokenizer, load_stock
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
from .speech_command import TOKENIZER

CODES_FOLDER = "codes"  # in the output folder: the encoded rows


@dataclass(frozen=True)
class CodecTokenArguments:
    """Settings of both stages; those of a model are added by its own script."""

    levels: int = 0  # RVQ levels that are written; 0 for all that the codec has
    prompt_seconds: float = 3.0
    context_seconds: float = 1.0
    stretch_seconds: float = (
        9.0  # longest stretch of training; prompt, context and a window together are as long in decoding
    )
    max_steps: int = 2_000
    batch_size: int = 8  # stretches per step and device
    optimizer: str = "muon"
    learning_rate: float = 2e-3  # peak; cosine decay to 0
    warmup_steps: int = 100
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    bf16: bool = True
    dtype: str = "float32"  # of the saved weights; or "float16"
    save_steps: int = 200
    logging_steps: int = 50
    num_workers: int = 0

    def __post_init__(self):
        check_optimizer(self.optimizer)
        check_dtype(self.dtype)
        if self.max_steps < 1 or self.batch_size < 1:
            raise TriglotError(f"max_steps {self.max_steps} and batch_size {self.batch_size} must be at least 1.")
        if self.stretch_seconds <= self.prompt_seconds + self.context_seconds:
            raise TriglotError(
                f"stretch_seconds is {self.stretch_seconds}; more than the {self.prompt_seconds + self.context_seconds} s of prompt "
                "and context are needed, so that something is left to write."
            )


def codec_facts(codec_dir: str | os.PathLike, levels: int = 0) -> tuple[Any, dict[str, Any]]:
    """A codec and the fields of `CodecTokensConfig` that describe it.

    Args:
        codec_dir: Folder or Hub id of an EnCodec, DAC, Mimi or X-Codec.
        levels: RVQ levels in use; 0 for all.

    Raises:
        TriglotError: another model, or fewer levels than asked for.
    """
    codec = load_stock(AutoModel.from_pretrained, codec_dir, "neural codec", dtype=torch.float32)
    try:
        settings = codec_settings(codec.config, levels)
    except ValueError as error:
        raise TriglotError(f"{os.fspath(codec_dir)!r} cannot be used: {error}") from error
    fingerprint = weights_fingerprint(codec.state_dict(), {"levels": settings["levels"]})
    return codec, {**settings, "codec_fingerprint": fingerprint}


def fit_codec_tokens(
    make_model: Callable[[dict[str, Any]], CodecTokenDecoder],
    dataset: Dataset,
    tokenizer_dir: str | os.PathLike,
    codec_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: CodecTokenArguments,
    *,
    parts: Sequence[str],
    seed: int = 0,
) -> Path:
    """Trains a decoder that writes a codec's tokens, and saves it with the codec in it.

    Args:
        make_model: Fields of its config -> the model, at random.
        dataset: Columns "audio" and "speaker".
        tokenizer_dir: Folder of the speech tokenizer.
        codec_dir: Folder or Hub id of the codec.
        output_dir: Becomes the folder of the model, with `checkpoints/` and `codes/` in it; a run that was cut off goes on.
        arguments: Settings of the stage.
        parts: Fields of the model's output to log.
        seed: Of weights, stretches and masks.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: parts that do not fit, missing columns, unreadable sound, checkpoints of other settings, or a loss that is
            not finite.
    """
    output_dir = Path(output_dir)
    tokenizer = load_speech_tokenizer(tokenizer_dir)
    codec, facts = codec_facts(codec_dir, arguments.levels)
    last = open_run(
        output_dir / "checkpoints",
        arguments,
        seed=seed,
        inputs={
            "tokenizer": tokenizer.fingerprint,
            "codec": facts["codec_fingerprint"],
            "dataset": dataset_digest(dataset),
        },
    )
    set_seed(seed)
    window = arguments.stretch_seconds - arguments.prompt_seconds - arguments.context_seconds
    shared = {field.name for field in dataclasses.fields(CodecTokenArguments)} - {"levels"}
    own = {name: value for name, value in dataclasses.asdict(arguments).items() if name not in shared | {"levels"}}
    try:
        model = make_model(
            {
                **facts,
                **own,
                "codebook_size": tokenizer.codebook_size,
                "fingerprint": tokenizer.fingerprint,
                "frame_rate": tokenizer.frame_rate,
                "prompt_seconds": arguments.prompt_seconds,
                "context_seconds": arguments.context_seconds,
                "window_seconds": window,
                "initializer_range": fitting_deviation(own["hidden_size"]),
            }
        )
    except ValueError as error:
        raise TriglotError(f"The tokenizer and the codec do not fit together: {error}") from error
    model.take_codec(codec)
    begin_codes(model, tokenizer.centroids, codec_entries(codec, model.config.levels))
    rows = codec_rows(dataset, tokenizer, model, output_dir / CODES_FOLDER)
    model.set_fallback_voice(_voice_of(rows, model))
    stretches = SpeakerStretches(rows, model, round(arguments.stretch_seconds * model.config.frame_rate))
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(output_dir / "checkpoints", arguments, seed=seed),
        **seeded_data(stretches, stretches.collate, seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=parts,
    )
    train_and_report(trainer, last, arguments)
    trained: Any = copy.deepcopy(trainer.accelerator.unwrap_model(trainer.model))
    return save_trained(trained, output_dir, arguments, {"codec": codec_dir})


@torch.no_grad()
def begin_codes(model: CodecTokenDecoder, semantic: torch.Tensor, acoustic: torch.Tensor) -> None:
    """Codes that sound alike start alike: a fixed random projection of what the code books hold, at the size weights have.

    Args:
        model: Its `code_tables` are set.
        semantic: float (K, F), centroids of the speech tokenizer.
        acoustic: float (levels, entries, F'), of the codec.
    """
    tables, levels = model.code_tables()
    pairs = [(semantic, [rows]) for rows in tables] + list(zip(acoustic, levels))
    for seed, (points, alike) in enumerate(pairs):
        for rows in alike:
            rows.copy_(code_directions(points, rows.shape[1], seed) * rows.std())


def _voice_of(rows: Dataset, model: CodecTokenDecoder) -> Voice:
    """The most ordinary utterance as a voice, repeated where it is too short."""
    codes, frames = (model.voice_shapes[name][-1] for name in (SEMANTIC, ACOUSTIC))
    row = rows[most_ordinary(rows, codes)]
    semantic, acoustic = torch.tensor(row["semantic"]), torch.tensor(row["acoustic"])
    times = -(-codes // len(semantic))
    tensors = {SEMANTIC: semantic.repeat(times)[:codes], ACOUSTIC: acoustic.repeat(1, times)[:, :frames]}
    return Voice(model.voice_kind, tensors, model.voice_fingerprint)


# what both scripts need beside recordings
FOLDERS = {"tokenizer": TOKENIZER, "codec": "folder or Hub id of an EnCodec, DAC, Mimi or X-Codec"}
