"""The files for `accelerate launch`: accelerate's own loader takes them, and they say what they should."""

from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

import triglot.training.runs as runs

FOLDER = Path(runs.__file__).parent / "accelerate"
NAMES = ["ddp", "deepspeed_zero2", "deepspeed_zero3", "fsdp2"]


def launch_environment(name):
    """What `accelerate launch` hands to each process."""
    words = ["--config_file", str(FOLDER / f"{name}.yaml"), "-m", "triglot", "train", "RECIPE"]
    arguments, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    if not arguments.use_deepspeed:
        return arguments, prepare_multi_gpu_env(arguments)
    arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)  # as `launch_command` does
    return arguments, prepare_deepspeed_cmd_env(arguments)[1]


def test_these_are_all():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_accelerate_takes_it(name, monkeypatch):
    arguments, environment = launch_environment(name)
    assert arguments.num_processes == 8 and environment["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert (bool(arguments.use_fsdp), bool(arguments.use_deepspeed)) == (name == "fsdp2", name.startswith("deepspeed"))
    for key, value in environment.items():
        if key.startswith(("ACCELERATE", "FSDP")):
            monkeypatch.setenv(key, value)
    assert runs.sharding() == {"fsdp2": "FSDP", "ddp": None}.get(name, "DeepSpeed")
    if name == "fsdp2":
        plugin = FullyShardedDataParallelPlugin()
        assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
        assert "SHARDED" in str(plugin.state_dict_type) and not plugin.cpu_ram_efficient_loading
    elif name != "ddp":
        settings = DeepSpeedPlugin().deepspeed_config
        stage = settings["zero_optimization"]["stage"]
        assert (
            stage == int(name[-1])
            and settings["gradient_accumulation_steps"] == settings["gradient_clipping"] == "auto"
        )
        assert stage < 3 or settings["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"]


@pytest.mark.parametrize("name", ["fsdp2", "deepspeed_zero3"])
def test_muon_is_refused_where_matrices_are_cut(name, monkeypatch):
    from triglot import TriglotError
    from triglot.training.train_lm import LmArguments

    LmArguments(optimizer="muon")
    for key, value in launch_environment(name)[1].items():
        if key.startswith("ACCELERATE_USE"):
            monkeypatch.setenv(key, value)
    with pytest.raises(TriglotError, match="muon needs whole matrices"):
        LmArguments(optimizer="muon")
