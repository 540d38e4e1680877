"""`triglot describe`: what it counts is what torch holds, no weight is read, and what cannot be described is one typed error."""

import json
import shutil

import pytest
import torch
from environments import ROOT
from safetensors import safe_open
from transformers import AutoModel, AutoProcessor, LlamaConfig, PreTrainedModel

from triglot.cli import main
from triglot.processing.errors import TriglotError
from triglot.processing.task_formats import parse_chain
from triglot.training.describe import as_text, count_numbers, describe

TINY, LARGE = (ROOT / "hub_configs" / name for name in ("triglot-tiny", "triglot-8b"))


def test_the_numbers_are_those_of_the_weights(random_checkpoint):
    for folder in (TINY, random_checkpoint):
        found, processor = describe(folder), AutoProcessor.from_pretrained(folder)
        models = [AutoModel.from_pretrained(folder), *(processor.codecs.get(name) for name in processor.codecs.names)]
        assert found.weights and [part.name for part in found.parts] == ["language model", *processor.codecs.names]
        for part, model in zip(found.parts, models):
            assert part.parameters == sum(weight.numel() for weight in model.parameters())
            assert (part.parameters, part.buffers) == count_numbers(model)
            where = folder / ("" if part.name == "language model" else part.name) / "model.safetensors"
            with safe_open(where, framework="pt") as tensors:
                assert part.parameters + part.buffers == sum(
                    torch.Size(tensors.get_slice(name).get_shape()).numel()
                    for name in tensors.keys()  # noqa: SIM118
                )
        assert found.run_bytes["bfloat16"] * 2 == found.run_bytes["float32"]


def test_the_cache_is_what_generation_keeps(random_checkpoint):
    found, model = describe(random_checkpoint), AutoModel.from_pretrained(random_checkpoint)
    past = model(torch.ones(1, 50, dtype=torch.long), use_cache=True).past_key_values
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in past.layers)
    assert found.cache_bytes["float32"] == 20 * kept


@pytest.mark.parametrize("task", ["TTS", "MT", "ASR", "ASR AST S2ST"])
def test_lengths_are_those_of_prompts_and_answers(random_checkpoint, task):
    """Against the processor, with a text of as many ids as are taken for ten seconds, and ten seconds of codes."""
    length = next(each for each in describe(random_checkpoint).lengths if each.task == task)
    processor, text, codes = AutoProcessor.from_pretrained(random_checkpoint), [5] * 36, [1] * 250
    contents = dict.fromkeys(("text_source", "text_target"), text) | dict.fromkeys(
        ("speech_source", "speech_target"), codes
    )
    example = processor.training_example(task, "en", "es" if task in ("MT", "ASR AST S2ST") else None, contents)
    prompt = example["labels"].count(-100)
    assert length.written == len(example["input_ids"]) - prompt
    tag = parse_chain(task).tag("English", "Spanish")
    # the tag's words are counted for ids: a text tokenizer of a few hundred pieces cuts them into letters
    assert length.read - len(tag.split()) - 2 == prompt - len(processor.text_ids(tag))


def test_no_weights_are_read_and_the_text_says_how_it_was_reckoned(monkeypatch, capsys):
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)
    assert main(["describe", str(LARGE), "--gpu", "A100", "--peak", "312", "--bandwidth", "2.04"]) == 0
    printed = capsys.readouterr().out
    for needed in (
        "no weights here",
        "8,199.1M",
        "312e12 x 0.4 / 2 P",
        "SoundStorm",
        "ASR AST S2ST",
        "to run on one A100",
    ):
        assert needed in printed
    assert main(["describe", str(LARGE), str(TINY), "--json"]) == 0
    large, tiny = json.loads(capsys.readouterr().out)
    assert large["weights"] is False and tiny["weights"] is True
    assert large["parts"][0]["parameters"] == 8_199_148_544
    assert large["training"][0]["bytes_each"] > 16 * large["parts"][0]["parameters"]
    assert set(large["memory"]) == {plan["way"] for plan in large["training"]}
    slow, fast = describe(LARGE), describe(TINY)
    assert slow.writing_tokens_per_second[1] < fast.writing_tokens_per_second[1]
    assert as_text(fast).startswith("triglot-tiny: text 2,446 ids, speech 500 codes at 25 Hz")


def test_what_cannot_be_described(tmp_path, capsys):
    assert main(["describe", "nobody/nothing"]) == 1
    assert "'nobody/nothing' holds no config of a checkpoint that loads" in capsys.readouterr().err
    LlamaConfig().save_pretrained(tmp_path / "llama")
    with pytest.raises(TriglotError, match="is a llama; a Triglot is needed"):
        describe(tmp_path / "llama")
    copy = shutil.copytree(LARGE, tmp_path / "copy")
    shutil.rmtree(copy / "speech_decoder")
    with pytest.raises(TriglotError, match="no config of the part speech_decoder"):
        describe(copy)
    (copy / "processor_config.json").unlink()
    with pytest.raises(TriglotError, match="processor_config"):
        describe(copy)
    assert main(["describe", str(LARGE), "--utilisation", "2"]) == 1
    assert "utilisation is 2.0" in capsys.readouterr().err
