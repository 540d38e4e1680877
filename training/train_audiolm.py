"""Train `AudioLm`, the coarse and fine stages of AudioLM (arXiv 2209.03143): speech codes + a voice prompt -> a codec's tokens.

python -m triglot.training.train_audiolm --dataset speech/ --tokenizer units/ --codec codec/ --out audiolm/
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from ..command_output import run_script
from ..modeling.decoders.configuration_audiolm import AudioLmConfig
from ..modeling.decoders.modeling_audiolm import AudioLm
from .codec_tokens import FOLDERS, CodecTokenArguments, fit_codec_tokens
from .speech_command import run_command


@dataclass(frozen=True)
class AudioLmArguments(CodecTokenArguments):
    """Settings of `train_audiolm`; those of the model are fields of `AudioLmConfig`."""

    coarse_levels: int = 4
    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    intermediate_size: int = 704
    dropout: float = 0.0
    fine_seconds: float = 3.0
    temperature: float = 0.8
    fine_temperature: float = 0.0


def train_audiolm(
    dataset: Dataset,
    tokenizer_dir: str | os.PathLike,
    codec_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: AudioLmArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains an `AudioLm`; see `fit_codec_tokens`."""
    return fit_codec_tokens(
        lambda settings: AudioLm(AudioLmConfig(**settings)),
        dataset,
        tokenizer_dir,
        codec_dir,
        output_dir,
        arguments or AudioLmArguments(),
        parts=("coarse_loss", "fine_loss", "coarse_accuracy"),
        seed=seed,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(__doc__, AudioLmArguments, train_audiolm, argv, **FOLDERS)


if __name__ == "__main__":
    run_script(main)
