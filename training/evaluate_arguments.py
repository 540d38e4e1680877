"""The arguments of `triglot evaluate`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse
import shlex

# keys of EVALUATION_TASKS
PICTURE_TASKS = ("CAPTION", "T2I", "speech to image", "image to speech")
TASK_NAMES = ("ASR", "AST", "AST direct", "MT", "S2ST", "S2ST direct", "TTS", *PICTURE_TASKS)
DEFAULT_TASKS = ("ASR", "AST", "MT", "S2ST", "S2ST direct", "TTS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot evaluate`."""
    parser.add_argument("checkpoint", help="folder or Hub id of a checkpoint")
    parser.add_argument(
        "--rows",
        required=True,
        help="folder of datasets' save_to_disk, a parquet file, or a YAML file of sources as for `triglot tokenize`",
    )
    parser.add_argument("--out", required=True, help="folder for results.json, report.md, items.jsonl and audio/")
    parser.add_argument("--judge", help="recogniser that reads the spoken output: a folder that train_judge made, any Hugging "
                        "Face CTC model, or a Triglot checkpoint (default: none, speech is not read)")  # fmt: skip
    parser.add_argument(
        "--speaker-model",
        help="compares voices: a folder of train_speaker_encoder, or an x-vector model (default: none)",
    )
    parser.add_argument(
        "--tasks",
        help=f"comma between, of {', '.join(TASK_NAMES)} (default: {','.join(DEFAULT_TASKS)}, and those with pictures where the "
        "checkpoint has an image tokenizer and the rows have pictures)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, help="most items of each task and direction (default: all)")
    parser.add_argument("--batch-size", type=int, default=8, help="items at a time (default: 8)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choice under --limit and of the intervals (default: 0)"
    )
    parser.add_argument(
        "--keep-audio", type=int, default=20, help="wavs and pictures to keep of each task (default: 20)"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        help="scale of classifier-free guidance of what is drawn (default: that of the checkpoint)",
    )
    parser.add_argument("--device", help="cpu, cuda ... (default: a GPU where there is one)")


def command_line(arguments: argparse.Namespace) -> str:
    """The command whose arguments these are, those left out that are as they are by default."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    known = vars(parser.parse_args([arguments.checkpoint, "--rows", arguments.rows, "--out", arguments.out]))
    words = ["triglot", "evaluate", arguments.checkpoint]
    for name in known:
        value = getattr(arguments, name)
        if name != "checkpoint" and value != parser.get_default(name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def add_tokenizer_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot evaluate tokenizer`."""
    parser.add_argument(
        "tokenizers",
        nargs="+",
        metavar="NAME=FOLDER",
        help="speech tokenizers, or image tokenizers, each under a name",
    )
    parser.add_argument("--out", required=True, help="folder for results.json, report.md and report.png")
    parser.add_argument(
        "--rows", help="images: rows with a column `image`, as for training (default: held-out scenes)"
    )
    parser.add_argument("--split", default="test", help="images: of these rows (default: test)")
    parser.add_argument("--pictures", type=int, default=300, help="images: how many (default: 300)")
    parser.add_argument(
        "--side", type=int, help="images: pixels of the scenes (default: those of the largest tokenizer's pictures)"
    )
    parser.add_argument(
        "--captioner", help="images: checkpoint that describes what each tokenizer draws of the scenes (default: none)"
    )
    parser.add_argument("--sentences", type=int, default=20, help="held-out sentences in each language (default: 20)")
    parser.add_argument(
        "--voices", type=int, default=4, help="voices of training, and as many that none heard (default: 4)"
    )
    parser.add_argument("--decoder", action="append", metavar="NAME=FOLDER",
                        help="speech decoder for the codes of the tokenizer NAME; may be given several times")  # fmt: skip
    parser.add_argument("--judge", help="recogniser that reads what decoders speak, as for `triglot evaluate`")
    parser.add_argument("--seed", type=int, default=0, help="of sentences, voices and triples, or scenes (default: 0)")


def add_decoder_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot evaluate decoder`."""
    parser.add_argument("decoders", nargs="+", metavar="NAME=FOLDER", help="speech decoders, each under a name")
    parser.add_argument("--tokenizer", required=True, help="folder of the speech tokenizer whose codes they speak")
    parser.add_argument(
        "--judge", required=True, help="recogniser that reads what they speak, as for `triglot evaluate`"
    )
    parser.add_argument("--speaker-model", help="compares voices: a folder of train_speaker_encoder, or any Hugging Face "
                        "x-vector model (default: none, voices are left out)")  # fmt: skip
    parser.add_argument(
        "--checkpoint", help="translates speech through each decoder, to see whether the voice survives"
    )
    parser.add_argument("--out", required=True, help="folder for results.json, report.md and report.png")
    parser.add_argument(
        "--steps", default="", help="numbers of steps at which decoders by diffusion are measured and plotted, e.g. \"2 4 8 16 50\" "
        "(default: their own)",
    )  # fmt: skip
    parser.add_argument(
        "--sentences", type=int, default=6, help="held-out sentences of each of ten voices (default: 6)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of sentences, rates and pitches (default: 0)")


def add_image_decoder_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot evaluate image-decoder`."""
    parser.add_argument(
        "decoders",
        nargs="*",
        metavar="NAME=FOLDER",
        help="image decoders, each under a name (default: the tokenizer alone)",
    )
    parser.add_argument("--tokenizer", required=True, help="folder of the image tokenizer whose codes they draw")
    parser.add_argument(
        "--classifier",
        help="of scenes, whose features FID is measured by: a folder of train_scene_classifier (default: none, no FID)",
    )
    parser.add_argument("--out", required=True, help="folder for results.json, report.md, report.png and pictures.png")
    parser.add_argument("--rows", help="rows with a column `image`, as for training (default: held-out scenes)")
    parser.add_argument("--split", default="test", help="of these rows (default: test)")
    parser.add_argument("--pictures", type=int, default=300, help="how many (default: 300)")
    parser.add_argument(
        "--guidance", default="", help="scales of guidance at which decoders by diffusion are measured, e.g. \"1 1.5 2\" "
        "(default: their own)",
    )  # fmt: skip
    parser.add_argument(
        "--side",
        type=int,
        help="pixels of what the tokenizer is shown, squares (default: the pictures that it takes apart)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the scenes (default: 0)")


def add_alignment_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot evaluate alignment`."""
    parser.add_argument("checkpoint", help="folder or Hub id of a checkpoint")
    parser.add_argument("--rows", required=True, help="folder of datasets' save_to_disk, or a parquet file")
    parser.add_argument("--out", required=True, help="folder for results.json, report.md and report.png")
    parser.add_argument("--pairs", type=int, default=300, help="most items to find one another among (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the untrained model beside it (default: 0)")
    parser.add_argument("--device", help="cpu, cuda ... (default: a GPU where there is one)")


def add_translation_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot evaluate translation`."""
    parser.add_argument(
        "checkpoints", nargs="+", metavar="NAME=FOLDER", help="checkpoints that translate speech, each under a name"
    )
    parser.add_argument("--rows", required=True, help="folder of datasets' save_to_disk, or a parquet file")
    parser.add_argument(
        "--judge", required=True, help="recogniser that reads what they speak, as for `triglot evaluate`"
    )
    parser.add_argument(
        "--speaker-model", help="compares voices, as for `triglot evaluate` (default: none, voices are left out)"
    )
    parser.add_argument(
        "--out", required=True, help="folder for results.json, report.md, report.png and a folder for each checkpoint"
    )
    parser.add_argument("--limit", type=int, help="most items of each direction (default: all)")
    parser.add_argument("--timed", type=int, default=10, help="items that are timed, one by one (default: 10)")
    parser.add_argument("--batch-size", type=int, default=8, help="items at a time (default: 8)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choice under --limit and of the intervals (default: 0)"
    )
    parser.add_argument("--device", help="cpu, cuda ... (default: a GPU where there is one)")
