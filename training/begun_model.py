"""The weights of a trained language model, for one that goes on from it, perhaps with media that the trained one never knew.

embedding rows     text, <|sep|> ─ a medium with the same tokenizer ─ another one
trained model      copied          copied                              none, or places kept for it
new model          ...             ...                                 as they start, of the size of the trained rows
"""

from typing import Any

import torch

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..processing.errors import TriglotError


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
    tables = [name for name in state if new and name.endswith(("embed_tokens.weight", "lm_head.weight"))]
    tables += [name for name in state if new and name.endswith("lm_head.bias")]
    for name in tables:
        if name in trained:
            trained[name] = _with_new_rows(state[name], trained[name], model.config, begun.config, new)
    try:
        model.load_state_dict(trained)
    except RuntimeError as error:
        raise TriglotError(f"start_from is {folder!r}, a model of other sizes than this run's: {error}") from error
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
    places = {"text": (0, config.modality_ranges["text"][1] + 1)}  # <|sep|> follows the text
    places |= {name: (first - 2, last) for name, (first, last) in config.modality_ranges.items() if name != "text"}
    before = {name: first - 2 if name != "text" else 0 for name, (first, _) in known.modality_ranges.items()}
    kept = [
        trained[before[name] : before[name] + last - first]
        for name, (first, last) in places.items()
        if name not in new
    ]
    rows, old, fresh = (
        started.clone(),
        torch.cat(kept).float(),
        torch.cat([started[slice(*places[name])] for name in new]).float(),
    )
    spread = old.std(0).mean() / fresh.std(0).mean().clamp_min(1e-12)
    fresh = old.mean(0) + (fresh - fresh.mean(0)) * spread
    for name, (first, last) in places.items():
        if name in new:
            rows[first:last], fresh = fresh[: last - first].to(rows.dtype), fresh[last - first :]
        else:
            rows[first:last], kept = kept[0], kept[1:]
    return rows
