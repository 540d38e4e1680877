"""The arguments of `triglot finetune`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse

NAMED = ("tasks", "lora_rank", "trained_rows", "max_steps", "batch_size", "learning_rate")  # options of their own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot finetune`; those of `NAMED` and --set are fields of `FinetuneArguments`."""
    parser.add_argument("checkpoint", help="folder or Hub id of a checkpoint")
    parser.add_argument(
        "--tokens", required=True, help="folder of `triglot tokenize`, by the checkpoint's speech tokenizer"
    )
    parser.add_argument(
        "--out", required=True, help="folder for adapter/ and checkpoint/; a run that was cut off goes on"
    )
    parser.add_argument("--tasks", help='as in "ASR: 0.5, AST" (default: all single tasks that the rows allow)')
    parser.add_argument("--lora-rank", help="of the adapter; 0 for all weights (default: 16)")
    parser.add_argument(
        "--trained-rows", help="embedding rows trained whole: none, media, seen or new (default: none)"
    )
    parser.add_argument("--max-steps", help="(default: 1000)")
    parser.add_argument("--batch-size", help="packed rows a step (default: 5)")
    parser.add_argument("--learning-rate", help="(default: 0.002)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting, e.g. "
                        "--set lora_alpha=64 --set bf16=false; a name that is none lists them all")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
