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
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel, Trainer

from ..processing.errors import TriglotError

HEAD = "ctc_head"  # name of the module while the model is trained


class SpanCollator:
    """Packed rows -> a batch, with the spans of speech that are read and what is said in them.

    Beside the stacked tensors: "ctc_spans" int64 (N, 3), the row, first and last + 1 position of each; "ctc_targets" int64
    (N, L), text ids, -100 after the last.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0] if name != "heard"}
        heard = [(number, *span) for number, row in enumerate(rows) for span in row["heard"]]
        width = max([1, *(len(text) for *_, text in heard)])
        batch["ctc_spans"] = torch.tensor([entry[:3] for entry in heard], dtype=torch.long).reshape(-1, 3)
        targets = [[*text, *[-100] * (width - len(text))] for *_, text in heard]
        batch["ctc_targets"] = torch.tensor(targets, dtype=torch.long).reshape(-1, width)
        return batch


class JointCtcTrainer(Trainer):
    """A Trainer whose loss is the model's plus `ctc_weight` times CTC on the states of layer `ctc_layer`.

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
        added = self.ctc_weight * ctc_loss(self._states.pop("hidden"), head, spans, targets)
        return (result[0] + added, result[1]) if return_outputs else result + added


def ctc_loss(hidden: torch.Tensor, head: nn.Linear, spans: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean CTC loss a text id: states (B, T, D) -> (). The blank is the head's last output."""
    if not len(spans):
        return hidden.sum() * 0.0
    rows, first, lengths = spans[:, 0], spans[:, 1], spans[:, 2] - spans[:, 1]
    places = first[:, None] + torch.arange(int(lengths.max()), device=hidden.device)
    states = hidden[rows[:, None], places.clamp(max=hidden.shape[1] - 1)]  # (N, longest, D)
    logits = head(states)
    with torch.autocast(device_type=hidden.device.type, enabled=False):
        return F.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1), targets.clamp(min=0), lengths, (targets >= 0).sum(1),
            blank=logits.shape[-1] - 1, zero_infinity=True,
        )  # fmt: skip


def add_head(model: PreTrainedModel, text_size: int) -> None:
    """Gives the model a CTC head for `text_size` text ids."""
    width = model.get_input_embeddings().weight.shape[1]
    model.add_module(HEAD, nn.Linear(width, text_size + 1))


def drop_head(model: PreTrainedModel) -> None:
    """Takes it away."""
    delattr(model, HEAD)


def find_layer(model: nn.Module, layer: int) -> nn.Module:
    """The `layer`-th block of a causal LM, wherever its class keeps them.

    Raises:
        TriglotError: no such layer.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    layers = max(lists, key=len, default=nn.ModuleList())
    if not 1 <= layer <= len(layers):
        raise TriglotError(f"ctc_layer is {layer}; this language model has {len(layers)} layers.")
    return layers[layer - 1]
