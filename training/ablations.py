"""`triglot ablate`: which of AudioPaLM's claims about training hold for a small model on these rows (arXiv 2306.12925, section 5).

arms (small models, several seeds each) ─▶ the same test items ─▶ paired differences with intervals ─▶ holds | does not hold | undecided

    arm          tasks                  steps            beside it
    together     ASR, AST, MT           S                everything else is compared with it
    longer       ASR, AST, MT           S + text steps   text-start, by steps in all; alone, by AST examples seen
    text-start   ASR, AST, MT           text steps, S    together
    alone        AST                    S                together
    chain        ASR, AST, MT, ASR AST  S                itself, asked without transcript; together
    tokens-NAME  ASR, AST, MT           S                together, whose tokens are the first tokenizer's
    speech       those of chain, S2ST, ASR AST S2ST      itself, asked without texts; only where a judge reads it
"""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..processing.errors import TriglotError
from .ablation_arms import SMALL, Arm, Workplace, with_steps
from .named_parts import named_parts
from .recipe import nearest, parse_arguments, read_settings
from .train_lm import LmArguments, parse_task_weights

if TYPE_CHECKING:
    from .ablation_claims import ClaimCard

TASKS = "ASR, AST, MT"
DEFAULTS = dataclasses.replace(with_steps(SMALL, 700), decay_steps=400, warmup_steps=50, tasks=TASKS)
SMOKE = dataclasses.replace(
    DEFAULTS, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, text_budget=6, max_steps=2,
    decay_steps=0, batch_size=2,
)  # fmt: skip


def suite_arms(
    tokenizers: Sequence[str], arguments: LmArguments, text_steps: int, speaks: bool = False
) -> dict[str, Arm]:
    """All arms by name.

    Args:
        tokenizers: Names, the one that is claimed to be best first.
        arguments: Of every small model; its `tasks` and `max_steps` are those of `together`, weights of tasks are free.
        text_steps: Of the text LM.
        speaks: Whether there is an arm that speaks.

    Raises:
        TriglotError: other tasks than ASR, AST and MT.
    """
    if sorted(arguments.task_weights) != sorted(parse_task_weights("tasks", TASKS)):
        raise TriglotError(
            f"tasks is {arguments.tasks!r}; the arms' are made from {TASKS!r}, with or without weights."
        )
    first, *others = tokenizers
    both, chained = ("ASR", "AST direct"), ("ASR", "AST", "AST direct")
    longer = with_steps(arguments, arguments.max_steps + text_steps)
    chain_tasks = f"{arguments.tasks}, ASR AST"
    spoken = dataclasses.replace(arguments, tasks=f"{chain_tasks}, S2ST, ASR AST S2ST")
    arms = [
        Arm("together", first, arguments, both),
        Arm("longer", first, longer, both),
        Arm("text-start", first, arguments, both, text_steps),
        Arm(
            "alone",
            first,
            dataclasses.replace(arguments, tasks=f"AST: {arguments.task_weights['AST']:g}"),
            ("AST direct",),
        ),
        Arm("chain", first, dataclasses.replace(arguments, tasks=chain_tasks), chained),
        *(Arm(f"tokens-{name}", name, arguments, both) for name in others),
        *([Arm("speech", first, spoken, ("S2ST", "S2ST direct"))] if speaks else []),
    ]
    return {arm.name: arm for arm in arms}


def ablate(
    place: Workplace,
    arguments: LmArguments = DEFAULTS,
    *,
    text_steps: int | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    chosen: Sequence[str] | None = None,
) -> "list[ClaimCard]":
    """Runs the arms that are not finished, and writes `report/` of all that are.

    Args:
        place: Folder, tokenizers, rows.
        arguments: Of the small models.
        text_steps: Of the text LM; None for as many as an arm has.
        seeds: Of the models of each arm.
        chosen: Names of the arms to run; None for all. Several processes may run different ones in one folder.

    Returns:
        The lines of the table.

    Raises:
        TriglotError: an unknown arm, a folder of other settings, token rows that are missing, of other sentences for
            one tokenizer than for another, or without translated speech for an arm that speaks.
    """
    steps = arguments.max_steps if text_steps is None else text_steps
    if steps < 1 or not seeds:
        raise TriglotError(f"text_steps is {steps} with {len(seeds)} seeds; at least 1 of both is needed.")
    arms = suite_arms(list(place.tokenizers), arguments, steps, place.judge is not None)
    for name in chosen or ():
        if name not in arms:
            raise TriglotError(f"There is no arm {name!r}{nearest(name, arms)}")
    running = [(arms[name], seed) for seed in seeds for name in (chosen or arms)]
    for arm, seed in running:  # a folder of other settings fails before long work
        place.finished(arm, seed)
    first = arms["together"].tokenizer
    for other in dict.fromkeys(arm.tokenizer for arm, _ in running if arm.tokenizer != first):
        place.check_same_words(first, other)
    if any(arm.name == "speech" for arm, _ in running):
        rows = place.rows_of(first, "train")
        if not any(row.get("speech_target") for row in rows):
            raise TriglotError(
                "The train token rows have no translated speech for the arm 'speech': make them with --judge given, or leave it out."
            )
    for arm, seed in running:
        place.run(arm, seed)
    found: dict[str, dict[int, Any]] = {}
    for name, arm in arms.items():
        for seed in sorted(place.seeds_of(arm)):
            if (result := place.finished(arm, seed)) is not None:
                found.setdefault(name, {})[seed] = result
    from .ablation_claims import write_report  # asks for packages that the models do not need

    return write_report(place, arms, found, arguments, steps)


def run(arguments: argparse.Namespace) -> "list[ClaimCard]":
    """`triglot ablate`, with the arguments of `ablation_arguments.add_arguments`."""
    base = SMOKE if arguments.smoke else DEFAULTS
    if arguments.max_steps is not None:
        base = with_steps(base, arguments.max_steps)
    given = read_settings(arguments.set, as_they_are=("tasks",))
    settings = parse_arguments(LmArguments, {**dataclasses.asdict(base), **given}, "triglot ablate")
    audio: dict[str, Any] = {"rows": arguments.rows, "test_rows": arguments.test_rows}
    if any(audio.values()):
        from .data.load_rows import load_rows

        audio = {name: load_rows(path) if path else None for name, path in audio.items()}
    place = Workplace(
        arguments.out, named_parts(arguments.tokenizers), arguments.text_tokenizer, **audio,
        tokens=named_parts(arguments.tokens), test_tokens=named_parts(arguments.test_tokens), text_rows_dir=arguments.text_rows,
        limit=_first(arguments.limit, 2 if arguments.smoke else 50), batch_size=arguments.batch_size,
        workers=arguments.workers, seed=arguments.seed, judge_dir=arguments.judge, decoder_dir=arguments.decoder,
    )  # fmt: skip
    if arguments.tokens_only:
        for name in place.tokenizers:
            place.make_tokens(name)
        return []
    count = _first(arguments.seeds, 1 if arguments.smoke else 3)
    chosen = [name.strip() for name in arguments.arms.split(",")] if arguments.arms else None
    cards = ablate(
        place,
        settings,
        text_steps=arguments.text_steps,
        seeds=range(arguments.seed, arguments.seed + count),
        chosen=chosen,
    )
    report = place.output_dir / "report" / "report.md"
    print(report.read_text(encoding="utf-8") if cards else "No claim has both of its arms yet; run the others.")
    return cards


def _first(given: int | None, default: int) -> int:
    return default if given is None else given
