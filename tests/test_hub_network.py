"""A Hub that does not answer is told and not waited for; one that need not be asked is not."""

import os
import socket

import pytest
from huggingface_hub import constants

from triglot.cli import main, parse
from triglot.hub_network import offline_without_network


@pytest.fixture
def online(monkeypatch, tmp_path):
    """As on a machine with a network; returns how to name the Hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return lambda endpoint: monkeypatch.setenv("HF_ENDPOINT", endpoint)


def told(*words):
    said = []
    offline_without_network(parse(list(words)), said.append)
    return said


def test_no_answer_is_no_wait(online, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        online(f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert main(["describe", "nobody/nothing"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "'nobody/nothing' is no folder here" in first and "does not answer" in first
    assert "couldn't find them in the cached files" in second
    assert os.environ["HF_HUB_OFFLINE"] == "1" and constants.HF_HUB_OFFLINE


def test_what_answers_is_asked(online):
    with socket.create_server(("127.0.0.1", 0)) as server:
        online(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert told("transcribe", "in.wav", "--model", "me/mine") == [] and os.environ["HF_HUB_OFFLINE"] == "0"


def test_folders_need_no_answer(online, tmp_path):
    online("http://127.0.0.1:9")
    (tmp_path / "here").mkdir()
    for model in ("here", "./nowhere", "/nowhere", "a/b/c"):
        assert told("transcribe", "in.wav", "--model", model) == []
    assert told("transcribe", "in.wav") == [] and os.environ["HF_HUB_OFFLINE"] == "0"
    assert len(told("evaluate", "translation", "a=me/mine", "--rows", "r", "--judge", "j", "--out", "o")) == 1


@pytest.mark.parametrize("named", ["http://127.0.0.1:{}", "127.0.0.1:{}"])
def test_a_proxy_is_asked_in_place_of_the_hub(named, online, monkeypatch):
    online("http://hub.invalid")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", named.format(proxy.getsockname()[1]))
        assert told("describe", "me/mine") == []
    assert len(told("describe", "me/mine")) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "tokenizer", "a=me/mine", "--out", "o"),
        ("evaluate", "decoder", "a=here", "--tokenizer", "me/mine", "--judge", "here", "--out", "o"),
        ("tokenize", "sources.yaml", "--tokenizer", "me/mine", "--out", "o"),
        ("train", "mine.yaml"),
        ("train", "stage.yaml"),
    ],
)
def test_every_verb_that_names_the_hub_asks_first(words, online, tmp_path):
    online("http://127.0.0.1:9")
    (tmp_path / "here").mkdir()
    (tmp_path / "mine.yaml").write_text("speech_tokenizer: me/mine")
    (tmp_path / "stage.yaml").write_text("lm: {text_model: me/mine}")
    assert "'me/mine' is no folder here" in told(*words)[0]


def test_recipes_of_their_own_parts_and_broken_ones_are_not_asked_about(online, tmp_path):
    online("http://127.0.0.1:9")
    (tmp_path / "broken.yaml").write_text("lm: {")
    for recipe in ("tiny_smoke", "tiny_text_to_unit_smoke", "broken.yaml", "nowhere"):
        assert told("train", recipe) == [], recipe
