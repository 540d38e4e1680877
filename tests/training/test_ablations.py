"""The ablations: every arm runs once, and a claim holds where the measured difference says so."""

import ast
import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from datasets import load_from_disk
from PIL import Image
from transformers import AutoConfig
from two_tokenizers import spoken_rows, two_tokenizers

from triglot.cli import main
from triglot.processing.errors import TriglotError
from triglot.training import ablation_arms, ablations
from triglot.training.ablation_claims import FAILS, HOLDS, UNDECIDED, difference, verdict
from triglot.training.ablations import DEFAULTS, suite_arms

ARMS = ["together", "longer", "text-start", "alone", "chain", "tokens-vq"]


@pytest.fixture(scope="module")
def command(random_checkpoint, tmp_path_factory):
    """The command up to its output folder, with audio rows."""
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("ablations")
    spoken_rows().save_to_disk(str(root / "rows"))
    tokenizers = two_tokenizers(random_checkpoint, root / "vq")
    audio = ("--rows", root / "rows", "--test-rows", root / "rows")
    named = [f"{name}={folder}" for name, folder in tokenizers.items()]
    return [str(word) for word in ("ablate", *named, "--text-tokenizer", random_checkpoint, "--smoke", *audio)]


@pytest.fixture(scope="module")
def finished(command, tmp_path_factory):
    """The whole suite, at its smallest."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert main([*command, "--out", str(out)]) == 0
    return out


def without_audio(command):
    return command[: command.index("--rows")]


def test_one_table_of_all_claims(finished):
    results = json.loads((finished / "report" / "results.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == ARMS
    claims = results["ablations"]
    assert len({claim["name"] for claim in claims}) == len(claims) == 10 and {
        claim["verdict"] for claim in claims
    } <= {HOLDS, FAILS, UNDECIDED}
    for claim in claims:
        sign = -1 if claim["measure"] == "WER" else 1
        assert claim["gain"] == pytest.approx(sign * (claim["helped"] - claim["plain"]))
        assert claim["low"] <= claim["gain"] + 1e-9 and claim["gain"] - 1e-9 <= claim["high"]
        assert claim["verdict"] == verdict(claim["low"], claim["high"])
    report = (finished / "report" / "report.md").read_text()
    assert (
        all(claim["name"] in report for claim in claims) and "| text-start | units | ASR, AST, MT | 2 | 2 |" in report
    )
    assert Image.open(finished / "report" / "report.png").width > 300


def test_arms_are_what_their_names_say(finished):
    arms = {arm["name"]: arm for arm in json.loads((finished / "report" / "results.json").read_text())["arms"]}
    assert (arms["longer"]["steps"], arms["text-start"]["text_steps"], arms["alone"]["tasks"]) == (4, 2, "AST: 1")
    assert arms["alone"]["wer"] is None and arms["chain"]["chain_bleu"] is not None
    folders = {name: finished / name / "seed-0" for name in ARMS}
    text_lm = AutoConfig.from_pretrained(folders["text-start"] / "text_lm")
    grown = json.loads((folders["text-start"] / "lm" / "config.json").read_text())
    assert text_lm.model_type == "qwen3" and text_lm.vocab_size == grown["modalities"][0]["size"]
    assert not (folders["together"] / "text_lm").exists() and not list(finished.rglob("checkpoint-*"))
    for name in ARMS:
        settings = json.loads((folders[name] / "lm" / "checkpoints" / "run.json").read_text())
        assert settings["text_model"] == (str(folders[name] / "text_lm") if name == "text-start" else "")
        assert settings["languages"] == "en hi" and settings["max_steps"] == arms[name]["steps"]
    asked = [[item["row"] for item in json.loads((folder / "arm.json").read_text())["items"] if item["task"] == "AST direct"]
             for folder in folders.values()]  # fmt: skip
    assert asked[0] and all(rows == asked[0] for rows in asked)  # all models the same


def test_finished_arms_are_kept_and_tokens_suffice(command, finished, tmp_path, monkeypatch, capsys):
    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(ablation_arms, "train_lm", never)
    before = (finished / "report" / "results.json").read_text()
    capsys.readouterr()
    assert main([*without_audio(command), "--out", str(finished), "--json"]) == 0
    assert (finished / "report" / "results.json").read_text() == before
    assert json.loads(capsys.readouterr().out) == json.loads(before)
    assert main([*command, "--out", str(finished), "--limit", "1"]) == 1
    assert "holds a run with other settings" in capsys.readouterr().err
    assert main([*command, "--out", str(finished), "--arms", "alone, chian"]) == 1
    assert "did you mean 'chain'" in capsys.readouterr().err
    assert main([*without_audio(command), "--out", str(tmp_path)]) == 1
    assert "give audio rows (--rows)" in capsys.readouterr().err
    monkeypatch.undo()
    tokens = [f"units={finished / 'tokens' / 'units' / part}" for part in ("train", "test")]
    given = (
        "--tokens",
        tokens[0],
        "--test-tokens",
        tokens[1],
        "--arms",
        "together,alone",
        "--out",
        str(tmp_path / "two"),
    )
    assert main([*without_audio(command), *given]) == 0
    results = json.loads((tmp_path / "two" / "report" / "results.json").read_text())
    assert [claim["name"] for claim in results["ablations"]] == ["AST: ASR and MT beside AST, 2 steps for 2"]
    assert results["arms"][0]["bleu"] == json.loads(before)["arms"][0]["bleu"]
    few = tmp_path / "few"
    few.mkdir()
    shard = pyarrow.parquet.read_table(finished / "tokens" / "vq" / "train" / "shard-00000.parquet")
    pyarrow.parquet.write_table(shard.slice(0, 4), few / "shard-00000.parquet")
    assert main([*command, "--tokens", f"vq={few}", "--arms", "tokens-vq", "--out", str(tmp_path / "x")]) == 1
    assert "hold other sentences (6 and 4 spoken ones)" in capsys.readouterr().err
    wrong = tokens[0].replace("units=", "vq=")
    assert main([*without_audio(command), "--tokens", wrong, "--arms", "tokens-vq", "--out", str(finished)]) == 1
    assert "those of the tokenizer are 0 to 7" in capsys.readouterr().err


def test_what_was_trained_before_it_stopped_is_not_trained_again(command, finished, tmp_path, monkeypatch, capsys):
    tokens = [f"units={finished / 'tokens' / 'units' / part}" for part in ("train", "test")]
    given = ("--tokens", tokens[0], "--test-tokens", tokens[1], "--arms", "text-start", "--out", str(tmp_path))

    def stop(*_, **__):
        raise KeyboardInterrupt

    def never(*_, **__):
        raise AssertionError("trained again")

    with monkeypatch.context() as patched:
        patched.setattr(ablation_arms, "answer_tokens", stop)
        assert main([*without_audio(command), *given]) == 130
    assert not (tmp_path / "text-start" / "seed-0" / "arm.json").exists() and not (tmp_path / "report").exists()
    for name in ("train_lm", "train_text_lm"):
        monkeypatch.setattr(ablation_arms, name, never)
    assert main([*without_audio(command), *given]) == 0
    assert "No claim has both" in capsys.readouterr().out and not (tmp_path / "report").exists()
    learnt = (tmp_path / "text-start" / "seed-0" / "text_lm" / "checkpoints" / "report.md").read_text()
    assert "* text: 6 examples" in learnt and "* MT: 6 examples" in learnt
    assert main([*without_audio(command), *given, "--text-rows", str(finished / "tokens" / "units" / "test")]) == 1
    assert "holds a run with other settings" in capsys.readouterr().err
    again, before = (
        json.loads((out / "text-start" / "seed-0" / "arm.json").read_text())["items"] for out in (tmp_path, finished)
    )
    assert again == before


def test_an_arm_that_speaks(command, random_checkpoint, tmp_path, capsys):
    pytest.importorskip("espeakng_loader")
    out = [
        "--out",
        str(tmp_path / "out"),
        "--arms",
        "speech",
        "--set",
        "speech_budget=12",
        "--set",
        "pack_length=1024",
    ]
    voices = ["--judge", "tests/data/judge", "--decoder", str(random_checkpoint / "speech_decoder")]
    assert main([*command, *out, *voices[:2]]) == 1
    assert "are needed together" in capsys.readouterr().err
    assert main([*command, *out, *voices]) == 0
    results = json.loads((tmp_path / "out" / "report" / "results.json").read_text())
    assert results["ablations"][0]["measure"] == "ASR-BLEU" and results["arms"][0]["spoken"] is not None
    assert not load_from_disk(str(tmp_path / "out" / "rows" / "train")).column_names.count("image")
    silent = [*without_audio(command), *voices, "--arms", "speech", "--out", str(tmp_path / "silent")]
    parts = tmp_path / "silent_tokens"
    make = [*command, "--tokens-only", "--out", str(parts)]
    assert main(make) == 0 and not (parts / "report").exists()
    given = [f"units={parts / 'tokens' / 'units' / part}" for part in ("train", "test")]
    assert main([*silent, "--tokens", given[0], "--test-tokens", given[1]]) == 1
    assert "no translated speech" in capsys.readouterr().err


def test_other_tasks_are_refused():
    with pytest.raises(TriglotError, match="the arms' are made from"):
        suite_arms(["a"], dataclasses.replace(DEFAULTS, tasks="ASR, AST"), 10)
    weighed = suite_arms(["a"], dataclasses.replace(DEFAULTS, tasks="ASR, AST: 0.5, MT"), 10)
    assert weighed["alone"].arguments.tasks == "AST: 0.5"


def answers(wrong, count=60):
    """Items of one task and direction, `wrong` of them said wrongly."""
    texts = [f"a small red circle is above the number {number}" for number in range(count)]
    return [
        {
            "id": f"ast-{row}", "row": row, "task": "AST", "source_language": "es", "target_language": "en", "speaker": None,
            "input_text": "", "reference": text, "hypothesis": "no idea at all" if row in wrong else text,
        }
        for row, text in enumerate(texts)
    ]  # fmt: skip


@pytest.mark.parametrize("measure", ["bleu", "wer"])
def test_a_difference_counts_beyond_its_interval(measure):
    good, bad = [answers({0})], [answers(set(range(20)))]
    gain = difference(good, bad, measure)
    assert gain["low"] > 0 and verdict(gain["low"], gain["high"]) == HOLDS
    assert gain["low"] < gain["gain"] < gain["high"]
    lost = difference(bad, good, measure)
    assert lost["gain"] == pytest.approx(-gain["gain"]) and verdict(lost["low"], lost["high"]) == FAILS
    same = difference(good, good, measure)
    assert same["gain"] == same["low"] == same["high"] == 0 and verdict(0.0, 0.0) == UNDECIDED
    near = difference([answers({0, 1})], [answers({5, 6, 7})], measure)
    assert near["gain"] > 0 and verdict(near["low"], near["high"]) == UNDECIDED


def test_the_same_items_are_drawn_for_both():
    many = set(range(0, 60, 2))
    gain = difference([answers(many)], [answers(many | {1, 3, 5, 7, 9, 11})], "wer")
    alone = difference([answers(set())], [answers(many)], "wer")
    # what both get wrong adds nothing to the width
    assert gain["high"] - gain["low"] < 0.75 * (alone["high"] - alone["low"]) and gain["low"] > 0


def test_seeds_that_disagree_decide_nothing():
    good, bad = answers({0}), answers(set(range(20)))
    agree = difference([good] * 3, [bad] * 3, "bleu")
    one = difference([good], [bad], "bleu")
    assert np.allclose([agree[end] for end in ("low", "high")], [one[end] for end in ("low", "high")])
    torn = difference([good, good, bad], [bad, bad, good], "bleu")
    assert torn["gain"] > 0 and verdict(torn["low"], torn["high"]) == UNDECIDED
    with pytest.raises(TriglotError, match="cannot be compared"):
        difference([good], [bad, bad], "bleu")
    with pytest.raises(TriglotError, match="cannot be compared"):
        difference([good], [bad[:-1]], "bleu")


def packages_at_import(module):
    """What the import of a module of the training code asks for, itself and all that it imports in turn."""
    packages, seen, waiting = set(), set(), [Path(module.__file__)]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:  # not inside functions or TYPE_CHECKING
            if isinstance(node, ast.Import):
                packages.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                packages.add(node.module.split(".")[0])
            elif isinstance(node, ast.ImportFrom):
                folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                waiting += [folder.with_suffix(".py"), folder / "__init__.py"]
    return packages, seen


def test_models_need_no_packages_of_scores_or_datasets():
    packages, files = packages_at_import(ablations)
    assert {"torch", "transformers", "pyarrow"} <= packages and len(files) > 20
    assert not packages & {
        "datasets",
        "evaluate",
        "jiwer",
        "sacrebleu",
        "peft",
        "matplotlib",
        "espeakng_loader",
        "scipy",
    }
