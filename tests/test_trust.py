"""Nothing in the package runs what a file says: no pickle, no eval, no shell, no remote code that nobody asked for."""

import ast
import json
import sys

import pytest
from environments import ROOT

from triglot import TriglotError, TriglotProcessor
from triglot.cli import main

SCANNED = sorted(
    path
    for folder in ("modeling", "processing", "training", "triglot", "benchmarks")  # hub_configs/ holds copies
    for path in (ROOT / folder).rglob("*.py")
)
# modules whose files run code when they are read
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "pickletools",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "os.system", "os.popen",
    "torch.load", "torch.save", "torch.jit.load", "torch.package.PackageImporter", "torch.hub.load", "torch.hub.load_state_dict_from_url",
    "torch.serialization.load", "numpy.load", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "yaml.load_all", "yaml.unsafe_load_all", "yaml.full_load_all",
}  # fmt: skip
FORBIDDEN_OPTIONS = {  # (option, value)
    ("allow_pickle", True), ("trust_remote_code", True), ("safe_serialization", False), ("use_safetensors", False),
    ("weights_only", False), ("shell", True),
}  # fmt: skip


def dotted(node):
    """`a.b.c` of a Name or an Attribute; None of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted(node.value)
        return front and f"{front}.{node.attr}"
    return None


def offences(source):
    """[(line, what)] of all that the package must not do, whatever name it was imported under."""
    nodes, names, found = list(ast.walk(ast.parse(source))), {}, []
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
                found += [(node.lineno, f"import {alias.name}")] * (first in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found += [(node.lineno, f"import {node.module}")] * (node.module.split(".")[0] in FORBIDDEN_MODULES)
    for node in nodes:
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            first, dot, rest = (dotted(node) or "").partition(".")
            whole = names.get(first, first) + dot + rest
            found += [(node.lineno, whole)] * (whole in FORBIDDEN_CALLS)  # a bare `read = torch.load` counts as well
        elif isinstance(node, ast.Call):
            options = [(option.arg, getattr(option.value, "value", None)) for option in node.keywords]
            found += [
                (node.lineno, f"{name}={value}") for name, value in options if (name, value) in FORBIDDEN_OPTIONS
            ]
            if (dotted(node.func) or "").endswith("import_module") and isinstance(node.args[0], ast.Constant):
                module = node.args[0].value
                found += [(node.lineno, f"import {module}")] * (module.split(".")[0] in FORBIDDEN_MODULES)
    return found


def test_nothing_in_the_package_runs_what_a_file_says():
    assert len(SCANNED) > 150
    found = {str(path.relative_to(ROOT)): offences(path.read_text(encoding="utf-8")) for path in SCANNED}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    ["import pickle", "import dill as d", "from pickle import loads", "def f():\n    import joblib", "eval('1')", "exec(x)",
     "import torch\ntorch.load('a.pt')", "import torch as t\nt.load('a')", "from torch import load as read\nread('a')",
     "import torch\nread = torch.load", "import torch.jit\ntorch.jit.load('a')", "import numpy as np\nnp.load('a.npy')",
     "from numpy import load\nload('a')", "import yaml\nyaml.load(x, Loader=L)", "import os\nos.system('ls')", "f(x, shell=True)",
     "m.from_pretrained(d, trust_remote_code=True)", "m.save_pretrained(d, safe_serialization=False)",
     "from importlib import import_module\nimport_module('pickle')", "__import__('pickle')", "import builtins\nbuiltins.eval('1')"],
)  # fmt: skip
def test_the_scan_finds_it(source):
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "import re\nre.compile('a')", "import torch\ntorch.compile(m)", "import yaml\nyaml.safe_load(x)",
     "'pickle'", "import json\njson.load(f)", "m.from_pretrained(d, trust_remote_code=asked)", "self.load('x')"],
)  # fmt: skip
def test_the_scan_finds_nothing_where_nothing_is(source):
    assert not offences(source)


def undecided(source):
    """Lines that load by an Auto class or a pipeline and leave trust_remote_code open: transformers asks on standard input then."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if (name := dotted(call.func) or "") == "pipeline"
        or (name.startswith("Auto") and name.endswith(".from_pretrained"))
        if not any(option.arg in ("trust_remote_code", None) for option in call.keywords)
    ]


def test_nothing_leaves_open_whether_foreign_code_runs():
    assert undecided(
        "AutoModel.from_pretrained(d)\npipeline('x', model=d)\nAutoModel.from_pretrained(d, **kwargs)"
    ) == [1, 2]
    package = [path for path in SCANNED if path.relative_to(ROOT).parts[0] != "benchmarks"]
    found = {str(path.relative_to(ROOT)): undecided(path.read_text(encoding="utf-8")) for path in package}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A folder whose config names code of its own; somebody would answer yes to every question."""
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own_config.Own"}})
    )
    (tmp_path / "own_config.py").write_text("import sys\nsys.own_config_ran = True\n")
    monkeypatch.setattr("builtins.input", lambda *words: "y")
    yield str(tmp_path)
    assert not hasattr(sys, "own_config_ran")


@pytest.mark.parametrize(
    ("words", "cure"),
    [(["describe"], "take one of a class"), (["transcribe", "in.wav", "--model"], "add --trust-remote-code"),
     (["init", "--codec", "none", "--out", "new", "--text-llm"], "take one of a class")],
)  # fmt: skip
def test_foreign_code_is_not_run_and_nobody_is_asked(words, cure, foreign, wav, monkeypatch, capsys):
    monkeypatch.chdir(foreign)
    assert main([*words, foreign]) == 1
    told = capsys.readouterr().err
    assert "it needs Python code that comes with it, which is not run unasked" in told and cure in told
    assert told.count("\n") == 1


def test_a_foreign_part_of_a_checkpoint_is_not_run_either(foreign):
    processor = TriglotProcessor.from_pretrained(ROOT / "hub_configs" / "triglot-tiny")
    with pytest.raises(TriglotError, match="trust_remote_code=True"):
        processor.codecs.speech_decoder = foreign
        processor.codecs.get("speech_decoder")
