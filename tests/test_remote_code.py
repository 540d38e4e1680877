"""What `save_pretrained` writes runs with trust_remote_code=True where triglot is not installed, and lives on there."""

import json
import shutil

import numpy as np
import pytest
from conftest import buzz
from environments import environment_without_triglot, run
from transformers import pipeline

REMOTE = """
import json, sys
import numpy as np
try:
    import triglot
    raise SystemExit("triglot is installed here")
except ImportError:
    pass
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor, pipeline
folder, again, wave = sys.argv[1], sys.argv[2], np.load(sys.argv[3])
trust = {"trust_remote_code": True}
results = {}
for task, options in [
    ("speech-to-speech-translation", {"target_language": "es"}), ("speech-recognition", {}),
    ("speech-to-text-translation", {"target_language": "es"}), ("text-translation", {"target_language": "es"}),
    ("voice-text-to-speech", {}), ("text-to-audio", {}),
]:
    pipe = pipeline(task, model=folder, **trust)
    if task.startswith("speech"):
        result = pipe({"raw": wave, "sampling_rate": 16000}, **options)
    else:
        result = pipe("a red circle", **options)
    results[task] = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in result.items()}
chain = pipeline("task-chain", model=folder, **trust)("a red circle", tasks="MT TTS", target_language="es")
results["task-chain"] = chain[0]["text"], chain[1]["audio"].tolist()
try:
    pipeline("text-to-image", model=folder, **trust)("a red circle")
    raise SystemExit("drawn without an image tokenizer")
except ValueError as error:
    assert "image_decoder" in str(error), error
assert AutoConfig.from_pretrained(folder, **trust).model_type == "triglot"
assert AutoModel.from_pretrained(folder, **trust).can_generate()
processor = AutoProcessor.from_pretrained(folder, **trust)
processor("hi")
assert processor.codecs.loaded == []
try:
    AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    raise SystemExit("remote code ran without being trusted")
except ValueError:
    pass
model = AutoModelForCausalLM.from_pretrained(folder, **trust)
model.save_pretrained(again)
processor.save_pretrained(again)
print("RESULTS" + json.dumps(results))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment_without_triglot(tmp_path_factory.mktemp("environment"))


def test_remote_code_from_another_folder_and_again_after_saving_there(random_checkpoint, python, tmp_path):
    (tmp_path / "remote.py").write_text(REMOTE)
    np.save(tmp_path / "wave.npy", buzz(0.8))
    moved = shutil.copytree(random_checkpoint, tmp_path / "moved-1.0")  # a name that is no Python identifier
    outputs = []
    for source, target in ((moved, "again"), (tmp_path / "again", "third")):
        printed = run(python, "remote.py", str(source), target, "wave.npy", cwd=tmp_path)
        outputs.append(json.loads(printed.split("RESULTS")[1]))
        shutil.rmtree(source)  # nothing may lean on the folder before
    assert outputs[0] == outputs[1]

    here = pipeline("speech-to-speech-translation", model=str(tmp_path / "third"))  # without trust_remote_code
    result = here({"raw": buzz(0.8), "sampling_rate": 16_000}, target_language="es")
    there = outputs[0]["speech-to-speech-translation"]
    assert result["text"] == there["text"] and result["source_text"] == there["source_text"]
    np.testing.assert_allclose(result["audio"], there["audio"], atol=1e-5)


def test_trusting_is_harmless_where_triglot_is_installed(random_checkpoint, wav):
    pipe = pipeline("speech-recognition", model=str(random_checkpoint), trust_remote_code=True)
    assert type(pipe.model).__module__.startswith("triglot.")
    assert isinstance(pipe(wav)["text"], str)


def test_a_checkpoint_holds_its_code_once_flat_and_nothing_pickled(random_checkpoint):
    from triglot.cli import shipped_files

    code = {path.name: path.read_bytes() for path in random_checkpoint.glob("*.py")}
    sources = {path.name: path.read_bytes() for path in shipped_files()}
    assert code and all(sources[name] == content for name, content in code.items())
    assert not list(random_checkpoint.glob("*/*.py"))
    assert {path.suffix for path in random_checkpoint.rglob("*") if path.is_file()} <= {".py", ".json", ".safetensors"}
