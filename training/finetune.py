"""`triglot finetune`: a checkpoint goes on learning from token rows, whole or by an adapter (LoRA, arXiv 2106.09685).

    CHECKPOINT + folder of `triglot tokenize` ─ every task the rows allow ─ packed ─ Trainer ─▶ OUT/adapter     some MB, for PEFT
                                                                                            ─▶ OUT/checkpoint  merged, as for the Hub

An adapter holds low-rank changes of the layers, and whole rows for ids of the vocabulary (`trained_rows`), all others staying
bit-identical. `peft.PeftModel.from_pretrained(model, OUT/adapter)` and `model.load_adapter(OUT/adapter)` load it.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModel, set_seed

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..processing.errors import TriglotError
from ..processing.processing_triglot import TriglotProcessor
from ..processing.whole_files import whole_file, whole_folder
from .card_record import CardRecord, Run, record_of
from .checkpoint_files import weights_digest
from .data.mixture import held_tasks, read_mixture, read_mixture_file
from .data.mixture_facts import SourceFacts, source_facts
from .data.packing import PackedRows
from .data.row_digests import rows_digest
from .data.token_examples import held_facts, token_examples
from .finetune_arguments import NAMED
from .licences import CARD_FILE, hub_id, short_name
from .lm_trainer import LmTrainer, WeighedLoss
from .load_parts import load_stock
from .model_card import card_beside
from .packed_attention import use_packed_attention
from .recipe import parse_arguments, read_setting, read_settings
from .run_inputs import base_digest, text_digest
from .run_report import train_and_report
from .runs import (
    LM_DTYPES,
    check_counts,
    check_dtype,
    check_optimizer,
    check_steps,
    chosen_optimizers,
    full_disk_told,
    hardware,
    open_run,
    sharding,
    trainer_arguments,
)
from .train_lm import parse_task_weights

ROWS = ("none", "media", "seen", "new")
ADAPTER, CHECKPOINT, FACTS_FILE = "adapter", "checkpoint", "triglot_adapter.json"


@dataclass(frozen=True)
class FinetuneArguments:
    """Settings of `finetune`."""

    tasks: str = (
        ""  # comma between; "ASR: 0.5" for examples of half of the rows; "" for all single tasks that the rows allow
    )
    both_directions: bool = False  # read each row from target to source as well
    lora_rank: int = 16  # 0: no adapter, all weights learn
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"  # or names of linear layers, space between: "q_proj v_proj"
    trained_rows: str = (
        "none"  # embedding rows that an adapter trains whole: none | media | seen (all ids of the data)
        # | new (ids of the texts in languages that the checkpoint does not know: letters it may never have met)
    )
    quantized: bool = False  # QLoRA: the frozen weights in 4 bits; needs bitsandbytes
    pack_length: int = 432  # ids of a packed row
    max_steps: int = 1_000
    batch_size: int = 5  # packed rows per step and device
    accumulation: int = 1  # batches whose gradients make a step
    optimizer: str = "adamw"  # or "muon", for the matrices inside the layers; all weights only
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    decay_steps: int = 0  # above 0: the rate stays at its peak until the last so many steps; 0: cosine from the start
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    media_weight: float = 0.5  # of a media code in the loss, beside 1 of a text id
    gradient_checkpointing: bool = False
    packed_attention: bool = True  # attention example by example instead of a mask over the row; on a CPU only
    bf16: bool = True
    dtype: str = "bfloat16"  # of the saved checkpoint
    save_steps: int = 200
    logging_steps: int = 50

    def __post_init__(self):
        check_optimizer(self.optimizer)
        if self.trained_rows not in ROWS:
            raise TriglotError(f"trained_rows is {self.trained_rows!r}; allowed is {', '.join(ROWS)}.")
        check_dtype(self.dtype, LM_DTYPES)
        check_counts(self, "pack_length", "max_steps", "batch_size", "accumulation", "save_steps", "logging_steps")
        check_steps(self, "decay_steps")
        if self.lora_rank < 0 or not 0 < self.media_weight <= 1:
            raise TriglotError(
                f"lora_rank is {self.lora_rank}, media_weight {self.media_weight}; a rank is at least 0, and the weight is above 0, "
                "up to 1."
            )
        if self.lora_rank and self.optimizer == "muon":
            raise TriglotError("optimizer is muon, which turns whole matrices; an adapter is trained by adamw.")
        if self.quantized and not self.lora_rank:
            raise TriglotError("quantized weights cannot learn; give a lora_rank above 0 with them.")
        if self.tasks:
            parse_task_weights("tasks", self.tasks)


def finetune(
    checkpoint: str | os.PathLike,
    tokens_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: FinetuneArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a checkpoint on token rows and writes a new one.

    Args:
        checkpoint: Folder or Hub id, with model, processor and codecs.
        tokens_dir: Folder of `triglot tokenize`, made with the checkpoint's own speech tokenizer.
        output_dir: Becomes a folder with `adapter` (for a rank above 0), `checkpoint`, and `checkpoints`, the run's state.
        arguments: Settings; default: `FinetuneArguments()`.
        seed: Of the adapter, the packing and the order of the data.

    Returns:
        The new checkpoint, `output_dir`/checkpoint.

    Raises:
        TriglotError: no checkpoint, codes of another tokenizer, tasks without data, a loss that is not
            finite, or checkpoints of other settings, of another base or of other rows.
    """
    arguments = arguments or FinetuneArguments()
    output_dir, checkpoint = Path(output_dir), os.fspath(checkpoint)
    processor: TriglotProcessor = load_stock(
        TriglotProcessor.from_pretrained, checkpoint, "checkpoint with a processor"
    )
    mixture = read_mixture_file(Path(tokens_dir))
    speech = next((entry for entry in processor.modalities if entry["name"] == "speech"), {})
    if speech.get("fingerprint") != mixture["tokenizer"]:
        raise TriglotError(
            f"{os.fspath(tokens_dir)!r} holds codes of the tokenizer {mixture['tokenizer'][:12]}; {checkpoint!r} was trained on those of "
            f"{(speech.get('fingerprint') or 'none')[:12]}: tokenise with its own speech_tokenizer."
        )
    pictures = next((entry for entry in processor.modalities if entry["name"] == "image"), {})
    if mixture.get("image_tokenizer", pictures.get("fingerprint")) != pictures.get("fingerprint"):
        raise TriglotError(
            f"{os.fspath(tokens_dir)!r} holds codes of another image tokenizer than {checkpoint!r}: tokenise with its own "
            "image_tokenizer."
        )
    rows = read_mixture(tokens_dir)
    spoken = dict.fromkeys(row[key] for row in rows for key in ("source_language", "target_language") if row.get(key))
    new = [language for language in spoken if language not in processor.languages]
    if arguments.trained_rows == "new" and not new:
        raise TriglotError(
            f"trained_rows is 'new', but {checkpoint!r} knows all languages of the data, {', '.join(spoken)}; choose none, media or seen."
        )
    processor.languages += new
    weights = parse_task_weights("tasks", arguments.tasks) if arguments.tasks else _allowed(rows)
    inputs = {
        "base": base_digest(checkpoint),
        "text_tokenizer": text_digest(processor.tokenizer),
        "speech_tokenizer": mixture["tokenizer"],
        "image_tokenizer": pictures.get("fingerprint") or "",
        "languages": " ".join(processor.languages),
        "token_rows": rows_digest(rows),
    }
    last = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs=inputs)

    set_seed(seed)
    model: Any = _load_model(checkpoint, arguments)
    examples = token_examples(rows, processor, weights, seed, arguments.both_directions)
    packed = PackedRows(examples, arguments.pack_length, processor.pad_id, seed, tasks=list(weights))
    amount = f"{len(examples)} examples, {len(packed)} rows of {arguments.pack_length} ids, {packed.fill:.0%} filled"
    print(amount)
    settings = trainer_arguments(
        output_dir / "checkpoints", arguments, seed=seed, activation_checkpointing=arguments.gradient_checkpointing
    )
    if arguments.packed_attention and not use_packed_attention(model, settings.device):
        print("packed_attention is for a CPU and for plain causal attention: this model keeps its own")
    if arguments.lora_rank:
        ids = trained_ids(arguments.trained_rows, processor, rows, examples, new)
        model = get_peft_model(model, lora_config(model, arguments, ids))
        model.print_trainable_parameters()
    trainer = LmTrainer(
        model=model,
        args=settings,
        train_dataset=packed,
        optimizers=chosen_optimizers(model, arguments),
        loss=WeighedLoss(processor.modalities[0]["size"], arguments.media_weight),
        tasks=list(weights),
    )
    learnt = {"learns from": amount, **held_facts(examples)}
    start = time.monotonic()
    train_and_report(trainer, last, arguments, {"from": checkpoint, **learnt})
    minutes = (time.monotonic() - start) / 60
    trained = trainer.whole_model()
    if trained is not None:
        with full_disk_told(output_dir, "make room and start again: training is done, what it made will be written."):
            run = _card_run(checkpoint, output_dir, arguments, seed, learnt, source_facts(Path(tokens_dir), rows))
            stage = "finetune, since it was last started" if last else "finetune"
            run = dataclasses.replace(run, stages={stage: {"minutes": round(minutes, 2), "hardware": hardware()}})
            _write(trained, processor, checkpoint, output_dir, arguments, run)
    trainer.accelerator.wait_for_everyone()
    return output_dir / CHECKPOINT


def _card_run(
    checkpoint: str,
    output_dir: Path,
    arguments: FinetuneArguments,
    seed: int,
    learnt: Mapping[str, str],
    sources: Sequence[SourceFacts],
) -> Run:
    """This run as the card tells it; of the maker's own datasets no more than their names."""
    names = ("tasks", "both_directions", "lora_rank", "trained_rows", "quantized", "max_steps", "batch_size", "accumulation",
             "pack_length", "learning_rate", "optimizer")  # fmt: skip
    told: list[Mapping[str, Any]] = [
        {"name": each.name, "dataset": each.hub_id, "layout": each.layout, "rows": each.rows, "hours": each.hours,
         "share": each.share}
        for each in sources
    ]  # fmt: skip
    return Run(
        "finetune", output_dir.absolute().name, seed, base=short_name(checkpoint), base_id=hub_id(checkpoint) or "",
        base_weights=weights_digest(checkpoint) or "", settings={name: getattr(arguments, name) for name in names}, learnt=learnt,
        sources=told,
    )  # fmt: skip


def _allowed(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Every single task that some row allows."""
    return {task: 1.0 for counts in held_tasks(rows).values() for task in counts}


def _load_model(checkpoint: str, arguments: FinetuneArguments) -> TriglotForConditionalGeneration:
    more: dict[str, Any] = {"dtype": torch.float32}
    if arguments.quantized:
        try:
            import bitsandbytes  # noqa: F401
            from transformers import BitsAndBytesConfig
        except ImportError as error:
            raise TriglotError("quantized needs bitsandbytes: pip install bitsandbytes") from error
        four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
        more = {"quantization_config": four, "dtype": torch.bfloat16}
    return load_stock(TriglotForConditionalGeneration.from_pretrained, checkpoint, "language model", **more)


def trained_ids(
    which: str,
    processor: TriglotProcessor,
    rows: Sequence[Mapping[str, Any]],
    examples: Sequence[Mapping[str, Any]],
    new: Sequence[str],
) -> list[int]:
    """The ids whose embedding rows an adapter trains whole, in order.

    Args:
        which: Of `ROWS`.
        processor: Knows which ids are media, and makes ids of texts.
        rows: Token rows.
        examples: What was made of them.
        new: ISO codes of the languages whose texts count for "new".
    """
    if which == "media":
        return list(range(processor.modalities[0]["size"], processor.space.size))
    if which == "seen":
        return sorted({token for example in examples for token in example["input_ids"]})
    sides = [side for side in ("source", "target") if which == "new"]
    texts = {row.get(f"text_{side}") for row in rows for side in sides if row.get(f"{side}_language") in new}
    return sorted({token for text in texts if text is not None for token in processor.text_ids(text)})


def lora_config(model: Any, arguments: FinetuneArguments, ids: Sequence[int]) -> LoraConfig:
    """What PEFT needs to know.

    Args:
        model: A `TriglotForConditionalGeneration`.
        arguments: Settings.
        ids: Of `trained_ids`.
    """
    targets = arguments.lora_targets if arguments.lora_targets == "all-linear" else arguments.lora_targets.split()
    tied = model.config.get_text_config().tie_word_embeddings
    if ids and tied and sharding() == "FSDP":
        raise TriglotError(
            f"trained_rows is {arguments.trained_rows!r}; FSDP cannot shard tied embeddings with trained rows: choose none, "
            "lora_rank=0, or ddp.yaml."
        )
    rows: Any = list(ids) if tied else {"embed_tokens": list(ids), "lm_head": list(ids)}
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=targets,
        trainable_token_indices=rows if ids else None,
    )


def _write(
    trained: Any,
    processor: TriglotProcessor,
    checkpoint: str,
    output_dir: Path,
    arguments: FinetuneArguments,
    run: Run,
) -> None:
    """The adapter, if there is one, and the whole checkpoint with it merged; a card in each."""
    record = record_of(checkpoint, processor.codecs.names).after(run)
    if arguments.lora_rank:
        save_adapter(trained, processor, output_dir / ADAPTER, checkpoint, record)
        if arguments.quantized:  # merging into 4 bits would lose what was learnt
            plain = dataclasses.replace(arguments, quantized=False)
            trained = PeftModel.from_pretrained(_load_model(checkpoint, plain), str(output_dir / ADAPTER))
        trained = trained.merge_and_unload()
    _save_checkpoint(
        trained.to(getattr(torch, arguments.dtype)), processor, checkpoint, output_dir / CHECKPOINT, record
    )


def save_adapter(
    model: PeftModel, processor: TriglotProcessor, folder: Path, checkpoint: str, record: CardRecord
) -> None:
    """Writes the adapter, with the modalities (their fingerprints among them) and languages that it was trained for.

    Args:
        model: With the adapter in it.
        processor: Of the checkpoint.
        folder: Of the adapter.
        checkpoint: Folder or Hub id that it belongs to.
        record: What its card is to say.
    """
    facts = {"checkpoint": checkpoint, "modalities": processor.modalities, "languages": processor.languages}
    with whole_folder(folder) as partial:
        model.save_pretrained(str(partial))
        with whole_file(partial / FACTS_FILE) as file:
            file.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (partial / CARD_FILE).unlink(missing_ok=True)  # PEFT's, a form to fill in
        card_beside(folder, partial, record)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    print(f"{folder}: {size:.1f} MB")


def _save_checkpoint(
    model: Any, processor: TriglotProcessor, checkpoint: str, folder: Path, record: CardRecord
) -> None:
    """The whole Hub folder; codecs in the precision that they were saved in."""
    for name in processor.codecs.names:
        processor.codecs.set(
            name, AutoModel.from_pretrained(checkpoint, subfolder=name, dtype="auto", trust_remote_code=False)
        )
    with whole_folder(folder) as partial:
        model.save_pretrained(partial)
        processor.save_pretrained(partial)
        card_beside(folder, partial, record)


def run(arguments: argparse.Namespace) -> Path:
    """`triglot finetune`."""
    settings: dict[str, Any] = {
        name: getattr(arguments, name) for name in NAMED if getattr(arguments, name) is not None
    }
    read = {name: value if name == "tasks" else read_setting(value) for name, value in settings.items()}
    read |= read_settings(arguments.set, as_they_are=("tasks",))
    chosen = parse_arguments(FinetuneArguments, read, "triglot finetune")
    folder = finetune(arguments.checkpoint, arguments.tokens, arguments.out, chosen, seed=arguments.seed)
    print(folder)
    return folder
