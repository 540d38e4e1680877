"""TriglotConfig: a text LLM's config plus the ordered list of modalities whose codes share its vocabulary.

Layout of the ids (R = embedding rows of the text LLM, K = codes of a modality):

    0 .. R-1        text, padded rows included
    R               <|sep|>
    then, for each media modality in order:  <|name|>, <|/name|>, code 0 .. code K-1

A new modality is one more entry of `modalities`; the ids before it stay where they are. The embedding matrix grows from
R to `vocab_size` rows, as in AudioPaLM (arXiv 2306.12925, section 3.2).
"""

import copy
from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

DEFAULT_MEDIA = (
    {"name": "speech", "size": 1024, "fingerprint": "", "frame_rate": 25.0},
    {"name": "image", "size": 8192, "fingerprint": "", "grid": [32, 32]},
)


class TriglotConfig(PreTrainedConfig):
    r"""Settings of the token language model.

    Args:
        text_config: Config of any Hugging Face causal LM (an object, or a dict with `model_type`). The copy kept here
            gets `vocab_size` = all rows, so that the inner model is an ordinary causal LM of that size.
        modalities: Ordered entries `{"name", "size", "fingerprint", "frame_rate" (codes/s) or "grid" ([h, w])}`; the
            first is text, whose size R is the text LLM's number of embedding rows. Default: text, speech (1024 codes
            at 25 Hz), image (32 x 32 of 8192 codes).
        sampling_rate: Hz of the speech that goes in and comes out.

    Raises:
        ValueError: no text first, a name twice, a size below 1, or a text_config of another size.

    Example:
        >>> from transformers import LlamaConfig
        >>> config = TriglotConfig(text_config=LlamaConfig(vocab_size=1000))
        >>> config.modality_ranges["speech"], config.vocab_size
        ((1003, 2027), 10221)
    """

    model_type = "triglot"
    _auto_class = "AutoConfig"
    sub_configs_defaults = {"text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")}
    auto_classes: ClassVar[tuple[str, ...]] = (
        "AutoModel",
        "AutoModelForCausalLM",
        "AutoModelForImageTextToText",
        "AutoModelForMultimodalLM",
        "AutoModelForTextToWaveform",
    )
    # Set by the installed package, which registers these tasks in the process; `custom_pipelines` is then only written
    # to disk and never read back, since transformers would ask for trust_remote_code to run code that is already here.
    in_process_pipelines: ClassVar[dict[str, Any] | None] = None

    text_config: Any = None  # dict or PreTrainedConfig in, PreTrainedConfig kept
    modalities: Any = None  # list of dicts
    sampling_rate: int = 16_000
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        self._saved_pipelines = kwargs.pop("custom_pipelines", None) or {}
        if isinstance(self.text_config, PreTrainedConfig):
            self.text_config = copy.deepcopy(self.text_config)
        super().__post_init__(**kwargs)
        self.modalities = self._check_modalities(self.modalities)
        rows, total = self.modalities[0]["size"], self.vocab_size
        if self.text_config.vocab_size not in (rows, total):
            raise ValueError(
                f"text_config.vocab_size is {self.text_config.vocab_size}; with these modalities it must be {rows} (the "
                f"text model alone) or {total} (with all media rows)."
            )
        self.text_config.vocab_size = total
        self.tie_word_embeddings = bool(getattr(self.text_config, "tie_word_embeddings", False))
        auto_map = dict.fromkeys(self.auto_classes, "modeling_triglot.TriglotForConditionalGeneration")
        self.auto_map = {"AutoConfig": "configuration_triglot.TriglotConfig", **auto_map}

    def _check_modalities(self, modalities: list | None) -> list[dict[str, Any]]:
        if modalities is None:
            modalities = [{"name": "text"}, *DEFAULT_MEDIA]
        modalities = [dict(entry) for entry in modalities]
        names = [entry.get("name") for entry in modalities]
        if not names or names[0] != "text":
            raise ValueError(f"The first modality must be 'text'; came {names}.")
        if len(set(names)) != len(names):
            raise ValueError(f"Every modality needs a name of its own; came {names}.")
        if modalities[0].get("size") is None:
            modalities[0]["size"] = self.text_config.vocab_size
        for entry in modalities:
            size = entry.get("size")
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(
                    f"Modality {entry.get('name')!r} has the size {size!r}; a whole number from 1 is needed."
                )
        return modalities

    # ---- the layout, as plain ints

    @property
    def sep_token_id(self) -> int:
        """Id of <|sep|>, which stands between text and whatever follows it."""
        return self.modalities[0]["size"]

    @property
    def modality_ranges(self) -> dict[str, tuple[int, int]]:
        """{name: (first id, last id + 1)} of the codes (of the text rows, for text)."""
        ranges, position = {"text": (0, self.modalities[0]["size"])}, self.modalities[0]["size"] + 1
        for entry in self.modalities[1:]:
            ranges[entry["name"]] = (position + 2, position + 2 + entry["size"])
            position += 2 + entry["size"]
        return ranges

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding matrix."""
        if len(self.modalities) == 1:
            return self.modalities[0]["size"] + 1
        return self.modality_ranges[self.modalities[-1]["name"]][1]

    @property
    def span_tokens(self) -> dict[str, tuple[int, int]]:
        """{media modality: (id of <|name|>, id of <|/name|>)}."""
        return {name: (start - 2, start - 1) for name, (start, _) in self.modality_ranges.items() if name != "text"}

    # ---- pipelines of the repository

    @property
    def custom_pipelines(self) -> dict[str, Any]:
        """Tasks whose pipeline code lies beside config.json; {} where the installed package has registered them."""
        return {} if self.in_process_pipelines is not None else self._saved_pipelines

    @custom_pipelines.setter
    def custom_pipelines(self, value: dict[str, Any]) -> None:
        self._saved_pipelines = value

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        output.pop("_saved_pipelines", None)
        pipelines = self.in_process_pipelines if self.in_process_pipelines is not None else self._saved_pipelines
        if pipelines:
            output["custom_pipelines"] = copy.deepcopy(pipelines)
        return output


__all__ = ["TriglotConfig"]
