"""The arguments of `triglot tokenize`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("sources", help="YAML file that lists datasets and what their columns are")
    parser.add_argument("--tokenizer", required=True, help="folder of the speech tokenizer")
    parser.add_argument("--image-tokenizer", help="folder of the image tokenizer, for sources with pictures")
    parser.add_argument("--out", required=True, help="folder for the token rows")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--shard-rows", type=int, default=500, help="rows of a shard (default: 500)")
