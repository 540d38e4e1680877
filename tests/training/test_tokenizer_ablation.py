"""The same small language model on several tokenizers: every stage runs, nothing twice, and the table says what was measured."""

import json

import pytest
from two_tokenizers import spoken_rows, two_tokenizers

from triglot.processing.errors import TriglotError
from triglot.training import ablation_arms
from triglot.training import tokenizer_ablation as module
from triglot.training.tokenizer_ablation import ablate_tokenizers
from triglot.training.train_lm import LmArguments

pytest.importorskip("espeakng_loader")
TINY = LmArguments(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, tasks="ASR", image_codes=0,
    text_budget=6, pack_length=512, max_steps=2, batch_size=2, warmup_steps=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return spoken_rows()


@pytest.fixture(scope="module")
def tokenizers(random_checkpoint, tmp_path_factory):
    return two_tokenizers(random_checkpoint, tmp_path_factory.mktemp("vq"))


def test_every_tokenizer_is_measured_alike_and_only_once(tokenizers, rows, random_checkpoint, tmp_path, monkeypatch):
    out, options = tmp_path / "out", {"limit": 2, "batch_size": 2}
    found = ablate_tokenizers(tokenizers, rows, rows, random_checkpoint, out, TINY, **options)
    assert list(found) == ["units", "vq"]
    for name in found:
        assert set(found[name]["directions"]) == {"en", "hi"} and found[name]["mean"]["wer"]["value"] > 0
    models = [out / f"asr-{name}" / "seed-0" / "lm" / "config.json" for name in found]
    assert [json.loads(path.read_text())["modalities"][1]["size"] for path in models] == [30, 8]
    table = (out / "ablation.md").read_text()
    assert "| tokenizer | mean | en | hi |" in table and "| vq |" in table
    assert f"{100 * found['vq']['mean']['wer']['value']:.1f}" in table

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(ablation_arms, "train_lm", never)
    assert ablate_tokenizers(tokenizers, rows, rows, random_checkpoint, out, TINY, **options) == found
    with pytest.raises(TriglotError, match="holds a run with other settings"):
        ablate_tokenizers(tokenizers, rows, rows, random_checkpoint, out, TINY, limit=1)


def test_refused_before_any_work(tokenizers, rows, random_checkpoint, tmp_path):
    def ablate(given=tokenizers, train=rows, arguments=TINY):
        ablate_tokenizers(given, train, rows, random_checkpoint, tmp_path / "out", arguments)

    with pytest.raises(TriglotError, match="rows lack transcript"):
        ablate(train=rows.remove_columns("transcript"))
    with pytest.raises(TriglotError, match='by "ASR" alone'):
        ablate(arguments=LmArguments())
    with pytest.raises(TriglotError, match="No tokenizer"):
        ablate(given={})
    with pytest.raises(TriglotError, match="holds no speech tokenizer"):
        ablate(given={"none": tmp_path / "none"})
    assert not (tmp_path / "out").exists()


def test_the_command_line(tokenizers, rows, random_checkpoint, tmp_path, capsys):
    rows.save_to_disk(str(tmp_path / "rows"))
    sizes = (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_steps",
        "pack_length",
    )
    options = [word for name in sizes for word in (f"--{name.replace('_', '-')}", str(getattr(TINY, name)))]
    module.main(
        [f"vq={tokenizers['vq']}", "--rows", str(tmp_path / "rows"), "--test-rows", str(tmp_path / "rows"), "--limit", "1",
         "--text-tokenizer", str(random_checkpoint), "--out", str(tmp_path / "out"), "--text-budget", "6",
         "--decay-steps", "0", "--look-back-heads", "0", *options]
    )  # fmt: skip
    assert "| vq |" in capsys.readouterr().out
