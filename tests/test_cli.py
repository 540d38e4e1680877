"""The `triglot` command: verbs, exit codes and one-line errors."""

import io
import json

import pytest
import soundfile
from conftest import buzz
from environments import ROOT
from image_testing import seeing_checkpoint
from PIL import Image
from transformers import pipeline

from triglot.cli import main, shipped_files
from triglot.provenance import synthetic
from triglot.training.data.splits import HELD_OUT_VOICES, held_out_sentences


def result(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def comment(path):
    with soundfile.SoundFile(path) as handle:
        return handle.copy_metadata().get("comment", "")


def test_translate_transcribe_and_speak(random_checkpoint, wav, tmp_path, capsys):
    out = tmp_path / "out.wav"
    model = ("--model", random_checkpoint, "--json")
    code, printed, _ = result(capsys, "translate", wav, "--to", "es", "-o", out, *model)
    assert code == 0 and set(json.loads(printed)) == {"input", "source_text", "text", "out"}
    assert soundfile.info(out).samplerate == 16_000
    direct = result(capsys, "translate", wav, "--from", "English", "--to", "es", "--direct", "-o", out, *model)
    assert direct[0] == 0 and json.loads(direct[1])["text"] is None
    assert comment(out) == synthetic(random_checkpoint)["comment"]
    assert result(capsys, "translate", wav, "--to", "es", "--fast", "-o", tmp_path / "fast.wav", *model)[0] == 0
    assert soundfile.info(tmp_path / "fast.wav").samplerate == 16_000
    code, printed, _ = result(capsys, "translate", wav, "--to", "es", *model)
    assert code == 0 and set(json.loads(printed)) == {"input", "source_text", "text"}
    code, printed, _ = result(capsys, "transcribe", wav, "--language", "es", *model)
    assert code == 0 and set(json.loads(printed)) == {"input", "text"}
    code, _, _ = result(
        capsys, "speak", "hola", "--language", "es", "--voice", wav, "-o", tmp_path / "say.wav", *model
    )
    assert code == 0 and soundfile.info(tmp_path / "say.wav").frames > 0
    assert "synthetic" in comment(tmp_path / "say.wav")


@pytest.fixture(scope="module")
def seeing_folder(random_checkpoint, tmp_path_factory):
    return seeing_checkpoint(random_checkpoint, tmp_path_factory.mktemp("seeing") / "checkpoint")


def test_draw_and_caption(seeing_folder, tmp_path, capsys):
    model = ("--model", seeing_folder)
    code, printed, _ = result(capsys, "draw", "a red circle", "-o", tmp_path / "x.png", *model)
    assert code == 0 and printed == f"{tmp_path / 'x.png'}\n" and Image.open(tmp_path / "x.png").size == (16, 16)
    assert Image.open(tmp_path / "x.png").text["Comment"] == synthetic(seeing_folder)["comment"]
    several = ("--n", "2", "--best-of", "5", "--guidance", "2.5", "--seed", "3", "--json")
    code, printed, _ = result(
        capsys, "draw", "un círculo", "--language", "es", "-o", tmp_path / "y.webp", *several, *model
    )
    paths = [str(tmp_path / "y-1.webp"), str(tmp_path / "y-2.webp")]
    assert code == 0 and json.loads(printed) == {"input": "un círculo", "out": paths}
    assert all(Image.open(path).size == (16, 16) for path in paths)

    code, printed, _ = result(capsys, "caption", tmp_path / "x.png", *model)
    assert code == 0 and len(printed.splitlines()) == 1
    code, printed, _ = result(
        capsys, "caption", tmp_path / "y-*.webp", tmp_path / "x.png", "--language", "es", "--json", *model
    )
    assert code == 0
    found = [json.loads(line) for line in printed.splitlines()]
    assert [entry["input"] for entry in found] == [*paths, str(tmp_path / "x.png")]
    assert all(set(entry) == {"input", "text"} for entry in found)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    for words, message in (
        (("caption", tmp_path / "no.png"), "there is no file"), (("caption", tmp_path / "bad.png"), "not a picture"),
        (("draw", "a", "-o", tmp_path / "x.bmp"), ".webp"),
        (("draw", "a", "-o", tmp_path / "z.png", "--n", "2", "--best-of", "1"), "num_images is 2"),
        (("draw", "a " * 5000, "-o", tmp_path / "z.png"), "shorten the input"),
    ):  # fmt: skip
        code, _, err = result(capsys, *words, *model)
        assert code == 1 and message in err and err.count("\n") == 1
    assert not (tmp_path / "z.png").exists()


def test_the_stock_pipeline_loads_such_a_folder(seeing_folder):
    stock = pipeline("image-text-to-text", model=str(seeing_folder))
    [answer] = stock(Image.new("RGB", (30, 20)), text="Spanish", return_full_text=False)
    assert isinstance(answer["generated_text"], str)


def test_a_voice_is_kept_and_speaks(random_checkpoint, wav, tmp_path, capsys):
    model, kept, out = ("--model", random_checkpoint), tmp_path / "me.safetensors", tmp_path / "say.wav"
    code, printed, _ = result(capsys, "voice", wav, "-o", kept, "--json", *model)
    assert code == 0 and json.loads(printed) == {"input": wav, "kind": "spectral_statistics", "out": str(kept)}
    said = []
    for voice in (("--voice", kept), ("--voice", wav), ()):
        assert result(capsys, "speak", "hola", "--language", "es", *voice, "-o", out, *model)[0] == 0
        said.append(out.read_bytes())
    assert said[0] == said[1] != said[2]


def given(monkeypatch, content):
    """Standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_folder_of_files_in_and_one_out(random_checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, place in enumerate(("a/u", "a/v", "b/u")):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        soundfile.write(f"{place}.wav", buzz(0.6 + 0.1 * number), 16_000)
    (tmp_path / "a" / "x.wav").write_bytes(b"no sound")
    model = ("--model", random_checkpoint, "--batch-size", "3")
    code, printed, err = result(capsys, "transcribe", "**/*.wav", "--language", "es", "--json", *model)
    found = [json.loads(line) for line in printed.splitlines()]
    assert code == 3 and [entry["input"] for entry in found] == ["a/u.wav", "a/v.wav", "a/x.wav", "b/u.wav"]
    assert "not a sound file" in found[2]["error"] and "1 of 4 inputs failed" in err
    _, alone, _ = result(capsys, "transcribe", "b/u.wav", "--language", "es", "--model", random_checkpoint)
    assert found[3]["text"] + "\n" == alone

    words = ("translate", "a/[uv].wav", "b/*", "--to", "es", "-o", "out", *model)
    code, printed, _ = result(capsys, *words)
    files = [f"out/{place}.wav" for place in ("a/u", "a/v", "b/u")]
    assert code == 0 and [line.split("\t")[0] for line in printed.splitlines()] == ["a/u.wav", "a/v.wav", "b/u.wav"]
    assert all("synthetic" in comment(file) for file in files)
    code, _, err = result(capsys, *words)
    assert code == 1 and "3 of 3 files to write are there already" in err and err.count("\n") == 1
    (tmp_path / "out" / "b" / "u.wav").unlink()
    code, printed, err = result(capsys, *words, "--skip-existing", "--json")
    assert code == 0 and json.loads(printed)["out"] == "out/b/u.wav" and "2 of 3 are there already" in err


def test_standard_input_and_output(random_checkpoint, wav, tmp_path, capsysbinary, monkeypatch):
    model = ("--model", str(random_checkpoint))
    spoken = []
    for source in (wav, "-"):
        with open(wav, "rb") as file:
            given(monkeypatch, file.read())
        assert main(["translate", source, "--to", "es", "-o", "-", *model]) == 0
        out, err = capsysbinary.readouterr()
        assert comment(io.BytesIO(out)) == synthetic(random_checkpoint)["comment"]
        assert err.decode().strip()  # the words
        spoken.append(out)
    assert spoken[0] == spoken[1]
    given(monkeypatch, b"a red circle\n" + b"x" * 200_001 + b"\n\xff\na blue star")
    assert main(["translate", "--text", "-", "--from", "en", "--to", "es", *model]) == 3
    out, err = capsysbinary.readouterr()
    lines = out.split(b"\n")
    assert len(lines) == 5 and lines[0] and not lines[1] and not lines[2] and lines[3]  # a line for every line
    assert b"line 2 of standard input is no text: longer than" in err and b"line 3 of standard input" in err
    given(monkeypatch, "un círculo\n\ndos\n".encode())
    assert main(["translate", "--text", "-", "--from", "es", "--to", "en", *model]) == 0
    lines = capsysbinary.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0] and not lines[1]
    given(monkeypatch, b"hola\n\nadios\n")
    assert main(["speak", "-", "--language", "es", "-o", str(tmp_path / "say"), *model]) == 0
    assert sorted(path.name for path in (tmp_path / "say").iterdir()) == ["0001.wav", "0003.wav"]
    given(monkeypatch, b"hola\ndos\nadios\n")
    capsysbinary.readouterr()
    assert main(["speak", "-", "--language", "es", "-o", str(tmp_path / "say"), *model]) == 3
    assert capsysbinary.readouterr().err.count(b"there already") == 2 and (tmp_path / "say" / "0002.wav").is_file()
    given(monkeypatch, b"hola\nadios\n")
    assert main(["speak", "-", "--language", "es", "-o", str(tmp_path / "say.wav"), *model]) == 1
    assert b"name a folder" in capsysbinary.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transcribe", "-", "x.wav"], "cannot stand beside"),
        (["translate", "x.wav", "--to", "es", "-o", "-", "--json"], "both want standard output"),
        (["translate", "x.wav", "--to", "es", "--voice", "me.wav"], "only with -o"),
        (["translate", "--text", "x", "--to", "es", "-o", "x.wav"], "leave --out out"),
        (["transcribe", "x.wav", "--batch-size", "0"], "at least 1"),
        (["transcribe", "x.wav", "--overwrite", "--skip-existing"], "not allowed with"),
        (["transcribe"], "INPUT"),
        (["sing"], "invalid choice"),
    ],
)
def test_wrong_usage_is_exit_code_2(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["voice", "no.wav", "-o", "{tmp}/x.safetensors"], "no.wav"),
        (["voice", "{wav}", "-o", "{tmp}/x.wav"], ".safetensors"),
        (["speak", "hola", "--voice", "{tmp}/no.safetensors", "-o", "{tmp}/x.wav"], "holds no voice"),
        (["transcribe", "no.wav"], "no.wav"),
        (["translate", "{wav}", "--to", "tlh", "-o", "{tmp}/x.wav"], "known are en (English), es (Spanish)"),
        (["translate", "{wav}", "--to", "es", "-o", "{tmp}/no/x.wav"], "make it first"),
        (["speak", "hi", "-o", "{tmp}/no/x.wav"], "make it first"),
        (["speak", "hi", "-o", "{tmp}/x.mp3"], "ends in .wav"),
        (["speak", " ", "-o", "{tmp}/x.wav"], "A text is empty"),
        (["transcribe", "{tmp}/*.ogg"], "no file that matches"),
        (["transcribe", "{tmp}"], "is a folder"),
        (["translate", "{wav}", "--to", "es", "-o", "{wav}"], "is the input itself"),
        (["translate", "{wav}", "--to", "es", "-o", "{tmp}"], "there already"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(arguments, message, random_checkpoint, wav, tmp_path, capsys):
    filled = [argument.format(wav=wav, tmp=tmp_path) for argument in arguments]
    code, _, err = result(capsys, *filled, "--model", random_checkpoint)
    assert code == 1 and message in err and "Traceback" not in err and err.count("\n") == 1
    assert not (tmp_path / "x.wav").exists()


def test_no_checkpoint(wav, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = result(capsys, "transcribe", wav)
    assert code == 1 and "--model" in err
    code, _, err = result(capsys, "transcribe", wav, "--model", tmp_path)
    assert code == 1 and "cannot be loaded" in err
    code, _, err = result(capsys, "transcribe", wav, "--model", ROOT / "hub_configs" / "triglot-8b")
    assert code == 1 and "without its weights; `triglot train" in err


def test_export_code_writes_what_a_checkpoint_ships(tmp_path, capsys):
    code, printed, _ = result(capsys, "export-code", tmp_path)
    assert code == 0 and len(printed.splitlines()) == len(shipped_files())
    for path in shipped_files():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert result(capsys, "export-code", tmp_path / "nowhere")[0] == 1


def test_train_refuses_bad_recipes_before_anything_runs(tmp_path, capsys):
    recipe = tmp_path / "r.yaml"
    for content, message in [
        ("encoder: {hiden_size: 3}", "did you mean 'hidden_size'"),
        ("lm: {max_steps: many}", "max_steps is 'many'"),
        ("singer: {}", "unknown stage 'singer'"),
        ("- a list", "must be a mapping"),
        ("a: [", "no valid YAML"),
    ]:
        recipe.write_text(content)
        code, _, err = result(capsys, "train", recipe, "--output-dir", tmp_path / "run")
        assert code == 1 and message in err
        assert not (tmp_path / "run").exists()
    code, _, err = result(capsys, "train", "no_such")
    assert code == 1 and "tiny_smoke.yaml" in err
    code, _, err = result(capsys, "train", "tiny_smoke", "--stage", "sing", "--output-dir", tmp_path / "run")
    assert code == 1 and "text_tokenizer" in err


@pytest.mark.slow
def test_demo(overfit_checkpoint, overfit_scenes, tmp_path, capsys):
    arguments = ("demo", "--model", overfit_checkpoint, "--known", "--out", tmp_path / "demo.wav", "--json")
    code, printed, _ = result(capsys, *arguments, "--from", "en", "--to", "es")
    shown = json.loads(printed)
    assert code == 0 and shown["transcript"] == shown["spoken"] == overfit_scenes[0].sentence("en")
    assert shown["translation"] == shown["truth"] == overfit_scenes[0].sentence("es")
    assert soundfile.info(tmp_path / "demo.wav").frames > 16_000
    picture = Image.open(tmp_path / "demo.png")
    assert picture.width > 600 and len(picture.convert("RGB").getcolors(10**7)) > 1_000


def test_demo_takes_held_out_sentences_by_held_out_voices(random_checkpoint, tmp_path, capsys):
    spoken = set()
    for seed in (0, 1):
        arguments = ("demo", "--model", random_checkpoint, "--out", tmp_path / f"{seed}.wav", "--json")
        code, printed, _ = result(capsys, *arguments, "--seed", seed)
        shown = json.loads(printed)
        spoken.add(shown["spoken"])
        assert code == 0 and shown["speaker"].split("-")[0] in HELD_OUT_VOICES
        held_out = {item.sentence("es"): item for item in held_out_sentences(200)}
        assert held_out[shown["spoken"]].sentence("en") == shown["truth"]
        assert comment(tmp_path / f"{seed}.wav") == synthetic(random_checkpoint)["comment"]
    assert len(spoken) == 2
    assert result(capsys, "demo", "--model", random_checkpoint, "--out", tmp_path / "no" / "x.wav")[0] == 1
