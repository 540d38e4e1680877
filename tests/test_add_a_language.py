"""docs/add_a_language.md: its commands run as they stand, on a few scenes and for a few steps."""

import json
import re
import shlex
import shutil

import pytest
from environments import ROOT

from triglot.cli import main, parse
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.finetune import FinetuneArguments
from triglot.training.run_recipe import load_recipe

GUIDE = (ROOT / "docs" / "add_a_language.md").read_text(encoding="utf-8")
SHORT = {
    "finetune": "--max-steps 2 --set bf16=false --set warmup_steps=0 --set pack_length=1024 --batch-size 1 --tasks 'ASR, ASR AST, MT'",
    "evaluate": "--limit 1",
}


def commands() -> list[list[str]]:
    """Words of the guide's `triglot` commands, in order."""
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("triglot ")]


@pytest.fixture
def made(tmp_path, monkeypatch, random_checkpoint):
    """A folder in which the stages `data` of the guide's recipes have made a scene each, without Hindi, which the checkpoint lacks."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "docs" / "add_a_language", "docs/add_a_language")
    for words in commands():
        if words[0] == "train":
            recipe = load_recipe(words[1])
            settings = recipe.stages["data"]
            languages = " ".join(code for code in settings.languages.split() if code != "hi")
            few = DemoWorldArguments(sentences=1, languages=languages, directions=settings.directions)
            demo_world(few, recipe.seed).save_to_disk(str(recipe.output_dir / "data" / "rows"))
    return tmp_path


def test_the_commands_run_in_order(made, random_checkpoint):
    verbs = []
    for words in commands():
        chosen = parse(words)
        if words[0] == "finetune":
            FinetuneArguments(tasks=chosen.tasks, trained_rows=chosen.trained_rows)
        if words[0] != "train":
            line = " ".join(map(shlex.quote, words)).replace("hub_configs/triglot-tiny", str(random_checkpoint))
            assert main([*shlex.split(line), *shlex.split(SHORT.get(words[0], ""))]) == 0, line
            verbs.append(words[0])
    assert verbs == ["tokenize", "finetune", "evaluate", "evaluate"]
    mixture = json.loads((made / "runs" / "french_tokens" / "mixture.json").read_text())
    assert list(mixture["sources"]) == ["french", "replay"]
    measured = json.loads((made / "runs" / "french_report" / "results.json").read_text())["tasks"]
    assert {"fr-en", "en-fr", "fr-es", "es-fr"} == set(measured["AST"]["directions"])
    old = json.loads((made / "runs" / "french_old_report" / "results.json").read_text())["tasks"]
    assert {"en-es", "es-en"} == set(old["AST"]["directions"])


def test_french_comes_first_in_the_recipes():
    for name in ("tiny_french", "tiny_french_test"):
        data = load_recipe(name).stages["data"]
        assert data.languages.split()[0] == "fr" and data.directions == "first" and not data.phrases
    assert load_recipe("tiny_french_test").stages["data"].held_out
    assert not load_recipe("tiny_french").stages["data"].held_out
