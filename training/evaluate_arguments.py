"""The arguments of `triglot evaluate`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse

TASK_NAMES = ("ASR", "AST", "AST direct", "MT", "S2ST", "S2ST direct", "TTS")  # keys of EVALUATION_TASKS
DEFAULT_TASKS = ("ASR", "AST", "MT", "S2ST", "S2ST direct", "TTS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot evaluate`."""
    parser.add_argument("checkpoint", help="folder or Hub id of a checkpoint")
    parser.add_argument("--rows", required=True, help="folder of datasets' save_to_disk, or a parquet file")
    parser.add_argument("--out", required=True, help="folder for results.json, report.md, items.jsonl and audio/")
    parser.add_argument("--judge", help="recogniser that reads the spoken output: a folder that train_judge made, or any "
                        "Hugging Face CTC model (default: none, speech is not read)")  # fmt: skip
    parser.add_argument("--speaker-model", help="x-vector model that compares voices (default: none)")
    parser.add_argument(
        "--tasks", default=",".join(DEFAULT_TASKS),
        help=f"comma between, of {', '.join(TASK_NAMES)} (default: {','.join(DEFAULT_TASKS)})",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, help="most items of each task and direction (default: all)")
    parser.add_argument("--batch-size", type=int, default=8, help="items at a time (default: 8)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choice under --limit and of the intervals (default: 0)"
    )
    parser.add_argument("--keep-audio", type=int, default=20, help="wavs to keep of each task (default: 20)")
    parser.add_argument("--device", help="cpu, cuda ... (default: a GPU where there is one)")
