"""The same small language model on each of several speech tokenizers, with the same budget: whose codes are best read?

As AudioPaLM compares its tokens (arXiv 2306.12925), here by the word error rate of ASR alone.

    rows with "audio" and "transcript" ─ each tokenizer ─ token rows ─ train_lm, tasks "ASR" ─ the same questions ─ one table

    python -m triglot.training.tokenizer_ablation ctc=units/ vq=vqvae/ --rows rows/ --test-rows held_out/ \
        --text-tokenizer text_tokenizer/ --out ablation/ --max-steps 1500

Every tokenizer has a folder in the output; what is finished there is not done again. `triglot ablate` compares tokenizers among other things,
by models of more tasks.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..command_output import run_script
from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .ablation_arms import SMALL, Arm, Workplace
from .data.load_rows import load_rows
from .evaluate_questions import EVALUATION_TASKS
from .named_parts import named_parts
from .report import EvaluatedItem, summarise
from .runs import add_settings, given_settings
from .train_lm import LmArguments

RESAMPLES = 1000


def ablate_tokenizers(
    tokenizers: Mapping[str, str | os.PathLike],
    rows: Dataset,
    test_rows: Dataset,
    text_tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: LmArguments = SMALL,
    *,
    limit: int | None = 100,
    batch_size: int = 16,
    workers: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains and measures one language model for each tokenizer.

    Args:
        tokenizers: {name: folder of a speech tokenizer with a code book}.
        rows: To train on, with "audio", "transcript", "source_language"; the same for all.
        test_rows: To measure on, with the same columns.
        text_tokenizer_dir: A fast tokenizer; the same for all.
        output_dir: One folder a tokenizer, then ablation.json and ablation.md.
        arguments: Of the language models; its tasks are "ASR", its languages are those of the rows.
        limit: Most test items of each language; None for all.
        batch_size: Of the evaluation.
        workers: Processes that encode.
        seed: Of the models, the order of the data and the choice under `limit`.

    Returns:
        {name: {"mean": ..., "directions": ...}} as `report.summarise` gives for ASR.

    Raises:
        TriglotError: columns that are missing, other tasks than ASR, or a folder of other settings.
    """
    if list(arguments.task_weights) != ["ASR"]:
        raise TriglotError(f'tasks is {arguments.tasks!r}; codes are compared by "ASR" alone.')
    place = Workplace(
        output_dir, tokenizers, text_tokenizer_dir, rows=rows, test_rows=test_rows, limit=limit, batch_size=batch_size,
        workers=workers, seed=seed,
    )  # fmt: skip
    arms = {name: Arm(f"asr-{name}", name, arguments, ("ASR",)) for name in tokenizers}
    for arm in arms.values():
        place.finished(arm, seed)  # a folder of other settings fails now
    found: dict[str, Any] = {}
    for name, arm in arms.items():
        items = [EvaluatedItem(**item) for item in place.run(arm, seed)["items"]]
        found[name] = summarise(items, EVALUATION_TASKS["ASR"].measures, seed, RESAMPLES)
    with whole_file(place.output_dir / "ablation.md") as partial:
        partial.write_text(markdown(found, arguments), encoding="utf-8")
    with whole_file(place.output_dir / "ablation.json") as partial:
        partial.write_text(json.dumps({"asr": found, "lm": dataclasses.asdict(arguments)}, indent=2), encoding="utf-8")
    return found


def markdown(found: Mapping[str, Any], arguments: LmArguments) -> str:
    """The table: word error rates with their intervals, in percent."""

    def cell(measured: Mapping[str, Any]) -> str:
        wer = measured["wer"]
        text = f"{100 * wer['value']:.1f}"
        low, high = wer.get("interval") or (None, None)
        return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"

    languages = list(dict.fromkeys(name for task in found.values() for name in task["directions"]))
    lines = [
        "# ASR by the same small language model on each tokenizer, WER in %",
        "",
        f"| tokenizer | mean | {' | '.join(languages)} |",
        f"| --- | ---: |{' ---: |' * len(languages)}",
    ]
    for name, task in found.items():
        cells = [cell(task["directions"][language]) for language in languages]
        lines.append(f"| {name} | {cell(task['mean'])} | {' | '.join(cells)} |")
    size = f"{arguments.num_hidden_layers} layers of {arguments.hidden_size}"
    lines += [
        "",
        f"{size}, {arguments.max_steps} steps of {arguments.batch_size} rows of {arguments.pack_length} ids.",
        "",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("tokenizers", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--rows", required=True, help="to train on: a folder of save_to_disk, or a parquet file")
    parser.add_argument("--test-rows", required=True, help="to measure on")
    parser.add_argument("--text-tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--limit", type=int, default=100, help="most test items of each language")
    parser.add_argument("--workers", type=int, default=1, help="processes that encode")
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser, LmArguments, SMALL)
    arguments = parser.parse_args(argv)
    ablate_tokenizers(
        named_parts(arguments.tokenizers),
        load_rows(arguments.rows),
        load_rows(arguments.test_rows),
        arguments.text_tokenizer,
        arguments.out,
        given_settings(arguments, LmArguments),
        limit=arguments.limit,
        workers=arguments.workers,
        seed=arguments.seed,
    )
    print((Path(arguments.out) / "ablation.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_script(main)
