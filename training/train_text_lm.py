"""A text LM of any size from nothing: what `train_lm` may start from where no published one is at hand.

    token rows ─ their texts, and each text before its translation ─ packed ─ next-id prediction ─▶ a plain causal LM

    a small red circle <eos>        [MT English Spanish] a small red circle = un círculo rojo pequeño <eos>

AudioPaLM starts from a text LM that has seen translations as text (arXiv 2306.12925, section 3.1); these are its two kinds of text.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Trainer, set_seed

from ..processing.errors import TriglotError
from ..processing.languages import language_name
from ..processing.processing_triglot import IGNORE, TriglotProcessor
from ..processing.task_formats import parse_chain
from .data.packing import PackedRows
from .data.row_digests import rows_digest
from .data.token_examples import compact_example, held_facts
from .packed_attention import use_packed_attention
from .run_inputs import text_digest
from .run_report import train_and_report
from .runs import chosen_optimizers, open_run, save_trained, trainer_arguments
from .train_lm import LmArguments, new_base

EQUALS = "="  # between a text and its translation: <|sep|> is no id of a text LM


def text_examples(rows: Sequence[Mapping[str, Any]], processor: TriglotProcessor) -> list[dict[str, Any]]:
    """Every text of the rows once, and every pair of texts once in each direction.

    Args:
        rows: Token rows; only their texts and languages are read.
        processor: Makes ids of them.

    Returns:
        {"task": "text" or "MT", "input_ids", "labels"}; all ids but the first are learnt.

    Raises:
        TriglotError: no row has a text.
    """
    documents: dict[tuple[str, ...], str] = {}  # in pieces, each made ids of by itself as in the tasks' examples
    for row in rows:
        sides = [(row.get(f"text_{side}"), row.get(f"{side}_language")) for side in ("source", "target")]
        documents |= {(text,): "text" for text, _ in sides if text}
        if all(text and language for text, language in sides):
            for (text, language), (translation, other) in (sides, reversed(sides)):
                tag = parse_chain("MT").tag(language_name(str(language)), language_name(str(other)))
                documents[tag, str(text), EQUALS, str(translation)] = "MT"
    if not documents:
        raise TriglotError("No row has a text; a text LM needs text_source or text_target.")
    begin = [] if processor.tokenizer.bos_token_id is None else [processor.tokenizer.bos_token_id]
    examples = []
    for pieces, task in documents.items():
        ids = [*begin, *(index for piece in pieces for index in processor.text_ids(piece)), processor.eos_id]
        # what comes first follows from nothing: in a packed row another example stands before it
        examples.append(compact_example(task, ids, [IGNORE, *ids[1:]]))
    return examples


def train_text_lm(
    rows: Sequence[Mapping[str, Any]],
    text_tokenizer_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: LmArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Trains a causal LM on the texts of token rows.

    Args:
        rows: Token rows, with speech or without.
        text_tokenizer_dir: A fast tokenizer.
        output_dir: Becomes the model's folder, for `LmArguments.text_model`; the run's state lies in `checkpoints` below it.
        arguments: Its sizes, steps and optimizer count; what is about speech and tasks does not.
        seed: Of the weights, the packing and the order of the data.

    Returns:
        `output_dir`.

    Raises:
        TriglotError: no text, examples longer than `pack_length`, or checkpoints of other settings.
    """
    arguments, output_dir = arguments or LmArguments(), Path(output_dir)
    tokenizer = AutoTokenizer.from_pretrained(text_tokenizer_dir, trust_remote_code=False)
    inputs = {"text_tokenizer": text_digest(tokenizer), "token_rows": rows_digest(rows)}
    last = open_run(output_dir / "checkpoints", arguments, seed=seed, inputs=inputs)
    set_seed(seed)
    processor = TriglotProcessor(tokenizer, [{"name": "text", "size": len(tokenizer)}], arguments.languages.split())
    examples = text_examples(rows, processor)
    packed = PackedRows(examples, arguments.pack_length, processor.pad_id, seed)
    model = new_base(processor, arguments)
    model.config.use_cache = False  # a cache would switch off the mask that keeps packed examples apart
    settings = trainer_arguments(output_dir / "checkpoints", arguments, seed=seed)
    if arguments.packed_attention:
        use_packed_attention(model, settings.device)
    trainer = Trainer(model=model, args=settings, train_dataset=packed, optimizers=chosen_optimizers(model, arguments))
    train_and_report(trainer, last, arguments, held_facts(examples))
    trained = trainer.accelerator.unwrap_model(trainer.model)
    trained.config.use_cache = True
    return save_trained(trained, output_dir, arguments, {})
