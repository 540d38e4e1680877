"""`triglot describe DIR`: what a checkpoint is made of, the memory and the time it takes; from its configs, without a weight.

    config.json ─ the token LM on the "meta" device ─┐
    speech_tokenizer/config.json, ... ─ each likewise ┴─▶ numbers, bytes to run and to train, ids a second, ids of each task

Memory is `memory_plan`'s, speed `throughput`'s: plans on paper. Lengths are of `SECONDS` of speech, whose text is estimated.
"""

import argparse
import copy
import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, GenerationConfig

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..processing.errors import TriglotError
from ..processing.processing_triglot import TriglotProcessor
from ..processing.task_formats import TASKS, USUAL_CHAINS, Slot, TaskChain, parse_chain
from .load_parts import load_stock
from .memory_plan import BYTES, MemoryPlan, TrainingSetup, plan_memory
from .throughput import Accelerator, cache_bytes, gpu_bytes, reading_tokens, training_tokens, writing_tokens

SECONDS = 10.0  # of speech, whose tasks are measured
TEXT_IDS_PER_SECOND = 25 / 7  # a text id for 6 to 8 codes of 25 Hz (AudioPaLM, arXiv 2306.12925, section 3)
CACHE_IDS = 1_000  # for which the cache is told
GPUS = (1, 8)
BATCHES = (1, 16)  # sequences that are written at once
WAYS = {
    "full, float32 + AdamW": TrainingSetup(batch_size=4, length=2048, gradient_checkpointing=True),
    "LoRA of rank 16, frozen weights in bfloat16": TrainingSetup(
        trainable="lora", dtype="bfloat16", batch_size=4, length=2048, gradient_checkpointing=True
    ),
}
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


@dataclass(frozen=True)
class Part:
    """One model of the checkpoint.

    Attributes:
        name: "language model", or the part's subfolder.
        kind: Its class, and of the LM that of the text LLM.
        parameters: Numbers that can be trained, shared ones once.
        buffers: Numbers beside them: code books of k-means and of codecs, tables.
    """

    name: str
    kind: str
    parameters: int
    buffers: int = 0

    def bytes(self, dtype: str) -> int:
        """In memory, all in one precision."""
        return (self.parameters + self.buffers) * BYTES[dtype]


@dataclass(frozen=True)
class Length:
    """Ids of one task on `SECONDS` of speech, or on the text or the picture of it.

    Attributes:
        task: Its name.
        read: Of the prompt.
        written: Of the outputs, with their borders and the end.
        seconds: On one GPU, one sequence alone.
    """

    task: str
    read: int
    written: int
    seconds: float


@dataclass(frozen=True)
class TrainingPlan:
    """One way to train on so many GPUs: bytes on each, ids a second of all."""

    way: str
    gpus: int
    bytes_each: float
    tokens_per_second: float


@dataclass(frozen=True)
class Description:
    """What `describe` returns; sizes are bytes."""

    name: str
    weights: bool | None  # whether they lie there; None where that was not looked up
    modalities: list[dict[str, Any]]
    parts: list[Part]
    run_bytes: dict[str, int]  # {dtype: all parts}
    cache_bytes: dict[str, int]  # {dtype: keys and values of CACHE_IDS ids}
    training: list[TrainingPlan]
    memory: dict[str, MemoryPlan]  # {way: shares of one GPU's memory}
    reading_tokens_per_second: float
    writing_tokens_per_second: dict[int, float]  # {sequences at once: ids of all}
    lengths: list[Length]


def describe(checkpoint: str | os.PathLike, accelerator: Accelerator | None = None) -> Description:
    """Sizes of a checkpoint, with or without weights.

    Args:
        checkpoint: Folder or Hub id.
        accelerator: Default: an H100.

    Raises:
        TriglotError: there is none, it is no Triglot, or a part's config is missing.
    """
    accelerator, where = accelerator or Accelerator(), os.fspath(checkpoint)
    config = load_stock(AutoConfig.from_pretrained, where, "config of a checkpoint")
    if config.model_type != "triglot":
        raise TriglotError(
            f"{where!r} is a {config.model_type}; a Triglot is needed. What becomes of a text LLM tells `triglot init --plan-only`."
        )
    text = copy.deepcopy(config.text_config)
    parts = [_language_model(config)]
    settings = load_stock(TriglotProcessor.get_processor_dict, where, "processor_config.json of a Triglot")[0]
    parts += [_part(where, name) for name in settings.get("parts") or ()]
    parameters = parts[0].parameters
    rows = config.vocab_size - config.modalities[0]["size"]
    text.vocab_size -= rows
    plans = {way: plan_memory(text, rows, setup) for way, setup in WAYS.items()}
    folder = Path(where)
    grammar = load_stock(GenerationConfig.from_pretrained, where, "generation_config.json")
    chains = _chains(config, getattr(grammar, "span_grammar", None) or {})
    read = reading_tokens(parameters, accelerator)

    def length(chain: TaskChain) -> Length:
        asked, written = _lengths(chain, config)
        pace = writing_tokens(parameters, config.text_config, asked + written // 2, accelerator=accelerator)
        return Length(chain.name, asked, written, asked / read + written / pace)

    return Description(
        name=where,
        weights=any(any(folder.glob(pattern)) for pattern in WEIGHTS) if folder.is_dir() else None,
        modalities=config.modalities,
        parts=parts,
        run_bytes={dtype: sum(part.bytes(dtype) for part in parts) for dtype in ("float32", "bfloat16")},
        cache_bytes={dtype: CACHE_IDS * cache_bytes(config.text_config, dtype) for dtype in ("float32", "bfloat16")},
        training=[
            TrainingPlan(
                way,
                gpus,
                gpu_bytes(plans[way], text, gpus),
                training_tokens(parameters, text, setup, gpus, accelerator),
            )
            for way, setup in WAYS.items()
            for gpus in GPUS
        ],
        memory=plans,
        reading_tokens_per_second=read,
        writing_tokens_per_second={
            batch: writing_tokens(parameters, config.text_config, CACHE_IDS, batch, accelerator) for batch in BATCHES
        },
        lengths=[length(chain) for chain in chains],
    )


def count_numbers(model: torch.nn.Module) -> tuple[int, int]:
    """(parameters, numbers of the buffers that are saved), shared ones once."""
    parameters = {id(weight): weight.numel() for weight in model.parameters()}
    saved = set(model.state_dict())
    buffers = {id(buffer): buffer.numel() for name, buffer in model.named_buffers() if name in saved}
    return sum(parameters.values()), sum(buffers.values())


def count_of(config: Any) -> int:
    """Parameters of a model, without making it."""
    with torch.device("meta"):
        return count_numbers(AutoModel.from_config(config))[0]


def _language_model(config: Any) -> Part:
    with torch.device("meta"):
        model = TriglotForConditionalGeneration(config)
    model.tie_weights()
    return Part("language model", type(model.language_model).__name__, *count_numbers(model))


def _part(where: str, name: str) -> Part:
    config = load_stock(AutoConfig.from_pretrained, where, f"config of the part {name}", subfolder=name)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    return Part(name, type(model).__name__, *count_numbers(model))


# ---- lengths


def _chains(config: Any, grammar: Mapping[str, Any]) -> list[TaskChain]:
    """What the checkpoint knows by name, single tasks first."""
    names = {entry["name"] for entry in config.modalities}
    wanted = grammar.get("tasks") or (*TASKS, *USUAL_CHAINS)
    known = [parse_chain(name) for name in (*TASKS, *USUAL_CHAINS, *wanted) if name in wanted]
    chains = {chain.name: chain for chain in known}
    return [
        chain for chain in chains.values() if {chain.source.modality, *(s.modality for s in chain.outputs)} <= names
    ]


def _lengths(chain: TaskChain, config: Any) -> tuple[int, int]:
    """(ids of the prompt, ids of the answer); the tag counts an id a word and one for either bracket."""
    begin = 0 if getattr(config.text_config, "bos_token_id", None) is None else 1
    tag = len(chain.tag("English", "Spanish").split()) + 2
    written = sum(_span(slot, config) for slot in chain.outputs)
    # a last text's closer is the end itself
    return begin + tag + _span(chain.source, config), written + (0 if chain.outputs[-1].modality == "text" else 1)


def _span(slot: Slot, config: Any) -> int:
    """Ids of a span with what opens and closes it."""
    entry = next(entry for entry in config.modalities if entry["name"] == slot.modality)
    if slot.modality == "text":
        return math.ceil(SECONDS * TEXT_IDS_PER_SECOND) + 1
    if entry.get("grid") is not None:
        return math.prod(entry["grid"]) + 2
    return math.ceil(SECONDS * entry["frame_rate"]) + 2


# ---- for people


def as_text(found: Description, accelerator: Accelerator | None = None) -> str:
    """Tables of it, and the arithmetic behind them."""
    accelerator = accelerator or Accelerator()
    lines = [
        f"{os.path.basename(os.path.normpath(found.name))}: {', '.join(map(_modality, found.modalities))}"
        + {True: "", None: "", False: "; no weights here, configs alone"}[found.weights]
    ]
    lines += ["", f"{'part':<18} {'class':<24} {'numbers':>10} {'float32':>12} {'bfloat16':>12}"]
    for part in found.parts:
        lines.append(
            f"{part.name:<18} {part.kind:<24} {(part.parameters + part.buffers) / 1e6:>9,.1f}M "
            f"{_gib(part.bytes('float32')):>12} {_gib(part.bytes('bfloat16')):>12}"
        )
    lines.append(f"{'to run, all':<54} {_gib(found.run_bytes['float32']):>12} {_gib(found.run_bytes['bfloat16']):>12}")
    lines.append(
        f"{f'and for {CACHE_IDS:,} ids of a sequence':<54} {_gib(found.cache_bytes['float32']):>12} "
        f"{_gib(found.cache_bytes['bfloat16']):>12}"
    )
    setup = next(iter(WAYS.values()))
    lines += [
        "",
        f"to train, {setup.batch_size} rows of {setup.length:,} ids a step and GPU, activations checkpointed:",
        f"{'way':<44} {'GPUs':>4} {'each':>12} {'ids/s':>10} {'1B ids':>9}",
    ]
    for plan in found.training:
        lines.append(
            f"{plan.way:<44} {plan.gpus:>4} {_gib(plan.bytes_each):>12} {plan.tokens_per_second:>10,.0f} "
            f"{1e9 / plan.tokens_per_second / 3600:>7,.1f} h"
        )
    lines += [
        "",
        f"to run on one {accelerator.name} in bfloat16, at most; a loop that starts every step from Python is slower:",
    ]
    lines.append(f"{'reading a prompt':<44} {found.reading_tokens_per_second:>12,.0f} ids/s")
    for batch, pace in found.writing_tokens_per_second.items():
        what = f"writing, {batch} sequence{'s' if batch > 1 else ''} of {CACHE_IDS:,} ids"
        lines.append(f"{what:<44} {pace:>12,.0f} ids/s")
    lines += ["", f"ids of {SECONDS:.0f} s of speech, its text or a picture, and s for them alone:"]
    lines.append(f"{'task':<18} {'read':>7} {'written':>9} {'s':>9}")
    lines += [f"{each.task:<18} {each.read:>7,} {each.written:>9,} {each.seconds:>9.2g}" for each in found.lengths]
    return "\n".join([*lines, "", *_arithmetic(found, accelerator)])


def _arithmetic(found: Description, accelerator: Accelerator) -> list[str]:
    """The same in numbers, so that it can be checked by hand."""
    count, cache = found.parts[0].parameters, found.cache_bytes["bfloat16"] / CACHE_IDS
    peak, reached = f"{accelerator.peak:g}e12 x {accelerator.utilisation:g}", f"{accelerator.bandwidth:g}e12"
    return [
        f"P = {count:,} numbers. Nothing was run: {accelerator.name} of {accelerator.peak:g} TFLOP/s used to "
        f"{accelerator.utilisation:.0%}, {accelerator.bandwidth:g} TB/s used to {accelerator.bandwidth_share:.0%}.",
        "training: G x peak x share / (8 P + 8 L A T), for adapters (6 P + 8 L A T); memory as in docs/sizing.md",
        f"reading:  {peak} / 2 P",
        f"writing:  b x {reached} x {accelerator.bandwidth_share:g} / (2 P, less untied input rows, + b x ids x {cache:,.0f} bytes)",
        f"text:     {TEXT_IDS_PER_SECOND:.2f} ids a second of speech, an estimate",
    ]


def _modality(entry: Mapping[str, Any]) -> str:
    of = f"{entry['size']:,} {'ids' if entry['name'] == 'text' else 'codes'}"
    if entry.get("grid") is not None:
        return f"{entry['name']} {of} in {' x '.join(map(str, entry['grid']))}"
    return f"{entry['name']} {of}" + (f" at {entry['frame_rate']:g} Hz" if entry.get("frame_rate") else "")


def _gib(size: float) -> str:
    return f"{size / 2**30:,.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:,.1f} MiB"


def run(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """`triglot describe`: what is known of each, and the same for people."""
    accelerator = Accelerator(
        **{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Accelerator)}
    )
    found: Sequence[Description] = [describe(each, accelerator) for each in arguments.checkpoints]
    return [dataclasses.asdict(each) for each in found], "\n\n".join(as_text(each, accelerator) for each in found)
