"""Text to units: `TextToUnit`, which speaks for a language model that writes text alone (SeamlessM4T, arXiv 2308.11596, 2312.05187).

    token rows {text_source, speech_source: codes, source_language, ...} ─ every side that was not recorded ─▶ (text, language, codes)
    characters, language ─ TextToUnit ─▶ codes, of the same tokenizer as the language model hears by

The rows are those that the language model learns from (`triglot tokenize`, or the stage tokens): both learn to speak from the same
sentences.

    python -m triglot.training.train_text_to_unit --tokens tokens/ --tokenizer units/ --out text_to_unit/
"""

import argparse
import dataclasses
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import set_seed

from ..command_output import run_script
from ..modeling.decoders.configuration_text_to_unit import TextToUnitConfig
from ..modeling.decoders.modeling_text_to_unit import TextToUnit, plain_text
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError
from ..processing.languages import resolve_language
from .data.row_digests import rows_digest
from .data.token_shards import read_rows
from .load_parts import load_speech_tokenizer
from .parts_trainer import PartsTrainer
from .run_report import train_and_report
from .runs import (
    add_settings,
    check_counts,
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

LONGEST_TEXT = 1_000  # characters that can be read at least
ROOM = 1.5  # times the most codes a symbol took in training: what a text may take


@dataclasses.dataclass(frozen=True)
class TextToUnitArguments:
    """Settings of the stage; the sizes are those of `TextToUnitConfig`."""

    autoregressive: bool = False  # code by code; else all at once, with durations
    languages: str = ""  # ISO codes; "" for those of the rows
    hidden_size: int = 192
    num_hidden_layers: int = 3
    num_decoder_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 384
    kernel_size: int = 5
    aligner_size: int = 64
    dropout: float = 0.1
    max_steps: int = 3_000
    batch_size: int = 16  # sentences per step and device
    optimizer: str = "adamw"  # or "muon", for the matrices inside the layers
    learning_rate: float = 1e-3  # peak; cosine decay to 0
    weight_decay: float = 0.01
    warmup_steps: int = 100
    max_grad_norm: float = 1.0
    bf16: bool = True
    dtype: str = "float32"  # of the saved weights: "float32" or "float16"
    save_steps: int = 500
    logging_steps: int = 50

    def __post_init__(self):
        check_dtype(self.dtype)
        check_optimizer(self.optimizer)
        check_counts(self, "max_steps", "batch_size", "save_steps", "logging_steps")
        for language in self.languages.split():
            resolve_language(language)

    def config(self, pairs: "Sequence[SpokenText]", tokenizer: Any) -> TextToUnitConfig:
        """That of a model for these sentences and the tokenizer's codes.

        Raises:
            TriglotError: sizes that do not fit together.
        """
        names = ("autoregressive", "hidden_size", "num_hidden_layers", "num_decoder_layers", "num_attention_heads",
                 "intermediate_size", "kernel_size", "aligner_size", "dropout")  # fmt: skip
        most = max(len(pair.codes) / (len(pair.text) + 2) for pair in pairs)
        try:
            return TextToUnitConfig(
                codebook_size=tokenizer.codebook_size,
                fingerprint=tokenizer.fingerprint,
                characters="".join(sorted({character for pair in pairs for character in pair.text})),
                languages=self.languages.split() or list(dict.fromkeys(pair.language for pair in pairs)),
                most_codes_per_symbol=float(math.ceil(ROOM * most)),
                longest_text=max(LONGEST_TEXT, *(len(pair.text) for pair in pairs)),
                initializer_range=fitting_deviation(self.hidden_size),
                **{name: getattr(self, name) for name in names},
            )
        except ValueError as error:
            raise TriglotError(str(error)) from error


class SpokenText(NamedTuple):
    """A sentence and how it is spoken.

    Attributes:
        text: As `plain_text` gives it.
        language: ISO code.
        codes: Of its speech.
    """

    text: str
    language: str
    codes: tuple[int, ...]


def spoken_texts(rows: Iterable[Mapping[str, Any]], languages: Sequence[str] = ()) -> list[SpokenText]:
    """What token rows tell of speaking: both sides of each, each sentence in a voice once; what was recorded is not to be imitated.

    Args:
        rows: Token rows.
        languages: ISO codes that count; none for all.

    Raises:
        TriglotError: no row has a text and its speech.
    """
    found: dict[SpokenText, None] = {}
    for row in rows:
        for side, recorded in (("source", "recorded"), ("target", "recorded_target")):
            text, codes, language = (row.get(name) for name in (f"text_{side}", f"speech_{side}", f"{side}_language"))
            if row.get(recorded) or not text or not codes or (languages and language not in languages):
                continue
            if words := plain_text(text):
                found[SpokenText(words, str(language), tuple(codes))] = None
    if not found:
        told = f" in {', '.join(languages)}" if languages else ""
        raise TriglotError(
            f"No row has a text and its speech{told} (text_source and speech_source, or text_target and speech_target) that was not "
            "recorded through conditions; make rows with speech."
        )
    return list(found)


class SpokenTexts(torch.utils.data.Dataset):
    """Sentences as `TextToUnit.forward` takes them, one by one: symbols (N,), language (), codes (T,)."""

    def __init__(self, pairs: Sequence[SpokenText], model: TextToUnit):
        self.pairs, self.model = pairs, model

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        pair = self.pairs[index]
        symbols, language = self.model.symbols_of(pair.text, pair.language)
        return {"symbols": symbols, "languages": torch.tensor(language), "codes": torch.tensor(pair.codes)}


def collate_texts(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Padded at the end, with masks."""
    batch = {"languages": torch.stack([item["languages"] for item in items])}
    for name in ("symbols", "codes"):
        rows = [item[name] for item in items]
        batch[name] = pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        batch[f"{name.removesuffix('s')}_mask"] = torch.arange(batch[name].shape[1]) < lengths[:, None]
    return batch


def train_text_to_unit(
    rows: Sequence[Mapping[str, Any]],
    tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: TextToUnitArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a `TextToUnit` for the codes of the tokenizer saved in `tokenizer_dir`.

    Args:
        rows: Token rows, as `read_rows` gives them.
        tokenizer_dir: Folder of the speech tokenizer that made their codes.
        output_dir: Becomes the folder of the model, with `checkpoints/` in it; a run that was cut off goes on.
        arguments: Settings of the stage.
        seed: Of the initial weights and the order of the data.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: rows without spoken text, codes of another tokenizer, sizes that do not fit together, checkpoints of other
            settings, or a loss that is not finite.
    """
    return fit_text_to_unit(
        rows, load_speech_tokenizer(tokenizer_dir), output_dir, arguments or TextToUnitArguments(), seed=seed
    )


def fit_text_to_unit(
    rows: Sequence[Mapping[str, Any]],
    tokenizer: MediaTokenizer,
    output_dir: str | os.PathLike,
    arguments: TextToUnitArguments,
    *,
    seed: int = 0,
) -> Path:
    """`train_text_to_unit` with the tokenizer as an object."""
    output_dir = Path(output_dir)
    pairs = spoken_texts(rows, arguments.languages.split())
    largest = max(max(pair.codes) for pair in pairs)
    if largest >= tokenizer.codebook_size:
        raise TriglotError(
            f"The rows hold the code {largest}; the tokenizer has {tokenizer.codebook_size}: they are of another one."
        )
    config = arguments.config(pairs, tokenizer)
    checkpoints = output_dir / "checkpoints"
    last = open_run(
        checkpoints, arguments, seed=seed, inputs={"tokenizer": tokenizer.fingerprint, "token_rows": rows_digest(rows)}
    )
    set_seed(seed)
    model = TextToUnit(config)
    parts = ["unit_loss", "accuracy"]
    if not arguments.autoregressive:
        parts += ["duration_loss", "alignment_loss"]
    trainer = PartsTrainer(
        model=model,
        args=trainer_arguments(checkpoints, arguments, seed=seed),
        **seeded_data(SpokenTexts(pairs, model), collate_texts, seed),
        optimizers=chosen_optimizers(model, arguments),
        parts=parts,
    )
    facts = {
        "sentences": len(pairs),
        "codes": f"{sum(len(pair.codes) for pair in pairs):,}",
        "parameters": f"{sum(weight.numel() for weight in model.parameters()):,}",
    }
    train_and_report(trainer, last, arguments, facts)
    trained: Any = trainer.accelerator.unwrap_model(trainer.model)
    return save_trained(trained, output_dir, arguments, {})


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--tokens", required=True, help="folder of token rows, of `triglot tokenize` or the stage tokens"
    )
    parser.add_argument("--tokenizer", required=True, help="folder of the speech tokenizer that made their codes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser, TextToUnitArguments)
    given = parser.parse_args(argv)
    settings = given_settings(given, TextToUnitArguments)
    print(train_text_to_unit(read_rows(given.tokens), given.tokenizer, given.out, settings, seed=given.seed))


if __name__ == "__main__":
    run_script(main)
