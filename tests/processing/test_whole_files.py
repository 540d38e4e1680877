"""Files and folders written whole or not at all."""

import pytest

from triglot.processing.whole_files import whole_file, whole_folder


def test_a_folder_appears_only_when_it_is_finished(tmp_path):
    final = tmp_path / "new" / "folder"
    with whole_folder(final) as partial:
        (partial / "a").write_text("1")
        assert not final.exists()
    assert (final / "a").read_text() == "1"
    assert [path.name for path in final.parent.iterdir()] == ["folder"]


def test_an_error_leaves_the_old_folder_and_no_rest(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("kept")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "folder") as partial:
        (partial / "new").write_text("1")
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


def test_a_finished_folder_replaces_the_old_one_entirely(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("gone")
    with whole_folder(tmp_path / "folder") as partial:
        (partial / "new").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def test_a_file(tmp_path):
    target = tmp_path / "x.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    with whole_file(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new" and len(list(tmp_path.iterdir())) == 1
