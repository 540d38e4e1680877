"""docs/finetune_on_your_speech.md: its commands and snippets in their order, on six sentences and for two steps."""

import json
import re
import shlex

import soundfile
from conftest import buzz
from environments import ROOT
from huggingface_hub import ModelCard

from triglot.cli import main

GUIDE = (ROOT / "docs" / "finetune_on_your_speech.md").read_text(encoding="utf-8")
SHORT = {
    "finetune": "--max-steps 2 --set pack_length=128 --set bf16=false --set warmup_steps=0",
    "evaluate": "--limit 2",
}
TOLD = {
    "tokenize": {"out", "sources"}, "finetune": {"out", "adapter", "checkpoint"}, "evaluate": {"tasks", "command"}, "card": {"out"},
}  # fmt: skip


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)


def test_the_guide_runs(random_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub_configs").mkdir()
    (tmp_path / "hub_configs" / "triglot-tiny").symlink_to(random_checkpoint)
    (tmp_path / "wav").mkdir()
    lines = [f"{number}.wav\ta square {number}\tun cuadrado {number}" for number in range(6)]
    for number in range(6):
        soundfile.write(f"wav/{number}.wav", buzz(0.5 + 0.1 * number), 16_000)
    [sources] = blocks("yaml")
    for name, some in (("mine", lines[:4]), ("held_out", lines[4:])):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["file\ttext\ttranslation", *some]))
        (tmp_path / f"{name}.yaml").write_text(sources.replace("mine.tsv", f"{name}.tsv"))
    commands = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    assert [words[1] for words in commands] == ["tokenize", "finetune", "evaluate", "evaluate", "card"]
    capsys.readouterr()
    for words in commands:
        assert main([*words[1:], *shlex.split(SHORT.get(words[1], "")), "--json"]) == 0, words
        told = json.loads(capsys.readouterr().out)  # whatever was printed on the way is elsewhere
        assert TOLD[words[1]] <= set(told), words
    assert "| mine | 4 | 0 |" in (tmp_path / "tokens" / "report.md").read_text()
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, "docs/finetune_on_your_speech.md", "exec"), names)
    assert "lora_A" in " ".join(name for name, _ in names["model"].named_parameters())

    card = ModelCard.load(tmp_path / "mine" / "checkpoint" / "README.md")
    assert card.data.model_name == "mine" and {each.dataset_name for each in card.data.eval_results} == {"held_out"}
    assert "| | held_out, before | held_out |" in card.text
    assert (
        '"before" is triglot-tiny.' in card.text
        and "triglot evaluate mine/checkpoint --rows held_out.yaml" in card.text
    )
    capsys.readouterr()
    assert main(["card", "mine/checkpoint", "--report", "other=before"]) == 1  # that of the base, taken for this one's
    assert "other weights" in capsys.readouterr().err
