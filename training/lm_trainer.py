"""The Trainer of packed token examples: losses of each task, ids a second, and at the end whole weights, however they were sharded.

batch {input_ids, labels, position_ids, tasks} ─ model ─ logits ─ WeighedLoss ─▶ loss, and sums for each task ─▶ the log
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Trainer

from ..processing.errors import TriglotError
from .data.packing import NO_TASK
from .parts_trainer import check_finite
from .whole_weights import gathered, skeleton_of


class WeighedLoss:
    """Cross entropy in which a media id counts less than a text id.

    Args:
        text_size: Ids below it are text; the others, spans' borders among them, media.
        media_weight: Of a media id.
    """

    def __init__(self, text_size: int, media_weight: float = 1.0):
        self.text_size, self.media_weight = text_size, media_weight

    def of_labels(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """logits (B, T, V), labels (B, T) with -100 -> weighed losses (N,) of the N labels, and where they are, bool (B, T)."""
        kept = torch.zeros_like(labels, dtype=torch.bool)
        kept[:, 1:] = labels[:, 1:] != -100
        targets, logits = labels[kept], outputs["logits"][:, :-1][kept[:, 1:]].float()
        weights = torch.where(targets < self.text_size, 1.0, self.media_weight)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights, kept

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """The sum of weighed losses / number of labels, those of all ranks where it is given."""
        return _mean(self.of_labels(outputs, labels)[0], num_items_in_batch)


def _mean(losses: torch.Tensor, count: Any) -> torch.Tensor:
    return losses.sum() / (count if count is not None else max(1, len(losses)))


class LmTrainer(Trainer):
    """A Trainer of `PackedRows` with tasks.

    Its log has "loss_ASR" and so on, the mean over all labels of a task since the last log and over all ranks, and
    "ids_per_second", in which padding does not count.

    Args:
        loss: Gives the loss of each label.
        tasks: Names, in the order that the rows' "tasks" count them in.
    """

    def __init__(self, *args: Any, loss: WeighedLoss, tasks: Sequence[str], **kwargs: Any):
        super().__init__(*args, compute_loss_func=self._loss, **kwargs)
        self.weighed_loss, self.task_names = loss, tuple(tasks)
        shape, device = (len(self.task_names), 2), self.args.device
        self._sums = torch.zeros(shape, dtype=torch.float64, device=device)  # of losses, of labels
        self._ids = torch.zeros((), dtype=torch.float64, device=device)
        self._since: float | None = None
        sharded = self.args.world_size > 1 or self.is_fsdp_enabled or self.is_deepspeed_enabled
        self._skeleton = skeleton_of(self.model) if sharded else None

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any
    ) -> Any:  # type: ignore[override]
        self._since = self._since or time.monotonic()
        self._tasks = inputs.pop("tasks")
        self._ids += (self._tasks != NO_TASK).sum()
        return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """A TriglotError ends the run where the loss is not finite, before its gradients reach a weight."""
        loss = super().training_step(*args, **kwargs)
        check_finite(float(loss), self.state.global_step, self.args.learning_rate)
        return loss

    def _loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        losses, kept = self.weighed_loss.of_labels(outputs, labels)
        values = torch.stack([losses.detach(), torch.ones_like(losses)], 1).double()
        self._sums.index_add_(0, self._tasks[kept].long(), values)
        return _mean(losses, num_items_in_batch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs = {**logs, **self._since_last_log()}
        super().log(logs, start_time)

    def _since_last_log(self) -> dict[str, float]:
        """On all ranks at once."""
        now, begun = time.monotonic(), self._since
        counted = torch.cat([self._sums.flatten(), self._ids[None]])
        *sums, ids = self.accelerator.reduce(counted, "sum").tolist()
        self._sums.zero_()
        self._ids.zero_()
        self._since = now
        pairs = zip(self.task_names, sums[::2], sums[1::2])
        means = {f"loss_{name.replace(' ', '_')}": total / count for name, total, count in pairs if count}
        return {**means, "ids_per_second": ids / max(now - (begun or now), 1e-9)}

    def whole_model(self) -> Any:
        """The trained model with whole weights on the CPU; None on all ranks but the first. To be called on all ranks.

        Raises:
            TriglotError: weights that are not finite, of a last step that no loss came after.
        """
        if self._skeleton is not None:
            trained = gathered(self, self._skeleton)
        else:
            trained = self.accelerator.unwrap_model(self.model).cpu() if self.is_world_process_zero() else None
        if trained is not None:
            floats = (weight for weight in trained.parameters() if weight.is_floating_point())
            if not all(bool(weight.isfinite().all()) for weight in floats):
                raise TriglotError(
                    f"Weights are not finite after step {self.state.global_step}; lower learning_rate "
                    f"({self.args.learning_rate:g}) and start anew in another folder."
                )
            vars(trained.config).pop("use_cache", None)  # Trainer's, for training alone
        return trained
