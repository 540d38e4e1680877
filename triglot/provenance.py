"""What a file says about its own making: the words that stand in every sound and picture this package generates.

`synthetic("triglot-tiny")` -> {"software": "Triglot 0.1.0", "comment": "synthetic; generator=Triglot 0.1.0; model=..."}
which `write_audio` puts into a wav's LIST/INFO chunk (ISFT, ICMT) and `write_image` into a PNG's tEXt chunks (Software, Comment)
or the EXIF of a JPEG or WebP. The `source` is IPTC's word for what a trained model made, which C2PA and search engines read too.
They are a courtesy, not a proof: who wants to can strip them.
"""

import os

from .version import __version__

GENERATOR = f"Triglot {__version__}"
TRAINED = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC: by a model trained on samples
)
PROGRAMMED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"  # IPTC: by rules alone
LONGEST_NAME = 200  # characters of a model's name


def synthetic(model: str | os.PathLike, generator: str = GENERATOR, source: str = TRAINED) -> dict[str, str]:
    """Tags for `write_audio` and `write_image`.

    Args:
        model: Folder or Hub id of the checkpoint, or another name for what spoke or drew. Of a folder only the last part is
            told: the rest of a path is nobody's business.
        generator: The program and its version.
        source: One of IPTC's digital source types.
    """
    return {
        "software": generator,
        "comment": f"synthetic; generator={generator}; model={model_name(model)}; source={source}",
    }


def model_name(model: str | os.PathLike) -> str:
    """ "runs/tiny/checkpoint" -> "checkpoint", where that is a folder; a Hub id as it is; one line, without semicolons."""
    path = os.fspath(model)
    name = os.path.basename(os.path.abspath(path)) if os.path.isdir(path) or os.path.isabs(path) else path
    plain = "".join(letter if letter.isprintable() and letter != ";" else "_" for letter in name)
    return plain[:LONGEST_NAME] or "unnamed"
