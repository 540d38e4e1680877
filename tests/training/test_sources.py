"""Sources: published layouts, columns, joins and filters, and errors that name the nearest match."""

import csv
import io
import json
import tarfile

import datasets
import pytest
import yaml
from speech_rows import sound_bytes

from triglot import TriglotError
from triglot.training.data.sources import (
    FIELDS,
    Source,
    field_rows,
    fields_of,
    layout_names,
    load_sources,
    open_source,
)
from triglot.training.evaluate_questions import EVALUATION_TASKS, check_rows, questions


def mixture_file(folder, *sources, **more):
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": list(sources), **more}), encoding="utf-8")
    return path


def table(path, *lines):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None).writerows(lines)


def write_samples(path, samples, mode="w"):
    """A WebDataset of {name: {ending: bytes}}."""
    with tarfile.open(path, mode) as archive:
        for name, contents in samples.items():
            for ending, content in contents.items():
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def first_fields(folder, source):
    [source] = load_sources(mixture_file(folder, source)).sources
    return fields_of(source, next(iter(open_source(source))))


def common_voice(folder):
    """A release's tsv files and clips; of the sentences one is a word that readers of tables take for nothing."""
    (folder / "clips").mkdir()
    names = ("client_id", "path", "sentence", "up_votes", "down_votes", "locale")
    sentences = ['Ein "Hund" bellt.', "NA", "Drei"]
    clips = [f"common_voice_de_{number}.wav" for number in range(3)]
    table(folder / "train.tsv", names, *[(f"s{n % 2}", clips[n], sentences[n], n, 0, "de") for n in range(3)])
    for number, clip in enumerate(clips):
        (folder / "clips" / clip).write_bytes(sound_bytes(0.6 + 0.1 * number))
    return clips, sentences


def test_common_voice(tmp_path):
    clips, sentences = common_voice(tmp_path)
    entry = {
        "layout": "common_voice",
        "dataset": "train.tsv",
        "folders": {"audio": "clips"},
        "languages": {"from": "de"},
    }
    [source] = load_sources(mixture_file(tmp_path, entry)).sources
    found = [fields_of(source, row) for row in open_source(source)]
    assert source.name == "common_voice-de" and [row["transcript"] for row in found] == sentences
    assert found[1] == {
        "audio": str(tmp_path / "clips" / clips[1]), "transcript": "NA", "speaker": "s1", "source_language": "de",
    }  # fmt: skip


def test_covost2_and_cvss_t(tmp_path):
    clips, sentences = common_voice(tmp_path)
    table(tmp_path / "covost.tsv", ("path", "sentence", "translation", "client_id"), (clips[0], "Hund", "dog", "s0"))
    places = {"folders": {"audio": "clips"}, "languages": {"from": "German", "to": "en"}}
    fields = first_fields(tmp_path, {"layout": "covost2", "dataset": "covost.tsv", **places})
    assert (fields["translated_transcript"], fields["source_language"], fields["target_language"]) == (
        "dog",
        "de",
        "en",
    )
    assert "translated_audio" not in fields

    (tmp_path / "cvss").mkdir()
    table(tmp_path / "cvss" / "train.tsv", (clips[2], "three"), ("another.wav", "of no use"))  # no line of names
    entry = {
        "layout": "cvss_t", "dataset": "train.tsv", "join": {"dataset": "cvss/train.tsv"}, "languages": {"from": "de"},
        "folders": {"audio": "clips", "translated_audio": "cvss"},
    }  # fmt: skip
    [source] = load_sources(mixture_file(tmp_path, entry)).sources
    [row] = open_source(source)
    assert fields_of(source, row) == {
        "audio": str(tmp_path / "clips" / clips[2]), "transcript": sentences[2],
        "translated_audio": str(tmp_path / "cvss" / f"{clips[2]}.wav"), "translated_transcript": "three", "speaker": "s0",
        "source_language": "de", "target_language": "en",
    }  # fmt: skip


def test_coco_captions(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "7.jpg"}, {"id": 9, "file_name": "9.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 9, "caption": "A dog. "}, {"id": 2, "image_id": 7, "caption": "A cat."},
            {"id": 3, "image_id": 9, "caption": "A puppy."},
        ],
    }  # fmt: skip
    (tmp_path / "captions.json").write_text(json.dumps(content))
    fields = first_fields(
        tmp_path, {"layout": "coco_captions", "dataset": "captions.json", "folders": {"image": "train2017"}}
    )
    assert fields == {"image": "train2017/9.jpg", "caption": ["A dog.", "A puppy."], "source_language": "en"}


def test_captions_are_evaluated_by_the_first(tmp_path):
    content = {"images": [{"id": 7, "file_name": "7.jpg"}], "annotations": [{"image_id": 7, "caption": "A cat."}]}
    (tmp_path / "captions.json").write_text(json.dumps(content))
    rows = [{"image": {"bytes": b"a picture", "path": None}, "caption": ["A dog.", "A puppy."], "one": "A dog."}]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "flickr.parquet")
    flickr = {"layout": "flickr30k", "dataset": "flickr.parquet"}
    entries = (
        {"layout": "coco_captions", "dataset": "captions.json"},
        {**flickr, "name": "lists"},
        {**flickr, "name": "texts", "columns": {"caption": "one"}},
    )
    found = field_rows(load_sources(mixture_file(tmp_path, *entries)))
    assert found["caption"][:] == [["A cat."], ["A dog.", "A puppy."], ["A dog."]]
    tasks = {name: EVALUATION_TASKS[name] for name in ("CAPTION", "T2I")}
    for task in tasks.values():
        asked = questions(task, check_rows(found, tasks), {"en": "en"}, None, 0)
        assert [question.reference for question in asked] == ["A cat.", "A dog."]


@pytest.mark.parametrize("layout", layout_names())
def test_layouts_hold_nothing_unknown(layout, tmp_path):
    entry = {"layout": layout, "dataset": "x", "languages": {"from": "de", "to": "en"}}
    if layout == "cvss_t":
        entry["join"] = {"dataset": "y"}
    [source] = load_sources(mixture_file(tmp_path, entry)).sources
    assert set(source.columns) <= set(FIELDS) and {"audio", "image"} & set(source.columns)


@pytest.mark.parametrize("kind", ["parquet", "folder", "jsonl", "webdataset"])
def test_kinds_of_files(kind, tmp_path):
    rows = [{"audio": {"bytes": sound_bytes(0.5), "path": None}, "text": {"de": f"Satz {n}"}} for n in range(3)]
    entry = {"columns": {"audio": "audio", "transcript": "text.de", "source_language": "=de"}, "name": kind}
    if kind == "jsonl":
        (tmp_path / "a.wav").write_bytes(sound_bytes(0.5))
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps({**row, "audio": "a.wav"}) + "\n" for row in rows))
        entry["dataset"] = "rows.jsonl"
    elif kind == "webdataset":
        texts = [json.dumps(row["text"]).encode() for row in rows]
        samples = {f"clip{number}": {"wav": sound_bytes(0.5), "json": text} for number, text in enumerate(texts)}
        write_samples(tmp_path / "part-0.tar", samples)
        entry |= {"dataset": "part-*.tar", "streaming": True}
        entry["columns"] |= {"audio": "wav", "transcript": "json.de"}
    else:
        made = datasets.Dataset.from_list(rows)
        if kind == "parquet":
            made.to_parquet(tmp_path / "rows.parquet")
        else:
            made.cast_column("audio", datasets.Audio()).save_to_disk(str(tmp_path / "rows"))
        entry["dataset"] = "rows.parquet" if kind == "parquet" else "rows"
    [source] = load_sources(mixture_file(tmp_path, entry)).sources
    found = [fields_of(source, row) for row in open_source(source)]
    assert [row["transcript"] for row in found] == ["Satz 0", "Satz 1", "Satz 2"] and all(
        row["audio"] for row in found
    )


def test_filters_and_limit(tmp_path):
    rows = [{"text": f"row {n}", "votes": n, "locale": "de-DE" if n % 2 else "fr"} for n in range(8)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")

    def texts(**settings):
        entry = {"dataset": "rows.parquet", "columns": {"transcript": "text", "source_language": "locale"}, **settings}
        [source] = load_sources(mixture_file(tmp_path, entry)).sources
        return [fields_of(source, row) for row in open_source(source)]

    assert [row["source_language"] for row in texts(limit=2)] == ["fr", "de"]
    assert [row["transcript"] for row in texts(filters={"votes": {"min": 2, "max": 4}})] == ["row 2", "row 3", "row 4"]
    assert [row["transcript"] for row in texts(filters={"votes": [1, 6]})] == ["row 1", "row 6"]
    assert len(texts(filters={"locale": {"not": "fr"}, "votes": {"max": 3}})) == 2


def test_samples_of_an_archive_need_not_be_alike(tmp_path):
    samples = {
        "a": {"txt": b"first, without sound"}, "b": {"wav": b"RIFF", "txt": b"second"}, "c": {"wav": b"RIFF", "txt": b"\xff"},
        "d": {"wav": b"RIFF"}, "e": {"wav": b"RIFF", "txt": b"of no use"},
    }  # fmt: skip
    write_samples(tmp_path / "rows.tar", samples)
    entry = {"dataset": "rows.tar", "columns": {"audio": "wav", "transcript": "txt", "source_language": "=en"}}
    [source] = load_sources(mixture_file(tmp_path, {**entry, "filters": {"txt": {"not": "of no use"}}})).sources
    first, second, broken, silent = open_source(source)
    assert fields_of(source, first) == {"transcript": "first, without sound", "source_language": "en"}
    assert fields_of(source, second)["transcript"] == "second" and "transcript" not in fields_of(source, silent)
    with pytest.raises(TriglotError, match=r"rows\.tar, c: the txt cannot be read"):
        fields_of(source, broken)


@pytest.mark.parametrize("streamed", [False, True])
def test_columns_inside_columns_are_checked(streamed, tmp_path):
    texts = {"en": "hi", "de": "hallo"}
    write_samples(tmp_path / "rows.tar", {"a": {"json": json.dumps(texts).encode()}})
    datasets.Dataset.from_list([{"json": texts}]).to_parquet(tmp_path / "rows.parquet")
    dataset = "rows.tar" if streamed else "rows.parquet"

    def fields(column):
        columns = {"transcript": column, "source_language": "=de"}
        return first_fields(tmp_path, {"dataset": dataset, "columns": columns})

    assert fields("json.de")["transcript"] == "hallo" and fields("{json.en}!")["transcript"] == "hi!"
    with pytest.raises(TriglotError, match=r"no column 'json\.dee'; did you mean 'json\.de'"):
        fields("json.dee")
    with pytest.raises(TriglotError, match="'json' holds columns; name one of json"):
        fields("json")
    with pytest.raises(TriglotError, match="'json' holds dict; a text is needed"):
        fields_of(Source(columns={"transcript": "json"}), {"json": texts})


GOOD = {"dataset": "rows.parquet", "columns": {"audio": "audio", "transcript": "text", "source_language": "=de"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colums": {}}, r"unknown key 'colums'; did you mean 'columns'"),
        ({"columns": {**GOOD["columns"], "trancript": "text"}}, r"'trancript' in columns; did you mean 'transcript'"),
        ({"layout": "comon_voice"}, r"unknown layout 'comon_voice'; did you mean 'common_voice'"),
        ({"layout": "common_voice"}, r"needs languages: \{from"),
        ({"columns": {"audio": "audio"}}, "lack source_language"),
        ({"columns": {**GOOD["columns"], "translated_transcript": "x"}}, "belong together"),
        ({"columns": {**GOOD["columns"], "source_language": "=klingon"}}, "klingon"),
        ({"columns": {}}, "`columns` is missing"),
        ({"dataset": ""}, "`dataset` is missing"),
        ({"filters": {"votes": {"mim": 1}}}, "'mim' of votes; did you mean 'min'"),
        ({"join": {"dataset": "x"}}, "join needs"),
        ({"weight": 0}, "weight above 0"),
        ({"min_seconds": 5, "max_seconds": 4}, "min_seconds 5"),
        ({"streaming": "yes"}, "a bool is needed"),
        ({"filters": {"votes": {"min": "2"}}}, "min of votes is '2'; a number"),
        ({"filters": {"votes": {"not": {"max": None}}}}, "max of votes is None; a number"),
        ({"languages": {"from": False}}, r"languages: from is False \(YAML reads no"),
        ({"languages": {"from": False}, "layout": "fleurs"}, r"languages: from is False \(YAML reads no"),
        ({"join": {"dataset": 1, "key": "id"}}, "join: dataset is 1; a text"),
        ({"folders": {"audio": None}}, "folders: audio is None; a text"),
        ({"header": [1]}, r"header is \[1\]; a list of names"),
        ({"columns": {**GOOD["columns"], "speaker": "{who"}}, "'{who'; its braces are wrong"),
        ({False: "de"}, "the key False is no text"),
    ],
)  # fmt: skip
def test_bad_sources_are_told(change, message, tmp_path):
    with pytest.raises(TriglotError, match=message):
        load_sources(mixture_file(tmp_path, {**GOOD, **change}))


def test_bad_files_are_told(tmp_path):
    with pytest.raises(TriglotError, match="There is no sources"):
        load_sources(tmp_path / "none.yaml")
    with pytest.raises(TriglotError, match="temperature"):
        load_sources(mixture_file(tmp_path, GOOD, temperature=0))
    with pytest.raises(TriglotError, match="unknown key 'temprature'; did you mean 'temperature'"):
        load_sources(mixture_file(tmp_path, GOOD, temprature=2.0))
    with pytest.raises(TriglotError, match="one name"):
        load_sources(mixture_file(tmp_path, GOOD, GOOD))
    (tmp_path / "sources.yaml").write_text("sources: [")
    with pytest.raises(TriglotError, match="no valid YAML"):
        load_sources(tmp_path / "sources.yaml")


def test_missing_columns_name_the_nearest(tmp_path):
    datasets.Dataset.from_list([{"audio_path": "a.wav", "txt": "hello"}]).to_parquet(tmp_path / "rows.parquet")
    [source] = load_sources(
        mixture_file(tmp_path, {**GOOD, "columns": {"transcript": "text", "source_language": "=en"}})
    ).sources
    with pytest.raises(TriglotError, match="no column 'text'; did you mean 'txt'"):
        open_source(source)
    (tmp_path / "bad.tsv").write_text("a\tb\n1\t2\n3\n")
    [source] = load_sources(mixture_file(tmp_path, {**GOOD, "dataset": "bad.tsv"})).sources
    with pytest.raises(TriglotError, match="line 3 has 1 columns, not 2"):
        open_source(source)


def test_nothing_takes_a_layouts_setting_away(tmp_path):
    [source] = load_sources(mixture_file(tmp_path, {"layout": "librispeech", "config": None})).sources
    assert (source.config, source.split) == ("", "train.100")
