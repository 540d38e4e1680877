"""Licences of the parts a checkpoint is made of: what a part's own card says, else what is known of the published ones.

part (folder or Hub id) ─ licence_of ─▶ Licence ─ strictest ─▶ the licence of the whole, as the Hub writes it ("apache-2.0")

Nothing here guesses: a part whose licence neither its card nor the table tells is of the licence "unknown".
"""

import fnmatch
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import ModelCard
from transformers.utils import cached_file

from ..processing.errors import TriglotError

UNKNOWN = "unknown"  # the Hub knows it by this name
CARD_FILE, PROCESSOR_FILE = "README.md", "processor_config.json"

# {pattern of Hub ids: (licence, where it stands)}, the first that fits; of models whose own card says nothing, what their repository says
PUBLISHED: dict[str, tuple[str, str]] = {
    "facebook/w2v-bert-2.0": ("mit", ""),
    "facebook/hubert-*": ("apache-2.0", ""),
    "facebook/wav2vec2-*": ("apache-2.0", ""),
    "utter-project/mHuBERT-147*": ("cc-by-nc-sa-4.0", ""),
    "facebook/mms-*": ("cc-by-nc-4.0", ""),
    "facebook/seamless-m4t-*": ("cc-by-nc-4.0", ""),
    "facebook/hf-seamless-m4t-*": ("cc-by-nc-4.0", ""),
    "kyutai/mimi": ("cc-by-4.0", ""),
    "facebook/encodec_48khz": ("mit", ""),
    "facebook/encodec_24khz": (UNKNOWN, "its card names none; that of encodec_48khz says mit"),
    "descript/dac_*": ("mit", "the repository descriptinc/descript-audio-codec; its card names none"),
    "Qwen/Qwen3-*": ("apache-2.0", ""),
    "meta-llama/Llama-2-*": ("llama2", ""),
    "meta-llama/Meta-Llama-3-*": ("llama3", ""),
    "meta-llama/*Llama-3.1-*": ("llama3.1", ""),
    "meta-llama/Llama-3.2-*": ("llama3.2", ""),
    "meta-llama/Llama-3.3-*": ("llama3.3", ""),
    "google/gemma-[123]*": ("gemma", ""),
    "openai/clip-vit-*": ("mit", "the repository openai/CLIP; its card names none"),
    "google/siglip-*": ("apache-2.0", ""),
    "facebook/dinov2-*": ("apache-2.0", ""),
    "facebook/flava-*": ("bsd-3-clause", ""),
}

# ranks of strictness: what each asks of whoever passes a model on
PERMISSIVE, SHARE_ALIKE, OWN_TERMS, NOT_KNOWN, NON_COMMERCIAL, NO_CHANGES = range(6)
_PERMISSIVE = ("apache-2.0", "mit", "bsd", "cc0-1.0", "cc-by-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "isc",
               "unlicense", "zlib", "ecl-2.0", "bsl-1.0", "pddl", "odc-by", "wtfpl")  # fmt: skip
_SHARE_ALIKE = ("cc-by-sa", "gpl", "agpl", "lgpl", "mpl", "epl", "odbl", "osl", "eupl", "cecill", "gfdl")
_NON_COMMERCIAL = ("-nc", "noncommercial", "non-commercial", "research", "apple-amlr", "apple-ascl", "deepfloyd")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_LICENCE = re.compile(r"[A-Za-z0-9][\w.+-]{0,95}")
_CACHED = re.compile(r"models--(.+?)--(.+)")  # a folder of the Hub's cache


@dataclass(frozen=True)
class Licence:
    """A licence and where it is said.

    Attributes:
        id: As the Hub writes it, "unknown" where nobody says.
        source: Who says so, in words.
    """

    id: str
    source: str


def strictness(licence: str) -> int:
    """Rank of a licence, from `PERMISSIVE` to `NO_CHANGES`; an id that is not known here has terms of its own (`OWN_TERMS`)."""
    name = licence.lower()
    if name == UNKNOWN:
        return NOT_KNOWN
    if any(mark in name for mark in _NON_COMMERCIAL):
        return NO_CHANGES if "-nd" in name else NON_COMMERCIAL
    if "-nd" in name:
        return NO_CHANGES
    if name.startswith(_SHARE_ALIKE):
        return SHARE_ALIKE
    return PERMISSIVE if name.startswith(_PERMISSIVE) else OWN_TERMS


def non_commercial(licence: str) -> bool:
    """Whether it forbids commercial use."""
    return any(mark in licence.lower() for mark in _NON_COMMERCIAL)


def strictest(licences: Iterable[str]) -> str | None:
    """The one that asks most, of equals the first, but one that wants the same licence again before others; None of none."""
    return max(licences, key=lambda licence: (strictness(licence), "-sa" in licence), default=None)


def check_licence(licence: str) -> str:
    """The same, in lower case as the Hub writes it.

    Raises:
        TriglotError: no name of a licence.
    """
    if not _LICENCE.fullmatch(licence):
        raise TriglotError(
            f"license is {licence!r}; a name as the Hub writes it is needed, e.g. apache-2.0 or cc-by-nc-4.0."
        )
    return licence.lower()


def is_hub_id(name: str) -> bool:
    """Whether a name may be that of a Hub repository: "owner/name"."""
    return _HUB_ID.fullmatch(name) is not None


def hub_id(part: str | os.PathLike | None) -> str | None:
    """The Hub id of a part: its name where no such folder is here, or what the Hub's cache calls its folder; None for others."""
    if part is None:
        return None
    path = Path(part)
    if path.exists():
        cached = [found for folder in path.absolute().parts if (found := _CACHED.fullmatch(folder))]
        return "/".join(cached[-1].groups()) if cached else None
    return str(part) if is_hub_id(str(part)) else None


def short_name(part: str | os.PathLike) -> str:
    """How a card may call a part: its Hub id, or the last folder of its path (of a component the last two), since the rest is nobody's business."""
    path = Path(part).absolute()
    inside = f"{path.parent.name}/" if (path.parent / PROCESSOR_FILE).is_file() else ""
    return hub_id(part) or f"{inside}{path.name}"


def licence_of(part: str | os.PathLike) -> Licence:
    """Who may do what with a part.

    Args:
        part: Folder or Hub id. A component's subfolder has the licence of the checkpoint that it lies in.
    """
    path, name = Path(part), hub_id(part)
    if path.is_dir():
        folders = (path, path.parent) if (path.parent / PROCESSOR_FILE).is_file() else (path,)
        for folder in folders:
            if (found := card_licence(folder / CARD_FILE)) is not None:
                return Licence(found, f"the card of {short_name(folder)}")
    elif (
        name is not None
        and (card := hub_file(name, CARD_FILE)) is not None
        and (found := card_licence(card)) is not None
    ):
        return Licence(found, f"the card of {name}")
    for pattern, (licence, where) in PUBLISHED.items():
        if name is not None and fnmatch.fnmatchcase(name, pattern):
            return Licence(licence, where or f"the card of {name}, as known to Triglot")
    return Licence(UNKNOWN, "no card says it")


def card_licence(card: Path) -> str | None:
    """What the metadata of a card says; None where there is no card, no metadata or no licence in it."""
    if not card.is_file():
        return None
    try:
        found = ModelCard.load(card, ignore_metadata_errors=True).data.license
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return found.lower() if isinstance(found, str) and _LICENCE.fullmatch(found) else None


def hub_file(repo_id: str, file: str) -> Path | None:
    """A file of a Hub repository, that of the cache where there is no network; None where it cannot be had."""
    try:
        found = cached_file(
            repo_id, file, _raise_exceptions_for_gated_repo=False, _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )  # fmt: skip
    except (OSError, ValueError):
        return None
    return None if found is None else Path(found)
