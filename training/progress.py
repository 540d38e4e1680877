"""What a run shows while it goes: a bar with the time left, and a line for people at each log.

step 50/1500  loss 3.214 (ASR 2.87, AST 4.01)  grad norm 1.2  learning rate 0.001  4,812 ids/s  12:40 left
"""

import time
from collections.abc import Mapping
from typing import Any

from tqdm.auto import tqdm
from transformers import ProgressCallback, Trainer

TASK_LOSS = "loss_"  # begins the names of the losses of tasks
SPEED = "ids_per_second"
UNSEEN = ("total_flos", "epoch")


def as_line(logs: Mapping[str, Any], step: int, steps: int, seconds_left: float | None = None) -> str:
    """One entry of a Trainer's log, for people."""
    numbers = {name: float(value) for name, value in logs.items() if isinstance(value, (int, float))}
    parts = [f"step {step}/{steps}"]
    tasks = ", ".join(
        f"{name.removeprefix(TASK_LOSS).replace('_', ' ')} {value:.3g}"
        for name, value in numbers.items()
        if name.startswith(TASK_LOSS)
    )
    for name, value in numbers.items():
        if name not in (*UNSEEN, SPEED) and not name.startswith(TASK_LOSS):
            of_tasks = f" ({tasks})" if name == "loss" and tasks else ""
            parts.append(f"{name.replace('_', ' ')} {value:.4g}{of_tasks}")
    if SPEED in numbers:
        parts.append(f"{numbers[SPEED]:,.0f} ids/s")
    if seconds_left is not None:
        parts.append(f"{tqdm.format_interval(seconds_left)} left")
    return "  ".join(parts)


class Progress(ProgressCallback):
    """transformers' bar, which begins where the run goes on, with the ids a second beside the time left."""

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.training_bar = tqdm(total=state.max_steps, initial=state.global_step, dynamic_ncols=True)
        self.first_step, self.begun = state.global_step, time.monotonic()
        self.current_step = state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs):
        bar = self.training_bar
        if not state.is_world_process_zero or bar is None:
            return
        if SPEED in (logs or {}):
            bar.set_postfix_str(f"{logs[SPEED]:,.0f} ids/s", refresh=False)
        done, seconds = state.global_step - self.first_step, time.monotonic() - self.begun
        left = (state.max_steps - state.global_step) * seconds / done if done > 0 and "loss" in (logs or {}) else None
        bar.write(as_line(logs or {}, state.global_step, state.max_steps, left))


def bar_settings(shown: bool) -> dict[str, Any]:
    """Settings of a tqdm bar that may be unwanted; `disable=False` would show it where TQDM_DISABLE says that none is."""
    return {} if shown else {"disable": True}


def show_progress(trainer: Trainer) -> None:
    """Takes the place of transformers' bar, where that is wanted."""
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(Progress())
