"""The random checkpoint with what a push asks for besides: a model card."""

import shutil
from pathlib import Path

CARD = """---
language:
- en
- es
license: apache-2.0
library_name: transformers
pipeline_tag: audio-to-audio
---

# A checkpoint of random weights

It knows nothing.
"""


def with_card(checkpoint: Path, folder: Path) -> Path:
    """A copy of the checkpoint in `folder`, with a card."""
    shutil.copytree(checkpoint, folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder
