"""An adapter and the checkpoint with it merged: whether they answer with the same ids, item by item, in greedy decoding.

    python benchmarks/adapter_merge.py mine/adapter --rows test.yaml [--tasks ASR,AST] [--limit 50] [--checkpoint mine/checkpoint]

The base (of the adapter's `triglot_adapter.json`, unless --base names it) and the adapter are compared in float32 with the two merged
in memory; with --checkpoint also, in float32, with the checkpoint that was saved, whose weights may be rounded to its dtype. Items are
those of `triglot evaluate`, at most --limit of each task and direction.
"""

import argparse
import json
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModel
from transformers.utils import logging

import triglot  # noqa: F401  (registers the classes)
from triglot import TriglotProcessor
from triglot.training.data.load_rows import load_rows
from triglot.training.data.sources import field_rows, load_sources
from triglot.training.evaluate_questions import EVALUATION_TASKS, check_languages, check_rows, check_tasks, questions
from triglot.training.finetune import FACTS_FILE


def batches_of(processor: TriglotProcessor, rows, tasks: list[str], limit: int, size: int):
    """Inputs of `generate`, `size` items each, short ones together."""
    chosen = {name: EVALUATION_TASKS[name] for name in check_tasks(tasks)}
    rows = check_rows(rows, chosen)
    languages = check_languages(rows, chosen, processor.languages)
    for name, task in chosen.items():
        asked = sorted(questions(task, rows, languages, limit, 0), key=lambda item: len(item.text))
        for start in range(0, len(asked), size):
            some = asked[start : start + size]
            content = (
                {"audio": [rows[item.row][item.audio_column] for item in some]}
                if task.hears
                else {"text": [item.text for item in some]}
            )
            spoken = {"source_language": [item.source_language for item in some]}
            if task.translates:
                spoken["target_language"] = [item.target_language for item in some]
            yield name, processor(**content, **spoken, task=task.chain)


@torch.no_grad()
def answers(model, inputs) -> list[list[int]]:
    """The ids that a model adds to each item, up to the padding."""
    ids = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :].tolist()
    end = model.generation_config.eos_token_id
    return [row[: row.index(end)] if end in row else row for row in ids]


def main() -> None:
    """Prints a line for each task and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--base")
    parser.add_argument("--checkpoint")
    parser.add_argument("--tasks", default="ASR,AST")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    logging.set_verbosity_error()
    facts = json.loads((options.adapter / FACTS_FILE).read_text(encoding="utf-8"))
    base = options.base or facts["checkpoint"]
    processor = TriglotProcessor.from_pretrained(base)
    processor.languages = facts["languages"]
    listed = options.rows.endswith((".yaml", ".yml"))
    rows = field_rows(load_sources(options.rows)) if listed else load_rows(options.rows)

    def load(folder):
        return AutoModel.from_pretrained(folder, dtype=torch.float32)

    adapted = PeftModel.from_pretrained(load(base), str(options.adapter)).eval()
    others = {"merged": PeftModel.from_pretrained(load(base), str(options.adapter)).merge_and_unload().eval()}
    if options.checkpoint:
        others["saved"] = load(options.checkpoint).eval()
    counts: dict[tuple[str, str], list[bool]] = {}
    for task, inputs in batches_of(processor, rows, options.tasks.split(","), options.limit, options.batch_size):
        ours = answers(adapted, inputs)
        for name, model in others.items():
            counts.setdefault((task, name), []).extend(
                one == other for one, other in zip(ours, answers(model, inputs))
            )
    for (task, name), same in counts.items():
        print(f"{task}: {name} and adapter give the same ids in {sum(same)} of {len(same)} items")


if __name__ == "__main__":
    main()
