"""The language model in fewer bits and compiled: tokens/s, real-time factor, seconds to the first sound, MB, and what it costs in words.

    python benchmarks/quantised_speed.py [--model hub_configs/triglot-tiny] [--sentences 30] [--rounds 3] [--ways NAME ...]

Each way translates the same held-out sentences by voices that no training heard, speech to speech with all texts between, one at
a time. All in one process, sentence by sentence in turn; the best of the rounds counts for time, the last for words. With
torchao (`pip install torchao`) the ways that need it are there as well. `--cpu-time` counts the processor's seconds
instead of the clock's, for machines that others share; with one thread (`OMP_NUM_THREADS=1`) both are the same on an idle one.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from transformers import CompileConfig, pipeline
from transformers.utils import logging

import triglot  # noqa: F401  (registers the pipelines)
from triglot import TriglotForConditionalGeneration
from triglot.modeling.language_model import generation_triglot
from triglot.modeling.language_model.fused_decoding import FusedWeights
from triglot.processing.audio_io import load_audio, resample
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.data.load_rows import load_rows
from triglot.training.evaluate_models import JUDGE_RATE, load_judge
from triglot.training.metrics import Bleu, WordErrorRate, bootstrap_interval

PAIRS = (("en", "es"), ("es", "hi"), ("hi", "en"))


@dataclass
class Way:
    """How the language model is kept and run, and what was measured."""

    model: Any
    fused: bool = False
    options: dict[str, Any] = field(default_factory=dict)  # of `generate`
    first: float = 0.0  # s of the first call, compiling included
    seconds: dict[int, float] = field(default_factory=dict)  # {sentence: best whole call}
    generating: dict[int, tuple[float, int]] = field(
        default_factory=dict
    )  # {sentence: (best s in `generate`, new ids)}
    said: dict[int, tuple[str, str, str]] = field(default_factory=dict)  # {sentence: (transcript, translation, heard)}


def torchao_config(name: str) -> Any:
    """int8 weights alone, or inputs as well, rounded as they come."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig

    return Int8WeightOnlyConfig() if name == "weights" else Int8DynamicActivationInt8WeightConfig()


def ways(checkpoint: str, wanted: list[str] | None) -> dict[str, Way]:
    """{name: way}, the plain float32 one first."""

    def load(dtype: torch.dtype) -> Any:
        return TriglotForConditionalGeneration.from_pretrained(checkpoint, dtype=dtype).eval()

    def quantised(name: str) -> Any:
        from torchao.quantization import quantize_

        model = load(torch.bfloat16)
        quantize_(model.language_model, torchao_config(name))
        return model

    def sped_up(int8: bool) -> Any:
        model = load(torch.bfloat16)
        model.speed_up(int8)
        return model

    settings = CompileConfig(mode="default", fullgraph=False)
    settings._compile_all_devices = True  # on a CPU transformers compiles when told so
    static = {"cache_implementation": "static", "compile_config": settings}
    makers: dict[str, Callable[[], Way]] = {
        "float32": lambda: Way(load(torch.float32)),
        "bfloat16": lambda: Way(load(torch.bfloat16)),
        "float32, compiled, static cache": lambda: Way(load(torch.float32), options=static),
        "bfloat16, compiled, static cache": lambda: Way(load(torch.bfloat16), options=static),
        "fused loop (default)": lambda: Way(load(torch.bfloat16), fused=True),
        "fused loop, weights kept": lambda: Way(sped_up(False), fused=True),
        "fused loop, int8 weights (--fast)": lambda: Way(sped_up(True), fused=True),
    }
    if importlib.util.find_spec("torchao"):
        makers |= {
            "int8 weights (torchao)": lambda: Way(quantised("weights")),
            "int8 dynamic (torchao)": lambda: Way(quantised("dynamic")),
            "int8 weights (torchao), compiled, static cache": lambda: Way(quantised("weights"), options=static),
        }
    unknown = sorted(set(wanted or ()) - set(makers))
    if unknown:
        raise SystemExit(f"--ways names {unknown}; there are {sorted(makers)}.")
    return {name: make() for name, make in makers.items() if not wanted or name in wanted}


def megabytes(way: Way) -> float:
    """Of the language model's weights in memory while it generates, each piece of memory counted once."""
    tensors: list[Any] = list(way.model.parameters())
    if way.fused:
        kept = way.model.fused_weights() or FusedWeights(way.model.language_model)
        tensors += [*(part for layer in kept.layers for part in layer), kept.embedding, kept.head]
        light = [*(part for layer in kept.light_layers or () for part in layer), kept.light_head]
        tensors += [tensor for part in light if hasattr(part, "codes") for tensor in (part.codes, part.scale)]
    sizes: dict[int, int] = {}
    for tensor in tensors:
        if tensor is not None:
            _add_bytes(tensor, sizes)
    return sum(sizes.values()) / 1e6


def _add_bytes(tensor: torch.Tensor, sizes: dict[int, int]) -> None:
    """{address: bytes}, also of a tensor that is made of others, as torchao's."""
    if type(tensor.data) is not torch.Tensor:
        for name in tensor.__tensor_flatten__()[0]:  # type: ignore[attr-defined]
            _add_bytes(getattr(tensor, name), sizes)
    else:
        sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()


def questions(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of speech with their words in two languages, the directions in turn."""
    if arguments.rows:
        rows = load_rows(arguments.rows)
    else:
        rows = demo_world(
            DemoWorldArguments(
                sentences=-(-arguments.sentences // len(PAIRS)), phrases=True, languages="en es hi", held_out=True, speakers="",
                voices="held_out", directions="ring",
            ),
            seed=1,
        )  # fmt: skip
    pairs = list(zip(rows["source_language"], rows["target_language"]))
    kinds = list(dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]))
    columns = [[place for place, pair in enumerate(pairs) if pair == kind] for kind in kinds]
    chosen = [place for turn in zip(*columns) for place in turn]
    step = max(1, len(chosen) // arguments.sentences // len(kinds)) * len(kinds)
    picked = [chosen[start + offset] for start in range(0, len(chosen), step) for offset in range(len(kinds))]
    return [dict(rows[place]) for place in picked if place < len(rows)][: arguments.sentences]


def measure(arguments: argparse.Namespace, rows: list[dict[str, Any]], all_ways: dict[str, Way]) -> float:
    """Asks everything; fills the ways in and returns the seconds of speech that went in."""
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    s2st = pipeline("speech-to-speech-translation", model=arguments.model)
    judge = load_judge(arguments.judge)
    waves = [load_audio(row["audio"], target_rate=s2st.processor.sampling_rate) for row in rows]
    generate, spent = TriglotForConditionalGeneration.generate, {}

    def timed(model: Any, *args: Any, **kwargs: Any) -> Any:
        start = clock()
        ids = generate(model, *args, **kwargs)
        spent["generate"] = clock() - start, ids.shape[1] - kwargs["input_ids"].shape[1]
        return ids

    def ask(way: Way, number: int) -> tuple[float, dict[str, Any]]:
        s2st.model, row = way.model, rows[number]
        unfused = nullcontext() if way.fused else mock.patch.object(generation_triglot, "can_fuse", return_value=False)
        start = clock()
        with unfused:
            result = s2st(
                waves[number], sampling_rate=s2st.processor.sampling_rate, source_language=row["source_language"],
                target_language=row["target_language"], **way.options,
            )  # fmt: skip
        return clock() - start, result

    longest = int(np.argmax([len(wave) for wave in waves]))
    with mock.patch.object(TriglotForConditionalGeneration, "generate", timed):
        for way in all_ways.values():
            start = time.perf_counter()
            ask(way, longest)
            way.first = time.perf_counter() - start
            ask(way, longest)  # a static cache has its size now, and what is compiled for it
        for turn in range(arguments.rounds):
            for number, row in enumerate(rows):
                for way in all_ways.values():
                    seconds, result = ask(way, number)
                    way.seconds[number] = min(seconds, way.seconds.get(number, np.inf))
                    way.generating[number] = min(spent["generate"], way.generating.get(number, (np.inf, 0)))
                    if turn == arguments.rounds - 1:
                        wave = resample(result["audio"], result["sampling_rate"], JUDGE_RATE)
                        heard = judge.transcribe([wave], [row["target_language"]])[0]
                        way.said[number] = result["source_text"] or "", result["text"] or "", heard
    return sum(len(wave) for wave in waves) / s2st.processor.sampling_rate


def report(rows: list[dict[str, Any]], all_ways: dict[str, Way], heard: float) -> str:
    """The table, in markdown."""
    wer, bleu = WordErrorRate(), Bleu()
    lines = [
        "| language model | tokens/s | real-time factor | s to the first sound | first call, s | MB | transcript WER, % | translation BLEU | "
        "judge's WER, % | texts that differ |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    ]
    first = next(iter(all_ways.values()))
    for name, way in all_ways.items():
        order = range(len(rows))
        transcripts, translations, judged = ([way.said[number][place] for number in order] for place in range(3))
        spoken, written = [row["transcript"] for row in rows], [row["translated_transcript"] for row in rows]
        languages = [row["target_language"] for row in rows]
        ids = sum(count for _, count in way.generating.values())
        generating, seconds = sum(time for time, _ in way.generating.values()), sum(way.seconds.values())
        words = []
        for predictions, references in ((transcripts, spoken), (judged, written)):
            table = wer.item_statistics(predictions=predictions, references=references)
            low, high = bootstrap_interval(table, wer.score)
            value = wer.compute(predictions=predictions, references=references)["wer"]
            words.append(f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
        scores = [
            bleu.compute(
                predictions=[text for text, code in zip(translations, languages) if code == language],
                references=[text for text, code in zip(written, languages) if code == language],
            )["bleu"]
            for language in dict.fromkeys(languages)
        ]
        differing = sum(way.said[number][:2] != first.said[number][:2] for number in order)
        lines.append(
            f"| {name} | {ids / generating:.0f} | {seconds / heard:.3f} | {seconds / len(rows):.3f} | {way.first:.1f} | "
            f"{megabytes(way):.1f} | {words[0]} | {np.mean(scores):.1f} | {words[1]} | {differing} of {len(rows)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hub_configs/triglot-tiny")
    parser.add_argument(
        "--rows", help="rows of speech to translate (default: held-out sentences and voices of the demo world)"
    )
    parser.add_argument("--judge", default="tests/data/judge", help="recogniser that reads what is spoken")
    parser.add_argument("--sentences", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", help="rows of the table (default: all)")
    parser.add_argument("--cpu-time", action="store_true", help="the processor's seconds instead of the clock's")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    all_ways = ways(arguments.model, arguments.ways)
    rows = questions(arguments)
    heard = measure(arguments, rows, all_ways)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(rows)} sentences, {heard:.0f} s of speech, best of "
        f"{arguments.rounds}, {'processor' if arguments.cpu_time else 'clock'} time"
    )
    print(report(rows, all_ways, heard))


if __name__ == "__main__":
    main()
