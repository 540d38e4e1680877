"""`triglot finetune`: adapters that save small, load, and merge exactly; whole weights; runs that were cut off; what does not fit."""

import json
import shutil

import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from safetensors.torch import load_file
from speech_rows import sound_bytes, tokenised_table
from transformers import TrainerCallback

from triglot import TriglotError, TriglotForConditionalGeneration, TriglotProcessor
from triglot.cli import main
from triglot.training import finetune as finetune_module
from triglot.training.finetune import FinetuneArguments, finetune

SHORT = {
    "max_steps": 6, "batch_size": 2, "pack_length": 128, "save_steps": 2, "bf16": False, "warmup_steps": 0, "dtype": "float32",
    "learning_rate": 5e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokens(random_checkpoint, tmp_path_factory):
    """Eight sentences in French, which the checkpoint does not know, with a translation."""
    texts = [(f"un carré {n}", f"a square {n}") for n in range(8)]
    folder, tokenizer = tmp_path_factory.mktemp("mine"), random_checkpoint / "speech_tokenizer"
    return tokenised_table(folder, tokenizer, texts, ("fr", "en"))


def load(folder, dtype=torch.float32):
    return TriglotForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()


@pytest.mark.parametrize("rows", ["none", "media", "seen", "new"])
def test_an_adapter_is_loaded_by_both_ways_and_merges_exactly(rows, random_checkpoint, tokens, tmp_path):
    arguments = FinetuneArguments(**SHORT, lora_rank=4, trained_rows=rows)
    folder = finetune(random_checkpoint, tokens, tmp_path, arguments)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir() if path.suffix == ".safetensors") == [
        "adapter_model.safetensors"
    ]
    ids = torch.randint(
        len(load(folder).get_input_embeddings().weight), (2, 40), generator=torch.Generator().manual_seed(0)
    )
    wrapped = (
        PeftModel.from_pretrained(load(random_checkpoint, torch.float64), str(tmp_path / "adapter")).double().eval()
    )
    loaded = load(random_checkpoint, torch.float64)
    loaded.load_adapter(str(tmp_path / "adapter"))
    loaded.double()
    with torch.no_grad():
        before = load(random_checkpoint, torch.float64)(ids).logits
        one, two = wrapped(ids).logits, loaded(ids).logits
        merged = wrapped.merge_and_unload()(ids).logits
        saved = load(folder)(ids).logits
    assert float((one - before).abs().max()) > 1e-3  # it learnt something
    assert float((one - merged).abs().max()) < 1e-10
    torch.testing.assert_close(two, one, rtol=0, atol=1e-10)
    torch.testing.assert_close(saved.double(), merged, rtol=0, atol=2e-5)

    old, new = (load(where).get_input_embeddings().weight for where in (random_checkpoint, folder))
    changed = set((old != new).any(1).nonzero()[:, 0].tolist())
    processor = TriglotProcessor.from_pretrained(folder)
    text = processor.modalities[0]["size"]
    french = {token for n in range(8) for token in processor.text_ids(f"un carré {n}")}
    assert {
        "none": not changed,
        "media": min(changed, default=0) >= text,
        "seen": text > min(changed, default=text) and max(changed, default=0) > text,
        "new": changed == french,  # and not of the translations, in a language that is known
    }[rows]
    assert rows == "none" or 0 < len(changed) < len(old)


def test_the_new_checkpoint_is_whole_and_knows_the_language(random_checkpoint, tokens, tmp_path):
    from transformers import pipeline

    folder = finetune(random_checkpoint, tokens, tmp_path, FinetuneArguments(**SHORT))
    report = (tmp_path / "checkpoints" / "report.md").read_text()
    assert "# Finetune: 6 steps" in report and "| lora_rank | 16 |" in report and "* AST: 8 examples, " in report
    facts = json.loads((tmp_path / "adapter" / "triglot_adapter.json").read_text())
    assert facts["languages"] == ["en", "es", "fr"] and facts["modalities"][1]["fingerprint"]
    card, adapter = (ModelCard.load(where / "README.md") for where in (folder, tmp_path / "adapter"))
    assert card.data.language == adapter.data.language == ["en", "es", "fr"]
    assert (card.data.library_name, adapter.data.library_name) == ("transformers", "peft")
    assert (
        adapter.data.base_model is None and "More Information" not in adapter.text
    )  # a folder is nothing for the Hub
    assert "A LoRA adapter" in adapter.text and 'PeftModel.from_pretrained(base, ".")' in adapter.text
    for text in (card.text, adapter.text):
        assert f"`triglot finetune` went on from {random_checkpoint.name}, seed 0." in text and "lora_rank 16" in text
        assert "| mine | the maker's own | 8 | 0.00 | 100.0 |" in text and "* AST: 8 examples" in text
        assert str(tmp_path) not in text and "CPU (" in text
    transcribe = pipeline("speech-recognition", model=str(folder))
    assert isinstance(transcribe(sound_bytes(0.6), language="French")["text"], str)
    for part in ("speech_tokenizer", "speech_decoder"):
        ours, theirs = (load_file(where / part / "model.safetensors") for where in (folder, random_checkpoint))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and set(ours) == set(theirs)


def test_rows_of_new_languages_need_one(random_checkpoint, tmp_path):
    known = tokenised_table(
        tmp_path, random_checkpoint / "speech_tokenizer", [("a square", "un cuadrado")], ("en", "es")
    )
    with pytest.raises(TriglotError, match="knows all languages of the data, en, es"):
        finetune(random_checkpoint, known, tmp_path / "out", FinetuneArguments(**SHORT, trained_rows="new"))
    assert not (tmp_path / "out").exists()


def test_rows_are_read_in_both_directions(random_checkpoint, tokens, tmp_path):
    arguments = FinetuneArguments(**{**SHORT, "max_steps": 1}, tasks="MT, ASR", both_directions=True)
    finetune(random_checkpoint, tokens, tmp_path, arguments)
    report = (tmp_path / "checkpoints" / "report.md").read_text()
    assert "* MT: 16 examples" in report and "* ASR: 8 examples" in report  # the translations have no sound


def test_all_weights_learn_without_an_adapter(random_checkpoint, tokens, tmp_path):
    arguments = FinetuneArguments(
        **{**SHORT, "max_steps": 60, "save_steps": 60}, lora_rank=0, optimizer="muon", tasks="MT, ASR: 0.5"
    )
    folder = finetune(random_checkpoint, tokens, tmp_path, arguments)
    assert not (tmp_path / "adapter").exists()
    old, new = load(random_checkpoint).state_dict(), load(folder).state_dict()
    assert all(not torch.equal(old[name], new[name]) for name in old if name.endswith("proj.weight"))
    state = json.loads((tmp_path / "checkpoints" / "checkpoint-60" / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert losses and losses[-1] < 6


class Stop(TrainerCallback):
    """Ends a run before step `at`, as a kill would."""

    def __init__(self, at: int):
        self.at = at

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("rank", [0, 4])
def test_a_run_that_was_cut_off_ends_alike(rank, random_checkpoint, tokens, tmp_path, monkeypatch):
    arguments = FinetuneArguments(**SHORT, lora_rank=rank, trained_rows="seen")
    whole = finetune(random_checkpoint, tokens, tmp_path / "whole", arguments)
    trainer = finetune_module.LmTrainer
    monkeypatch.setattr(finetune_module, "LmTrainer", lambda **kwargs: trainer(**kwargs, callbacks=[Stop(3)]))
    with pytest.raises(KeyboardInterrupt):
        finetune(random_checkpoint, tokens, tmp_path / "cut", arguments)
    assert not (tmp_path / "cut" / "checkpoint").exists()
    monkeypatch.setattr(finetune_module, "LmTrainer", trainer)
    with pytest.raises(TriglotError, match="other settings"):
        finetune(
            random_checkpoint,
            tokens,
            tmp_path / "cut",
            FinetuneArguments(**{**SHORT, "learning_rate": 1.0}, lora_rank=rank),
        )
    cut = finetune(random_checkpoint, tokens, tmp_path / "cut", arguments)
    ours, theirs = load(cut).state_dict(), load(whole).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_goes_on_with_its_own_data_and_base_alone(random_checkpoint, tokens, tmp_path):
    arguments, out = FinetuneArguments(**{**SHORT, "max_steps": 1}, tasks="MT"), tmp_path / "out"
    finetune(random_checkpoint, tokens, out, arguments)
    texts = [(f"une étoile {n}", f"a star {n}") for n in range(8)]
    (tmp_path / "other").mkdir()
    other = tokenised_table(tmp_path / "other", random_checkpoint / "speech_tokenizer", texts, ("fr", "en"))
    another = shutil.copytree(random_checkpoint, tmp_path / "another")
    model = load(another)
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    model.save_pretrained(another)
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for base, rows, message in ((random_checkpoint, other, "other token rows"), (another, tokens, "another base")):
        with pytest.raises(TriglotError, match=message):
            finetune(base, rows, out, arguments)
    assert kept == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    file = out / "checkpoints" / "run.json"
    run = json.loads(file.read_text())
    assert set(run["inputs"]) == {
        "base", "text_tokenizer", "speech_tokenizer", "image_tokenizer", "languages", "token_rows",
    }  # fmt: skip
    file.write_text(json.dumps({**run, "inputs": {"speech_tokenizer": run["inputs"]["speech_tokenizer"]}}))
    finetune(random_checkpoint, tokens, out, arguments)  # begun before the others were written down


def test_a_run_that_diverges_is_told_and_not_saved(random_checkpoint, tokens, tmp_path):
    arguments = FinetuneArguments(**{**SHORT, "max_steps": 2, "learning_rate": 1e30}, lora_rank=4, tasks="MT")
    with pytest.raises(TriglotError, match="lower learning_rate"):
        finetune(random_checkpoint, tokens, tmp_path, arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"accumulation": 0}, "accumulation is 0"),
        ({"save_steps": 0}, "save_steps is 0"),
        ({"logging_steps": 0}, "logging_steps is 0"),
        ({"pack_length": -1}, "pack_length is -1"),
        ({"max_steps": 8, "decay_steps": 9}, "allowed is 0 to max_steps, 8"),
        ({"dtype": "bf16"}, "float32 or float16 or bfloat16"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(TriglotError, match=message):
        FinetuneArguments(**settings)


def test_four_bits_carry_an_adapter(random_checkpoint, tokens, tmp_path):
    """QLoRA, on a GPU or by bitsandbytes' kernels for CPUs: the frozen weights in 4 bits, and a checkpoint of whole weights in the end."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    arguments = FinetuneArguments(
        **{**SHORT, "max_steps": 60, "save_steps": 60}, lora_rank=4, quantized=True, trained_rows="seen"
    )
    model = finetune_module._load_model(str(random_checkpoint), arguments)
    four = [type(module) for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(four) == 7 * model.config.get_text_config().num_hidden_layers
    folder = finetune(random_checkpoint, tokens, tmp_path, arguments)
    state = json.loads((tmp_path / "checkpoints" / "checkpoint-60" / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert losses and losses[-1] < 6
    old, new = load(random_checkpoint), load(folder)
    assert {name for name, _ in new.named_parameters()} == {name for name, _ in old.named_parameters()}
    ids = torch.randint(len(new.get_input_embeddings().weight), (2, 40), generator=torch.Generator().manual_seed(0))
    adapted = PeftModel.from_pretrained(load(random_checkpoint), str(tmp_path / "adapter")).eval()
    with torch.no_grad():
        torch.testing.assert_close(new(ids).logits, adapted(ids).logits, rtol=0, atol=1e-4)


def test_what_does_not_fit_is_told(random_checkpoint, tokens, tmp_path):
    with pytest.raises(TriglotError, match="no checkpoint"):
        finetune(tmp_path / "none", tokens, tmp_path / "out")
    with pytest.raises(TriglotError, match="no tokenised sources"):
        finetune(random_checkpoint, tmp_path, tmp_path / "out")
    other = tmp_path / "other"
    shutil.copytree(tokens, other)
    facts = json.loads((other / "mixture.json").read_text())
    (other / "mixture.json").write_text(json.dumps({**facts, "tokenizer": "0" * 64}))
    with pytest.raises(TriglotError, match="tokenise with its own"):
        finetune(random_checkpoint, other, tmp_path / "out")
    with pytest.raises(TriglotError, match="No row gives an example"):
        finetune(random_checkpoint, tokens, tmp_path / "out", FinetuneArguments(tasks="S2ST"))
    with pytest.raises(TriglotError, match="bitsandbytes"):
        finetune(random_checkpoint, tokens, tmp_path / "out", FinetuneArguments(quantized=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trained_rows": "all"}, "none, media, seen, new"),
        ({"lora_rank": -1}, "lora_rank is -1"),
        ({"optimizer": "muon"}, "adapter is trained by adamw"),
        ({"quantized": True, "lora_rank": 0}, "cannot learn"),
        ({"dtype": "int8"}, "dtype"),
        ({"tasks": "ASRR"}, "ASRR"),
    ],
)
def test_bad_settings_are_told(settings, message):
    with pytest.raises(TriglotError, match=message):
        FinetuneArguments(**settings)


def test_the_command_line(random_checkpoint, tokens, tmp_path, capsys):
    words = ["finetune", str(random_checkpoint), "--tokens", str(tokens), "--out", str(tmp_path)]
    short = ["--set", "bf16=false", "--set", "pack_length=128", "--max-steps", "2", "--tasks", "MT"]
    assert main([*words, *short, "--learning-rate", "1e-3"]) == 0
    assert capsys.readouterr().out.strip().endswith(str(tmp_path / "checkpoint"))
    assert main([*words, "--set", "lora_alfa=3"]) == 1
    assert "did you mean 'lora_alpha'" in capsys.readouterr().err
    assert main([*words, "--set", "lora_alpha"]) == 1
