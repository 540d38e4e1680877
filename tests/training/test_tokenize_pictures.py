"""`triglot tokenize` with pictures: COCO and Flickr layouts, an image folder, captions beside speech, pictures that cannot be read."""

import json

import datasets
import pytest
import yaml
from picture_rows_testing import picture_rows
from speech_rows import sound_bytes

from triglot import TriglotError
from triglot.training.data import source_rows
from triglot.training.data.mixture import held_tasks, read_mixture
from triglot.training.data.sources import load_sources
from triglot.training.tokenize_sources import tokenise_mixture


@pytest.fixture
def tokenizer(random_checkpoint):
    return str(random_checkpoint / "speech_tokenizer")


@pytest.fixture(autouse=True)
def nothing_opened():
    yield
    source_rows._opened.cache_clear()


def pictures(count):
    return [row["image"]["bytes"] for row in picture_rows(count)]


def tokenised(folder, tokenizer, image_tokenizer, *entries):
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": list(entries)}), encoding="utf-8")
    out = tokenise_mixture(load_sources(path), tokenizer, folder / "tokens", image_tokenizer_dir=image_tokenizer)
    return read_mixture(out)


def test_coco_has_several_captions_of_a_picture(tmp_path, tokenizer, image_tokenizer, monkeypatch):
    encode, encoded = source_rows.encode_picture, []
    monkeypatch.setattr(source_rows, "encode_picture", lambda *given: encoded.append(given) or encode(*given))
    (tmp_path / "train2017").mkdir()
    for number, content in enumerate(pictures(2)):
        (tmp_path / "train2017" / f"{number}.png").write_bytes(content)
    annotations = {
        "images": [{"id": 7, "file_name": "0.png"}, {"id": 9, "file_name": "1.png"}],
        "annotations": [
            {"image_id": 7, "caption": "a blot"}, {"image_id": 9, "caption": "another"}, {"image_id": 7, "caption": "the same"},
        ],
    }  # fmt: skip
    (tmp_path / "captions.json").write_text(json.dumps(annotations))
    source = {"layout": "coco_captions", "dataset": "captions.json", "folders": {"image": "train2017"}}
    rows = tokenised(tmp_path, tokenizer, image_tokenizer, source)
    assert [row["text_source"] for row in rows] == ["a blot", "the same", "another"]
    assert all(len(row["image_source"]) == 64 for row in rows) and len(encoded) == 2
    assert rows[0]["image_source"] == rows[1]["image_source"] != rows[2]["image_source"]
    assert held_tasks(rows)["en"] == {"CAPTION": 3.0, "T2I": 3.0}


def test_flickr_has_a_list_of_captions_a_row(tmp_path, tokenizer, image_tokenizer):
    rows = [
        {"image": {"bytes": content, "path": None}, "caption": [f"one {n}", f"two {n}", " "]}
        for n, content in enumerate(pictures(2))
    ]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "flickr.parquet")
    found = tokenised(
        tmp_path, tokenizer, image_tokenizer, {"layout": "flickr30k", "dataset": "flickr.parquet", "name": "flickr"}
    )
    assert [row["text_source"] for row in found] == ["one 0", "two 0", "one 1", "two 1"]
    assert all(row["image_source"] for row in found)


def test_an_image_folder_with_metadata(tmp_path, tokenizer, image_tokenizer):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, content in enumerate(pictures(2)):
        (folder / f"{number}.png").write_bytes(content)
    (folder / "metadata.csv").write_text("file_name,text\n0.png,a blot\n1.png,another blot\n")
    columns = {"image": "image", "caption": "text", "source_language": "=en"}
    rows = tokenised(tmp_path, tokenizer, image_tokenizer, {"dataset": "photos", "columns": columns, "name": "photos"})
    assert sorted(row["text_source"] for row in rows) == ["a blot", "another blot"]
    assert all(len(row["image_source"]) == 64 for row in rows)


def test_speech_that_describes_a_picture_and_a_caption_in_other_words(tmp_path, tokenizer, image_tokenizer):
    image = {"bytes": pictures(1)[0], "path": None}
    sound = {"bytes": sound_bytes(0.5), "path": None}
    rows = [
        {"audio": sound, "text": "a blot", "image": image, "words": "a blot"},
        {"audio": sound, "text": "a blot", "image": image, "words": "something round"},
    ]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    columns = {
        "audio": "audio",
        "transcript": "text",
        "image": "image",
        "caption": "words",
        "source_language": "=en",
    }
    found = tokenised(
        tmp_path, tokenizer, image_tokenizer, {"dataset": "rows.parquet", "columns": columns, "name": "spoken"}
    )
    held = [(row["text_source"], row["speech_source"] is not None, row["image_source"] is not None) for row in found]
    assert held == [("a blot", True, True), ("a blot", True, False), ("something round", False, True)]


def test_pictures_that_cannot_be_read_are_skipped_and_listed(tmp_path, tokenizer, image_tokenizer):
    rows = [
        {"image": {"bytes": content, "path": None}, "caption": "a blot"} for content in (*pictures(1), b"GIF89a no")
    ]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    source = {"layout": "coco_captions", "dataset": "rows.parquet", "name": "some"}
    assert len(tokenised(tmp_path, tokenizer, image_tokenizer, source)) == 1
    (skipped,) = json.loads((tmp_path / "tokens" / "skipped_rows.json").read_text())["some"]["first"]
    assert skipped["row"] == 1 and "image" in skipped["why"]


def test_without_an_image_tokenizer_pictures_are_left_out(tmp_path, tokenizer):
    rows = [{"image": {"bytes": content, "path": None}, "caption": "a blot"} for content in pictures(25)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(TriglotError, match="no --image-tokenizer is given"):
        tokenised(tmp_path, tokenizer, None, {"layout": "coco_captions", "dataset": "rows.parquet", "name": "some"})


def test_a_folder_of_another_image_tokenizer_is_refused(tmp_path, tokenizer, image_tokenizer):
    rows = [{"image": {"bytes": content, "path": None}, "caption": "a blot"} for content in pictures(1)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    source = {"layout": "coco_captions", "dataset": "rows.parquet", "name": "some"}
    tokenised(tmp_path, tokenizer, image_tokenizer, source)
    with pytest.raises(TriglotError, match="another tokenizer"):
        tokenised(tmp_path, tokenizer, None, source)
