"""The weights of a trained language model, for one that goes on from it, perhaps with media that the trained one never knew.

embedding rows     text, <|sep|> ─ a medium with the same tokenizer ─ another one
trained model      copied          copied                              none, or places kept for it
new model          ...             ...                                 as they start, of the size of the trained rows
"""

from typing import Any

import torch

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..processing.errors import TriglotError
from .runs import take_state

TABLES = (
    "embed_tokens.weight",
    "lm_head.weight",
    "lm_head.bias",
)  # ends of the names of weights with a row for each id


def take_language_model(
    model: TriglotForConditionalGeneration, begun: TriglotForConditionalGeneration, folder: str
) -> list[str]:
    """Gives a new model the weights of one that was trained before.

    Rows of a medium that the trained model lacks, or has places for without ever having had a tokenizer of it, keep their directions and
    get the mean and the spread of the trained rows: rows that start much longer than others would be said before all else.

    Args:
        model: Becomes `begun`.
        begun: The trained one.
        folder: Where it was loaded from, for the errors.

    Returns:
        Names of the media that are new.

    Raises:
        TriglotError: other text rows, codes of another tokenizer, media that are no longer there, or other sizes.
    """
    new = _new_media(model, begun, folder)
    state, trained = model.state_dict(), begun.state_dict()
    for name in state:
        if new and name in trained and name.endswith(TABLES):
            trained[name] = _with_new_rows(state[name], trained[name], model.config, begun.config, new)
    take_state(model, trained, folder)
    return new


def _new_media(model: Any, begun: Any, folder: str) -> list[str]:
    ours, theirs = ({entry["name"]: entry for entry in each.config.modalities} for each in (model, begun))
    # placeholders have no tokenizer, so nobody learnt their codes
    known = {name: entry for name, entry in theirs.items() if entry.get("fingerprint") != ""}
    changed = [name for name, entry in known.items() if ours.get(name) != entry]
    if changed:
        raise TriglotError(
            f"start_from is {folder!r}, whose tokens are others than those of this run ({', '.join(changed)}): the same text "
            "tokenizer and the same tokenizers of its media are needed; new ones may be added."
        )
    return [name for name, entry in ours.items() if entry != theirs.get(name)]


def _with_new_rows(
    started: torch.Tensor, trained: torch.Tensor, config: Any, known: Any, new: list[str]
) -> torch.Tensor:
    """Rows (V, ...) as they start, with those of the trained model in their places."""
    places, before = _places(config), _places(known)
    rows, fresh = started.clone(), torch.zeros(len(started), dtype=torch.bool)
    for name, place in places.items():
        if name in new:
            fresh[place] = True
        else:
            rows[place] = trained[before[name]]
    old, made = rows[~fresh].float(), rows[fresh].float()
    spread = old.std(0).mean() / made.std(0).mean().clamp_min(1e-12)
    rows[fresh] = (old.mean(0) + (made - made.mean(0)) * spread).to(rows.dtype)
    return rows


def _places(config: Any) -> dict[str, slice]:
    """Rows of each modality: text with <|sep|> behind it, media with their borders before them."""
    ranges = dict(config.modality_ranges)
    first, last = ranges.pop("text")
    return {"text": slice(first, last + 1), **{name: slice(begin - 2, end) for name, (begin, end) in ranges.items()}}
