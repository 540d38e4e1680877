"""`triglot export`: a plain causal LM with the same logits, served over HTTP without Triglot; what cannot be exported is named."""

import json
import os
import random
import re
import shutil
import subprocess
import time

import pytest
import soundfile
import torch
from environments import ROOT, environment_without_triglot, run
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoProcessor, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from triglot import TriglotError, TriglotForConditionalGeneration, TriglotProcessor, extend_text_model
from triglot.cli import main
from triglot.export import check_export_folder, export_model, plain_generation_config, vllm_options
from triglot.training.card_record import CardRecord, Part, write_record
from triglot.training.data.demo_world import speak
from triglot.training.data.splits import HELD_OUT_VOICES, held_out_sentences, random_speaker

TINY = ROOT / "hub_configs" / "triglot-tiny"
GUIDE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


def model_of(folder):
    return TriglotForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment_without_triglot(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """triglot-tiny, exported into a folder called `plain`."""
    folder = tmp_path_factory.mktemp("served") / "plain"
    assert main(["export", str(TINY), str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def padded(random_checkpoint):
    """(model, processor) of a Llama with 9 rows more than its tokenizer has tokens, an untied head, and pictures."""
    tokenizer = AutoProcessor.from_pretrained(random_checkpoint).tokenizer
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer) + 9, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, eos_token_id=2, pad_token_id=3,
        )
    )  # fmt: skip
    media = [{"name": "speech", "size": 30, "frame_rate": 25.0}, {"name": "image", "size": 8, "grid": [2, 2]}]
    model = extend_text_model(base, media, "mean").eval()
    return model, TriglotProcessor(tokenizer, modalities=model.config.modalities)


def test_the_folder_is_plain(plain):
    names = {path.name for path in plain.iterdir()}
    assert names == {
        "README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    for name in names - {"README.md", "model.safetensors"}:
        text = (plain / name).read_text(encoding="utf-8")
        assert "auto_map" not in text and "riglot" not in text and "span_grammar" not in text, name
    config = json.loads((plain / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"] and config["vocab_size"] == 4999
    assert config["rope_theta"] == 500.0 and config["torch_dtype"] == "bfloat16"
    kept = GenerationConfig.from_pretrained(plain)
    assert (kept.eos_token_id, kept.max_new_tokens, kept.suppress_tokens) == (2, 728, [0, 1, 3])
    ours, theirs = load_file(TINY / "model.safetensors"), load_file(plain / "model.safetensors")
    assert {key.removeprefix("language_model.") for key in ours} == set(theirs)
    assert all(torch.equal(weight, theirs[key.removeprefix("language_model.")]) for key, weight in ours.items())
    assert "--model-impl transformers" in (plain / "README.md").read_text()


def test_the_same_logits_without_triglot(plain, padded, python, tmp_path):
    export_model(*padded, tmp_path / "padded")
    tiny, generator = model_of(TINY), torch.Generator().manual_seed(0)
    asked = {}
    for name, folder, model in (("tiny", plain, tiny), ("padded", tmp_path / "padded", padded[0])):
        ids = torch.randint(4, model.config.vocab_size, (2, 60), generator=generator)
        with torch.no_grad():
            asked[name] = {"folder": str(folder), "ids": ids, "logits": model(ids).logits}
    torch.save(asked, tmp_path / "asked.pt")
    (tmp_path / "plain.py").write_text(
        "import importlib.util, torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "assert importlib.util.find_spec('triglot') is None\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "for name, asked in torch.load('asked.pt').items():\n"
        "    model = AutoModelForCausalLM.from_pretrained(asked['folder'], dtype=torch.float32).eval()\n"
        "    tokenizer = AutoTokenizer.from_pretrained(asked['folder'])\n"
        "    with torch.no_grad():\n"
        "        same = torch.equal(model(asked['ids']).logits, asked['logits'])\n"
        "    assert len(tokenizer) == model.config.vocab_size == model.lm_head.weight.shape[0]\n"
        "    print(name, type(model).__name__, same, tokenizer.decode([tokenizer.vocab_size - 1, len(tokenizer) - 1]))\n"
    )
    printed = run(python, "plain.py", cwd=tmp_path).splitlines()
    assert printed[0].startswith("tiny Qwen3ForCausalLM True") and printed[0].endswith("<|image_2047|>")
    assert printed[1].startswith("padded LlamaForCausalLM True") and printed[1].endswith("<|image_7|>")


def test_rows_without_a_token_have_fillers(padded, tmp_path):
    model, processor = padded
    folder = export_model(model, processor, tmp_path / "out")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    own, space = len(processor.tokenizer), processor.space
    assert tokenizer.convert_ids_to_tokens(own) == f"<|triglot_filler_{own}|>"
    assert tokenizer.convert_ids_to_tokens([space.sep_id, space.size - 1]) == ["<|sep|>", "<|image_7|>"]
    assert tokenizer.decode([own, space.sep_id, space.size - 1], skip_special_tokens=True) == "<|sep|><|image_7|>"
    suppressed = plain_generation_config(model.generation_config, processor).suppress_tokens
    assert set(range(own, space.sep_id)) <= set(suppressed) and 2 not in suppressed and max(suppressed) < space.sep_id
    assert vllm_options(model.language_model.config) == []


@pytest.fixture
def server(plain, python, tmp_path):
    """`transformers serve plain` on a port of its own choice, where triglot is not installed; yields its URL."""
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package)
    log = tmp_path / "server.log"
    command = [
        python,
        "-m",
        "transformers.cli.transformers",
        "serve",
        plain.name,
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    hidden = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    with open(log, "w") as handle:
        process = subprocess.Popen(
            [*map(str, command), "--host", "127.0.0.1", "--port", "0"], cwd=plain.parent, stdout=handle, stderr=handle,
            env={**hidden, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not (found := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_it_is_served_over_http_and_the_guide_makes_sound_of_the_answer(server, plain, tmp_path, monkeypatch):
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    monkeypatch.chdir(tmp_path)
    item, speaker = held_out_sentences(1, seed=1)[0], random_speaker(random.Random(1), HELD_OUT_VOICES)
    soundfile.write("in.wav", *speak(item.sentence("es"), "es", speaker))
    block, *_ = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    assert "http://127.0.0.1:8000" in block
    names: dict = {}
    exec(compile(block.replace("http://127.0.0.1:8000", server), "serve.md", "exec"), names)

    inputs = names["inputs"]
    ours = model_of(TINY).generate(**inputs)[0, inputs["input_ids"].shape[1] :].tolist()
    assert names["ids"] == ours[:-1] and ours[-1] == 2  # <eos> alone is special, so it is not in the text
    assert names["translation"] == item.sentence("en") and names["waveform"].size > 8_000
    [pattern] = re.findall(r"```text\n(.*?)\n```", GUIDE, re.S)
    assert re.fullmatch(pattern, names["answer"].choices[0].text)
    stream = names["client"].completions.create(
        model="plain", prompt=names["prompt"], temperature=0, max_tokens=664, stream=True
    )
    pieces = [chunk.choices[0].text for chunk in stream]
    assert len(pieces) > 50 and "".join(pieces) == names["answer"].choices[0].text

    def ask(prompt, **options):
        asked = names["client"].completions.create(
            model="plain", prompt=prompt, temperature=0, max_tokens=80, **options
        )
        return asked.choices[0].text

    # what the guide's table says
    assert ask(names["prompt"], stop="<|sep|>") == f"{names['transcript']}<|sep|>"
    processor = names["processor"]
    [speaking] = processor.exported_prompts(processor("hola", source_language="es").input_ids)
    settings = GenerationConfig.from_pretrained(plain).to_dict()
    settings["suppress_tokens"] = list(range(processor.space.sep_id + 1, processor.space.size))
    assert ask(speaking).startswith("<|speech|><|speech_")
    assert "<|speech" not in ask(speaking, extra_body={"generation_config": json.dumps(settings)})


@pytest.mark.parametrize("number", [1, 2], ids=["fast", "torchao"])
def test_the_guides_other_snippets_run(number, tmp_path, monkeypatch):
    block = re.findall(r"```python\n(.*?)```", GUIDE, re.S)[number]
    if "torchao" in block:
        pytest.importorskip("torchao")
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(block, "serve.md", "exec"), names)
    layer = names["model"].language_model.model.layers[0]
    if "torchao" in block:
        assert type(layer.self_attn.q_proj.weight) is not torch.nn.Parameter
    else:
        assert names["model"].speed_up() in ("int8", "float32")


def test_the_guides_request_is_json():
    [request] = re.findall(r"```json\n(.*?)```", GUIDE, re.S)
    assert {"model", "prompt", "max_tokens"} <= set(json.loads(request))


def test_the_guides_commands_are_understood():
    from triglot.cli import parse

    commands = [
        line.split()[1:] for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.S) for line in block.splitlines()
    ]
    assert parse(commands[0]).out == "plain"


def test_what_a_plain_class_cannot_express_is_named(padded, tmp_path):
    model, processor = padded
    model = model_of(TINY)
    processor = AutoProcessor.from_pretrained(TINY)
    model.ctc_head = torch.nn.Linear(2, 2)
    with pytest.raises(TriglotError, match=r"2 weights outside its text model.*ctc_head"):
        export_model(model, processor, tmp_path / "out")
    del model.ctc_head

    from peft import LoraConfig

    model.add_adapter(LoraConfig(target_modules=["q_proj"], r=2))
    with pytest.raises(TriglotError, match="adapter merged"):
        export_model(model, processor, tmp_path / "out")

    class OwnForCausalLM(LlamaForCausalLM):
        """A text model whose code is not in transformers."""

    other = model_of(TINY)
    other.language_model = OwnForCausalLM(
        LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    )
    with pytest.raises(TriglotError, match="OwnForCausalLM"):
        export_model(other, processor, tmp_path / "out")
    with pytest.raises(TriglotError, match="a Triglot model is needed"):
        export_model(other.language_model, processor, tmp_path / "out")
    with pytest.raises(TriglotError, match="modalities"):
        export_model(model_of(TINY), padded[1], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_errors_are_one_line_and_nothing_is_overwritten(plain, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    for out, message in (("mine", "holds something that is no export"), ("file", "is a file")):
        assert main(["export", str(TINY), str(tmp_path / out)]) == 1
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "out")]) == 1
    assert main(["export", str(plain), str(tmp_path / "out")]) == 1
    assert "Triglot" in capsys.readouterr().err
    assert main(["export", str(TINY), str(TINY)]) == 1  # the checkpoint itself is no export
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]


def test_only_an_export_is_replaced(padded, tmp_path):
    """A Llama that somebody downloaded has the same files, and a card of its own."""
    (tmp_path / "llama").mkdir()
    padded[0].language_model.save_pretrained(tmp_path / "llama")
    padded[1].tokenizer.save_pretrained(tmp_path / "llama")
    (tmp_path / "llama" / "README.md").write_text("# A Llama\n")
    with pytest.raises(TriglotError, match="holds something that is no export; name"):
        check_export_folder(tmp_path / "llama")
    folder = export_model(*padded, tmp_path / "plain")
    assert check_export_folder(folder) == folder.resolve()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(TriglotError, match=r"no export \(notes.txt\)"):
        export_model(*padded, folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_card_has_the_licence_of_the_checkpoint(padded, random_checkpoint, tmp_path, capsys):
    metadata = ModelCard.load(export_model(*padded, tmp_path / "unknown") / "README.md").data
    assert metadata.license is None and metadata.base_model is None
    checkpoint = shutil.copytree(random_checkpoint, tmp_path / "checkpoint")
    parts = {"speech_tokenizer": Part("meta/units", "meta/units", "cc-by-nc-4.0", "its card")}
    write_record(CardRecord("mine", "apache-2.0", "me/mine", parts), checkpoint)
    assert main(["export", str(checkpoint), str(tmp_path / "plain")]) == 0
    card = ModelCard.load(tmp_path / "plain" / "README.md")
    assert (card.data.license, card.data.base_model, card.data.language) == ("cc-by-nc-4.0", "me/mine", ["en", "es"])
    assert "no commercial use" in card.text and "triglot export: meta/units" in capsys.readouterr().err
