"""A run of two networks against each other, each with an optimiser of its own, on accelerate: Trainer knows one of each.

    batch ─ generator ─ made ─┬─ discriminator(recorded, made as constants) ─ its loss ─▶ its step
                              └─ discriminator as constants ─ the generator's losses ───▶ the generator's step

Everything that is drawn is drawn by seed and step, so that a run that was cut off goes on bit for bit. Checkpoints are whole folders
`checkpoints/checkpoint-N` of `Accelerator.save_state`, with the log so far in trainer_state.json, as a Trainer's.
"""

import dataclasses
import json
import math
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from tqdm.auto import tqdm

from ..processing.errors import TriglotError
from .parts_trainer import check_finite
from .progress import as_line, bar_settings
from .run_report import write_report
from .runs import KEPT, check_room_for_run, full_disk_told, sharding, used_warmup
from .seeded_data import seeded_data

STATE_FILE = "trainer_state.json"  # in a checkpoint: {"global_step", "log_history"}
BETAS = (0.8, 0.99)  # of both optimisers, HiFi-GAN's


class Duel(Protocol):
    """What is run: the two networks and their losses.

    Attributes:
        generator: Batch -> an output with `loss` and what the discriminator judges.
        discriminator: Judges.
    """

    generator: nn.Module
    discriminator: nn.Module

    def judged(self, batch: Mapping[str, torch.Tensor], output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """What was recorded and what was made, alike in shape."""

    def discriminator_loss(self, heard: Any) -> torch.Tensor:
        """Of what the discriminator says to both, the recorded ones first."""

    def generator_loss(self, output: Any, recorded: Any, made: Any, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        """Of the generator's output, and of what the discriminator says where it counts already (else None); fills in `parts` to log."""


@dataclasses.dataclass
class _State:
    """Where a run stands; what a report asks of it."""

    global_step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    log_history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def run_duel(
    duel: Duel,
    dataset: Any,
    collate: Callable[[list[Any]], Any],
    checkpoints: Path,
    arguments: Any,
    *,
    seed: int,
    last: str | None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Trains until `arguments.max_steps`, and writes the report.

    Args:
        duel: The two networks, on the CPU; they end where accelerate puts them.
        dataset: With len and [index].
        collate: Items -> batch.
        checkpoints: Folder.
        arguments: The stage's frozen dataclass, with max_steps, batch_size, learning_rate, discriminator_rate, warmup_steps,
            weight_decay, max_grad_norm, bf16, save_steps, logging_steps and adversary_start.
        seed: Of the order of the data and all that is drawn.
        last: Checkpoint of `open_run` to go on from, or None.
        facts: For the report.

    Raises:
        TriglotError: a loss that is not finite, no room on the disk, or FSDP or DeepSpeed.
    """
    if sharding():
        raise TriglotError(
            f"Two networks with an optimiser each cannot be cut into shards by {sharding()}; use ddp.yaml."
        )
    AcceleratorState._reset_state()  # a stage before, in this process, may have had another precision; a Trainer does so too
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="bf16" if arguments.bf16 else "no")
    optimisers = [
        torch.optim.AdamW(network.parameters(), lr=rate, betas=BETAS, weight_decay=arguments.weight_decay)
        for network, rate in (
            (duel.generator, arguments.learning_rate),
            (duel.discriminator, arguments.discriminator_rate),
        )
    ]
    trainer = SimpleNamespace(
        model=nn.ModuleList([duel.generator, duel.discriminator]),
        args=SimpleNamespace(
            output_dir=str(checkpoints), max_steps=arguments.max_steps, save_steps=arguments.save_steps, seed=seed,
            world_size=accelerator.num_processes, device=accelerator.device,
        ),
        state=_State(max_steps=arguments.max_steps),
    )  # fmt: skip
    check_room_for_run(trainer, last)  # type: ignore[arg-type]
    generator, discriminator, *optimisers = accelerator.prepare(duel.generator, duel.discriminator, *optimisers)
    run = _Run(accelerator, duel, generator, discriminator, optimisers, arguments, seed, trainer.state)
    if last is not None:
        run.load(Path(last))
    data = seeded_data(dataset, collate, seed)
    start = time.monotonic()
    advice = "earlier checkpoints are whole; make room and start again: the run goes on from the newest."
    with full_disk_told(checkpoints, advice):
        for batch in run.batches(data["train_dataset"], data["data_collator"]):
            run.step(batch)
            if run.state.global_step % arguments.save_steps == 0 or run.state.global_step == arguments.max_steps:
                run.save(checkpoints)
    duel.generator, duel.discriminator = map(accelerator.unwrap_model, (generator, discriminator))
    if accelerator.is_main_process:
        write_report(trainer, arguments, facts or {}, time.monotonic() - start)
    accelerator.wait_for_everyone()


class _Run:
    """One run under way."""

    def __init__(
        self,
        accelerator: Accelerator,
        duel: Duel,
        generator: nn.Module,
        discriminator: nn.Module,
        optimisers: list[Any],
        arguments: Any,
        seed: int,
        state: _State,
    ):
        self.accelerator, self.duel, self.arguments, self.seed, self.state = accelerator, duel, arguments, seed, state
        self.generator, self.discriminator, self.optimisers = generator, discriminator, optimisers
        self.sums: dict[str, list[float]] = defaultdict(list)
        self.bar: Any = None

    # ---- data

    def batches(self, rows: Any, collate: Callable[[list[Any]], Any]) -> Iterator[Mapping[str, torch.Tensor]]:
        """From where the run stands to its end: each epoch in an order drawn by seed and epoch."""
        size = self.arguments.batch_size * self.accelerator.num_processes
        per_epoch = max(1, -(-len(rows) // size))
        steps = self.arguments.max_steps
        with tqdm(
            total=steps,
            initial=self.state.global_step,
            dynamic_ncols=True,
            **bar_settings(self.accelerator.is_main_process),
        ) as self.bar:
            while self.state.global_step < steps:
                epoch, done = divmod(self.state.global_step, per_epoch)
                rows.epoch = epoch
                order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed + epoch)).tolist()
                order += [
                    order[place % len(order)] for place in range(-len(order) % size)
                ]  # the last batch is filled up
                for first in range(done * size, len(order), size):
                    if self.state.global_step >= steps:
                        return
                    mine = order[first : first + size][
                        self.accelerator.process_index :: self.accelerator.num_processes
                    ]
                    batch = collate([rows[index] for index in mine])
                    self.state.epoch = (self.state.global_step + 1) / per_epoch
                    yield {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}
                    self.bar.update()

    # ---- steps

    def rate(self) -> float:
        """Share of the peak rates at this step: up over the warm-up, then a cosine to 0."""
        step, warm = self.state.global_step, used_warmup(self.arguments)
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.arguments.max_steps - warm)))

    def step(self, batch: Mapping[str, torch.Tensor]) -> None:
        """One of the discriminator, where it counts already, and one of the generator."""
        arguments, duel, accelerator = self.arguments, self.duel, self.accelerator
        torch.manual_seed(1_000_003 * self.seed + self.state.global_step + 997 * accelerator.process_index)
        share = self.rate()
        for optimiser, peak in zip(self.optimisers, (arguments.learning_rate, arguments.discriminator_rate)):
            for group in optimiser.param_groups:
                group["lr"] = share * peak
        generator_optimiser, discriminator_optimiser = self.optimisers
        parts: dict[str, torch.Tensor] = {}
        output = self.generator(**batch)
        recorded, made = duel.judged(batch, output)
        counts = self.state.global_step >= arguments.adversary_start
        heard: tuple[Any, Any] = (None, None)
        if counts:
            loss = duel.discriminator_loss(self.discriminator(torch.cat([recorded, made.detach()])))
            self._descend(loss, self.discriminator, discriminator_optimiser)
            parts["discriminator_loss"] = loss.detach()
            judge = accelerator.unwrap_model(self.discriminator).requires_grad_(False)  # constants to the generator
            with torch.no_grad(), accelerator.autocast():
                there = judge(recorded)
            with accelerator.autocast():
                heard = there, judge(made)
        loss = duel.generator_loss(output, *heard, parts)
        self._descend(loss, self.generator, generator_optimiser)
        accelerator.unwrap_model(self.discriminator).requires_grad_(True)
        self.state.global_step += 1
        self._log({"loss": loss.detach(), **parts}, share)

    def _descend(self, loss: torch.Tensor, network: nn.Module, optimiser: Any) -> None:
        check_finite(float(loss.detach()), self.state.global_step, self.arguments.learning_rate)
        optimiser.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(network.parameters(), self.arguments.max_grad_norm)
        optimiser.step()

    def _log(self, parts: Mapping[str, torch.Tensor], share: float) -> None:
        here = torch.stack([value.detach().float() for value in parts.values()])
        for name, value in zip(parts, self.accelerator.reduce(here, "mean").tolist()):  # of all ranks
            self.sums[name].append(value)
        step, steps = self.state.global_step, self.arguments.max_steps
        if step % self.arguments.logging_steps == 0 or step == steps:
            means = {name: round(sum(values) / len(values), 4) for name, values in self.sums.items()}
            self.sums.clear()
            entry = {**means, "learning_rate": share * self.arguments.learning_rate, "epoch": self.state.epoch}
            self.state.log_history.append({**entry, "step": step})
            if self.accelerator.is_main_process:
                self.bar.write(as_line(entry, step, steps))

    # ---- disk

    def save(self, checkpoints: Path) -> None:
        """A whole checkpoint; of the older ones `KEPT` - 1 stay."""
        name, accelerator = f"checkpoint-{self.state.global_step}", self.accelerator
        partial = checkpoints.parent / f".{name}.partial"  # what a kill leaves of it, `open_run` removes
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(checkpoints / name, ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            told = {"global_step": self.state.global_step, "log_history": self.state.log_history, "sums": self.sums}
            (partial / STATE_FILE).write_text(json.dumps(told), encoding="utf-8")
            partial.replace(checkpoints / name)
            numbers = sorted(int(path.name.rpartition("-")[2]) for path in checkpoints.glob("checkpoint-*"))
            for number in numbers[:-KEPT]:
                shutil.rmtree(checkpoints / f"checkpoint-{number}", ignore_errors=True)
        accelerator.wait_for_everyone()

    def load(self, checkpoint: Path) -> None:
        """Goes on from there."""
        self.accelerator.load_state(str(checkpoint))
        told = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        self.state.global_step, self.state.log_history = told["global_step"], told["log_history"]
        for name, values in told["sums"].items():
            self.sums[name] = values
