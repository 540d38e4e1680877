"""LM training: useful tokens/s of packed rows, against the same text LM in a Trainer that pads.

    python benchmarks/lm_training_speed.py [--model hub_configs/triglot-tiny] [--rows 400] [--steps 12]

The examples are those of the recipe `tiny`, its tasks and weights, over real sentences; the codes are random, as many as
the sentences have. Both Trainers run in bfloat16 autocast with the same optimiser on batches of about as many useful ids;
the padding one takes them in the usual way, in random order and padded to the longest of the batch. A useful token is one
that is no padding. The first steps (compilation, warm caches) are not counted.
"""

import argparse
import random
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import default_collate
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
)
from transformers.utils import logging

import triglot  # noqa: F401  (registers the classes)
from triglot.processing.processing_triglot import IGNORE
from triglot.training.data.packing import PackedRows
from triglot.training.data.splits import training_sentences
from triglot.training.data.token_examples import token_examples
from triglot.training.lm_trainer import LmTrainer, WeighedLoss
from triglot.training.packed_attention import use_packed_attention
from triglot.training.run_recipe import load_recipe
from triglot.training.runs import trainer_arguments

CODES_A_WORD = 7.2  # of the demo world at 25 Hz
WARM_UP = 4  # steps


def examples_of(processor, arguments, rows: int) -> list[dict]:
    """The recipe's examples of `rows` spoken rows and three times as many of text alone."""
    rng = random.Random(0)
    codes = next(entry["size"] for entry in processor.modalities if entry["name"] == "speech")
    token_rows = []
    for number, item in enumerate(training_sentences(4 * rows)):
        source, target = rng.sample(arguments.languages.split(), 2)
        row = {"source_language": source, "target_language": target, "recorded": number % 2 == 0}
        for side, language in (("source", source), ("target", target)):
            text = row[f"text_{side}"] = item.sentence(language)
            count = round(CODES_A_WORD * len(text.split()))
            row[f"speech_{side}"] = [rng.randrange(codes) for _ in range(count)] if number < rows else None
        token_rows.append(row)
    return token_examples(token_rows, processor, arguments.task_weights, 0, arguments.both_directions)


class Clock(TrainerCallback):
    """When the steps after the first few began and ended."""

    def __init__(self):
        self.start = self.end = 0.0

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == WARM_UP:
            self.start = time.perf_counter()
        self.end = time.perf_counter()


def speed(model, dataset, collate, useful, arguments, steps: int, batch_size: int, make=Trainer) -> float:
    """Useful ids/s of one Trainer, as `make` makes it."""
    clock, counts = Clock(), []

    def counted(examples):
        batch = collate(examples)
        counts.append(useful(batch))
        return batch

    with tempfile.TemporaryDirectory() as folder:
        settings = trainer_arguments(Path(folder), arguments, seed=0)
        settings.max_steps, settings.per_device_train_batch_size = WARM_UP + steps, batch_size
        settings.disable_tqdm, settings.save_strategy, settings.logging_strategy = True, "no", "no"
        trainer = make(model=model, args=settings, train_dataset=dataset, data_collator=counted, callbacks=[clock])
        trainer.train()
    return steps * sum(counts) / len(counts) / (clock.end - clock.start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hub_configs/triglot-tiny")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    logging.set_verbosity_error()

    lm = load_recipe("tiny").stages["lm"]
    processor = AutoProcessor.from_pretrained(arguments.model)
    examples = examples_of(processor, lm, arguments.rows)
    tasks = list(lm.task_weights)
    packed = PackedRows(examples, lm.pack_length, processor.pad_id, tasks=tasks)
    loss = WeighedLoss(processor.modalities[0]["size"], lm.media_weight)
    as_in_the_stage = partial(LmTrainer, loss=loss, tasks=tasks)  # with the losses of tasks in its log
    mean = sum(len(example["input_ids"]) for example in examples) / len(examples)
    # batches of about as many useful ids as ours have
    padded_batch = round(lm.batch_size * lm.pack_length * packed.fill / mean)
    sizes = AutoModel.from_pretrained(arguments.model, dtype=torch.float32).config.text_config
    alone = [{name: example[name] for name in ("input_ids", "labels")} for example in examples]
    pad = DataCollatorForSeq2Seq(processor.tokenizer, label_pad_token_id=IGNORE)

    def text_model() -> PreTrainedModel:
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(sizes, dtype=torch.float32)

    def triglot_model(as_in_the_recipe: bool):
        model = AutoModel.from_pretrained(arguments.model, dtype=torch.float32)
        if as_in_the_recipe:
            if lm.packed_attention:
                use_packed_attention(model, "cuda" if torch.cuda.is_available() else "cpu")
            model.language_model.compile()
        return model

    def useful_packed(batch) -> int:
        return int((batch["input_ids"] != processor.pad_id).sum())

    best: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for name, measure in {
            "padded Trainer, text LM": lambda: speed(
                text_model(), alone, pad, lambda batch: int(batch["attention_mask"].sum()), lm, arguments.steps, padded_batch
            ),
            "packed, Triglot": lambda: speed(
                triglot_model(False), packed, default_collate, useful_packed, lm, arguments.steps, lm.batch_size, as_in_the_stage
            ),
            "packed, attention by example, compiled, Triglot (the recipe)": lambda: speed(
                triglot_model(True), packed, default_collate, useful_packed, lm, arguments.steps, lm.batch_size, as_in_the_stage
            ),
        }.items():  # fmt: skip
            best[name] = max(best.get(name, 0.0), measure())
    first = next(iter(best.values()))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, bfloat16, best of {arguments.rounds}")
    print(
        f"{len(examples)} examples of {mean:.0f} ids, packed rows {packed.fill:.0%} full, padded batches of {padded_batch}"
    )
    print("| way | useful tokens/s | |\n|---|---|---|")
    for name, value in best.items():
        print(f"| {name} | {value:.0f} | {value / first:.2f}x |")


if __name__ == "__main__":
    main()
