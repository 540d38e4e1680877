"""Joint CTC: the loss is CTC on the right states, the head is trained and resumed, and leaves no trace in the checkpoint."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoProcessor

from triglot import TriglotError, TriglotForConditionalGeneration
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.data.packing import PackedRows
from triglot.training.data.token_examples import token_examples
from triglot.training.data.token_rows import DatasetRows
from triglot.training.joint_ctc import HEAD, SpanCollator, add_head, drop_head, find_layer, span_loss
from triglot.training.train_lm import LmArguments, train_lm

TINY = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_codes": 8,
    "image_grid": "2 2", "pack_length": 512, "batch_size": 2, "bf16": False, "logging_steps": 5, "warmup_steps": 0,
    "ctc_weight": 0.5, "ctc_layer": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(random_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken") / "rows"
    demo_world(DemoWorldArguments(sentences=1)).save_to_disk(str(folder))
    return DatasetRows(str(folder), str(random_checkpoint / "speech_tokenizer"))(0, 2)


def test_the_loss_is_ctc_on_the_states_of_the_spans():
    torch.manual_seed(0)
    hidden, head = torch.randn(2, 30, 8), nn.Linear(8, 5)
    spans = torch.tensor([[0, 2, 12], [1, 0, 7], [1, 15, 30]])
    texts = [[1, 2, 2], [3], []]
    targets = torch.tensor([[*text, *[-100] * (3 - len(text))] for text in texts])
    each = []
    for (row, first, last), text in zip(spans.tolist(), texts):
        log_probabilities = head(hidden[row, first:last]).log_softmax(-1)[:, None]
        loss = nn.functional.ctc_loss(
            log_probabilities,
            torch.tensor([text], dtype=torch.long),
            [last - first],
            [len(text)],
            blank=4,
            reduction="sum",
        )
        each.append(loss / max(1, len(text)))
    torch.testing.assert_close(span_loss(hidden, head, spans, targets), sum(each) / 3)
    assert span_loss(hidden, head, spans[:0], targets[:0]) == 0


def test_a_row_says_where_speech_is_read_and_what_is_said(rows, random_checkpoint):
    processor = AutoProcessor.from_pretrained(random_checkpoint)
    examples = token_examples(rows, processor, {"ASR": 1, "S2ST": 1, "TTS": 1, "MT": 1})
    packed = PackedRows(examples, 512, processor.pad_id, with_heard=True)
    batch = SpanCollator()([packed[index] for index in range(len(packed))])
    begin, end = processor.space.span_ids("speech")
    assert len(batch["ctc_spans"]) == 4  # ASR and S2ST of two rows
    first_code, _ = processor.space.range("speech")
    found = []
    for (row, first, last), target in zip(batch["ctc_spans"].tolist(), batch["ctc_targets"].tolist()):
        ids = batch["input_ids"][row].tolist()
        assert ids[first - 1] == begin and ids[last] == end
        found.append((tuple(index - first_code for index in ids[first:last]), tuple(i for i in target if i >= 0)))
    expected = [(tuple(row["speech_source"]), tuple(processor.text_ids(row["text_source"]))) for row in rows]
    assert sorted(found) == sorted(expected * 2)
    assert "heard" not in PackedRows(examples, 512, processor.pad_id)[0]


def test_the_head_is_trained_resumed_and_not_saved(rows, random_checkpoint, tmp_path):
    folders = random_checkpoint, random_checkpoint / "speech_tokenizer"
    whole = train_lm(rows, *folders, tmp_path / "whole", LmArguments(**TINY, max_steps=4, save_steps=2))
    assert not [name for name in load_file(whole / "model.safetensors") if HEAD in name]
    loaded, report = TriglotForConditionalGeneration.from_pretrained(whole, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not hasattr(loaded, HEAD)

    half, last = (load_file(whole / "checkpoints" / f"checkpoint-{step}" / "model.safetensors") for step in (2, 4))
    (name,) = (key for key in half if key.endswith(f"{HEAD}.weight"))
    assert not torch.equal(half[name], last[name])
    first = (whole / "model.safetensors").read_bytes()
    shutil.rmtree(whole / "checkpoints" / "checkpoint-4")
    (whole / "model.safetensors").unlink()
    train_lm(rows, *folders, whole, LmArguments(**TINY, max_steps=4, save_steps=2))
    assert (whole / "model.safetensors").read_bytes() == first


def test_layers_are_found_in_any_model(random_checkpoint):
    model = TriglotForConditionalGeneration.from_pretrained(random_checkpoint)
    assert find_layer(model, 1) is model.language_model.model.layers[0]
    for layer in (0, 2):
        with pytest.raises(TriglotError, match="has 1 layers"):
            find_layer(model, layer)
    add_head(model, 10)
    assert getattr(model, HEAD).out_features == 11
    drop_head(model)
    assert not hasattr(model, HEAD)
