"""The arguments of `triglot describe`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot describe`; those of the accelerator are fields of `Accelerator`."""
    parser.add_argument(
        "checkpoints", nargs="+", metavar="DIR", help="folder or Hub id of a checkpoint, also without weights"
    )
    gpu = parser.add_argument_group("the GPU that speeds are told for")
    gpu.add_argument("--gpu", dest="name", default="H100", help="its name (default: H100)")
    gpu.add_argument("--peak", type=float, default=989.0, help="TFLOP/s in bfloat16, dense (default: 989)")
    gpu.add_argument("--bandwidth", type=float, default=3.35, help="TB/s of its memory (default: 3.35)")
    gpu.add_argument(
        "--utilisation",
        type=float,
        default=0.4,
        help="share of the peak that is reached, an assumption (default: 0.4)",
    )
    gpu.add_argument(
        "--bandwidth-share", type=float, default=0.6, help="share of the bandwidth that is reached (default: 0.6)"
    )
