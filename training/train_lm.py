"""Stage 4: the token language model. A text LLM, or a new one, grows rows for media codes and learns all tasks at once.

rows of sound and text ─ speech tokenizer, text tokenizer ─▶ examples of every task ─ packed ─▶ Trainer
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, set_seed

from ..modeling.language_model.modeling_triglot import INITS, TriglotForConditionalGeneration, extend_text_model
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..processing.errors import TriglotError
from ..processing.languages import resolve_language
from ..processing.processing_triglot import TriglotProcessor
from ..processing.task_formats import parse_chain
from .begun_model import take_language_model
from .checkpoint_files import weights_digest
from .data.packing import InTwoParts, PackedRows
from .data.row_digests import rows_digest
from .data.token_examples import held_facts, token_examples
from .joint_ctc import JointCtcTrainer, SpanCollator, add_head, drop_head
from .lm_trainer import LmTrainer, WeighedLoss
from .load_parts import load_image_tokenizer, load_speech_tokenizer
from .new_text_model import new_text_model
from .packed_attention import use_packed_attention
from .run_inputs import base_digest, text_digest
from .run_report import train_and_report
from .runs import (
    LM_DTYPES,
    check_counts,
    check_dtype,
    check_optimizer,
    check_steps,
    chosen_optimizers,
    open_run,
    save_whole,
    trainer_arguments,
)

DEFAULT_TASKS = "ASR, AST, S2ST, TTS, MT, ASR AST, ASR AST S2ST"


@dataclass(frozen=True)
class LmArguments:
    """Settings of `train_lm`."""

    text_model: str = (
        ""  # folder or Hub id of a causal LM, or of a Triglot, to start from; "" for a new one of the sizes below
    )
    start_from: str = (
        ""  # folder of an LM with these sizes and tokens, to go on from with its weights, also with media new to it
    )
    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    intermediate_size: int = 704
    look_back_heads: int = 0  # heads of every layer that start by reading the id 1, 2, 3, ... places back
    qk_norm: bool = False  # queries and keys of one length: a Qwen3 instead of a Llama; looks things up much sooner
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = True
    init: str = "mean"  # of the new rows: zero | mean | centroids
    languages: str = "en es"  # ISO codes; the first is the default
    tasks: str = DEFAULT_TASKS  # comma between; "ASR: 0.5" for examples of half of the rows
    first_tasks: str = ""  # of the first `first_steps` steps, as `tasks`; "" for `tasks` from the start
    first_steps: int = 0  # a model learns to listen and to translate in half the time while it need not speak
    both_directions: bool = False  # read each row from target to source as well
    image_codes: int = 64  # rows kept for an image tokenizer where none is given; 0 for none
    image_grid: str = "4 4"  # h w of its codes
    text_budget: int = 128  # most text ids of an output span
    speech_budget: int = 750  # most codes of an output span; 30 s at 25 Hz
    pack_length: int = 1024  # ids of a packed row
    max_steps: int = 1_500
    batch_size: int = 8  # packed rows per step and device
    accumulation: int = 1  # batches whose gradients make a step
    optimizer: str = "adamw"  # or "muon", for the matrices inside the layers: fewer steps, each some 0.1 s longer
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_steps: int = 0  # above 0: the rate stays at its peak until the last so many steps; 0: cosine from the start
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    adam_beta2: float = 0.999
    gradient_checkpointing: bool = False
    condition_dropout: float = 0.0  # share of the drawing tasks' examples without their input; above 0 for guidance
    drawing_temperature: float = 1.0  # of pictures, which are sampled; into the generation config, with ...
    drawing_top_k: int = 0  # ... of how many likeliest codes, 0 for all, ...
    guidance_scale: float = (
        1.0  # ... and how much more than it says the condition counts; above 1 with condition_dropout alone
    )
    media_weight: float = 1.0  # of a media code in the loss, beside 1 of a text id: codes are many and hard to guess
    ctc_weight: float = 0.0  # above 0: a CTC loss on the speech that is read helps to listen in order (`joint_ctc`)
    ctc_layer: int = 3  # whose states it is on; 1 for the output of the first layer
    packed_attention: bool = False  # attention example by example instead of a mask over the row; on a CPU only
    compile: bool = False  # torch.compile: a minute at the start, then a fifth faster on a CPU
    bf16: bool = True
    dtype: str = "float32"  # of the saved weights
    save_steps: int = 500
    logging_steps: int = 50

    def __post_init__(self):
        check_dtype(self.dtype, LM_DTYPES)
        check_init(self.init)
        check_optimizer(self.optimizer)
        if not 0 < self.media_weight <= 1:
            raise TriglotError(f"media_weight is {self.media_weight}; allowed is above 0, up to 1.")
        if not 0 <= self.condition_dropout < 1:
            raise TriglotError(f"condition_dropout is {self.condition_dropout}; allowed is 0 up to below 1.")
        if self.drawing_temperature <= 0 or self.drawing_top_k < 0 or self.guidance_scale < 0:
            raise TriglotError(
                f"drawing_temperature is {self.drawing_temperature}, drawing_top_k {self.drawing_top_k} and guidance_scale "
                f"{self.guidance_scale}; above 0, and at least 0 twice, are needed."
            )
        if self.guidance_scale != 1 and not self.condition_dropout:
            raise TriglotError(f"guidance_scale is {self.guidance_scale} without condition_dropout; set it above 0.")
        for language in self.languages.split():
            resolve_language(language)
        _ = self.task_weights  # an error now, not after the tokens are made
        if self.first_steps:
            _ = self.first_task_weights
        check_counts(self, "pack_length", "max_steps", "batch_size", "accumulation", "save_steps", "logging_steps")
        check_steps(self, "first_steps", "decay_steps")

    @property
    def task_weights(self) -> dict[str, float]:
        """{task: examples of it that a row gives on average}, 1 where nothing is said."""
        return parse_task_weights("tasks", self.tasks)

    @property
    def first_task_weights(self) -> dict[str, float]:
        """The same of `first_tasks`."""
        return parse_task_weights("first_tasks", self.first_tasks)


def check_init(init: str) -> None:
    """Raises TriglotError for a start of new rows that `extend_text_model` does not know."""
    if init not in INITS:
        raise TriglotError(f"init is {init!r}; allowed is {', '.join(INITS)}.")


def parse_task_weights(setting: str, tasks: str) -> dict[str, float]:
    """The weights that a setting like "ASR: 0.5, TTS" holds."""
    weights: dict[str, float] = {}
    for entry in tasks.split(","):
        task, colon, weight = (part.strip() for part in entry.partition(":"))
        try:
            weights[parse_chain(task).name] = float(weight) if colon else 1.0
        except ValueError as error:  # a TriglotError is one
            raise TriglotError(f"{setting} holds {entry.strip()!r}; 'ASR' or 'ASR: 0.5' is needed: {error}") from error
    if not all(0 < weight < 1_000 for weight in weights.values()):
        raise TriglotError(f"{setting} is {tasks!r}; weights are above 0 and below 1,000.")
    return weights


def make_processor(
    text_tokenizer_dir: str | os.PathLike,
    speech_tokenizer: MediaTokenizer,
    rows: int | None,
    arguments: LmArguments,
    image_tokenizer: MediaTokenizer | None = None,
) -> TriglotProcessor:
    """A processor for these tokenizers. `rows`: embedding rows of the text LLM; None for as many as it has tokens."""
    tokenizer = AutoTokenizer.from_pretrained(text_tokenizer_dir, trust_remote_code=False)
    modalities: list[dict[str, Any]] = [
        {"name": "text", "size": rows if rows is not None else len(tokenizer)},
        speech_tokenizer.describe_modality(),
    ]
    if image_tokenizer is not None:
        modalities.append(image_tokenizer.describe_modality())
    elif arguments.image_codes:
        grid = [int(side) for side in arguments.image_grid.split()]
        modalities.append({"name": "image", "size": arguments.image_codes, "fingerprint": "", "grid": grid})
    processor = TriglotProcessor(
        tokenizer, modalities, arguments.languages.split(), sampling_rate=speech_tokenizer.sampling_rate or 16_000
    )
    processor.codecs.speech_tokenizer = speech_tokenizer
    if image_tokenizer is not None:
        processor.codecs.image_tokenizer = image_tokenizer
    return processor


def make_model(
    base: PreTrainedModel, processor: TriglotProcessor, arguments: LmArguments
) -> TriglotForConditionalGeneration:
    """The text LLM with rows for the media, and a generation config that knows the span grammar."""
    if isinstance(base, TriglotForConditionalGeneration):
        if base.config.modalities != processor.modalities:
            raise TriglotError(
                f"text_model is a Triglot with the modalities {base.config.modalities}; these tokenizers have {processor.modalities}."
            )
        return base
    tokenizers = {name.removesuffix("_tokenizer") for name in processor.codecs.names if name.endswith("_tokenizer")}
    centroids = None
    if arguments.init == "centroids":
        centroids = {name: getattr(processor.codecs, f"{name}_tokenizer").centroids for name in sorted(tokenizers)}
    model = extend_text_model(
        base, processor.modalities, arguments.init, centroids=centroids,
        sampling_rate=processor.sampling_rate, inplace=True,
    )  # fmt: skip
    settings = model.generation_config
    settings.bos_token_id = processor.tokenizer.bos_token_id
    settings.eos_token_id = processor.eos_id
    settings.pad_token_id = processor.pad_id
    budgets = {"text": arguments.text_budget, "speech": arguments.speech_budget}
    settings.span_grammar = processor.span_grammar(budgets)
    # the stock pipelines would otherwise stop after 256 ids
    pictures = sum(math.prod(entry["grid"]) for entry in processor.modalities if entry.get("grid") is not None)
    if "image" in tokenizers:
        drawing = {"temperature": arguments.drawing_temperature, "guidance_scale": arguments.guidance_scale}
        settings.drawing = drawing | ({"top_k": arguments.drawing_top_k} if arguments.drawing_top_k else {})
    settings.max_new_tokens = 2 * arguments.text_budget + arguments.speech_budget + pictures + 8
    return model


def train_lm(
    rows: Sequence[Any],
    text_tokenizer_dir: str | os.PathLike,
    speech_tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: LmArguments | None = None,
    *,
    seed: int = 0,
    image_tokenizer_dir: str | os.PathLike | None = None,
) -> Path:
    """Trains the language model on every task that the rows allow.

    Args:
        rows: Token rows, as `read_rows` gives them.
        text_tokenizer_dir: A fast tokenizer; the text LLM's own where `text_model` is given.
        speech_tokenizer_dir: Folder of a speech tokenizer with a code book.
        output_dir: Becomes the model's folder; the run's state lies in `checkpoints` below it.
        arguments: Settings; default: `LmArguments()`.
        seed: Of the new weights, the packing and the order of the data.
        image_tokenizer_dir: Folder of the image tokenizer whose codes the rows hold; None where they hold none.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: tasks without data, examples longer than `pack_length`, a loss that is not finite, or
            checkpoints of other settings, of another base or of other rows.
    """
    arguments = arguments or LmArguments()
    output_dir = Path(output_dir)
    speech_tokenizer = load_speech_tokenizer(speech_tokenizer_dir)
    image_tokenizer = None if image_tokenizer_dir is None else load_image_tokenizer(image_tokenizer_dir)
    begun = arguments.start_from
    inputs = {
        "base": (weights_digest(begun) or "") if begun else base_digest(arguments.text_model),
        "text_tokenizer": text_digest(AutoTokenizer.from_pretrained(text_tokenizer_dir, trust_remote_code=False)),
        "speech_tokenizer": speech_tokenizer.fingerprint,
        "image_tokenizer": "" if image_tokenizer is None else image_tokenizer.fingerprint,
        "token_rows": rows_digest(rows),
    }
    last = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs=inputs)
    set_seed(seed)
    base = (
        AutoModelForCausalLM.from_pretrained(arguments.text_model, dtype=torch.float32, trust_remote_code=False)
        if arguments.text_model
        else None
    )
    text_rows = None
    if isinstance(base, TriglotForConditionalGeneration):  # of `triglot init`: it has its rows already
        text_rows = base.config.modalities[0]["size"]
    elif base is not None:
        text_rows = base.get_input_embeddings().weight.shape[0]
    processor = make_processor(text_tokenizer_dir, speech_tokenizer, text_rows, arguments, image_tokenizer)
    joint = arguments.ctc_weight > 0
    tasks = list(
        dict.fromkeys((*arguments.task_weights, *(arguments.first_task_weights if arguments.first_steps else ())))
    )

    facts: dict[str, Any] = {}

    def packed_rows(weights: dict[str, float]) -> PackedRows:
        examples = token_examples(
            rows, processor, weights, seed, arguments.both_directions, arguments.condition_dropout
        )
        facts.update(held_facts(examples))
        packed = PackedRows(examples, arguments.pack_length, processor.pad_id, seed, with_heard=joint, tasks=tasks)
        print(f"{len(examples)} examples, {len(packed)} rows of {arguments.pack_length} ids, {packed.fill:.0%} filled")
        return packed

    packed: torch.utils.data.Dataset = packed_rows(arguments.task_weights)
    model = make_model(base if base is not None else new_base(processor, arguments), processor, arguments)
    if arguments.start_from and last is None:  # checkpoints of this run are further on
        new = take_language_model(model, _begun(arguments.start_from), arguments.start_from)
        if new:
            print(f"{arguments.start_from} goes on with new rows for {', '.join(new)}")
    settings = trainer_arguments(
        output_dir / "checkpoints",
        arguments,
        seed=seed,
        activation_checkpointing=arguments.gradient_checkpointing,
        train_sampling_strategy="sequential" if arguments.first_steps else "random",
    )
    if arguments.packed_attention and not use_packed_attention(model, settings.device):
        print("packed_attention is for a CPU and for plain causal attention: this model keeps its own")
    if arguments.compile:
        model.language_model.compile()  # in place: names and types of the modules stay
    if arguments.first_steps:
        step_rows = settings.train_batch_size * settings.world_size * settings.gradient_accumulation_steps
        packed = InTwoParts(
            packed_rows(arguments.first_task_weights), packed, arguments.first_steps * step_rows,
            arguments.max_steps * step_rows, seed,
        )  # fmt: skip
    if joint:
        add_head(model, len(processor.tokenizer))
    shared: dict[str, Any] = {
        "model": model,
        "args": settings,
        "train_dataset": packed,
        "optimizers": chosen_optimizers(model, arguments),
        "loss": WeighedLoss(processor.modalities[0]["size"], arguments.media_weight),
        "tasks": tasks,
    }
    trainer: LmTrainer = (
        JointCtcTrainer(
            **shared, data_collator=SpanCollator(), ctc_layer=arguments.ctc_layer, ctc_weight=arguments.ctc_weight
        )
        if joint
        else LmTrainer(**shared)
    )
    train_and_report(trainer, last, arguments, facts)
    trained = trainer.whole_model()
    if trained is not None:
        if joint:
            drop_head(trained)
        save_whole(trained.to(getattr(torch, arguments.dtype)), output_dir)
    trainer.accelerator.wait_for_everyone()
    return output_dir


def _begun(folder: str) -> TriglotForConditionalGeneration:
    """The trained model of `start_from`.

    Raises:
        TriglotError: there is none.
    """
    try:
        return TriglotForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError) as error:
        raise TriglotError(f"start_from is {folder!r}, where no language model lies: {error}") from error


def new_base(processor: TriglotProcessor, arguments: LmArguments) -> PreTrainedModel:
    """A text LM with random weights for the processor's text tokenizer."""
    tokenizer = processor.tokenizer
    return new_text_model(
        arguments.look_back_heads,
        arguments.qk_norm,
        vocab_size=processor.modalities[0]["size"],
        hidden_size=arguments.hidden_size,
        intermediate_size=arguments.intermediate_size,
        num_hidden_layers=arguments.num_hidden_layers,
        num_attention_heads=arguments.num_attention_heads,
        max_position_embeddings=4096,
        rope_theta=arguments.rope_theta,
        tie_word_embeddings=arguments.tie_word_embeddings,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
