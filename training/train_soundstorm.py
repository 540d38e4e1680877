"""Train `SoundStorm` (arXiv 2305.09636): speech codes + a voice prompt -> a codec's tokens, all frames of a level at once.

python -m triglot.training.train_soundstorm --dataset speech/ --tokenizer units/ --codec codec/ --out soundstorm/
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from ..command_output import run_script
from ..modeling.decoders.configuration_soundstorm import SoundStormConfig
from ..modeling.decoders.modeling_soundstorm import SoundStorm
from .codec_tokens import FOLDERS, CodecTokenArguments, fit_codec_tokens
from .speech_command import run_command


@dataclass(frozen=True)
class SoundStormArguments(CodecTokenArguments):
    """Settings of `train_soundstorm`; those of the model are fields of `SoundStormConfig`."""

    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    intermediate_size: int = 512
    kernel_size: int = 5
    dropout: float = 0.0
    finer_weight: float = 0.5  # of levels finer than the one asked for
    first_share: float = 0.4  # of the stretches that are asked for the first level, whose words all others follow
    iterations: int = 16
    temperature: float = 1.0
    choice_temperature: float = 1.0


def train_soundstorm(
    dataset: Dataset,
    tokenizer_dir: str | os.PathLike,
    codec_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: SoundStormArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `SoundStorm`; see `fit_codec_tokens`."""
    return fit_codec_tokens(
        lambda settings: SoundStorm(SoundStormConfig(**settings)),
        dataset,
        tokenizer_dir,
        codec_dir,
        output_dir,
        arguments or SoundStormArguments(),
        parts=("accuracy",),
        seed=seed,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(__doc__, SoundStormArguments, train_soundstorm, argv, **FOLDERS)


if __name__ == "__main__":
    run_script(main)
