"""`triglot tokenize`: whole shards once, rows that cannot be used, ranks, kills, and what the mixture then holds."""

import json

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import yaml
from speech_rows import sound_bytes
from test_sources import table, write_samples

from triglot import TriglotError
from triglot.cli import main
from triglot.training import tokenize_sources
from triglot.training.data import source_rows
from triglot.training.data.mixture import held_tasks, language_factors, read_mixture
from triglot.training.data.source_rows import SourceRows
from triglot.training.data.sources import Source, load_sources
from triglot.training.tokenize_sources import tokenise_mixture

COLUMNS = {"audio": "audio", "transcript": "text", "source_language": "locale", "speaker": "who"}


@pytest.fixture
def tokenizer(random_checkpoint):
    return str(random_checkpoint / "speech_tokenizer")


@pytest.fixture(autouse=True)
def nothing_opened():
    yield
    source_rows._opened.cache_clear()


@pytest.fixture
def sources(tmp_path):
    """Seven rows, of which number 2 is no sound, 3 NaN and 5 too long; and the same good ones as a stream."""
    rows = [{"text": f"row {n}", "locale": "de" if n % 2 else "en-US", "who": f"s{n}"} for n in range(7)]
    for number, row in enumerate(rows):
        row["audio"] = {"bytes": sound_bytes(0.5 + 0.1 * number + 3 * (number == 5)), "path": None}
    rows[2]["audio"] = {"bytes": b"RIFF no sound", "path": None}
    rows[3]["locale"] = "xx"
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    entry = {"columns": COLUMNS, "max_seconds": 3, "dataset": "rows.parquet"}
    (tmp_path / "archives").mkdir()
    write_archive(tmp_path / "archives" / "a.tar", 5)
    stream = {"dataset": "archives/*.tar", "name": "stream", "weight": 2.0, "columns": {
        "audio": "wav", "transcript": "txt", "source_language": "=es"}}  # fmt: skip
    return write_sources(tmp_path, {**entry, "name": "table"}, stream)


def write_sources(folder, *entries, **more):
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": list(entries), **more}), encoding="utf-8")
    return path


def write_archive(path, count):
    samples = range(count)
    write_samples(
        path, {f"clip{n}": {"wav": sound_bytes(0.5 + 0.1 * n), "txt": f"frase {n}".encode()} for n in samples}
    )


def all_rows(folder):
    return {
        path.relative_to(folder).as_posix(): pyarrow.parquet.read_table(path).to_pylist()
        for path in sorted(folder.rglob("shard-*.parquet"))
    }


def test_rows_are_tokenised_once_and_bad_ones_listed(sources, tokenizer, tmp_path, capsys):
    out = tokenise_mixture(load_sources(sources), tokenizer, tmp_path / "tokens", shard_rows=3)
    made = all_rows(out)
    assert {name: [row["text_source"] for row in rows] for name, rows in made.items()} == {
        "stream/shard-00000.parquet": ["frase 0", "frase 1", "frase 2"],
        "stream/shard-00001.parquet": ["frase 3", "frase 4"],
        "table/shard-00000.parquet": ["row 0", "row 1"],
        "table/shard-00001.parquet": ["row 4"],
        "table/shard-00002.parquet": ["row 6"],
    }
    first = made["table/shard-00000.parquet"][0]
    assert (first["source_language"], first["speaker"], first["recorded"]) == ("en", "s0", False)
    assert len(first["speech_source"]) == pytest.approx(0.5 * 25, abs=1)
    listed = json.loads((out / "skipped_rows.json").read_text())["table"]
    assert listed["skipped"] == 3 and [entry["row"] for entry in listed["first"]] == [2, 3, 5]
    assert "'xx'" in listed["first"][1]["why"] and "4.00 s" in listed["first"][2]["why"]
    printed = capsys.readouterr().out
    assert "h of sound in" in printed and "| table | 4 | 3 |" in printed
    assert (out / "report.png").read_bytes()[:4] == b"\x89PNG" and (out / "report.md").read_text().strip() in printed

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    tokenise_mixture(load_sources(sources), tokenizer, out, shard_rows=3)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}


TEXTS = {
    "transcript": "en", "translated_transcript": "de", "source_language": "=en", "target_language": "=de",
}  # fmt: skip


def test_rows_that_were_added_or_changed_are_tokenised_by_the_next_call(tokenizer, tmp_path):
    file = write_sources(tmp_path, {"dataset": "rows.tsv", "name": "texts", "columns": TEXTS})
    out = tmp_path / "tokens"

    def call(*texts):
        """What the shards hold, and which of them were written."""
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
        table(tmp_path / "rows.tsv", ("en", "de"), *[(text, text.upper()) for text in texts])
        tokenise_mixture(load_sources(file), tokenizer, out, shard_rows=3)
        assert [row["text_source"] for row in read_mixture(out)] == list(texts)
        after = {path: path.stat().st_mtime_ns for path in sorted(out.rglob("*.parquet"))}
        return [len(rows) for rows in all_rows(out).values()], [before.get(path) != after[path] for path in after]

    assert call(*"abcd") == ([3, 1], [True, True])
    assert call(*"abcd") == ([3, 1], [False, False])
    assert call(*"abcdef") == ([3, 3], [False, True])
    assert call(*"axcdefg") == ([3, 3, 1], [True, False, True])
    assert call(*"ax") == ([2], [True])


def test_a_shard_tells_the_rows_it_was_made_from(tmp_path):
    def digest(text="a", size=9, path="a.wav", other=1):
        row = {"audio": {"bytes": bytes(size), "path": path}, "text": {"en": text}, "other": other}
        rows = datasets.Dataset.from_list([row, {**row, "audio": None}]).cast_column("audio", datasets.Audio())
        rows.to_parquet(tmp_path / "rows.parquet")
        source_rows._opened.cache_clear()
        columns = {"audio": "audio", "transcript": "text.en", "source_language": "=en"}
        return SourceRows(Source(str(tmp_path / "rows.parquet"), columns=columns), "").digest(0, 2)

    assert digest() == digest(other=2)  # nobody reads that column
    assert len({digest(), digest(text="b"), digest(size=8), digest(path="b.wav")}) == 4


def test_a_stretch_of_rows_of_no_use_is_passed_over(tokenizer, tmp_path):
    rows = [{"en": f"row {n}", "de": "Zeile", "locale": "xx" if n < 25 else "en"} for n in range(30)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    columns = {**TEXTS, "source_language": "locale"}
    file = write_sources(tmp_path, {"dataset": "rows.parquet", "name": "texts", "columns": columns})
    out = tokenise_mixture(load_sources(file), tokenizer, tmp_path / "tokens", shard_rows=25)
    assert [row["text_source"] for row in read_mixture(out)] == [f"row {n}" for n in range(25, 30)]
    assert json.loads((out / "skipped_rows.json").read_text())["texts"]["skipped"] == 25


def test_a_stream_goes_on_after_bad_samples_and_takes_further_archives(tokenizer, tmp_path):
    german = b'{"de": "hallo"}'
    samples = {f"{n:02}": {"txt": b"hi" if n < 5 or n == 40 else b"\xff", "json": german} for n in range(41)}
    write_samples(tmp_path / "0.tar", samples)
    columns = {**TEXTS, "transcript": "txt", "translated_transcript": "json.de"}
    file = write_sources(tmp_path, {"dataset": "*.tar", "name": "stream", "columns": columns})

    def call():
        out = tokenise_mixture(load_sources(file), tokenizer, tmp_path / "tokens", shard_rows=20)
        assert json.loads((out / "skipped_rows.json").read_text())["stream"]["skipped"] == 35
        return [
            (len(pyarrow.parquet.read_table(path)), path.stat().st_mtime_ns) for path in sorted(out.rglob("*.parquet"))
        ]

    first = call()
    assert [count for count, _ in first] == [5, 0, 1] and call() == first
    write_samples(tmp_path / "1.tar", {"41": {"txt": b"hi", "json": german}})
    second = call()
    assert second[:2] == first[:2] and [count for count, _ in second] == [5, 0, 2]


def test_a_stream_that_breaks_keeps_what_its_processes_had_begun(tokenizer, tmp_path):
    samples = {f"{n:02}": {"txt": b"hi", "json": b'{"de": "hallo"}'} for n in range(30)}
    write_samples(tmp_path / "0.tar", samples)
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: 22 * 2 * 1024 + 513])  # one of the two bytes of a file of sample 22
    columns = {**TEXTS, "transcript": "txt", "translated_transcript": "json.de"}
    mixture = load_sources(write_sources(tmp_path, {"dataset": "*.tar", "name": "stream", "columns": columns}))
    with pytest.raises(TriglotError, match="stream broke"):
        tokenise_mixture(mixture, tokenizer, tmp_path / "tokens", shard_rows=5, workers=2)
    begun = sorted(path.name for path in (tmp_path / "tokens" / "stream").glob("*.parquet"))
    assert begun == [f"shard-{n:05}.parquet" for n in range(4)]
    (tmp_path / "0.tar").write_bytes(whole)
    out = tokenise_mixture(mixture, tokenizer, tmp_path / "tokens", shard_rows=5, workers=2)
    assert len(list(read_mixture(out))) == 30


def test_processes_and_ranks_make_the_same_shards(sources, tokenizer, tmp_path, monkeypatch, capsys):
    mixture = load_sources(sources)
    alone = all_rows(tokenise_mixture(mixture, tokenizer, tmp_path / "alone", shard_rows=2))
    assert all_rows(tokenise_mixture(mixture, tokenizer, tmp_path / "two", shard_rows=2, workers=2)) == alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "10":
        capsys.readouterr()
        monkeypatch.setenv("RANK", rank)
        tokenise_mixture(mixture, tokenizer, tmp_path / "ranks", shard_rows=2)
        finished = rank == "0"  # the second one
        assert (all_rows(tmp_path / "ranks") == alone) == finished
        assert ("# The mixture" in capsys.readouterr().out) == finished


@pytest.mark.parametrize("killed_at", range(1, 9))
def test_a_killed_run_goes_on_to_the_same_shards(killed_at, sources, tokenizer, tmp_path, monkeypatch):
    mixture = load_sources(sources)
    whole = all_rows(tokenise_mixture(mixture, tokenizer, tmp_path / "whole", shard_rows=2))
    encode, left = source_rows.encode_wave, [killed_at]

    def killing(units, wave):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return encode(units, wave)

    monkeypatch.setattr(source_rows, "encode_wave", killing)
    with pytest.raises(KeyboardInterrupt):
        tokenise_mixture(mixture, tokenizer, tmp_path / "cut", shard_rows=2)
    with pytest.raises(TriglotError, match="not tokenised to its end"):
        read_mixture(tmp_path / "cut")
    assert all_rows(tokenise_mixture(mixture, tokenizer, tmp_path / "cut", shard_rows=2)) == whole
    assert not list((tmp_path / "cut").rglob("*.partial"))


def test_the_mixture_weighs_sources_and_languages(sources, tokenizer, tmp_path):
    mixture = load_sources(sources)
    out = tokenise_mixture(mixture, tokenizer, tmp_path / "tokens")
    rows = read_mixture(out)
    assert [(row["source"], row["weight"]) for row in rows] == [("table", 1.0)] * 4 + [("stream", 2.0)] * 5
    held = held_tasks(rows)
    assert held["es"] == {"ASR": 10.0, "TTS": 10.0} and held["en"] == {"ASR": 3.0, "TTS": 3.0}

    content = yaml.safe_load(sources.read_text())
    write_sources(tmp_path, *content["sources"], temperature=1e9)  # weights may change afterwards
    tokenise_mixture(load_sources(sources), tokenizer, out)
    even = held_tasks(read_mixture(out))
    assert sum(counts["ASR"] for counts in even.values()) == pytest.approx(14)
    assert all(counts["ASR"] == pytest.approx(14 / 3) for counts in even.values())


def test_temperature_lies_between_the_shares_and_evenness():
    rows = [{"source_language": "en", "weight": 1.0}] * 90 + [{"source_language": "de", "weight": 1.0}] * 10
    factors = np.array(language_factors(rows, 2.0))
    shares = factors[:90].sum(), factors[90:].sum()
    assert sum(shares) == pytest.approx(100) and shares[0] / shares[1] == pytest.approx(3)  # sqrt(9)
    assert language_factors(rows, 1.0) == [1.0] * 100
    assert language_factors(rows, 0.0001) == pytest.approx([10 / 9] * 90 + [0.0] * 10)


def test_other_settings_and_hopeless_sources_are_told(sources, tokenizer, tmp_path):
    out = tokenise_mixture(load_sources(sources), tokenizer, tmp_path / "tokens", shard_rows=3)
    with pytest.raises(TriglotError, match="shards of another size"):
        tokenise_mixture(load_sources(sources), tokenizer, out, shard_rows=4)
    content = yaml.safe_load(sources.read_text())["sources"]
    write_sources(tmp_path, {**content[0], "max_seconds": 10}, content[1])
    with pytest.raises(TriglotError, match="other settings of table"):
        tokenise_mixture(load_sources(sources), tokenizer, out, shard_rows=3)
    datasets.Dataset.from_list([{"audio": f"{n}.wav", "text": "x"} for n in range(25)]).to_parquet(
        tmp_path / "lost.parquet"
    )
    entry = {"dataset": "lost.parquet", "columns": {"audio": "audio", "transcript": "text", "source_language": "=en"}}
    write_sources(tmp_path, entry)
    with pytest.raises(TriglotError, match=r"none of 25 rows can be used\. Row 0: .*no file"):
        tokenise_mixture(load_sources(sources), tokenizer, tmp_path / "lost")
    write_sources(tmp_path, {**entry, "filters": {"text": "y"}})
    with pytest.raises(TriglotError, match="no rows that its filters let pass"):
        tokenise_mixture(load_sources(sources), tokenizer, tmp_path / "none")
    write_sources(tmp_path, {**entry, "name": "../up"})
    with pytest.raises(TriglotError, match="name of a folder"):
        tokenise_mixture(load_sources(sources), tokenizer, tmp_path / "up")


def test_the_command_line(sources, tokenizer, tmp_path, capsys):
    assert main(["tokenize", str(sources), "--tokenizer", tokenizer, "--out", str(tmp_path / "tokens")]) == 0
    assert len(read_mixture(tmp_path / "tokens")) == 9
    assert main(["tokenize", str(tmp_path / "no.yaml"), "--tokenizer", tokenizer, "--out", str(tmp_path / "x")]) == 1
    assert "There is no sources" in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert tokenize_sources.NAMES.fullmatch("a-b.c_d")
