"""What the training of a language model builds on, as digests for `open_run`: the weights it begins with and its text tokenizer."""

import hashlib
import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase
from transformers.utils import cached_file

from .checkpoint_files import weights_digest
from .load_parts import load_stock


def base_digest(base: str) -> str:
    """Of what a model begins with.

    Args:
        base: Folder or Hub id; "" for a new model.

    Returns:
        sha256 (hex) over a folder's weights, the id and its commit for one of the Hub; "" where there are no weights.

    Raises:
        TriglotError: nothing of this name.
    """
    if not base:
        return ""
    if Path(base).is_dir():
        return weights_digest(base) or ""
    config = load_stock(cached_file, base, "checkpoint", filename="config.json")  # .../snapshots/<commit>/config.json
    return f"{base}@{Path(config).parent.name}"


def text_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 (hex) over all that a fast text tokenizer does, for any other over its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    told = json.dumps(tokenizer.get_vocab(), sort_keys=True) if backend is None else backend.to_str()
    return hashlib.sha256(told.encode()).hexdigest()
