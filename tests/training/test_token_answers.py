"""Answers to token rows are those to the sound that the codes were made of."""

import json

import pytest
import torch
from two_tokenizers import spoken_rows

from triglot import TriglotForConditionalGeneration, TriglotProcessor
from triglot.processing.errors import TriglotError
from triglot.training.data.token_rows import DatasetRows
from triglot.training.evaluate import evaluate_checkpoint
from triglot.training.token_answers import answer_tokens


@pytest.fixture(scope="module")
def parts(random_checkpoint, tmp_path_factory):
    """Model, processor, audio rows and token rows in the checkpoint's two languages."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("rows")
    rows = spoken_rows().map(
        lambda row: {key: row[key].replace("hi", "es") for key in ("source_language", "target_language")}
    )
    rows.save_to_disk(str(folder / "rows"))
    tokens = DatasetRows(str(folder / "rows"), str(random_checkpoint / "speech_tokenizer"))(0, len(rows))
    model = TriglotForConditionalGeneration.from_pretrained(random_checkpoint, dtype=torch.float32).eval()
    return model, TriglotProcessor.from_pretrained(random_checkpoint), rows, tokens


def test_as_the_evaluation_of_sound(parts, random_checkpoint, tmp_path):
    model, processor, rows, tokens = parts
    tasks = ["ASR", "AST", "AST direct"]
    evaluate_checkpoint(random_checkpoint, rows, output_dir=tmp_path, tasks=tasks, progress=False)
    heard = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    for batch_size in (1, 4):
        read = answer_tokens(model, processor, tokens, tasks, batch_size=batch_size)
        assert [{key: item[key] for key in one} for item, one in zip(heard, read)] == read
        assert len(read) == len(heard) > 6
    few = answer_tokens(model, processor, tokens, ["ASR"], limit=1)
    assert len(few) == 2 and answer_tokens(model, processor, tokens, ["ASR"], limit=1) == few


def test_refused(parts):
    model, processor, _, tokens = parts
    with pytest.raises(TriglotError, match="'MT' is not asked of token rows"):
        answer_tokens(model, processor, tokens, ["MT"])
    with pytest.raises(TriglotError, match="a judge is needed"):
        answer_tokens(model, processor, tokens, ["S2ST"])
    with pytest.raises(TriglotError, match="No row has the fields"):
        answer_tokens(model, processor, [{**row, "speech_source": None} for row in tokens], ["ASR"])
