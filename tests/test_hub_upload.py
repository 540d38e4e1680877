"""Push and pull, over HTTP against a Hub on the loopback interface; every way it can be refused is one typed message."""

import json
import socket
import time

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from environments import environment_without_triglot, run
from hub_server import HubServer
from huggingface_hub import constants
from transformers import AutoModel, AutoProcessor
from whole_checkpoint import CARD, with_card

import triglot
from triglot import TriglotError, hub_upload
from triglot.cli import main

PULL = """
import json, sys
import torch
from transformers import AutoModel, AutoProcessor, pipeline
speak = pipeline("voice-text-to-speech", model="me/whole", trust_remote_code=True)
assert "triglot" not in sys.modules
prompt = speak.processor("a red circle", task="TTS", source_language="en")
ids = speak.model.generate(**prompt, do_sample=False)[0].tolist()
print("PULLED" + json.dumps({"ids": ids, "audio": speak("a red circle", language="en")["audio"].tolist()}))
"""


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as server:
        aim(monkeypatch, server.endpoint, server.token)
        yield server


def aim(monkeypatch, endpoint, token):
    """Turns this process's huggingface_hub and transformers to another Hub."""
    values = {
        "ENDPOINT": endpoint, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", endpoint)
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)
    monkeypatch.setenv("HF_TOKEN", token)


@pytest.fixture(scope="module")
def folder(random_checkpoint, tmp_path_factory):
    """Do not write into it."""
    return with_card(random_checkpoint, tmp_path_factory.mktemp("whole") / "checkpoint")


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(hub, method, *ends):
    """Paths of the calls with this method, of those that contain one of the words."""
    return [path for verb, path in hub.calls if verb == method and any(end in path for end in ends)]


def test_pushed_in_one_commit_and_pulled_by_a_process_without_triglot(hub, folder, tmp_path):
    commit = triglot.push_to_hub(folder, "me/whole", private=True, commit_message="First")
    repo = hub.repos["me/whole"]
    assert [one.message for one in repo.history()] == ["First", "initial commit"]
    assert {**repo.refs["main"].files, ".gitattributes": b""} == {**files_of(folder), ".gitattributes": b""}
    assert repo.private and commit.oid == repo.refs["main"].oid and commit.repo_url.repo_id == "me/whole"
    weights = [name for name in files_of(folder) if name.endswith(".safetensors")]
    assert len(made(hub, "PUT", "/lfs/")) == len(weights) == 3
    assert hub.calls.index(("POST", "/api/validate-yaml")) < hub.calls.index(
        ("POST", "/api/models/me/whole/commit/main")
    )

    python = environment_without_triglot(tmp_path / "environment")
    (tmp_path / "pull.py").write_text(PULL)
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": hub.token}
    pulled = json.loads(run(python, "pull.py", cwd=tmp_path, **online).split("PULLED")[1])
    here = transformers.pipeline("voice-text-to-speech", model=str(folder))
    prompt = here.processor("a red circle", task="TTS", source_language="en")
    assert pulled["ids"] == here.model.generate(**prompt, do_sample=False)[0].tolist()
    np.testing.assert_allclose(pulled["audio"], here("a red circle", language="en")["audio"], atol=1e-5)


def test_what_is_there_is_not_sent_again(hub, folder):
    first = triglot.push_to_hub(folder, "whole")  # a bare name: in the token's own namespace
    hub.calls.clear()
    assert triglot.push_to_hub(folder, "whole").oid == first.oid
    changed = triglot.push_to_hub(folder, "me/whole", card=CARD + "\nNow it says more.\n", commit_description="why")
    repo = hub.repos["me/whole"]
    assert len(repo.history()) == 3 and changed.oid == repo.refs["main"].oid != first.oid
    assert not made(hub, "PUT", "") and len(made(hub, "POST", "/commit/")) == 1
    assert repo.refs["main"].files["README.md"].endswith(b"says more.\n")


def test_weights_of_an_older_push_go_in_the_same_commit(hub, folder):
    repo = hub.create("me/whole")
    old = {
        "model-00001-of-00002.safetensors": b"1", "model.safetensors.index.json": b"{}", "notes.txt": b"mine",
        "adapter_model.safetensors": b"2", "speech_decoder/model-00001-of-00001.safetensors": b"3",
        "text_to_unit/model.safetensors": b"4",
    }  # fmt: skip
    hub.commit(repo, "main", "older", old)
    triglot.push_to_hub(folder, "me/whole")
    assert len(repo.history()) == 3
    kept = old.keys() & repo.refs["main"].files.keys()
    assert kept == {"notes.txt", "adapter_model.safetensors"}


def test_a_pull_request_and_a_branch_leave_main_alone(hub, folder):
    main_commit = hub.create("me/whole").refs["main"]
    request = triglot.push_to_hub(folder, "me/whole", create_pr=True)
    assert request.pr_url == f"{hub.endpoint}/me/whole/discussions/1" and request.pr_revision == "refs/pr/1"
    repo = hub.repos["me/whole"]
    hub.commit(repo, "refs/pr/1", "older", {**repo.refs["refs/pr/1"].files, "model-00001-of-00002.safetensors": b"1"})
    triglot.push_to_hub(folder, "me/whole", revision="refs/pr/1")
    triglot.push_to_hub(folder, "me/whole", revision="next")
    refs = hub.repos["me/whole"].refs
    assert refs["main"] is main_commit and refs.keys() == {"main", "next", "refs/pr/1"}
    assert refs["next"].files == refs["refs/pr/1"].files and len(refs["next"].files) > 50


def test_a_model_and_its_processor(hub, folder):
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    with pytest.raises(TriglotError, match="pass card="):
        triglot.push_to_hub((model, processor), "me/parts")
    with pytest.raises(TriglotError, match="a folder or \\(model, processor\\)"):
        triglot.push_to_hub(model, "me/parts")
    assert hub.calls == []
    triglot.push_to_hub((model, processor), "me/parts", card=folder / "README.md")
    pushed = hub.repos["me/parts"]
    assert len(pushed.history()) == 2 and files_of(folder).keys() <= pushed.refs["main"].files.keys()
    assert pushed.refs["main"].files["README.md"].decode() == CARD


def test_the_methods_that_every_transformers_model_has(hub, folder, tmp_path):
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    model.push_to_hub("me/two")
    processor.push_to_hub("me/two")
    assert len(hub.repos["me/two"].history()) == 3
    assert files_of(folder).keys() <= hub.repos["me/two"].refs["main"].files.keys()
    again = AutoModel.from_pretrained("me/two", cache_dir=tmp_path / "cache")
    fresh = AutoProcessor.from_pretrained("me/two", cache_dir=tmp_path / "cache")
    prompt = fresh("a red circle", task="TTS", source_language="en")
    assert torch.equal(again.generate(**prompt, do_sample=False), model.generate(**prompt, do_sample=False))
    assert fresh.codecs.get("speech_tokenizer").fingerprint == processor.codecs.get("speech_tokenizer").fingerprint

    model.save_pretrained(tmp_path / "mine")
    time.sleep(0.02)  # what is newer than this is told by its time
    processor.save_pretrained(tmp_path / "mine", push_to_hub=True, private=True, commit_message="Mine")
    repo = hub.repos["me/mine"]
    assert repo.private and [one.message for one in repo.history()] == ["Mine", "initial commit"]
    pushed = repo.refs["main"].files
    assert {
        "processor_config.json",
        "speech_decoder/model.safetensors",
        "speech_tokenizer/config.json",
    } <= pushed.keys()
    assert "model.safetensors" not in pushed


def test_what_is_refused_before_anything_is_sent(hub, folder, tmp_path, monkeypatch):
    def refused(message, place=folder, repo_id="me/x", **options):
        with pytest.raises(TriglotError, match=message):
            triglot.push_to_hub(place, repo_id, **options)

    refused("no name of a repository", repo_id="me/my/x")
    refused("leave revision='next' out", create_pr=True, revision="next")
    refused("no folder", place=tmp_path / "nowhere")
    refused("begin with a block of metadata", card="# no\n")
    refused("card 'no.md' cannot be read", card="no.md")
    (tmp_path / "training_args.bin").touch()
    refused("training_args.bin", place=tmp_path)
    refused("needs a token", token=False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    refused("hf auth login")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("HF_HUB_OFFLINE is set", token=hub.token)
    assert hub.calls == [] and hub.repos == {}


def test_what_the_hub_refuses(hub, folder):
    hub.create("me/public")
    for message, repo_id, options in (
        ("already and public", "me/public", {"private": True}),
        ("the token is not valid", "me/x", {"token": "hf_other"}),
        ("may not write there.*namespace 'you'", "you/x", {}),
        ("(?i)invalid metadata.*license.*must be one of", "me/x", {"card": CARD.replace("apache-2.0", "mine")}),
        ("Invalid rev id|Revision Not Found", "me/public", {"revision": "refs/pr/9"}),
    ):
        with pytest.raises(TriglotError, match=message):
            triglot.push_to_hub(folder, repo_id, **options)
    assert not made(hub, "PUT", "") and not made(hub, "POST", "/commit/")


def test_no_network_is_one_message_and_no_wait(folder, monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        aim(monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}", "hf_x")
        assert main(["push", str(folder), "me/x"]) == 1
        told = capsys.readouterr().err
        assert "cannot be reached" in told and "Connection refused" in told and told.count("\n") == 1
    monkeypatch.setattr(hub_upload, "ANSWER_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the call and never answers
        aim(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", "hf_x")
        began = time.monotonic()
        with pytest.raises(TriglotError, match="cannot be reached"):
            triglot.push_to_hub(folder, "me/x")
        assert time.monotonic() - began < 20


def test_the_command(hub, folder, tmp_path, capsys):
    assert main(["push", str(folder), "me/whole", "--private", "--message", "From the command line", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    commit = hub.repos["me/whole"].refs["main"]
    assert hub.repos["me/whole"].private and commit.message == "From the command line"
    url = f"{hub.endpoint}/me/whole/commit/{commit.oid}"
    assert printed == {"repo": "me/whole", "commit": commit.oid, "commit_url": url, "pr_url": None}
    (tmp_path / "card.md").write_text(CARD + "more\n")
    assert main(["push", str(folder), "me/whole", "--create-pr", "--card", str(tmp_path / "card.md")]) == 0
    assert capsys.readouterr().out.strip() == f"{hub.endpoint}/me/whole/discussions/1"
