"""The package: lazy import, registration, and the three ways to have it: installed, editable, from the checkout."""

import shutil
import subprocess
import sys

import pytest
from environments import ROOT, environment_without_triglot, pip_install, run

import triglot

PROBE = """
import sys
import triglot
assert "torch" not in sys.modules and "transformers" not in sys.modules, "import triglot must be lazy"
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY
import triglot.modeling, triglot.processing.token_space, triglot.training.recipe
config = triglot.TriglotConfig()
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
assert type(AutoConfig.for_model("triglot")) is triglot.TriglotConfig
assert MODEL_MAPPING[type(config)] is MODEL_FOR_CAUSAL_LM_MAPPING[type(config)] is triglot.TriglotForConditionalGeneration
assert PROCESSOR_MAPPING[type(config)] is triglot.TriglotProcessor
assert "speech-to-speech-translation" in PIPELINE_REGISTRY.supported_tasks
assert "datasets" not in sys.modules and "sklearn" not in sys.modules, "training is imported when it is used"
for name in ("modeling", "processing", "training"):
    try:
        __import__(name)
        raise SystemExit(f"a top-level package {name} was installed")
    except ModuleNotFoundError:
        pass
print(triglot.modeling.__file__)
"""


def checkout(folder):
    """A copy of the package's files, so that builds leave nothing in the real tree."""
    for name in tracked_files():
        if not name.startswith(("tests/", "hub_configs/")):
            target = folder / "checkout" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    return folder / "checkout"


def tracked_files():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in files.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("way", ["installed", "editable", "checkout"])
def test_import_and_registration(way, tmp_path):
    python, source = environment_without_triglot(tmp_path), checkout(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "probe.py").write_text(PROBE)
    if way == "checkout":
        printed = run(
            python,
            "-c",
            PROBE.replace('for name in ("modeling", "processing", "training")', "for name in ()"),
            cwd=source,
        )
        assert str(source) in printed
        return
    pip_install(python, *(["-e"] if way == "editable" else []), str(source), cwd=elsewhere)
    printed = run(python, "probe.py", cwd=elsewhere)
    assert (str(source) in printed) is (way == "editable")
    assert "usage: triglot" in run(python, "-m", "triglot", "--help", cwd=elsewhere)
    # an installed package in a session that stands in the checkout, whose folder triglot/ comes first on the path
    run(python, "-c", "import triglot.modeling.language_model.modeling_triglot", cwd=source)


@pytest.mark.parametrize(
    "module",
    ["modeling.tokenizers.media_tokenizer", "modeling.decoders.modeling_unit_vocoder", "processing.codecs_triglot",
     "processing.processing_triglot", "modeling.language_model.modeling_triglot", "training.train_lm"],
)  # fmt: skip
def test_any_module_may_be_the_first_import(module):
    code = f"import triglot.{module}, transformers; assert 'triglot' in transformers.AutoConfig.for_model('triglot').model_type"
    run(sys.executable, "-c", code, cwd=ROOT)


def test_registration_also_when_transformers_came_first():
    code = "import transformers, triglot; transformers.AutoConfig.for_model('triglot')"
    run(sys.executable, "-c", code, cwd=ROOT)


def test_public_names():
    for name in triglot.__all__:
        assert getattr(triglot, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Triglott'"):
        _ = triglot.Triglott
    assert set(triglot.__all__) <= set(dir(triglot))


def test_help_is_instant_and_needs_no_torch():
    code = (
        "import sys, contextlib\n"
        "from triglot.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "assert 'torch' not in sys.modules"
    )
    assert "translate" in run(sys.executable, "-c", code, cwd=ROOT)


TEST_MODELS = {f"tests/data/{name}/model.safetensors" for name in ("judge", "speaker_judge", "codec")}


def test_nothing_heavy_and_no_weights_in_the_repository():
    for name in tracked_files():
        if not name.startswith("hub_configs/"):
            limit = 5_000_000 if name in TEST_MODELS else 500_000
            assert (ROOT / name).stat().st_size < limit, name
