"""Where runs are opened: folders that cannot be written and disks that are full are told before training, and spare what is there."""

import contextlib
import functools
import json
import shutil
import subprocess
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from triglot import TriglotError
from triglot.training import runs
from triglot.training.run_report import train_and_report
from triglot.training.runs import last_complete_checkpoint, open_run, save_whole, trackers, trainer_arguments
from triglot.training.train_kmeans import KmeansArguments, train_kmeans
from triglot.training.train_lm import LmArguments

WIDTH = 200  # a model of 160 kB, a checkpoint of three times that


@dataclass(frozen=True)
class ToyArguments:
    max_steps: int = 8
    batch_size: int = 2
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    bf16: bool = False
    save_steps: int = 2
    logging_steps: int = 2


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x, labels=None):
        return {"loss": (self.linear(x) - 1).square().mean()}


def toy_run(output_dir, *callbacks):
    """One run as every stage opens it; the weights at its end."""
    last = open_run(output_dir / "checkpoints", ToyArguments(), seed=0, inputs={})
    torch.manual_seed(0)
    rows = [{"x": torch.rand(WIDTH), "labels": 0} for _ in range(20)]  # an epoch is longer than the run
    model = Toy()
    settings = trainer_arguments(output_dir / "checkpoints", ToyArguments(), seed=0)
    trainer = Trainer(model, settings, train_dataset=rows, callbacks=list(callbacks))
    train_and_report(trainer, last, ToyArguments())
    return model.state_dict()


class AtStep(TrainerCallback):
    """Does something before step `at`."""

    def __init__(self, at, do):
        self.at, self.do = at, do

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.at:
            self.do()


def never():
    raise AssertionError("it trained")


@pytest.mark.parametrize("in_the_way", ["out", "out/checkpoints"])
def test_a_file_in_the_folders_place_is_told(in_the_way, tmp_path):
    (tmp_path / "out").parent.mkdir(exist_ok=True)
    (tmp_path / in_the_way).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / in_the_way).write_text("a file")
    with pytest.raises(TriglotError, match=r"cannot be written.*choose another output folder"):
        toy_run(tmp_path / "out", AtStep(0, never))


@pytest.mark.parametrize("name", ["out", "checkpoints"])
def test_a_folder_that_takes_no_files_is_told(name, tmp_path, monkeypatch):
    """Root may write anywhere, so the system's refusal is made here."""
    write = runs.Path.write_bytes

    def refusing(self, data):
        if self.parent.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return write(self, data)

    monkeypatch.setattr(runs.Path, "write_bytes", refusing)
    with pytest.raises(TriglotError, match=r"cannot be written: .*Permission denied"):
        toy_run(tmp_path / "out", AtStep(0, never))


def test_room_is_counted_before_training(tmp_path, monkeypatch):
    weights = 4 * (WIDTH * WIDTH + WIDTH)
    usage = namedtuple("usage", "total used free")
    needed = 3 * 3 * weights + weights  # three checkpoints with two moments each, and the model
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda folder: usage(0, 0, needed - 1))
    with pytest.raises(TriglotError, match="3 checkpoints and the finished model take"):
        toy_run(tmp_path / "out", AtStep(0, never))
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda folder: usage(0, 0, needed))
    toy_run(tmp_path / "out")
    # two are there: one more while it is written
    shutil.rmtree(tmp_path / "out" / "checkpoints" / "checkpoint-8")
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda folder: usage(0, 0, 3 * weights))
    with pytest.raises(TriglotError, match="1 checkpoints"):
        toy_run(tmp_path / "out", AtStep(6, never))
    written = sum(f.stat().st_size for f in (tmp_path / "out/checkpoints/checkpoint-6").iterdir())
    assert 3 * weights < written < 3 * weights + 60_000, (
        "the estimate is what a checkpoint takes, and some small files"
    )


def test_kmeans_counts_as_well(random_checkpoint, tmp_path, monkeypatch):
    from speech_rows import speech_rows

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda folder: usage(0, 0, 10_000))
    with pytest.raises(TriglotError, match="the tokenizer and two states"):
        train_kmeans(speech_rows(2), "mfcc", tmp_path / "units", KmeansArguments(codebook_size=8, layer=1))


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """A disk of its own in memory, where the system lets us."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("disks cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount")
def test_a_disk_that_fills_up_spares_earlier_checkpoints(tmp_path):
    whole = toy_run(tmp_path / "whole")
    with small_disk(tmp_path / "disk", 4_000) as disk:
        ballast = disk / "ballast"

        def fill():
            free = shutil.disk_usage(disk).free
            ballast.write_bytes(bytes(free - 300_000))  # the weights fit, the optimiser does not

        with pytest.raises(TriglotError, match="is full; earlier checkpoints are whole"):
            toy_run(disk / "out", AtStep(5, fill))
        checkpoints = disk / "out" / "checkpoints"
        before = {path: path.read_bytes() for path in (checkpoints / "checkpoint-4").iterdir()}
        with pytest.raises(TriglotError, match=r"on a disk with 0\.00 GB left"):
            toy_run(disk / "out", AtStep(4, never))
        assert last_complete_checkpoint(checkpoints) == str(checkpoints / "checkpoint-4")
        assert before and all(path.read_bytes() == content for path, content in before.items())
        ballast.unlink()
        again = toy_run(disk / "out", AtStep(0, never))
        assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path):
    for step, content in {5: json.dumps({"global_step": 5}), 10: '{"global_st', 15: ""}.items():
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(content)
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-old").mkdir()
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-old"]
    assert last_complete_checkpoint(tmp_path / "none") is None


def test_a_run_cut_off_after_its_last_step_makes_no_other(tmp_path):
    whole = toy_run(tmp_path / "out")
    report = (tmp_path / "out" / "checkpoints" / "report.md").read_text()
    again = toy_run(tmp_path / "out", AtStep(8, never), AtStep(9, never))
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert sorted(path.name for path in (tmp_path / "out" / "checkpoints").glob("checkpoint-*")) == [
        "checkpoint-6",
        "checkpoint-8",
    ]
    told = (tmp_path / "out" / "checkpoints" / "report.md").read_text()
    assert told.startswith("# Toy: 8 steps") and told.split("| step |")[1] == report.split("| step |")[1]
    assert told.split("| step |")[1].startswith(" loss | grad_norm |")


def test_what_a_kill_left_is_removed(tmp_path):
    torn = tmp_path / "out" / ".model.1234abcd.partial"
    torn.mkdir(parents=True)
    (torn / "model.safetensors").write_bytes(b"half")
    open_run(tmp_path / "out" / "checkpoints", ToyArguments(), seed=0, inputs={})
    assert not torn.exists()


def test_a_full_disk_at_the_end_is_told(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    class Model:
        def save_pretrained(self, folder):
            raise SafetensorError("I/O error: No space left on device (os error 28)")

    with pytest.raises(TriglotError, match="is full; make room and start again"):
        save_whole(Model(), tmp_path / "lm")
    assert not list((tmp_path / "lm").iterdir())


@pytest.mark.parametrize(
    ("installed", "expected"),
    [((), []), (("trackio",), ["trackio"]), (("tensorboardX",), ["tensorboard"]), (("trackio", "tensorboard"), None)],
)
def test_logs_go_to_what_is_installed(installed, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.importlib.util, "find_spec", lambda name: name in installed or None)
    assert trackers() == (["trackio", "tensorboard"] if expected is None else expected)
    monkeypatch.undo()
    monkeypatch.setattr(runs, "trackers", lambda: expected or [])
    arguments = trainer_arguments(tmp_path / "lm" / "checkpoints", LmArguments(), seed=0)
    assert arguments.report_to == (expected or []) and arguments.run_name == "lm"


def test_one_gpu_of_several_is_used_and_told(tmp_path, monkeypatch, capsys):
    def devices(self):
        self._n_gpu = 2
        return torch.device("cpu")

    found = functools.cached_property(devices)
    found.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", found)
    assert TrainingArguments(str(tmp_path)).n_gpu == 2
    assert trainer_arguments(tmp_path / "checkpoints", ToyArguments(), seed=0).n_gpu == 1
    assert "accelerate launch" in capsys.readouterr().out
