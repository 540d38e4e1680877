"""The README: its Python snippets and the lines of its tables run, its set-up blocks are one command each."""

import fnmatch
import random
import re

import pytest
import soundfile
from environments import ROOT
from shell_testing import bash_lines, run_line
from transformers.utils import is_torchvision_available

from triglot.cli import shipped_files
from triglot.training.data.demo_world import speak
from triglot.training.data.sources import load_sources
from triglot.training.data.splits import HELD_OUT_VOICES, held_out_sentences, random_speaker
from triglot.training.metrics import WordErrorRate

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_python_snippets_run_in_order(tmp_path, monkeypatch, capsys):
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    monkeypatch.chdir(tmp_path)
    item, speaker = held_out_sentences(1)[0], random_speaker(random.Random(0), HELD_OUT_VOICES)
    soundfile.write("in.wav", *speak(item.sentence("es"), "es", speaker))
    soundfile.write("me.wav", *speak("my own voice", "en", "f2-160-60"))
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    lines = re.findall(r"^\|[^|]*\| `(\w+\(.*?\))` \|", README, re.M)
    assert len(lines) >= 14
    for line in lines:
        if "any-to-any" not in line or is_torchvision_available():
            assert eval(line, names), line
    for text, language in ((names["transcript"], "es"), (names["translation"], "en")):
        wrong = 100 * WordErrorRate().compute(predictions=[text], references=[item.sentence(language)])["wer"]
        assert wrong <= 25, f"{text} instead of {item.sentence(language)}"
        assert text in printed
    assert names["waveform"].shape[0] > 8_000
    assert "{'text': (0, 1000), 'speech': (1003, 1503)}" in README
    assert names["grown"].config.modality_ranges == {"text": (0, 1000), "speech": (1003, 1503)}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    (tmp_path / "calls" / "monday").mkdir(parents=True)
    for name in ("in", "me", "calls/a", "calls/monday/a"):
        soundfile.write(f"{name}.wav", *speak("un triángulo", "es", "f2-160-60"))
    return tmp_path


def test_the_command_line_runs(place):
    [block] = re.findall(r"<!-- these run in the tests -->\n(```bash\n.*?```)", README, re.S)
    printed = [run_line(line) for line in bash_lines(block)]
    assert len(printed) >= 8 and all(code == 0 and told for code, told in printed)
    for name in ("out.wav", "english/a.wav", "english/monday/a.wav", "me.safetensors", "say.wav", "out.png"):
        assert (place / name).is_file(), name


def test_the_sources_are_read(tmp_path):
    [block] = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(block)
    assert load_sources(tmp_path / "mine.yaml").sources[0].name == "mine"


@pytest.mark.parametrize("what", ["demo", "test"])
def test_set_up_blocks_are_one_command(what):
    found = re.findall(rf"<!-- set-up: {what} -->\n```bash\n(.*?)\n```", README, re.S)
    assert len(found) == 1 and "\n" not in found[0] and "constraints.txt" in found[0]


def test_the_tree_names_files_that_exist():
    tree = README.split("## The files")[1].split("```")[1]
    for pattern in re.findall(r"[\w*./]+\.(?:py|yaml)", tree):
        assert list(ROOT.rglob(pattern.lstrip("./"))), pattern
    names = [pattern.rpartition("/")[2] for pattern in re.findall(r"[\w*./]+\.py", tree)]
    for path in (*(ROOT / "training").rglob("*.py"), *(ROOT / "triglot").rglob("*.py")):
        told = path.name.startswith("__") or any(fnmatch.fnmatchcase(path.name, name) for name in names)
        assert told, f"{path.name} is missing in the README's tree"
    lines = re.findall(r"^ *[\w*/]+\.(?:py|yaml).*$", tree, re.M)
    assert len({line.split()[0] for line in lines}) == len(lines)  # none twice
    for path in shipped_files():
        stem = re.sub(r"^(configuration|modeling)_(?!triglot)", "*_", path.name)
        stem = "pipeline_*.py" if stem.startswith("pipeline_") else stem
        assert stem in tree, f"{path.name} is missing in the README's tree"


def test_no_machine_paths_or_hosts_in_the_tree():
    import subprocess

    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".cfg", ".toml", ".txt", ".json") and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"/(home|root|work)/\w|//pypi\.", text), name
            unpublished = re.search(r"pip install .?triglot\b", text)  # anybody may take the name
            assert not unpublished or name.startswith("hub_configs/triglot-tiny/"), name
