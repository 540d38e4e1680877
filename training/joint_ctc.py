"""Listening in order: a CTC loss on what a middle layer makes of the speech that is read, beside the LM's own loss.

A decoder-only model that learns from nothing finds it hard to keep its place in the sound: it writes a likely sentence whose
beginning it heard. CTC is monotonic by construction, so the states under the codes come to hold the words in order, and the
layers above have them to copy. The hybrid is Watanabe et al.'s (arXiv 1609.06773, section 2.3, "Joint CTC-attention"); the head
is dropped when training ends, and generation is what it was.

    codes (N spans of up to T) ─ layers 1..k ─ states (N, T, D) ─ head ─ (N, T, text ids + blank) ─ CTC ─ transcript (N, L)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import default_collate
from transformers import PreTrainedModel

from ..modeling.tokenizers.modeling_feature_units import find_layers
from ..processing.errors import TriglotError
from .ctc import ctc_loss, pad_targets
from .lm_trainer import LmTrainer

HEAD = "ctc_head"  # name of the module while the model is trained


class SpanCollator:
    """Packed rows -> a batch, with the spans of speech that are read and what is said in them.

    Beside the stacked tensors: "ctc_spans" int64 (N, 3), the row, first and last + 1 position of each; "ctc_targets" int64
    (N, L), text ids, -100 after the last.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        batch = default_collate([{name: row[name] for name in row if name != "heard"} for row in rows])
        heard = [(number, *span) for number, row in enumerate(rows) for span in row["heard"]]
        batch["ctc_spans"] = torch.tensor([entry[:3] for entry in heard], dtype=torch.long).reshape(-1, 3)
        batch["ctc_targets"] = pad_targets([text for *_, text in heard])
        return batch


class JointCtcTrainer(LmTrainer):
    """An `LmTrainer` whose loss is the model's plus `ctc_weight` times CTC on the states of layer `ctc_layer`.

    Args:
        ctc_layer: 1 for the output of the first layer.
        ctc_weight: Factor of the CTC loss, which is a mean over text ids and spans.
    """

    def __init__(self, *args: Any, ctc_layer: int, ctc_weight: float, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.ctc_weight = ctc_weight
        self._states: dict[str, torch.Tensor] = {}
        find_layer(self.model, ctc_layer).register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._states["hidden"] = output[0] if isinstance(output, tuple) else output

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any
    ) -> Any:  # type: ignore[override]
        spans, targets = inputs.pop("ctc_spans"), inputs.pop("ctc_targets")
        result = super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)
        head = getattr(self.accelerator.unwrap_model(model), HEAD)
        added = self.ctc_weight * span_loss(self._states.pop("hidden"), head, spans, targets)
        return (result[0] + added, result[1]) if return_outputs else result + added


def span_loss(hidden: torch.Tensor, head: nn.Linear, spans: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean CTC loss a text id: states (B, T, D) -> (). The blank is the head's last output."""
    if not len(spans):
        return hidden.sum() * 0.0
    rows, first, lengths = spans[:, 0], spans[:, 1], spans[:, 2] - spans[:, 1]
    places = first[:, None] + torch.arange(int(lengths.max()), device=hidden.device)
    states = hidden[rows[:, None], places.clamp(max=hidden.shape[1] - 1)]  # (N, longest, D)
    logits = head(states)
    return ctc_loss(logits, lengths, targets, blank=logits.shape[-1] - 1)


def add_head(model: PreTrainedModel, text_size: int) -> None:
    """Gives the model a CTC head for `text_size` text ids."""
    width = model.get_input_embeddings().weight.shape[1]
    model.add_module(HEAD, nn.Linear(width, text_size + 1))


def drop_head(model: PreTrainedModel) -> None:
    """Takes it away."""
    delattr(model, HEAD)


def find_layer(model: PreTrainedModel, layer: int) -> nn.Module:
    """The `layer`-th block of a causal LM, wherever its class keeps them.

    Raises:
        TriglotError: no such layer.
    """
    depth = model.config.get_text_config().num_hidden_layers
    if not 1 <= layer <= depth:
        raise TriglotError(f"ctc_layer is {layer}; this language model has {depth} layers.")
    return find_layers(model, depth)[layer - 1]
