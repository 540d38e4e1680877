"""The arguments of `triglot card`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot card`."""
    parser.add_argument("folder", help="of a checkpoint, or of an adapter of `triglot finetune`")
    parser.add_argument(
        "--report", nargs="+", default=[], metavar="NAME=FOLDER", help="reports of `triglot evaluate` of these weights, "
        "each under the name of what was measured",
    )  # fmt: skip
    parser.add_argument(
        "--base-report", nargs="+", default=[], metavar="NAME=FOLDER", help="the same of the checkpoint that training began with; "
        "one under the name of a --report stands beside it",
    )  # fmt: skip
    parser.add_argument(
        "--part", nargs="+", default=[], metavar="NAME=FOLDER", help="another folder or Hub id that a part was taken from since, "
        "e.g. speech_decoder=my_decoder",
    )  # fmt: skip
    parser.add_argument(
        "--license", help="as the Hub writes it, e.g. apache-2.0 (default: that of the card that is there)"
    )
    parser.add_argument("--name", help="of the model (default: the one it has, or the folder's)")
    parser.add_argument("--repo-id", help="owner/name on the Hub, for the snippets")
