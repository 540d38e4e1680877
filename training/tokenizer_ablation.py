"""The same small language model on each of several speech tokenizers, with the same budget: whose codes are best read?

As AudioPaLM compares its tokens (arXiv 2306.12925), here by the word error rate of ASR alone.

    rows with "audio" and "transcript" ─ each tokenizer ─ token rows ─ train_lm, tasks "ASR" ─ triglot evaluate ─ one table

    python -m triglot.training.tokenizer_ablation ctc=units/ vq=vqvae/ --rows rows/ --test-rows held_out/ \
        --text-tokenizer text_tokenizer/ --out ablation/ --max-steps 1500

Every tokenizer has a folder in the output; what is finished there is not done again.
"""

import argparse
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .assemble import assemble_checkpoint
from .data.load_rows import load_rows
from .data.token_rows import DatasetRows, read_rows, write_shards
from .evaluate import evaluate_checkpoint
from .load_parts import load_speech_tokenizer
from .named_parts import named_parts
from .runs import add_settings, given_settings, plain_settings
from .train_lm import LmArguments, train_lm

SHARD_ROWS = 500
NEEDED = ("audio", "transcript", "source_language")
SMALL = LmArguments(
    hidden_size=192, num_hidden_layers=4, num_attention_heads=6, intermediate_size=512, look_back_heads=2, qk_norm=True,
    rope_theta=500.0, init="centroids", optimizer="muon", learning_rate=2e-3, batch_size=5, pack_length=432, warmup_steps=100,
    decay_steps=600, tasks="ASR", image_codes=0, packed_attention=True,
)  # fmt: skip


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
    for what, given in (("rows", rows), ("test_rows", test_rows)):
        if missing := sorted(set(NEEDED) - set(given.column_names)):
            raise TriglotError(f"The {what} lack {', '.join(missing)}; they have {', '.join(given.column_names)}.")
    if list(arguments.task_weights) != ["ASR"]:
        raise TriglotError(f'tasks is {arguments.tasks!r}; codes are compared by "ASR" alone.')
    spoken = sorted({*rows["source_language"], *test_rows["source_language"]})
    arguments = dataclasses.replace(arguments, languages=" ".join(spoken))
    if not tokenizers:
        raise TriglotError("No tokenizer is given; name at least one.")
    loaded = {name: load_speech_tokenizer(folder) for name, folder in tokenizers.items()}  # a wrong folder fails now
    output_dir = Path(output_dir)
    settings = {
        "lm": plain_settings(arguments),
        "seed": seed,
        "limit": limit,
        "rows": [_digest(rows), _digest(test_rows)],
    }
    plain = output_dir / "rows"
    if not plain.exists():
        kept = [name for name in (*NEEDED, "speaker") if name in rows.column_names]
        rows.select_columns(kept).save_to_disk(str(plain))

    found: dict[str, Any] = {}
    for name, tokenizer in loaded.items():
        folder, done = output_dir / name, output_dir / name / "ablation.json"
        key = json.dumps([settings, tokenizer.fingerprint])
        if done.is_file() and (before := json.loads(done.read_text(encoding="utf-8")))["key"] == key:
            print(f"[{name}] finished before")
            found[name] = before["asr"]
            continue
        if done.is_file():
            raise TriglotError(f"{folder} holds a run with other settings; choose another output_dir, or delete it.")
        print(f"[{name}] {folder}")
        make_rows = DatasetRows(str(plain), os.fspath(tokenizers[name]))
        write_shards(folder / "tokens", len(rows), SHARD_ROWS, make_rows, workers=workers)
        train_lm(
            read_rows(folder / "tokens"), text_tokenizer_dir, tokenizers[name], folder / "lm", arguments, seed=seed
        )
        assemble_checkpoint(
            folder / "lm",
            text_tokenizer_dir,
            tokenizers[name],
            None,
            folder / "checkpoint",
            arguments.languages.split(),
        )
        results = evaluate_checkpoint(
            folder / "checkpoint", test_rows, output_dir=folder / "report", tasks=["ASR"], limit=limit, batch_size=batch_size,
            seed=seed,
        )  # fmt: skip
        found[name] = results["tasks"]["ASR"]
        with whole_file(done) as partial:
            partial.write_text(json.dumps({"key": key, "asr": found[name]}, ensure_ascii=False), encoding="utf-8")
    with whole_file(output_dir / "ablation.md") as partial:
        partial.write_text(markdown(found, arguments), encoding="utf-8")
    with whole_file(output_dir / "ablation.json") as partial:
        partial.write_text(json.dumps({"asr": found, "lm": dataclasses.asdict(arguments)}, indent=2), encoding="utf-8")
    return found


def _digest(rows: Dataset) -> str:
    """Names the rows by their words."""
    return hashlib.sha256("\n".join(map(str, rows["transcript"])).encode()).hexdigest()


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
    main()
