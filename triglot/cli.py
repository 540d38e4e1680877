"""The `triglot` command: demo | translate | transcribe | speak | caption | draw | voice | init | describe | tokenize | train | finetune |
evaluate | evaluate tokenizer | evaluate decoder | evaluate image-decoder | evaluate alignment | evaluate translation | ablate | card | export |
export-code | push.

Here are its words; what they do is in `media_verbs` and `training_verbs`, what is said and the exit codes in `command_output`.
Heavy imports happen inside the verbs, so that `triglot --help` is instant.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from . import media_verbs, training_verbs
from .batches import add_batch_arguments, at_least_one
from .command_output import DEBUG, Output, ended
from .hub_network import offline_without_network
from .media_verbs import DEFAULT_MODEL
from .shipped_code import export_code, shipped_files
from .version import __version__

__all__ = ["export_code", "main", "parse", "shipped_files"]

# `triglot evaluate NAME`, by training/NAME_report.py
REPORTS = ("tokenizer", "decoder", "image-decoder", "alignment", "translation")
EPILOG = f"""examples:
  triglot transcribe in.wav --language es
  triglot translate "calls/**/*.wav" --from es --to en -o english/
  echo "a small blue triangle" | triglot speak - --language en -o - > say.wav
  triglot VERB --help

exit codes: 0 done, 1 an error, 2 wrong usage, 3 some of several inputs failed, 130 stopped by Ctrl-C, 141 nobody reads the
output. {DEBUG}=1 shows where an error comes from. More: docs/command_line.md"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code. Wrong usage ends in SystemExit, as argparse has it."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    output = Output(arguments)

    def work() -> int | None:
        with output.alone():
            offline_without_network(arguments, output.warn)
            return arguments.run(arguments, output)

    return ended(work, output.warn)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of one call."""
    words = list(words)
    if (
        words[:1] == ["evaluate"] and words[1:2] and words[1] in REPORTS
    ):  # one verb; a checkpoint of that name is ./tokenizer
        words[:2] = [" ".join(words[:2])]
    return _parser().parse_args(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="triglot", description="Reads and writes text, speech and image tokens.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"triglot {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(
        name: str, run: Callable[[argparse.Namespace, Output], int | None], help: str, *examples: str
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name, help=help, description=help, epilog="\n  ".join(["examples:", *examples]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        added.set_defaults(run=run, usage=added.error)
        added.add_argument("--json", action="store_true", help="print the result as JSON, a line for each input")
        added.add_argument("-q", "--quiet", action="store_true", help="no progress bars")
        return added

    def model(to: argparse.ArgumentParser) -> None:
        to.add_argument("--model", help=f"folder or Hub id of a checkpoint (default: {DEFAULT_MODEL})")
        to.add_argument("--trust-remote-code", action="store_true", help="run the code that lies in the checkpoint")

    def language(to: argparse.ArgumentParser) -> None:
        to.add_argument("--language", help="ISO code or English name (default: the checkpoint's first)")

    demo = verb("demo", media_verbs.demo, "translate a spoken sentence and show what came out",
                "triglot demo --from es --to en --out demo.wav")  # fmt: skip
    model(demo)
    demo.add_argument("--out", default="demo.wav", help="wav to write, with a picture beside it (default: demo.wav)")
    demo.add_argument("--from", dest="source", default="es", help="en, es or hi (default: es)")
    demo.add_argument("--to", dest="target", default="en", help="en, es or hi (default: en)")
    demo.add_argument("--seed", type=int, default=0, help="which held-out sentence and voice (default: 0)")
    demo.add_argument("--known", action="store_true", help="a sentence of the recipe overfit_four instead")

    sounds = "sound files (wav, flac, ogg, mp3), wildcards in quotes, or - for one on standard input"
    texts = "texts, or - for the lines of standard input"
    wav = "wav to write, a folder of them, or - for standard output"
    txt = "text file to write, or a folder of them (default: printed)"
    voice_help = "sound file, or one of `triglot voice`, whose voice speaks"

    translate = verb("translate", media_verbs.translate, "speech in one language -> speech or words in another",
                     "triglot translate in.wav --from en --to es -o out.wav",
                     'triglot translate "calls/**/*.wav" --from en --to es -o spanish/ --json',
                     "triglot translate - --from en --to es -o - < in.wav > out.wav",
                     'triglot translate --text "a red circle" --from en --to es')  # fmt: skip
    translate.add_argument("inputs", nargs="+", metavar="INPUT", help=f"{sounds}; with --text {texts}")
    translate.add_argument("--from", dest="source", help="source language (default: the checkpoint's first)")
    translate.add_argument("--to", dest="target", required=True, help="target language, ISO code or English name")
    translate.add_argument("-o", "--out", help=f"{wav} (default: only the words, printed)")
    translate.add_argument("--text", action="store_true", help="the inputs are texts; theirs are printed, a line each")
    translate.add_argument("--voice", help=f"{voice_help} (default: the speaker's own)")
    translate.add_argument("--direct", action="store_true", help="no intermediate texts")
    translate.add_argument(
        "--fast",
        action="store_true",
        help="read the language model's weights as int8 on a CPU: the same words, sooner",
    )
    add_batch_arguments(translate)
    model(translate)

    transcribe = verb("transcribe", media_verbs.transcribe, "speech -> its words",
                      "triglot transcribe in.wav --language es",
                      'triglot transcribe "calls/**/*.wav" --language es -o transcripts/',
                      "triglot transcribe - --language es --json < in.wav")  # fmt: skip
    transcribe.add_argument("inputs", nargs="+", metavar="INPUT", help=sounds)
    language(transcribe)
    transcribe.add_argument("-o", "--out", help=txt)
    add_batch_arguments(transcribe)
    model(transcribe)

    speak = verb("speak", media_verbs.speak, "words -> speech",
                 'triglot speak "un triángulo azul" --language es -o out.wav',
                 "triglot speak - --language es -o spoken/ < sentences.txt")  # fmt: skip
    speak.add_argument("inputs", nargs="+", metavar="TEXT", help=texts)
    language(speak)
    speak.add_argument("--voice", help=f"{voice_help} (default: the decoder's own)")
    speak.add_argument("-o", "--out", required=True, help=f"{wav}; files in a folder are called 0001.wav, ...")
    add_batch_arguments(speak)
    model(speak)

    caption = verb("caption", media_verbs.caption, "pictures -> what they show",
                   "triglot caption in.png --language es --model my_model",
                   'triglot caption "photos/*.jpg" --language es --model my_model --json')  # fmt: skip
    caption.add_argument(
        "inputs", nargs="+", metavar="PICTURE",
        help="picture files (png, jpg, webp, gif, bmp, tiff), wildcards in quotes, or - for one on standard input",
    )  # fmt: skip
    language(caption)
    caption.add_argument("-o", "--out", help=txt)
    add_batch_arguments(caption)
    model(caption)

    draw = verb("draw", media_verbs.draw, "words -> pictures",
                'triglot draw "a red star is above a blue square" -o out.png --n 4 --model my_model',
                "triglot draw - -o drawn/ --model my_model < sentences.txt")  # fmt: skip
    draw.add_argument("inputs", nargs="+", metavar="TEXT", help=texts)
    language(draw)
    draw.add_argument(
        "-o", "--out", required=True, help="picture to write, .png, .jpg or .webp, of several out-1.png, ...; a folder of them; - for "
        "standard output",
    )  # fmt: skip
    draw.add_argument("--n", type=at_least_one, default=1, help="pictures of each text (default: 1)")
    draw.add_argument("--best-of", type=int, help="draw so many and keep the n whose likeliest caption is the text")
    draw.add_argument(
        "--guidance", type=float, help="scale of classifier-free guidance (default: that of the checkpoint)"
    )
    draw.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the sampling of each batch: another --batch-size, other pictures (default: 0)",
    )
    add_batch_arguments(draw, batch_size=1)
    model(draw)

    voice = verb("voice", media_verbs.voice, "sound of a speaker -> their voice, kept to be used again",
                 "triglot voice me.wav -o me.safetensors",
                 'triglot voice "speakers/*.wav" -o voices/')  # fmt: skip
    voice.add_argument("inputs", nargs="+", metavar="INPUT", help=f"{sounds}; some seconds of one speaker each")
    voice.add_argument(
        "-o", "--out", required=True, help=".safetensors to write, for --voice of translate and speak; a folder of them, or - for "
        "standard output",
    )  # fmt: skip
    add_batch_arguments(voice, batch_size=1)
    model(voice)

    init = verb("init", training_verbs.init, "assemble a text LLM, a speech encoder and a codec into a Triglot to train",
                "triglot init --text-llm Qwen/Qwen3-0.6B --codec kyutai/mimi --out new/ --plan-only",
                "triglot init --text-llm llama/ --speech-encoder hubert/ --audio speech/ --codec mimi/ --out new/")  # fmt: skip
    from .training.init_arguments import add_arguments as add_init_arguments

    add_init_arguments(init)

    describe = verb("describe", training_verbs.describe, "sizes, memory and speed of a checkpoint, from its configs alone",
                    "triglot describe hub_configs/triglot-8b")  # fmt: skip
    from .training.describe_arguments import add_arguments as add_describe_arguments

    add_describe_arguments(describe)

    train = verb(
        "train", training_verbs.train, "run a recipe, going on where it was cut off", "triglot train tiny_smoke"
    )
    train.add_argument("recipe", help="YAML file, or the name of a packaged recipe")
    train.add_argument("--output-dir", help="instead of the recipe's own")
    train.add_argument("--stage", help="stop after this stage")

    tokenize = verb("tokenize", training_verbs.tokenize, "datasets as they are published -> token rows to train on, once",
                    "triglot tokenize docs/add_a_language/sources.yaml --tokenizer hub_configs/triglot-tiny/speech_tokenizer --out tokens/")  # fmt: skip
    from .training.tokenize_arguments import add_arguments as add_tokenize_arguments

    add_tokenize_arguments(tokenize)

    finetune = verb("finetune", training_verbs.finetune, "a checkpoint goes on learning from your own data, whole or by an adapter",
                    "triglot finetune hub_configs/triglot-tiny --tokens tokens/ --out mine/")  # fmt: skip
    from .training.finetune_arguments import add_arguments as add_finetune_arguments

    add_finetune_arguments(finetune)

    evaluate = verb("evaluate", training_verbs.report("evaluate"), "measure a checkpoint on rows of speech and text, with WER and BLEU",
                    "triglot train tiny_test_seen --stage data",
                    "triglot evaluate hub_configs/triglot-tiny --rows runs/tiny_test_seen/data/rows --out report/")  # fmt: skip
    from .training.evaluate_arguments import (
        add_alignment_arguments,
        add_arguments,
        add_decoder_arguments,
        add_image_decoder_arguments,
        add_tokenizer_arguments,
        add_translation_arguments,
    )

    add_arguments(evaluate)
    reports = {
        "tokenizer": (
            add_tokenizer_arguments, "compare speech tokenizers: bits, phonemes, speakers, speed",
            "tiny=hub_configs/triglot-tiny/speech_tokenizer --out card/",
        ),
        "decoder": (
            add_decoder_arguments, "compare speech decoders: words, voices, speed",
            "tiny=hub_configs/triglot-tiny/speech_decoder --tokenizer hub_configs/triglot-tiny/speech_tokenizer --judge tests/data/judge "
            "--out card/",
        ),
        "image-decoder": (
            add_image_decoder_arguments, "compare image decoders: PSNR, SSIM, FID, what is shown, speed",
            "diffusion=my_decoder gan=my_gan --tokenizer my_tokenizer --classifier tests/data/scene_classifier --out card/",
        ),
        "alignment": (
            add_alignment_arguments, "whether text, speech and pictures of one thing lie together",
            "hub_configs/triglot-tiny --rows runs/tiny_test_seen/data/rows --out alignment/",
        ),
        "translation": (
            add_translation_arguments, "compare ways from speech to speech: words, voice, size, speed",
            "tiny=hub_configs/triglot-tiny --rows runs/tiny_test_seen/data/rows --judge tests/data/judge --out translation/",
        ),
    }  # fmt: skip
    for name in REPORTS:
        add_report_arguments, what, words = reports[name]
        run = training_verbs.report(f"{name.replace('-', '_')}_report")
        add_report_arguments(verb(f"evaluate {name}", run, what, f"triglot evaluate {name} {words}"))

    ablate = verb("ablate", training_verbs.ablate, "which of AudioPaLM's claims about training hold for small models on these rows",
                  "triglot ablate ctc=units/ mfcc=mfcc/ --rows rows/ --test-rows held_out/ --text-tokenizer text/ --out ablations/")  # fmt: skip
    from .training.ablation_arguments import add_arguments as add_ablation_arguments

    add_ablation_arguments(ablate)

    card = verb("card", training_verbs.card, "write the model card of a checkpoint from its files and its reports",
                "triglot card mine/checkpoint --report held_out=report/ --license apache-2.0")  # fmt: skip
    from .training.card_arguments import add_arguments as add_card_arguments

    add_card_arguments(card)
    plain = verb("export", training_verbs.export, "a checkpoint as a plain causal LM, for engines that know nothing of Triglot",
                 "triglot export hub_configs/triglot-tiny plain/")  # fmt: skip
    plain.add_argument("checkpoint", help="folder or Hub id of a checkpoint")
    plain.add_argument("out", help="folder to write; an older export there is replaced")
    plain.add_argument("--trust-remote-code", action="store_true", help="run the code that lies in the checkpoint")

    export = verb("export-code", training_verbs.export_code, "copy the code that a checkpoint ships into its folder",
                  "triglot export-code hub_configs/triglot-tiny")  # fmt: skip
    export.add_argument("folder")

    push = verb("push", training_verbs.push, "check a checkpoint and push all of it to the Hub, in one commit",
                "triglot push runs/tiny/checkpoint me/my-triglot --private")  # fmt: skip
    push.add_argument("folder", help="laid out as a Hub repository, with its README.md")
    push.add_argument("repo", help="namespace/name; made where there is none")
    push.add_argument("--card", metavar="FILE", help="another model card than the folder's README.md")
    push.add_argument("--message", help="first line of the commit")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--create-pr", action="store_true", help="open a pull request instead of writing to the branch")
    push.add_argument("--revision", help="branch to write to (default: main)")
    push.add_argument(
        "--own-code", action="store_true", help="code that is not Triglot's may go along; you answer for it"
    )
    push.add_argument("--check", action="store_true", help="only look whether all is ready; nothing is sent")
    return parser
