"""The verbs that hear, say, see and draw: translate | transcribe | speak | caption | draw | voice, and the demo.

Each takes many inputs through one pipeline in batches (`batches.py`). All that is asked of every input alike, languages and a voice,
is looked at before the first one is read. Heavy imports happen inside.
"""

import argparse
import os
from typing import Any

from .batches import (
    PICTURE,
    SOUND,
    TEXT,
    VOICE,
    Input,
    file_inputs,
    run_batches,
    several_files,
    text_inputs,
    write_out,
    write_text,
)
from .command_output import Output
from .training_verbs import training_packages

DEFAULT_MODEL = "hub_configs/triglot-tiny"


def demo(arguments: argparse.Namespace, output: Output) -> None:
    from .processing.user_files import check_folder

    check_folder(arguments.out)
    with training_packages("the demo"):
        from .demo import FALLBACK_RECIPE, run_demo, train_fallback
    known = arguments.known
    if arguments.model is None and not os.path.isdir(DEFAULT_MODEL):
        print(f"There is no {DEFAULT_MODEL} here: training the recipe {FALLBACK_RECIPE} first (minutes, once).")
        arguments.model, known = train_fallback(), True
    s2st = _pipeline("speech-to-speech-translation", arguments)
    lines = run_demo(s2st, known, arguments.source, arguments.target, arguments.seed, arguments.out)
    output.show(lines, "\n".join(f"{name:<12} {value}" for name, value in lines.items()))


def translate(arguments: argparse.Namespace, output: Output) -> int:
    if arguments.text:
        return _translate_texts(arguments, output)
    if arguments.voice and arguments.out is None:
        arguments.usage("--voice is of speech, which is written only with -o.")
    inputs = file_inputs(arguments, output, SOUND)
    spoken = arguments.out is not None
    translator = _pipeline(f"speech-to-{'speech' if spoken else 'text'}-translation", arguments, fast=arguments.fast)
    _check_languages(translator, "S2ST" if spoken else "AST", arguments.source, arguments.target)
    options: dict[str, Any] = {"chain": not arguments.direct}
    if spoken:
        options["voice_prompt"] = _voice(translator, arguments)

    def work(sounds: list[Any]) -> Any:
        return translator(
            sounds,
            source_language=arguments.source,
            target_language=arguments.target,
            batch_size=len(sounds),
            **options,
        )

    def keep(item: Input, result: dict[str, Any]) -> tuple[dict[str, Any], str]:
        told = {"source_text": result["source_text"], "text": result["text"]}
        if spoken:
            _write_speech(item, result, arguments, output)
            told["out"] = item.out
        return told, "\n".join(value for value in told.values() if value and value != "-")

    return run_batches(inputs, work, keep, output, arguments.batch_size)


def _translate_texts(arguments: argparse.Namespace, output: Output) -> int:
    for name in ("out", "voice", "direct"):
        if getattr(arguments, name):
            arguments.usage(f"--text gives texts on standard output; leave --{name} out.")
    texts = text_inputs(arguments, output, TEXT)
    translator = _pipeline("text-translation", arguments, fast=arguments.fast)
    _check_languages(translator, "MT", arguments.source, arguments.target)

    def work(lines: list[str]) -> list[dict[str, Any]]:
        asked = [line for line in lines if line.strip()]  # a line for every line, an empty one for an empty one
        found = iter(
            translator(
                asked,
                source_language=arguments.source,
                target_language=arguments.target,
                batch_size=max(1, len(asked)),
            )
        )
        return [next(found) if line.strip() else {"text": ""} for line in lines]

    return run_batches(
        texts, work, lambda item, result: (result, result["text"]), output, arguments.batch_size, named=False
    )


def transcribe(arguments: argparse.Namespace, output: Output) -> int:
    inputs = file_inputs(arguments, output, TEXT)
    asr = _pipeline("speech-recognition", arguments)
    _check_languages(asr, "ASR", arguments.language)

    def work(sounds: list[Any]) -> Any:
        return asr(sounds, language=arguments.language, batch_size=len(sounds))

    return run_batches(
        inputs, work, lambda item, result: _kept_text(item, result["text"], output), output, arguments.batch_size
    )


def speak(arguments: argparse.Namespace, output: Output) -> int:
    texts = text_inputs(arguments, output, SOUND)
    tts = _pipeline("voice-text-to-speech", arguments)
    _check_languages(tts, "TTS", arguments.language)
    voice = _voice(tts, arguments)

    def work(lines: list[str]) -> Any:
        return tts(lines, language=arguments.language, voice_prompt=voice, batch_size=len(lines))

    def keep(item: Input, result: dict[str, Any]) -> tuple[dict[str, Any], str]:
        _write_speech(item, result, arguments, output)
        return {"out": item.out}, str(item.out)

    return run_batches(texts, work, keep, output, arguments.batch_size, named=False)


def caption(arguments: argparse.Namespace, output: Output) -> int:
    inputs = file_inputs(arguments, output, TEXT)
    see = _pipeline("task-chain", arguments)
    _check_languages(see, "CAPTION", arguments.language)

    def work(pictures: list[Any]) -> list[str]:
        found = see(pictures, tasks="CAPTION", language=arguments.language, batch_size=len(pictures))
        return [steps[0]["text"] for steps in found]

    return run_batches(inputs, work, lambda item, text: _kept_text(item, text, output), output, arguments.batch_size)


def draw(arguments: argparse.Namespace, output: Output) -> int:
    from .processing.image_io import write_image

    texts = text_inputs(arguments, output, PICTURE, arguments.n)
    drawer = _pipeline("text-to-image", arguments)
    _check_languages(drawer, "T2I", arguments.language)
    options = {"num_images": arguments.n, "best_of": arguments.best_of, "guidance_scale": arguments.guidance}
    given = {name: value for name, value in options.items() if value is not None}

    def work(lines: list[str]) -> Any:
        return drawer(lines, language=arguments.language, seed=arguments.seed, batch_size=len(lines), **given)

    def keep(item: Input, images: list[Any]) -> tuple[dict[str, Any], str]:
        paths = several_files(str(item.out), len(images))
        for path, image in zip(paths, images):
            write_out(path, lambda file: write_image(file, image, _synthetic(arguments)), output, PICTURE[0])  # noqa: B023
        return {"out": paths}, "\n".join(paths)

    return run_batches(texts, work, keep, output, arguments.batch_size, named=False)


def voice(arguments: argparse.Namespace, output: Output) -> int:
    inputs = file_inputs(arguments, output, VOICE)
    processor = _pipeline("voice-text-to-speech", arguments).processor

    def work(sounds: list[Any]) -> list[Any]:
        return [processor.voice(sound, name=sound if isinstance(sound, str) else "standard input") for sound in sounds]

    def keep(item: Input, found: Any) -> tuple[dict[str, Any], str]:
        write_out(item.out, found.save, output, VOICE[0])
        return {"kind": found.kind, "out": item.out}, str(item.out)

    return run_batches(inputs, work, keep, output, arguments.batch_size)


# ---- shared


def _pipeline(task: str, arguments: argparse.Namespace, **options: Any) -> Any:
    from transformers import pipeline
    from transformers.utils import logging

    from .checkpoint_check import check_weights
    from .processing.errors import TriglotError

    logging.disable_progress_bar()
    model = arguments.model or DEFAULT_MODEL
    if arguments.model is None and not os.path.isdir(model):
        raise TriglotError(f"There is no folder {model!r} here; name a checkpoint with --model.")
    check_weights(model)
    try:
        return pipeline(task, model=model, trust_remote_code=arguments.trust_remote_code, **options)
    except (OSError, ValueError) as error:
        from .training.load_parts import RUN_ITS_CODE, load_reason

        reason = load_reason(error, RUN_ITS_CODE)
        raise TriglotError(f"The checkpoint {str(model)!r} cannot be loaded: {reason}") from error


def _check_languages(pipe: Any, task: str, source: str | None, target: str | None = None) -> None:
    """Languages that the checkpoint does not know are refused once, before any input is read."""
    from .processing.task_formats import parse_chain

    pipe.processor.language_pair(parse_chain(task), source, target)


def _voice(pipe: Any, arguments: argparse.Namespace) -> Any:
    """The voice that all are spoken in, computed once; None for the pipeline's own choice."""
    return None if arguments.voice is None else pipe.processor.voice(arguments.voice, name="--voice")


def _write_speech(item: Input, result: dict[str, Any], arguments: argparse.Namespace, output: Output) -> None:
    from .processing.audio_io import write_audio

    def write(path: str) -> None:
        write_audio(path, result["audio"], result["sampling_rate"], _synthetic(arguments))

    write_out(item.out, write, output, SOUND[0])


def _kept_text(item: Input, text: str, output: Output) -> tuple[dict[str, Any], str]:
    """A text, printed, or written to the input's file."""
    write_out(item.out, lambda path: write_text(path, text), output, TEXT[0])
    return ({"text": text}, text) if item.out is None else ({"text": text, "out": item.out}, str(item.out))


def _synthetic(arguments: argparse.Namespace) -> dict[str, str]:
    """What a file that the checkpoint made says about itself."""
    from .provenance import synthetic

    return synthetic(arguments.model or DEFAULT_MODEL)
