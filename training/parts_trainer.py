"""A Trainer for models whose loss is a sum of parts: it logs them, and stops when the loss is not finite."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from transformers import Trainer

from ..processing.errors import TriglotError


class PartsTrainer(Trainer):
    """`Trainer`, with the means of some of the output's fields in every log.

    Args:
        parts: Names of scalar fields of the model's output.
    """

    def __init__(self, *args: Any, parts: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names = tuple(parts)
        self._parts: dict[str, list[float]] = defaultdict(list)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output = model(**inputs)
        loss = output.loss
        if self.accepts(float(loss.detach())):
            for name in self._names:
                self._parts[name].append(float(output[name]))
        else:  # a loss that asks for nothing, so that Trainer's bookkeeping goes on
            loss = sum(parameter.sum() for parameter in model.parameters() if parameter.requires_grad) * 0.0
        return (loss, output) if return_outputs else loss

    def accepts(self, loss: float) -> bool:
        """Whether a step may learn from this loss; here a loss that is not finite ends the run with a TriglotError."""
        check_finite(loss, self.state.global_step, self.args.learning_rate)
        return True

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        logs = {**logs, **{name: round(sum(values) / len(values), 4) for name, values in self._parts.items()}}
        self._parts.clear()
        super().log(logs, start_time)


def check_finite(loss: float, step: int, learning_rate: float) -> None:
    """Raises TriglotError for a loss that is not finite."""
    if not math.isfinite(loss):
        raise TriglotError(
            f"The loss is {loss} at step {step}; lower learning_rate ({learning_rate:g}) or switch bf16 off, and look for broken "
            "recordings."
        )
