"""What a checkpoint's own files say, for its card: parts and their sizes, what it can do, the licence of the whole. Loads no weights.

CHECKPOINT/config.json, processor_config.json, */config.json, *.safetensors headers, card.json ─ read_facts ─▶ CardFacts
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint_check import json_mapping
from ..modeling.language_model.configuration_triglot import TriglotConfig
from ..modeling.tokenizers.configuration_feature_units import FeatureUnitsConfig
from ..processing.errors import TriglotError
from .card_record import RECORD_FILE, CardRecord
from .checkpoint_files import WeightFiles, weight_files
from .licences import PROCESSOR_FILE, UNKNOWN, non_commercial, strictest, strictness

LANGUAGE_MODEL = "language_model"
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class CardFacts:
    """A checkpoint, or an adapter of one.

    Attributes:
        record: Its card.json.
        languages: ISO codes, the default one first.
        modalities: Of the config, text first.
        configs: {"language_model" or a component: its config}, the components in the order of the processor.
        weights: The same names: what is stored of each; None where no weights lie there.
        adapter: Whether this is an adapter alone.
    """

    record: CardRecord
    languages: Sequence[str]
    modalities: Sequence[Mapping[str, Any]]
    configs: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, WeightFiles | None]
    adapter: bool = False

    @property
    def hears(self) -> bool:
        return "speech_tokenizer" in self.configs

    @property
    def speaks(self) -> bool:
        return self.hears and "speech_decoder" in self.configs

    @property
    def sees(self) -> bool:
        return "image_tokenizer" in self.configs

    @property
    def draws(self) -> bool:
        """A picture's decoder, or a tokenizer that draws again: all but the codes of an encoder."""
        kind = self.configs.get("image_tokenizer", {}).get("model_type")
        return "image_decoder" in self.configs or (self.sees and kind != FeatureUnitsConfig.model_type)

    @property
    def pipeline_tag(self) -> str:
        """What the Hub lists it as."""
        if self.hears and self.sees:
            return "any-to-any"
        if self.speaks:
            return "audio-to-audio" if len(self.languages) > 1 else "text-to-speech"
        if self.hears:
            return "automatic-speech-recognition"
        return "image-text-to-text" if self.sees else "text-generation"

    @property
    def abilities(self) -> list[str]:
        """Tags of the Hub for its tasks."""
        several = len(self.languages) > 1
        found = {
            "speech-to-speech-translation": self.speaks and several,
            "automatic-speech-recognition": self.hears,
            "text-to-speech": self.speaks,
            "translation": several,
            "image-to-text": self.sees,
            "text-to-image": self.draws,
        }
        return [name for name, can in found.items() if can]


def read_facts(folder: str | os.PathLike, record: CardRecord) -> CardFacts:
    """Those of a folder.

    Raises:
        TriglotError: it holds neither a checkpoint of Triglot's nor an adapter.
    """
    root = Path(folder)
    if (root / ADAPTER_CONFIG).is_file():
        told = json_mapping(root / "triglot_adapter.json")
        return CardFacts(
            record,
            told.get("languages", []),
            told.get("modalities", []),
            {},
            {LANGUAGE_MODEL: weight_files(root)},
            True,
        )
    config, processor = json_mapping(root / "config.json"), json_mapping(root / PROCESSOR_FILE)
    if config.get("model_type") != TriglotConfig.model_type or not processor:
        raise TriglotError(
            f"{os.fspath(folder)!r} holds no Triglot checkpoint (config.json and {PROCESSOR_FILE}) and no adapter; name such a folder."
        )
    parts = [name for name in processor.get("parts") or () if (root / name / "config.json").is_file()]
    configs = {LANGUAGE_MODEL: config, **{name: json_mapping(root / name / "config.json") for name in parts}}
    weights = {name: weight_files(root if name == LANGUAGE_MODEL else root / name) for name in configs}
    return CardFacts(record, processor.get("languages") or [], config.get("modalities") or [], configs, weights)


def whole_licence(record: CardRecord) -> tuple[str | None, list[str]]:
    """The licence of a checkpoint, and what its maker should know about it.

    Parts that bind whoever passes them on bind the whole: its licence is the strictest of theirs and of the one that was chosen, and
    nobody knows it while that of a part is unknown. None where nothing was chosen and nothing binds.
    """
    foreign = {name: part for name, part in record.parts.items() if part.licence}
    chosen = record.license or None
    whole = strictest([*([chosen] if chosen else []), *(part.licence for part in foreign.values())])
    warnings = []
    for part in dict.fromkeys(foreign.values()):
        names = listed([name.replace("_", " ") for name, each in foreign.items() if each == part])
        if non_commercial(part.licence):
            warnings.append(
                f"{part.made_from}, of which this has the {names}, is under {part.licence}: no commercial use, and this holds for the whole "
                "checkpoint."
            )
        if part.licence == UNKNOWN:
            warnings.append(
                f"The licence of {part.made_from}, of which this has the {names}, is unknown ({part.licence_source}): find it out and write "
                f"it into {RECORD_FILE} before you pass this on."
            )
    if chosen and whole == UNKNOWN:
        warnings.append(f"The licence chosen was {chosen}; it holds when that of every part is known.")
    elif chosen and whole and strictness(whole) > strictness(chosen):
        warnings.append(
            f"The licence chosen was {chosen}; a part of the checkpoint is under {whole}, which is stricter and holds."
        )
    return whole, warnings


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
