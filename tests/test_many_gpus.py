"""docs/many_gpus.md: its launches are understood, by accelerate and by triglot; its files are there, and are all there are."""

import re
import shlex

from accelerate.commands.launch import launch_command_parser
from environments import ROOT
from shell_testing import bash_lines
from torch.distributed.run import get_args_parser

from triglot.cli import parse

GUIDE = (ROOT / "docs" / "many_gpus.md").read_text(encoding="utf-8")


def test_every_launch_is_understood():
    used = []
    for line in bash_lines(GUIDE):
        words = shlex.split(line)
        if words[:2] == ["accelerate", "launch"]:
            launched = launch_command_parser().parse_args(words[2:])
            used.append(launched.config_file)
            assert (ROOT / launched.config_file).is_file() and launched.module
        else:
            assert words[0] == "torchrun"
            launched = get_args_parser().parse_args(words[1:])
            assert launched.module and launched.nproc_per_node == "4"
        assert launched.training_script == "triglot"
        assert parse(launched.training_script_args).verb in ("train", "tokenize", "finetune")
    there = [path.name for path in sorted((ROOT / "training" / "accelerate").glob("*.yaml"))]
    assert sorted(used) == [f"training/accelerate/{name}" for name in there]
    assert sorted(re.findall(r"^\| `(\w+\.yaml)` \|", GUIDE, re.M)) == there
