"""The `triglot` command: demo | translate | transcribe | speak | caption | draw | voice | init | describe | tokenize | train | finetune |
evaluate | evaluate tokenizer | evaluate decoder | evaluate image-decoder | evaluate alignment | ablate | card | export | export-code |
push.

Every verb answers with exit code 0, or prints one line that says what is wrong and answers 2. Heavy imports happen inside
the verbs, so that `triglot --help` is instant.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from .shipped_code import export_code, shipped_files

__all__ = ["export_code", "main", "parse", "shipped_files"]

DEFAULT_MODEL = "hub_configs/triglot-tiny"
TOKENIZER_REPORT, DECODER_REPORT = "evaluate tokenizer", "evaluate decoder"
IMAGE_DECODER_REPORT = "evaluate image-decoder"
ALIGNMENT_REPORT, TRANSLATION_REPORT = "evaluate alignment", "evaluate translation"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    from .processing.errors import TriglotError

    try:
        arguments.run(arguments)
    except (TriglotError, OSError) as error:
        print(f"triglot {arguments.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"triglot {arguments.verb}: stopped", file=sys.stderr)
        return 130
    return 0


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of one call."""
    words = list(words)
    if " ".join(words[:2]) in (
        TOKENIZER_REPORT,
        DECODER_REPORT,
        IMAGE_DECODER_REPORT,
        ALIGNMENT_REPORT,
        TRANSLATION_REPORT,
    ):  # two words, one verb; a checkpoint of that name is ./tokenizer
        words[:2] = [" ".join(words[:2])]
    return _parser().parse_args(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="triglot", description="Reads and writes text, speech and image tokens.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: Any, help: str, example: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name, help=help, description=help, epilog=f"example:  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        added.set_defaults(run=run)
        return added

    def model(to: argparse.ArgumentParser) -> None:
        to.add_argument("--model", help=f"folder or Hub id of a checkpoint (default: {DEFAULT_MODEL})")
        to.add_argument("--trust-remote-code", action="store_true", help="run the code that lies in the checkpoint")
        to.add_argument("--json", action="store_true", help="print the result as one JSON object")

    demo = verb(
        "demo",
        _demo,
        "translate a spoken sentence and show what came out",
        "triglot demo --from es --to en --out demo.wav",
    )
    model(demo)
    demo.add_argument("--out", default="demo.wav", help="wav to write, with a picture beside it (default: demo.wav)")
    demo.add_argument("--from", dest="source", default="es", help="en, es or hi (default: es)")
    demo.add_argument("--to", dest="target", default="en", help="en, es or hi (default: en)")
    demo.add_argument("--seed", type=int, default=0, help="which held-out sentence and voice (default: 0)")
    demo.add_argument("--known", action="store_true", help="a sentence of the recipe overfit_four instead")

    translate = verb("translate", _translate, "speech in one language -> speech in another",
                     "triglot translate in.wav --from en --to es -o out.wav")  # fmt: skip
    translate.add_argument("audio", help="sound file (wav, flac, ogg, mp3)")
    translate.add_argument("--from", dest="source", help="source language (default: the checkpoint's first)")
    translate.add_argument("--to", dest="target", required=True, help="target language, ISO code or English name")
    translate.add_argument("-o", "--out", required=True, help="wav to write")
    translate.add_argument(
        "--voice", help="sound file, or one of `triglot voice`, whose voice speaks (default: the speaker's own)"
    )
    translate.add_argument("--direct", action="store_true", help="no intermediate texts")
    translate.add_argument(
        "--fast",
        action="store_true",
        help="read the language model's weights as int8 on a CPU: the same words, sooner",
    )
    model(translate)

    transcribe = verb("transcribe", _transcribe, "speech -> its words", "triglot transcribe in.wav --language es")
    transcribe.add_argument("audio", help="sound file")
    transcribe.add_argument("--language", help="ISO code or English name (default: the checkpoint's first)")
    model(transcribe)

    speak = verb("speak", _speak, "words -> speech", 'triglot speak "hola" --language es -o out.wav')
    speak.add_argument("text")
    speak.add_argument("--language", help="ISO code or English name (default: the checkpoint's first)")
    speak.add_argument(
        "--voice", help="sound file, or one of `triglot voice`, whose voice speaks (default: the decoder's own)"
    )
    speak.add_argument("-o", "--out", required=True, help="wav to write")
    model(speak)

    caption = verb(
        "caption", _caption, "pictures -> what they show", "triglot caption in.png photos/*.jpg --language es"
    )
    caption.add_argument(
        "images", nargs="+", help="picture files (png, jpg, webp, gif, bmp, tiff), also with wildcards"
    )
    caption.add_argument("--language", help="ISO code or English name (default: the checkpoint's first)")
    model(caption)

    draw = verb(
        "draw", _draw, "words -> pictures", 'triglot draw "a red star is above a blue square" -o out.png --n 4'
    )
    draw.add_argument("text")
    draw.add_argument("--language", help="ISO code or English name (default: the checkpoint's first)")
    draw.add_argument(
        "-o", "--out", required=True, help="picture to write, .png, .jpg or .webp; of several out-1.png, ..."
    )
    draw.add_argument("--n", type=int, default=1, help="pictures (default: 1)")
    draw.add_argument("--best-of", type=int, help="draw so many and keep the n whose likeliest caption is the text")
    draw.add_argument(
        "--guidance", type=float, help="scale of classifier-free guidance (default: that of the checkpoint)"
    )
    draw.add_argument("--seed", type=int, default=0, help="of the sampling (default: 0)")
    model(draw)

    voice = verb(
        "voice",
        _voice,
        "sound of a speaker -> their voice, kept to be used again",
        "triglot voice me.wav -o me.safetensors",
    )
    voice.add_argument("audio", help="sound file, some seconds of one speaker")
    voice.add_argument(
        "-o", "--out", required=True, help="file to write, .safetensors; for --voice of translate and speak"
    )
    model(voice)

    init = verb("init", _init, "assemble a text LLM, a speech encoder and a codec into a Triglot to train",
                "triglot init --text-llm llama/ --speech-encoder hubert/ --audio speech/ --codec mimi/ --out new/")  # fmt: skip
    from .training.init_arguments import add_arguments as add_init_arguments

    add_init_arguments(init)

    describe = verb("describe", _describe, "sizes, memory and speed of a checkpoint, from its configs alone",
                    "triglot describe hub_configs/triglot-8b")  # fmt: skip
    from .training.describe_arguments import add_arguments as add_describe_arguments

    add_describe_arguments(describe)

    train = verb("train", _train, "run a recipe, going on where it was cut off", "triglot train tiny_smoke")
    train.add_argument("recipe", help="YAML file, or the name of a packaged recipe")
    train.add_argument("--output-dir", help="instead of the recipe's own")
    train.add_argument("--stage", help="stop after this stage")

    tokenize = verb("tokenize", _tokenize, "datasets as they are published -> token rows to train on, once",
                    "triglot tokenize sources.yaml --tokenizer hub_configs/triglot-tiny/speech_tokenizer --out tokens/")  # fmt: skip
    from .training.tokenize_arguments import add_arguments as add_tokenize_arguments

    add_tokenize_arguments(tokenize)

    finetune = verb("finetune", _finetune, "a checkpoint goes on learning from your own data, whole or by an adapter",
                    "triglot finetune hub_configs/triglot-tiny --tokens tokens/ --out mine/")  # fmt: skip
    from .training.finetune_arguments import add_arguments as add_finetune_arguments

    add_finetune_arguments(finetune)

    evaluate = verb("evaluate", _evaluate, "measure a checkpoint on rows of speech and text, with WER and BLEU",
                    "triglot evaluate runs/tiny/checkpoint --rows held_out/ --out report/")  # fmt: skip
    from .training.evaluate_arguments import (
        add_alignment_arguments,
        add_arguments,
        add_decoder_arguments,
        add_image_decoder_arguments,
        add_tokenizer_arguments,
        add_translation_arguments,
    )

    add_arguments(evaluate)
    report = verb(TOKENIZER_REPORT, _evaluate_tokenizer, "compare speech tokenizers: bits, phonemes, speakers, speed",
                  "triglot evaluate tokenizer tiny=hub_configs/triglot-tiny/speech_tokenizer --out card/")  # fmt: skip
    add_tokenizer_arguments(report)
    report = verb(DECODER_REPORT, _evaluate_decoder, "compare speech decoders: words, voices, speed",
                  "triglot evaluate decoder a=soundstorm/ b=audiolm/ --tokenizer units/ --judge judge/ --out card/")  # fmt: skip
    add_decoder_arguments(report)
    report = verb(IMAGE_DECODER_REPORT, _evaluate_image_decoder, "compare image decoders: PSNR, SSIM, FID, what is shown, speed",
                  "triglot evaluate image-decoder a=diffusion/ b=gan/ --tokenizer vqvae/ --classifier classifier/ --out card/")  # fmt: skip
    add_image_decoder_arguments(report)
    report = verb(ALIGNMENT_REPORT, _evaluate_alignment, "whether text, speech and pictures of one thing lie together",
                  "triglot evaluate alignment hub_configs/triglot-tiny --rows held_out/ --out alignment/")  # fmt: skip
    add_alignment_arguments(report)
    report = verb(TRANSLATION_REPORT, _evaluate_translation, "compare ways from speech to speech: words, voice, size, speed",
                  "triglot evaluate translation units=a/ text=b/ --rows held_out/ --judge judge/ --out translation/")  # fmt: skip
    add_translation_arguments(report)

    ablate = verb("ablate", _ablate, "which of AudioPaLM's claims about training hold for small models on these rows",
                  "triglot ablate ctc=units/ mfcc=mfcc/ --rows rows/ --test-rows held_out/ --text-tokenizer text/ --out ablations/")  # fmt: skip
    from .training.ablation_arguments import add_arguments as add_ablation_arguments

    add_ablation_arguments(ablate)

    card = verb("card", _card, "write the model card of a checkpoint from its files and its reports",
                "triglot card mine/checkpoint --report mine=report/ --license apache-2.0")  # fmt: skip
    from .training.card_arguments import add_arguments as add_card_arguments

    add_card_arguments(card)
    plain = verb("export", _export, "a checkpoint as a plain causal LM, for engines that know nothing of Triglot",
                 "triglot export hub_configs/triglot-tiny plain/")  # fmt: skip
    plain.add_argument("checkpoint", help="folder or Hub id of a checkpoint")
    plain.add_argument("out", help="folder to write; an older export there is replaced")
    plain.add_argument("--trust-remote-code", action="store_true", help="run the code that lies in the checkpoint")
    plain.add_argument("--json", action="store_true", help="print the result as one JSON object")

    export = verb("export-code", _export_code, "copy the code that a checkpoint ships into its folder",
                  "triglot export-code hub_configs/triglot-tiny")  # fmt: skip
    export.add_argument("folder")

    push = verb("push", _push, "check a checkpoint and push all of it to the Hub, in one commit",
                "triglot push runs/tiny/checkpoint me/my-triglot --private")  # fmt: skip
    push.add_argument("folder", help="laid out as a Hub repository, with its README.md")
    push.add_argument("repo", help="namespace/name; made where there is none")
    push.add_argument("--card", metavar="FILE", help="another model card than the folder's README.md")
    push.add_argument("--message", help="first line of the commit")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--create-pr", action="store_true", help="open a pull request instead of writing to the branch")
    push.add_argument("--revision", help="branch to write to (default: main)")
    push.add_argument("--check", action="store_true", help="only look whether all is ready; nothing is sent")
    push.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


# ---- verbs


def _demo(arguments: argparse.Namespace) -> None:
    _check_out(arguments.out)
    with _training_packages("the demo"):
        from .demo import FALLBACK_RECIPE, run_demo, train_fallback
    known = arguments.known
    if arguments.model is None and not os.path.isdir(DEFAULT_MODEL):
        print(f"There is no {DEFAULT_MODEL} here: training the recipe {FALLBACK_RECIPE} first (minutes, once).")
        arguments.model, known = train_fallback(), True
    s2st = _pipeline("speech-to-speech-translation", arguments)
    lines = run_demo(s2st, known, arguments.source, arguments.target, arguments.seed, arguments.out)
    _show(arguments, lines, "\n".join(f"{name:<12} {value}" for name, value in lines.items()))


def _translate(arguments: argparse.Namespace) -> None:
    from .processing.audio_io import write_audio

    _check_out(arguments.out)
    result = _pipeline("speech-to-speech-translation", arguments, fast=arguments.fast)(
        arguments.audio, source_language=arguments.source, target_language=arguments.target,
        chain=not arguments.direct, voice_prompt=arguments.voice,
    )  # fmt: skip
    write_audio(arguments.out, result["audio"], result["sampling_rate"], _synthetic(arguments))
    texts = {"source_text": result["source_text"], "text": result["text"], "out": arguments.out}
    _show(arguments, texts, "\n".join(value for value in texts.values() if value))


def _transcribe(arguments: argparse.Namespace) -> None:
    result = _pipeline("speech-recognition", arguments)(arguments.audio, language=arguments.language)
    _show(arguments, result, result["text"])


def _speak(arguments: argparse.Namespace) -> None:
    from .processing.audio_io import write_audio

    _check_out(arguments.out)
    result = _pipeline("voice-text-to-speech", arguments)(
        arguments.text, language=arguments.language, voice_prompt=arguments.voice
    )
    write_audio(arguments.out, result["audio"], result["sampling_rate"], _synthetic(arguments))
    _show(arguments, {"text": arguments.text, "out": arguments.out}, arguments.out)


def _caption(arguments: argparse.Namespace) -> None:
    import glob

    paths = [
        path for name in arguments.images for path in (not os.path.exists(name) and sorted(glob.glob(name))) or [name]
    ]
    caption = _pipeline("task-chain", arguments)
    found = [caption(path, tasks="CAPTION", language=arguments.language)[0]["text"] for path in paths]
    captions = [{"image": path, "text": text} for path, text in zip(paths, found)]
    lines = found if len(found) == 1 else [f"{path}\t{text}" for path, text in zip(paths, found)]
    _show(arguments, {"captions": captions}, "\n".join(lines))


def _draw(arguments: argparse.Namespace) -> None:
    from .processing.image_io import check_picture_name, write_image

    check_picture_name(arguments.out)
    options = {"num_images": arguments.n, "best_of": arguments.best_of, "guidance_scale": arguments.guidance}
    images = _pipeline("text-to-image", arguments)(
        arguments.text, language=arguments.language, seed=arguments.seed,
        **{name: value for name, value in options.items() if value is not None},
    )  # fmt: skip
    stem, ending = os.path.splitext(arguments.out)
    paths = [arguments.out] if len(images) == 1 else [f"{stem}-{i}{ending}" for i in range(1, len(images) + 1)]
    for path, image in zip(paths, images):
        write_image(path, image, _synthetic(arguments))
    _show(arguments, {"text": arguments.text, "out": paths}, "\n".join(paths))


def _voice(arguments: argparse.Namespace) -> None:
    from .processing.errors import TriglotError

    _check_out(arguments.out)
    if not arguments.out.endswith(".safetensors"):
        raise TriglotError(f"--out is {arguments.out!r}; a voice is kept in a file that ends in .safetensors.")
    processor = _pipeline("voice-text-to-speech", arguments).processor
    voice = processor.voice(arguments.audio, name=arguments.audio)
    voice.save(arguments.out)
    _show(arguments, {"kind": voice.kind, "out": arguments.out}, arguments.out)


def _init(arguments: argparse.Namespace) -> None:
    with _training_packages("assembling"):
        from .training.init_checkpoint import run
    try:
        run(arguments)
    except ValueError as error:  # of parts that do not fit; a TriglotError is one too
        from .processing.errors import TriglotError

        raise TriglotError(str(error)) from error


def _describe(arguments: argparse.Namespace) -> None:
    from .training.describe import run

    run(arguments)


def _train(arguments: argparse.Namespace) -> None:
    with _training_packages("training"):
        from .training.run_assembly import run_any
    run_any(arguments.recipe, arguments.output_dir, arguments.stage)


def _tokenize(arguments: argparse.Namespace) -> None:
    with _training_packages("tokenising"):
        from .training.tokenize_sources import run
    run(arguments)


def _finetune(arguments: argparse.Namespace) -> None:
    with _training_packages("training"):
        from .training.finetune import run
    run(arguments)


def _evaluate(arguments: argparse.Namespace) -> None:
    with _training_packages("evaluation"):
        from .training.evaluate import run
    run(arguments)


def _evaluate_tokenizer(arguments: argparse.Namespace) -> None:
    with _training_packages("evaluation"):
        from .training.tokenizer_report import run
    run(arguments)


def _evaluate_decoder(arguments: argparse.Namespace) -> None:
    with _training_packages("evaluation"):
        from .training.decoder_report import run
    run(arguments)


def _evaluate_image_decoder(arguments: argparse.Namespace) -> None:
    with _training_packages("evaluation"):
        from .training.image_decoder_report import run
    run(arguments)


def _ablate(arguments: argparse.Namespace) -> None:
    with _training_packages("the ablations"):
        from .training.ablations import run

        run(arguments)  # the report asks for packages that the models do not need


def _evaluate_alignment(arguments: argparse.Namespace) -> None:
    with _training_packages("evaluation"):
        from .training.alignment_report import run
    run(arguments)


def _card(arguments: argparse.Namespace) -> None:
    with _training_packages("a model card"):
        from .training.model_card import run
    run(arguments)


def _export(arguments: argparse.Namespace) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    from .export import export_checkpoint

    folder = export_checkpoint(
        arguments.checkpoint, arguments.out, trust_remote_code=arguments.trust_remote_code or None
    )
    _show(arguments, {"out": str(folder)}, str(folder))


def _evaluate_translation(arguments: argparse.Namespace) -> None:
    with _training_packages("evaluation"):
        from .training.translation_report import run
    run(arguments)


def _export_code(arguments: argparse.Namespace) -> None:
    for path in export_code(arguments.folder):
        print(path)


def _push(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from .checkpoint_check import check_checkpoint
    from .hub_upload import push_to_hub, read_card

    _no_progress_bars(always=arguments.json or not sys.stderr.isatty())
    if arguments.check:
        files = check_checkpoint(arguments.folder, read_card(arguments.card) if arguments.card else None)
        result = {"ready": True, "files": len(files.names), "bytes": files.size, "left_out": list(files.left_out)}
        _show(arguments, result, f"ready to be pushed: {len(files.names)} files, {files.size / 1e6:.1f} MB")
        return
    commit = push_to_hub(
        arguments.folder, arguments.repo, card=Path(arguments.card) if arguments.card else None,
        commit_message=arguments.message, private=arguments.private or None, create_pr=arguments.create_pr,
        revision=arguments.revision,
    )  # fmt: skip
    urls = {"commit_url": commit.commit_url, "pr_url": commit.pr_url}
    result = {"repo": commit.repo_url.repo_id, "commit": commit.oid, **urls}
    _show(arguments, result, commit.pr_url or commit.commit_url)


# ---- shared


@contextlib.contextmanager
def _training_packages(what: str) -> Iterator[None]:
    """Says which extra to install where an import of the training code fails."""
    try:
        yield
    except ImportError as error:
        from .processing.errors import TriglotError

        raise TriglotError(
            f'{what} needs more packages ({error.name} is missing): pip install "triglot[train]"'
        ) from error


def _pipeline(task: str, arguments: argparse.Namespace, **options: Any) -> Any:
    from transformers import pipeline
    from transformers.utils import logging

    from .processing.errors import TriglotError

    logging.disable_progress_bar()
    model = arguments.model or DEFAULT_MODEL
    if arguments.model is None and not os.path.isdir(model):
        raise TriglotError(f"There is no folder {model!r} here; name a checkpoint with --model.")
    try:
        return pipeline(task, model=model, trust_remote_code=arguments.trust_remote_code or None, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TriglotError(f"The checkpoint {str(model)!r} cannot be loaded: {reason}") from error


def _synthetic(arguments: argparse.Namespace) -> dict[str, str]:
    """What a file that the checkpoint made says about itself."""
    from .provenance import synthetic

    return synthetic(arguments.model or DEFAULT_MODEL)


def _no_progress_bars(always: bool) -> None:
    """Those of loading are noise; those of an upload are wanted, but not in a log."""
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils import logging

    logging.disable_progress_bar()
    if always:
        disable_progress_bars()


def _check_out(path: str) -> None:
    from .processing.user_files import check_folder

    check_folder(path)


def _show(arguments: argparse.Namespace, result: dict[str, Any], text: str) -> None:
    print(json.dumps(result, ensure_ascii=False) if arguments.json else text)
