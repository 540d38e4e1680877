"""Speech by way of text, for language models that write text alone: what they are asked, and which of their texts are spoken.

    [ASR AST S2ST English Spanish]  ─▶  the model writes [ASR AST English Spanish]: transcript, translation
                                    ─▶  translation ─ text_to_unit ─ codes ─ speech_decoder ─▶ speech

As SeamlessM4T does it (arXiv 2308.11596). What is read already need not be written: TTS asks the model nothing.
"""

import functools
from dataclasses import dataclass

from .errors import TriglotError
from .task_formats import TaskChain, parse_chain

READ = -1  # place of the text that came in


@dataclass(frozen=True)
class SpokenPlan:
    """How a chain is answered.

    Attributes:
        written: What the language model is asked; None for nothing.
        places: For each output of the chain, which output of `written` it is or is spoken of; `READ` for the text that came in.
        roles: For each output, None if it is as written, else "source" or "target", the language it is spoken in.
    """

    written: TaskChain | None
    places: tuple[int, ...]
    roles: tuple[str | None, ...]


@functools.lru_cache(maxsize=256)
def spoken_plan(chain: TaskChain) -> SpokenPlan:
    """The plan of a chain that writes speech.

    Raises:
        TriglotError: there is no text to be spoken.

    Example:
        >>> plan = spoken_plan(parse_chain("ASR AST S2ST"))
        >>> plan.written.name, plan.places, plan.roles
        ('ASR AST', (0, 1, 1), (None, None, 'target'))
        >>> spoken_plan(parse_chain("S2ST")).written.name, spoken_plan(parse_chain("TTS")).written
        ('AST', None)
    """
    needed = [f"text_{slot.role}" if slot.modality == "speech" else slot.key for slot in chain.outputs]
    names = [task.name for task, slot in zip(chain.tasks, chain.outputs) if slot.modality != "speech"]
    written = parse_chain(" ".join(names)) if names else None
    known = _known(chain, written)
    if "text_target" in needed and "text_target" not in known:
        names.append("AST" if chain.source.modality == "speech" else "MT")
        written = parse_chain(" ".join(names))
        known = _known(chain, written)
    missing = sorted(set(needed) - set(known))
    if missing:
        raise TriglotError(
            f"This checkpoint's language model writes text and text_to_unit speaks it; in {chain.name!r} there is no {missing[0]} "
            "to be spoken."
        )
    roles = tuple(slot.role if slot.modality == "speech" else None for slot in chain.outputs)
    return SpokenPlan(written, tuple(known[key] for key in needed), roles)


def _known(chain: TaskChain, written: TaskChain | None) -> dict[str, int]:
    """{slot key: its place}."""
    known = {chain.source.key: READ}
    return known | {slot.key: place for place, slot in enumerate(written.outputs if written is not None else ())}
