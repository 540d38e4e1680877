"""What generated files say about themselves; `test_cli.py` reads it back from what the verbs write."""

import pytest

from triglot.provenance import PROGRAMMED, model_name, synthetic
from triglot.version import __version__


def test_the_words():
    assert synthetic("me/triglot-tiny") == {
        "software": f"Triglot {__version__}",
        "comment": f"synthetic; generator=Triglot {__version__}; model=me/triglot-tiny; "
        "source=http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    }
    assert synthetic("f2", "espeak-ng", PROGRAMMED)["comment"].endswith("/algorithmicMedia")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("me/triglot-tiny", "me/triglot-tiny"),  # a Hub id
        ("{tmp}/jane/run 1", "run 1"),  # a folder: its last part alone
        ("{tmp}/jane/run 1/", "run 1"),
        ("{tmp}/gone", "gone"),
        ("", "unnamed"),
        ("a\nb;c\0", "a_b_c_"),
        ("x" * 999, "x" * 200),
    ],
)
def test_a_folder_is_told_without_its_path(given, told, tmp_path):
    (tmp_path / "jane" / "run 1").mkdir(parents=True)
    assert model_name(given.format(tmp=tmp_path)) == told
