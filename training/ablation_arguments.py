"""The arguments of `triglot ablate`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot ablate`."""
    parser.add_argument("tokenizers", nargs="+", metavar="NAME=FOLDER", help="speech tokenizers, each under a name, the one that is "
                        "claimed to be best first: all arms but those of the others read its tokens")  # fmt: skip
    parser.add_argument("--text-tokenizer", required=True, help="folder of a fast tokenizer, the same for all")
    parser.add_argument(
        "--out", required=True, help="a folder an arm, and report/; what is finished there is not done again"
    )
    parser.add_argument(
        "--rows", help="audio to train on, a folder of save_to_disk or a parquet file: tokens are made of it once"
    )
    parser.add_argument("--test-rows", help="audio to measure on, likewise")
    parser.add_argument("--tokens", action="append", default=[], metavar="NAME=FOLDER",
                        help="token rows of the tokenizer NAME to train on, instead of --rows")  # fmt: skip
    parser.add_argument("--test-tokens", action="append", default=[], metavar="NAME=FOLDER",
                        help="token rows of the tokenizer NAME to measure on, instead of --test-rows")  # fmt: skip
    parser.add_argument(
        "--text-rows",
        help="folder of further token rows whose texts the text LM reads, none of them those of the test rows (default: none)",
    )
    parser.add_argument(
        "--tokens-only", action="store_true", help="make the tokens and stop; what follows needs no audio packages"
    )
    parser.add_argument(
        "--arms",
        help="comma between (default: all); a name that is none lists them. The report is of all that are finished",
    )
    parser.add_argument(
        "--seeds", type=int, help="models of each arm; their spread is part of the intervals (default: 3)"
    )
    parser.add_argument("--max-steps", type=int, help="of an arm (default: 700)")
    parser.add_argument(
        "--text-steps", type=int, help="of the text LM that one arm starts from (default: as --max-steps)"
    )
    parser.add_argument("--limit", type=int, help="most test items of each task and direction (default: 50)")
    parser.add_argument("--batch-size", type=int, default=32, help="test items at a time (default: 32)")
    parser.add_argument("--workers", type=int, default=1, help="processes that encode (default: 1)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the first one; also of the choice under --limit (default: 0)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting of the language models, e.g. "
                        "--set hidden_size=256; a name that is none lists them all")  # fmt: skip
    parser.add_argument("--judge", help="recogniser as for `triglot evaluate`: one arm more learns to speak, and is asked for S2ST with and "
                        "without its texts (default: none)")  # fmt: skip
    parser.add_argument("--decoder", help="folder of a speech decoder for the first tokenizer's codes, beside --judge")
    parser.add_argument(
        "--smoke", action="store_true", help="models of one narrow layer, two steps, one seed, two items: does it run?"
    )
