"""The language-model stage: examples, packing, overfitting, resuming, and starting from a text LLM."""

import json
import random
import sys

import pytest
import torch
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoProcessor, LlamaConfig, LlamaForCausalLM

from triglot import FeatureUnits, TriglotError, TriglotForConditionalGeneration
from triglot.modeling.language_model.modeling_triglot import extend_text_model
from triglot.processing.task_formats import parse_chain
from triglot.training.begun_model import take_language_model
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.data.packing import InTwoParts, PackedRows, pack
from triglot.training.data.token_examples import row_contents, row_examples, token_examples
from triglot.training.data.token_rows import DatasetRows
from triglot.training.lm_trainer import WeighedLoss
from triglot.training.load_parts import load_image_tokenizer, load_speech_tokenizer
from triglot.training.train_lm import LmArguments, make_model, make_processor, new_base, train_lm

TINY = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "image_codes": 8,
    "image_grid": "2 2", "pack_length": 512, "batch_size": 2, "bf16": False, "logging_steps": 5, "save_steps": 4,
    "warmup_steps": 0,
}  # fmt: skip
TASKS = LmArguments().task_weights


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken") / "rows"
    demo_world(DemoWorldArguments(sentences=1)).save_to_disk(str(folder))
    return folder


@pytest.fixture(scope="module")
def rows(spoken, random_checkpoint):
    return DatasetRows(str(spoken), str(random_checkpoint / "speech_tokenizer"))(0, 2)


@pytest.fixture
def processor(random_checkpoint):
    return AutoProcessor.from_pretrained(random_checkpoint)


def folders(random_checkpoint):
    return random_checkpoint, random_checkpoint / "speech_tokenizer"


def test_each_row_yields_every_task_its_fields_allow(rows, processor):
    examples = token_examples(rows, processor, TASKS)
    assert [example["task"] for example in examples] == [*TASKS] * 2
    text_only = [{**row, "speech_source": None, "speech_target": None} for row in rows]
    assert {example["task"] for example in token_examples(text_only, processor, {"MT": 1})} == {"MT"}
    with pytest.raises(TriglotError, match=r"\['ASR'\]"):
        token_examples(text_only, processor, {"MT": 1, "ASR": 1})


def test_a_recorded_source_is_heard_but_not_imitated(rows, processor):
    recorded = [{**row, "recorded": True} for row in rows]
    assert {example["task"] for example in token_examples(recorded, processor, {"ASR": 1, "S2ST": 1, "MT": 1})} == {
        "ASR",
        "S2ST",
        "MT",
    }
    with pytest.raises(TriglotError, match=r"\['TTS'\]"):
        token_examples(recorded, processor, {"TTS": 1, "ASR": 1})


def test_nothing_is_written_where_nothing_is_said(rows, processor):
    wordless = {**rows[0], "text_source": "", "text_target": "", "recorded": True}
    weights = {"ASR": 1, "ASR AST": 1, "ASR AST S2ST": 1, "TTS": 1, "MT": 1}
    examples = list(row_examples(wordless, row_contents(wordless, processor), processor, weights, random.Random(0)))
    assert [example["task"] for example in examples] == ["ASR", "ASR AST", "ASR AST S2ST"]
    outputs = [[index for index in example["labels"] if index != -100] for example in examples]
    sep = processor.space.sep_id
    assert outputs[0] == [processor.eos_id] and outputs[1] == [sep, processor.eos_id]
    assert outputs[2][:2] == [sep, sep] and len(outputs[2]) > 5


def test_rows_can_be_read_both_ways(rows, processor):
    (row, *_) = rows
    there, back = token_examples([row], processor, {"S2ST": 1}, both_directions=True)
    assert there["input_ids"] == token_examples([row], processor, {"S2ST": 1})[0]["input_ids"]
    other = {
        **row, "speech_source": row["speech_target"], "speech_target": row["speech_source"],
        "source_language": row["target_language"], "target_language": row["source_language"],
    }  # fmt: skip
    assert back["input_ids"] == token_examples([other], processor, {"S2ST": 1})[0]["input_ids"]
    recorded = {**row, "recorded": True}  # heard in its own language, never said, in whichever direction
    assert len(token_examples([recorded], processor, {"ASR": 1, "S2ST": 1, "TTS": 1}, both_directions=True)) == 4


def test_a_weight_is_the_number_of_examples_of_a_row(rows, processor):
    tasks = [example["task"] for example in token_examples(rows * 50, processor, {"ASR": 0.25, "MT": 2.5, "TTS": 1})]
    assert tasks.count("TTS") == 100
    assert 10 < tasks.count("ASR") < 40 and 230 < tasks.count("MT") < 270
    weights = {"ASR": 0.25}
    assert token_examples(rows * 50, processor, weights) == token_examples(rows * 50, processor, weights)


def test_an_example_takes_eight_bytes_an_id(rows, processor):
    codes = [index % 8 for index in range(5000)]  # of the tokenizer's eight
    (example,) = token_examples([{**rows[0], "speech_source": codes}], processor, {"ASR": 1})
    held = sys.getsizeof(example["input_ids"]) + sys.getsizeof(example["labels"])
    assert len(example["input_ids"]) > 5000 and held < 8.2 * len(example["input_ids"])


def test_drawing_is_learnt_without_its_condition_too(rows, processor):
    seen = [{**row, "image_source": [1, 2, 3, 4]} for row in rows] * 50
    weights = {"T2I": 1, "MT": 1, "CAPTION": 1, "ASR T2I": 1}
    plain = token_examples(seen, processor, weights)
    some = token_examples(seen, processor, weights, condition_dropout=0.2)
    assert some == token_examples(seen, processor, weights, condition_dropout=0.2)
    changed = [(one, other) for one, other in zip(plain, some) if one != other]
    assert {other["task"] for _, other in changed} == {"T2I"} and 5 < len(changed) < 40
    for one, other in changed:
        nulls = [processor.null_prompt_ids(parse_chain("T2I"), row["source_language"], None) for row in rows]
        assert any(list(other["input_ids"][: len(null)]) == null for null in nulls)
        assert [label for label in other["labels"] if label != -100] == [
            label for label in one["labels"] if label != -100
        ]
    with pytest.raises(TriglotError, match="condition_dropout is 1"):
        LmArguments(condition_dropout=1)


def test_a_picture_is_in_every_language(rows, processor):
    row = {**rows[0], "image_source": [1, 2, 3, 4]}
    there, back = token_examples([row], processor, {"CAPTION": 1}, both_directions=True)
    assert there["input_ids"] != back["input_ids"]
    assert len(token_examples([row], processor, {"AST T2I": 1}, both_directions=True)) == 2


def test_weights_are_read_from_the_recipes_line():
    assert LmArguments(tasks="ASR, ASR AST: 0.5").task_weights == {"ASR": 1.0, "ASR AST": 0.5}
    for wrong, why in {"ASR: much": "0.5", "ASR: 0": "above 0", "READ": "READ", "ASR: nan": "above 0"}.items():
        with pytest.raises(TriglotError, match=why):
            LmArguments(tasks=wrong)


def test_contents_are_the_tokenizers_own(rows, spoken, processor):
    contents = row_contents(rows[0], processor)
    assert set(contents) == {"speech_source", "text_source", "speech_target", "text_target"}
    row = load_from_disk(str(spoken))[0]
    assert processor._text(contents["text_target"]) == row["translated_transcript"]
    wave = processor.load_audio(row["audio"])
    assert contents["speech_source"] == processor.codecs.encode("speech", [wave])[0].tolist()


def examples_of(lengths):
    return [{"input_ids": list(range(n)), "labels": [-100] + [1] * (n - 1)} for n in lengths]


def test_packing_keeps_every_example_once_and_restarts_positions():
    lengths = [7, 30, 12, 5, 18, 25, 3, 9] * 20
    packed = PackedRows(examples_of(lengths), 32, pad_id=0)
    assert sorted(len(e["input_ids"]) for group in packed.groups for e in group) == sorted(lengths)
    assert packed.fill > 0.9
    for row in packed:
        assert all(len(value) == 32 for value in row.values())
        starts = (row["position_ids"] == 0).nonzero().flatten().tolist()
        for start in starts:
            assert row["labels"][start] == -100, "no example is predicted from its neighbour"
    assert pack(examples_of(lengths), 32, seed=1) == pack(examples_of(lengths), 32, seed=1)


def test_two_parts_follow_each_other_and_leave_nothing_out():
    first, then = list(range(5)), list(range(100, 103))
    rows = [*InTwoParts(first, then, 12, 19, seed=1)]
    assert len(rows) == 19 and rows == [*InTwoParts(first, then, 12, 19, seed=1)]
    assert sorted(rows[:5]) == first == sorted(rows[5:10]) and rows[:5] != rows[5:10]
    assert sorted(rows[12:15]) == then and set(rows[12:]) == set(then)
    assert len(InTwoParts(first, then, 9, 4)) == 4


def test_a_model_listens_before_it_speaks(rows, random_checkpoint, tmp_path, monkeypatch):
    seen = []
    of_labels = WeighedLoss.of_labels

    def watched(self, outputs, labels):
        seen.append(int(((labels >= speech[0]) & (labels < speech[1])).sum()))
        return of_labels(self, outputs, labels)

    monkeypatch.setattr(WeighedLoss, "of_labels", watched)
    speech = TriglotForConditionalGeneration.from_pretrained(random_checkpoint).config.modality_ranges["speech"]
    arguments = LmArguments(
        **TINY, max_steps=6, tasks="TTS", first_tasks="ASR, MT", first_steps=4, decay_steps=2, media_weight=0.5
    )
    out = train_lm(rows, *folders(random_checkpoint), tmp_path / "lm", arguments)
    assert [count > 0 for count in seen] == [False] * 4 + [True] * 2
    rates = [entry["learning_rate"] for entry in trainer_log(out) if "learning_rate" in entry]
    assert rates[0] == pytest.approx(arguments.learning_rate)


def test_packing_refuses_what_does_not_fit():
    with pytest.raises(TriglotError, match="longest example has 33 ids"):
        PackedRows(examples_of([3, 33]), 32, pad_id=0)
    with pytest.raises(TriglotError, match="no examples"):
        PackedRows([], 32, pad_id=0)


def test_training_a_packed_row_is_training_its_examples(rows, processor, random_checkpoint):
    """The loss of packed rows is the token-weighted loss of the same examples one by one."""
    model = TriglotForConditionalGeneration.from_pretrained(random_checkpoint).eval()
    examples = token_examples(rows, processor, {"ASR": 1, "MT": 1, "TTS": 1})
    (row,) = PackedRows(examples, sum(len(e["input_ids"]) for e in examples) + 5, processor.pad_id)
    packed = model(**{name: value[None] for name, value in row.items()}).loss
    total, count = 0.0, 0
    for example in examples:
        ids, labels = (torch.tensor([example[name]]) for name in ("input_ids", "labels"))
        tokens = int((labels[:, 1:] != -100).sum())
        total, count = total + model(ids, labels=labels).loss.item() * tokens, count + tokens
    assert packed.item() == pytest.approx(total / count, rel=1e-5)


def test_a_media_id_counts_less_where_it_is_wanted():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 6, 10), torch.tensor([[-100, 1, 2, 8, 9, -100], [-100, -100, 3, 7, -100, 4]])
    losses = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    text, media = losses[(labels[:, 1:] >= 0) & (labels[:, 1:] < 7)], losses[labels[:, 1:] >= 7]
    assert (len(text), len(media)) == (4, 3)
    loss = WeighedLoss(7, 0.25)({"logits": logits}, labels, num_items_in_batch=7)
    assert loss.item() == pytest.approx((text.sum() + 0.25 * media.sum()).item() / 7, rel=1e-5)
    assert WeighedLoss(7, 1.0)({"logits": logits}, labels).item() == pytest.approx(losses.sum().item() / 7, rel=1e-5)


@pytest.mark.parametrize("more", [{}, {"optimizer": "muon", "qk_norm": True, "media_weight": 0.5}])
def test_train_save_and_resume(rows, random_checkpoint, tmp_path, more):
    arguments = LmArguments(**TINY, max_steps=8, **more)
    whole = train_lm(rows, *folders(random_checkpoint), tmp_path / "whole", arguments)
    model = TriglotForConditionalGeneration.from_pretrained(whole)
    assert model.generation_config.span_grammar["tasks"]["ASR AST S2ST"] == ["text", "text", "speech"]
    losses = [entry["loss"] for entry in trainer_log(whole) if "loss" in entry]
    assert losses and all(loss == loss for loss in losses)

    # a run killed after its first checkpoint goes on from there and ends with the same weights
    for path in whole.iterdir():
        if path.name != "checkpoints":
            path.unlink()
    last = max((whole / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    first = whole / "checkpoints" / "checkpoint-4"
    assert first.is_dir() and last.name == "checkpoint-8"
    (last / "trainer_state.json").unlink()  # torn by the kill
    again = train_lm(rows, *folders(random_checkpoint), whole, arguments)
    resumed = TriglotForConditionalGeneration.from_pretrained(again)
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def trainer_log(folder):
    last = max((folder / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return json.loads((last / "trainer_state.json").read_text())["log_history"]


def test_checkpoints_of_other_settings_are_not_mixed(rows, random_checkpoint, tmp_path):
    train_lm(rows, *folders(random_checkpoint), tmp_path / "lm", LmArguments(**TINY, max_steps=4))
    with pytest.raises(TriglotError, match=r"learning_rate 0\.001 -> 0\.5"):
        train_lm(
            rows, *folders(random_checkpoint), tmp_path / "lm", LmArguments(**TINY, max_steps=4, learning_rate=0.5)
        )
    with pytest.raises(TriglotError, match="other token rows"):
        train_lm(rows[:-1], *folders(random_checkpoint), tmp_path / "lm", LmArguments(**TINY, max_steps=4))


def test_starting_from_a_text_llm_keeps_its_words(rows, random_checkpoint, processor, tmp_path):
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(
        LlamaConfig(vocab_size=len(processor.tokenizer) + 7, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                    num_attention_heads=2)
    )  # fmt: skip
    base.save_pretrained(tmp_path / "llm")
    arguments = LmArguments(
        **TINY,
        max_steps=1,
        learning_rate=0.0,
        weight_decay=0.0,
        text_model=str(tmp_path / "llm"),
        init="centroids",
        dtype="bfloat16",
    )
    out = train_lm(rows, *folders(random_checkpoint), tmp_path / "lm", arguments)
    model = TriglotForConditionalGeneration.from_pretrained(out)
    rows_before = base.get_input_embeddings().weight
    assert model.config.modality_ranges["text"] == (0, len(rows_before)), "padded rows stay"
    kept = model.get_input_embeddings().weight[: len(rows_before)]
    assert torch.equal(kept, rows_before.to(torch.bfloat16))
    assert (
        model.config.modalities[1]["fingerprint"]
        == FeatureUnits.from_pretrained(random_checkpoint / "speech_tokenizer").fingerprint
    )


def test_going_on_from_a_trained_model(rows, random_checkpoint, tmp_path):
    begun = TriglotForConditionalGeneration.from_pretrained(random_checkpoint)
    still = {**TINY, "max_steps": 1, "learning_rate": 0.0, "weight_decay": 0.0}
    out = train_lm(
        rows, *folders(random_checkpoint), tmp_path / "lm", LmArguments(**still, start_from=str(random_checkpoint))
    )
    gone_on = TriglotForConditionalGeneration.from_pretrained(out)
    for name, value in begun.state_dict().items():
        assert torch.equal(value, gone_on.state_dict()[name]), name

    for change, message in (
        ({"start_from": str(tmp_path)}, "no language model lies"),
        ({"intermediate_size": 96}, "of other sizes"),
    ):
        arguments = LmArguments(**{**still, "start_from": str(random_checkpoint), **change})
        with pytest.raises(TriglotError, match=message):
            train_lm(rows, *folders(random_checkpoint), tmp_path / "refused", arguments)


def test_the_model_is_told_how_to_draw(random_checkpoint, image_tokenizer):
    arguments = LmArguments(**{**TINY, "drawing_top_k": 5, "drawing_temperature": 0.9})
    tokenizers = load_speech_tokenizer(random_checkpoint / "speech_tokenizer"), load_image_tokenizer(image_tokenizer)
    processor = make_processor(random_checkpoint, tokenizers[0], None, arguments, tokenizers[1])
    told = make_model(new_base(processor, arguments), processor, arguments).generation_config.drawing
    assert told == {"temperature": 0.9, "top_k": 5, "guidance_scale": 1.0}


def extended(image: dict | None, base, init="mean"):
    """A Triglot over a text LM, with five speech codes and pictures."""
    media = [{"name": "speech", "size": 5, "frame_rate": 25.0, "fingerprint": "a" * 64}]
    torch.manual_seed(1)
    model = extend_text_model(base, media + ([image] if image else []), init)
    torch.nn.init.normal_(model.get_input_embeddings().weight, 1.0, 3.0)
    return model


IMAGE = {"name": "image", "size": 16, "grid": [2, 2], "fingerprint": ""}


@pytest.mark.parametrize("before", [None, IMAGE])
@pytest.mark.parametrize("tied", [True, False])
def test_media_new_to_a_model_join_it(before, tied):
    """What it knew keeps its bits and its scores; the new rows are as long as the others, and keep what they know of each other."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    base = LlamaForCausalLM(LlamaConfig(vocab_size=40, tie_word_embeddings=tied, **sizes))
    begun = extended(before, base)
    model = extended({**IMAGE, "size": 30, "fingerprint": "b" * 64}, LlamaForCausalLM(base.config))
    started = model.get_input_embeddings().weight.detach().clone()
    assert take_language_model(model, begun, "begun") == ["image"]
    known = 41 + 2 + 5
    rows, trained = model.get_input_embeddings().weight, begun.get_input_embeddings().weight
    assert torch.equal(rows[:known], trained[:known])
    ids = torch.randint(known, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits[..., :known], begun(ids).logits[..., :known], rtol=0, atol=0)
    new = rows[known:].detach()
    assert float(new.std(0).mean() / trained[:known].std(0).mean()) == pytest.approx(1, abs=0.01)
    alike = torch.nn.functional.cosine_similarity(new - new.mean(0), started[known:] - started[known:].mean(0))
    assert float(alike.min()) > 0.999


def test_other_tokens_are_no_start():
    base = LlamaForCausalLM(
        LlamaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    begun = extended({**IMAGE, "fingerprint": "b" * 64}, base)
    for image in (None, {**IMAGE, "fingerprint": "c" * 64}):
        with pytest.raises(TriglotError, match=r"whose tokens are others.*\(image\)"):
            take_language_model(extended(image, base), begun, "begun")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int8"}, "bfloat16"),
        ({"init": "median"}, "zero, mean, centroids"),
        ({"pack_length": 0}, "pack_length is 0"),
        ({"save_steps": 0}, "save_steps is 0"),
        ({"languages": "en Klingon"}, "Klingon"),
        ({"optimizer": "sgd"}, "adamw or muon"),
        ({"media_weight": 0.0}, "above 0"),
        ({"media_weight": 2.0}, "up to 1"),
        ({"first_steps": 5}, "first_tasks holds ''"),
        ({"first_tasks": "ASR", "first_steps": 9, "max_steps": 8}, "first_steps is 9"),
        ({"decay_steps": 9, "max_steps": 8}, "decay_steps is 9"),
        ({"drawing_top_k": -1}, "drawing_top_k -1"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(TriglotError, match=message):
        LmArguments(**arguments)
