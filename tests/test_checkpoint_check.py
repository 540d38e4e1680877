"""A folder is looked at before it is pushed: each thing that can be wrong, by name."""

import io
import json
import zipfile

import pytest
import torch
from environments import ROOT
from safetensors.torch import load_file, save_file
from whole_checkpoint import CARD, with_card

from triglot import TriglotError
from triglot.checkpoint_check import card_problems, check_checkpoint
from triglot.cli import main


@pytest.fixture
def folder(random_checkpoint, tmp_path):
    return with_card(random_checkpoint, tmp_path / "checkpoint")


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_text(path, **values):
    change_json(path, text_config={**json.loads(path.read_text())["text_config"], **values})


def change_entry(path, **values):
    """Of the speech modality."""
    content = json.loads(path.read_text())
    content["modalities"][1].update(values)
    path.write_text(json.dumps(content))


def torch_file():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    return buffer.getvalue()


def narrow(path):
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("embed_tokens.weight"))
    save_file({**weights, name: weights[name][:-1].contiguous()}, path)


def without_a_weight(path):
    weights = load_file(path)
    weights.pop(next(name for name in weights if "q_proj" in name))
    save_file(weights, path)


def other_centroids(path):
    weights = load_file(path)
    save_file({**weights, "centroids": torch.zeros_like(weights["centroids"])}, path)


def sharded(folder, complete):
    """One shard and an index that may name a second."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = load_file(folder / "model-00001-of-00002.safetensors")
    places = dict.fromkeys(names, "model-00001-of-00002.safetensors")
    if not complete:
        places["last"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_a_whole_one_is_ready(folder):
    (folder / ".env").write_text("SECRET=1")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "errors.cpython.pyc").write_bytes(b"\0")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (folder / "samples").mkdir()
    (folder / "samples" / "out.wav").write_bytes(b"RIFF")
    checked = check_checkpoint(folder)
    assert set(checked.left_out) == {".env", "__pycache__/errors.cpython.pyc"}
    assert {".gitattributes", "README.md", "samples/out.wav", "speech_decoder/model.safetensors"} <= set(checked.names)
    on_disk = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(checked.names) == on_disk.keys() - set(checked.left_out)
    assert checked.size == sum(on_disk[name].stat().st_size for name in checked.names)
    sharded(folder, complete=True)
    assert "model.safetensors.index.json" in check_checkpoint(folder).names


def test_the_committed_checkpoint_is_ready(capsys):
    assert main(["push", str(ROOT / "hub_configs" / "triglot-tiny"), "me/x", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ready"] is True


BREAKAGES = {
    "training_args.bin": lambda f: (f / "training_args.bin").write_bytes(b"x"),
    "checkpoint-5/optimizer.pt": lambda f: [(f / "checkpoint-5").mkdir(), (f / "checkpoint-5" / "optimizer.pt").touch()],
    "only safetensors are pushed; delete or move what may run code when it is read: notes.dat": lambda f: (
        f / "notes.dat"
    ).write_bytes(b"\x80\x04K\x01."),
    "when it is read: weights.dat": lambda f: (f / "weights.dat").write_bytes(torch_file()),
    "files are missing: tokenizer.json": lambda f: (f / "tokenizer.json").unlink(),
    "files are missing: speech_decoder/model.safetensors": lambda f: (f / "speech_decoder" / "model.safetensors").unlink(),
    "files are missing: model.safetensors": lambda f: (f / "model.safetensors").unlink(),
    "files are missing: model-00002-of-00002.safetensors": lambda f: sharded(f, complete=False),
    "that of a llama model": lambda f: change_json(f / "config.json", model_type="llama"),
    "that of a damaged model": lambda f: (f / "config.json").write_text("{"),
    "the code is not that of the installed Triglot (errors.py); run: triglot export-code": lambda f: (
        f / "errors.py"
    ).write_text("class TriglotError(ValueError): ..."),
    "pictures and sound are pushed; delete or move tf_model.h5": lambda f: (f / "tf_model.h5").write_bytes(b"x"),
    "there is code that is not Triglot's (evil.py)": lambda f: (f / "evil.py").write_text("print()"),
    "there is code that is not Triglot's (me/other--evil.Config)": lambda f: change_json(
        f / "speech_decoder" / "config.json", auto_map={"AutoConfig": "me/other--evil.Config"}
    ),
    "there is code that is not Triglot's (speech_decoder/errors.py)": lambda f: (
        f / "speech_decoder" / "errors.py"
    ).write_text("class TriglotError(ValueError): ..."),
    "code is missing (token_space.py)": lambda f: (f / "token_space.py").unlink(),
    "names no code (auto_map)": lambda f: [
        change_json(path, auto_map={}, custom_pipelines={})
        for path in (f / "config.json", f / "processor_config.json", *f.glob("*/config.json"))
    ],
    "no model can be made of config.json": lambda f: change_text(f / "config.json", hidden_act="none"),
    "its configs cannot be loaded: integer modulo by zero": lambda f: change_text(f / "config.json", num_attention_heads=0),
    "there is no model card": lambda f: (f / "README.md").unlink(),
    "README.md is not UTF-8": lambda f: (f / "README.md").write_bytes(b"\xff\xff\xfe"),
    "are not the model's": lambda f: change_entry(f / "config.json", fingerprint="f" * 64),
    "was trained on speech codes of ffffffffffff": lambda f: [
        change_entry(f / name, fingerprint="f" * 64) for name in ("config.json", "processor_config.json")
    ],
    "speech_decoder": lambda f: change_json(f / "speech_decoder" / "config.json", fingerprint="0" * 64),
    "model.safetensors is damaged": lambda f: (f / "model.safetensors").write_bytes(
        (f / "model.safetensors").read_bytes()[:-9]
    ),
    "other shapes than config.json says: language_model.model.embed_tokens.weight": lambda f: narrow(f / "model.safetensors"),
    "lack weights: language_model.model.layers.0.self_attn.q_proj.weight": lambda f: without_a_weight(f / "model.safetensors"),
    "the weights of speech_tokenizer have the fingerprint": lambda f: other_centroids(f / "speech_tokenizer" / "model.safetensors"),
    "its configs cannot be loaded": lambda f: change_json(f / "processor_config.json", modalities=[]),
}  # fmt: skip


def test_links_lead_nowhere_else(folder, tmp_path):
    (tmp_path / "secret").write_text("mine")
    link = folder / "notes.txt"
    link.symlink_to(tmp_path / "secret")
    with pytest.raises(TriglotError, match=r"notes\.txt: links to files that are not pushed"):
        check_checkpoint(folder)
    link.unlink()
    (folder / ".env").write_text("SECRET=1")
    link.symlink_to(folder / ".env")
    with pytest.raises(TriglotError, match=r"notes\.txt: links to files"):
        check_checkpoint(folder)
    link.unlink()
    blobs, snapshot = tmp_path / "models--me--x" / "blobs", tmp_path / "models--me--x" / "snapshots" / "abc"
    blobs.mkdir(parents=True)  # as the Hub's cache keeps what it downloaded
    snapshot.parent.mkdir()
    folder.rename(snapshot)
    (snapshot / "README.md").rename(blobs / "readme")
    (snapshot / "README.md").symlink_to(blobs / "readme")
    assert "README.md" in check_checkpoint(snapshot).names


def test_code_of_ones_own_is_answered_for(folder, capsys):
    (folder / "mine.py").write_text("print()")
    command = ["push", str(folder), "me/x", "--check", "--json"]
    assert main(command) == 1
    assert "--own-code" in capsys.readouterr().err
    assert main([*command, "--own-code"]) == 0


@pytest.mark.parametrize("message", BREAKAGES)
def test_what_is_wrong_is_told_by_name(message, folder):
    BREAKAGES[message](folder)
    with pytest.raises(TriglotError, match="is not ready to be pushed") as caught:
        check_checkpoint(folder)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_all_of_it_is_told_at_once(folder, capsys):
    for name in ("training_args.bin", "README.md", "tokenizer.json"):
        BREAKAGES[
            {"README.md": "there is no model card", "tokenizer.json": "files are missing: tokenizer.json"}.get(
                name, name
            )
        ](folder)
    assert main(["push", str(folder), "me/x", "--check"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and all(
        name in told for name in ("training_args.bin", "no model card", "tokenizer.json")
    )
    with pytest.raises(TriglotError, match="no folder"):
        check_checkpoint(folder / "nowhere")
    (folder / "samples").symlink_to(folder.parent)
    with pytest.raises(TriglotError, match="samples: links to folders are not pushed"):
        check_checkpoint(folder)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("# no metadata\n", "does not begin with a block of metadata"),
        (CARD.replace("license: apache-2.0\n", ""), "name no license"),
        (CARD.replace("transformers", "peft"), "library_name in README.md is 'peft'"),
        (CARD.replace("- en", "- no"), "language in README.md holds False"),
        (CARD.replace("license: apache-2.0", "license: [apache"), "is invalid"),
        (CARD.replace("apache-2.0", "My Own"), "license in README.md is 'My Own'"),
        (CARD.replace("license:", "base_model: no repo id!\nlicense:"), "base_model in README.md is 'no repo id!'"),
        (CARD.replace("license:", "datasets: [../x]\nlicense:"), "datasets in README.md is '../x'"),
        ("---\n- a list\n---\n", "is invalid"),
        (CARD.replace("---\n\n#", "model-index:\n- name: x\n---\n\n#"), "is invalid"),
    ],
)
def test_cards(card, message):
    (problem,) = card_problems(card)
    assert message in problem


def test_a_good_card_is_good():
    assert list(card_problems(CARD)) == []
