"""The token language model: any Hugging Face causal LM over the ids of text, speech and images.

AudioPaLM (arXiv 2306.12925, section 3): a text LLM whose embedding matrix has grown by rows for media codes; input and
output embeddings stay tied or untied as the text LLM has them, and every parameter can be trained.

Data flow: ids (B, T) -> embeddings (B, T, D) -> the text LLM's own layers -> hidden states (B, T, D) -> logits (B, T, V).
Shapes: B batch, T ids, D width, R text rows, V all rows.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_triglot import TriglotConfig
from .generation_triglot import SpanGenerationMixin

INITS = ("zero", "mean", "centroids")


class TriglotPreTrainedModel(PreTrainedModel):
    """What both heads share: loading that never guesses, and a forward that never leaks between packed examples."""

    config_class = TriglotConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _can_compile_fullgraph = True
    _skip_keys_device_placement = ("past_key_values",)

    @property
    def input_modalities(self) -> tuple[str, ...]:
        """What it was trained to read, as transformers calls it; rows that wait for a tokenizer (no fingerprint) do not count."""
        names = [entry["name"] for entry in self.config.modalities[1:] if entry.get("fingerprint")]
        return ("text", *("audio" if name == "speech" else name for name in names))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, output_loading_info: bool = False, **kwargs):
        """As in transformers, but missing weights are an error instead of a warning and random numbers.

        Raises:
            ValueError: weights are damaged or missing, or have another shape than config.json says.
        """
        try:
            model, info = super().from_pretrained(
                pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
            )
        except SafetensorError as error:
            raise ValueError(f"The weights in {str(pretrained_model_name_or_path)!r} are damaged: {error}") from error
        except RuntimeError as error:
            if "mismatch" not in str(error):
                raise
            raise ValueError(
                f"The weights in {str(pretrained_model_name_or_path)!r} have other shapes than its config.json says: {error}"
            ) from error
        missing = sorted(info["missing_keys"])
        if missing:
            raise ValueError(
                f"{str(pretrained_model_name_or_path)!r} lacks {len(missing)} of the weights of {cls.__name__}, the first "
                f"ones {missing[:3]}; the checkpoint is incomplete."
            )
        return (model, info) if output_loading_info else model

    def _use_cache(self, use_cache, position_ids, attention_mask, past_key_values, labels=None) -> bool:
        """Whether this call may build a key/value cache.

        The inner model decides by its own config, which Trainer never touches, and a cache switches off the mask that
        keeps packed examples apart. So the decision is made here: none in training, none for packed rows.
        """
        if use_cache is None:
            # Trainer writes this attribute on the outer config; the text config keeps the model's own default
            default = getattr(self.config.text_config, "use_cache", True)
            use_cache = getattr(self.config, "use_cache", default)
        if labels is not None or self.training:
            return False
        if use_cache and position_ids is not None and attention_mask is None and past_key_values is None:
            if torch.compiler.is_compiling():
                return False  # whether the row is packed cannot be seen while tracing
            steps = position_ids[..., 1:] - position_ids[..., :-1]
            use_cache = bool((steps == 1).all())
        return bool(use_cache)

    def _check_ids(self, input_ids: torch.Tensor | None) -> None:
        if (
            input_ids is None
            or input_ids.device.type != "cpu"
            or input_ids.numel() == 0
            or torch.compiler.is_compiling()
        ):
            return  # on an accelerator this check would make every step wait, in a compiled graph it would break it
        low, high = int(input_ids.min()), int(input_ids.max())
        if low < 0 or high >= self.config.vocab_size:
            raise ValueError(
                f"input_ids holds ids from {low} to {high}; this model has 0 to {self.config.vocab_size - 1} "
                f"({', '.join(f'{name} {first}..{last - 1}' for name, (first, last) in self.config.modality_ranges.items())})."
            )


class TriglotModel(TriglotPreTrainedModel):
    """ids -> hidden states. Reads the same checkpoints as `TriglotForConditionalGeneration`."""

    _keys_to_ignore_on_load_unexpected = (r"lm_head",)

    def __init__(self, config: TriglotConfig):
        super().__init__(config)
        inner = AutoModel.from_config(config.text_config)
        # the same attribute as inside the causal LM ("model", "transformer", ...), so that the weights' names agree
        self.inner_name = inner.base_model_prefix
        self.language_model = nn.Module()
        self.language_model.add_module(self.inner_name, inner)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return getattr(self.language_model, self.inner_name).get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        getattr(self.language_model, self.inner_name).set_input_embeddings(value)

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Any | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """ids (B, T) -> `last_hidden_state` (B, T, D); packed rows as in `TriglotForConditionalGeneration`."""
        self._check_ids(input_ids)
        kwargs.pop("output_spans", None)
        return getattr(self.language_model, self.inner_name)(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=self._use_cache(use_cache, position_ids, attention_mask, past_key_values),
            **kwargs,
        )


class TriglotForConditionalGeneration(SpanGenerationMixin, TriglotPreTrainedModel):
    """ids -> logits over text, speech and image ids; `generate` keeps to the span grammar of the task.

    `language_model` is an ordinary causal LM (LlamaForCausalLM, Qwen3ForCausalLM, ...) with V rows.
    """

    _auto_class = "AutoModelForCausalLM"

    def __init__(self, config: TriglotConfig):
        super().__init__(config)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        # PEFT and the saving code look at the outermost model only
        tied = self.language_model._tied_weights_keys or {}
        self._tied_weights_keys = {f"language_model.{k}": f"language_model.{v}" for k, v in tied.items()}
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_output_embeddings(value)

    def get_decoder(self) -> nn.Module:
        return self.language_model.get_decoder()

    @property
    def output_modalities(self) -> tuple[str, ...]:
        """What it was trained to write; the same."""
        return self.input_modalities

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Any | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """One pass over the ids.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T); None for packed rows.
            position_ids: (B, T). A packed row restarts at 0 with each example; with `attention_mask=None` the examples
                then do not see each other.
            labels: (B, T) ids, -100 where no loss is wanted (AudioPaLM: on all inputs). Shifted inside.
            logits_to_keep: As in transformers: only the last so many positions.

        Returns:
            `loss`, `logits` (B, T or logits_to_keep, V), `past_key_values`, ...

        Raises:
            ValueError: an id outside the vocabulary.
        """
        self._check_ids(input_ids)
        kwargs.pop("output_spans", None)  # so that a model can be called with all that the processor returns
        return self.language_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=self._use_cache(use_cache, position_ids, attention_mask, past_key_values, labels),
            logits_to_keep=logits_to_keep,
            **kwargs,
        )


def extend_text_model(
    base: PreTrainedModel,
    modalities: Sequence[Mapping[str, Any]] | None = None,
    init: str = "zero",
    *,
    centroids: Mapping[str, torch.Tensor] | None = None,
    sampling_rate: int = 16_000,
    inplace: bool = False,
) -> TriglotForConditionalGeneration:
    """A text LLM -> a token language model, by growing its embedding matrix (AudioPaLM, section 3.2).

    Args:
        base: Any Hugging Face causal LM. Its R embedding rows, padded ones included, keep their ids and their bits.
        modalities: Media entries as in `TriglotConfig`, with or without the text entry; None for the defaults.
        init: How the new rows start, of the input and of an untied output matrix. "zero" as in AudioPaLM; "mean" of the
            old rows; "centroids": the mean plus a fixed random projection of the k-means centroids, so that codes that
            sound alike start alike (spans' borders and modalities without centroids get the mean).
        centroids: {modality: float (K, F)}, for "centroids".
        sampling_rate: Hz of the speech.
        inplace: Grow `base` itself instead of a copy; for models that do not fit twice.

    Returns:
        A model whose hidden states on text are bit-identical to `base`'s.

    Raises:
        ValueError: an unknown `init`, centroids that are missing or of another size, or entries that are not allowed.
    """
    if init not in INITS:
        raise ValueError(f"init is {init!r}; allowed is {', '.join(INITS)}.")
    rows = base.get_input_embeddings().weight.shape[0]
    if modalities is None:
        modalities = TriglotConfig(text_config=_with_rows(base.config, rows)).modalities
    entries: list[dict[str, Any]] = [dict(entry) for entry in modalities or ()]
    if not entries or entries[0].get("name") != "text":
        entries.insert(0, {"name": "text", "size": rows})
    elif entries[0].get("size") is None:
        entries[0]["size"] = rows
    if entries[0]["size"] != rows:
        raise ValueError(f"The text modality has the size {entries[0]['size']}; this model has {rows} embedding rows.")
    config = TriglotConfig(
        text_config=_with_rows(base.config, rows), modalities=entries, sampling_rate=sampling_rate, dtype=base.dtype
    )
    directions = _code_directions(config, init, centroids)

    inner = base if inplace else copy.deepcopy(base)
    inner.resize_token_embeddings(config.vocab_size, mean_resizing=False)
    with torch.no_grad():
        _start_rows(inner.get_input_embeddings().weight, rows, config, init, directions)
        head = inner.get_output_embeddings()
        if head is not None and head.weight.data_ptr() != inner.get_input_embeddings().weight.data_ptr():
            _start_rows(head.weight, rows, config, init, directions)
        if getattr(head, "bias", None) is not None:
            head.bias[rows:] = 0.0 if init == "zero" else head.bias[:rows].mean()
    with torch.device("meta"):
        model = TriglotForConditionalGeneration(config)
    model.language_model = inner
    inner.config.vocab_size = config.vocab_size
    config.text_config = inner.config
    model.generation_config = copy.deepcopy(inner.generation_config)
    # a config marked as derived from the model's would lose its span grammar when it is loaded
    model.generation_config._from_model_config = False
    model.tie_weights()
    return model.train(base.training)


def _with_rows(text_config: Any, rows: int) -> Any:
    text_config = copy.deepcopy(text_config)
    text_config.vocab_size = rows
    return text_config


def _code_directions(config: TriglotConfig, init: str, centroids: Mapping[str, torch.Tensor] | None) -> dict[str, Any]:
    """{modality: float32 (K, D) of unit variance} for "centroids"; {} otherwise."""
    if init != "centroids":
        if centroids:
            raise ValueError(f'centroids are given but init is {init!r}; pass init="centroids".')
        return {}
    if not centroids:
        raise ValueError('init="centroids" needs centroids={modality: (codes, features)}.')
    sizes = {entry["name"]: entry["size"] for entry in config.modalities[1:]}
    width, directions = config.text_config.hidden_size, {}
    for name, points in centroids.items():
        if name not in sizes or points.ndim != 2 or points.shape[0] != sizes[name]:
            raise ValueError(f"centroids[{name!r}] has the shape {tuple(points.shape)}; allowed are {sizes} rows.")
        directions[name] = code_directions(points, width)
    return directions


def code_directions(points: torch.Tensor, width: int, seed: int = 0) -> torch.Tensor:
    """Centroids (K, F) -> float32 (K, width) of unit variance on the CPU: a fixed random projection, so what is alike stays alike."""
    points = points.detach().float().cpu()
    points = (points - points.mean(0)) / points.std().clamp(min=1e-8)
    projected = points @ torch.randn(points.shape[1], width, generator=torch.Generator().manual_seed(seed))
    return projected / projected.std().clamp(min=1e-8)


def _start_rows(weight: torch.Tensor, rows: int, config: TriglotConfig, init: str, directions: dict[str, Any]) -> None:
    """Sets rows R.. of one (V, D) matrix in place."""
    if init == "zero":
        weight[rows:] = 0
        return
    old = weight[:rows].float()
    weight[rows:] = old.mean(0).to(weight.dtype)
    for name, direction in directions.items():
        first, last = config.modality_ranges[name]
        weight[first:last] += (direction.to(weight.device) * old.std(0)).to(weight.dtype)


__all__ = ["TriglotForConditionalGeneration", "TriglotModel", "TriglotPreTrainedModel", "extend_text_model"]
