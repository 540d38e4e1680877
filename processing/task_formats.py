"""Task formats: what each task reads and writes, and how tasks chain into one decode.

AudioPaLM (arXiv 2306.12925, section 3.3): the task is a plain-text tag before the input, the loss is on the outputs.

    [ASR AST S2ST English Spanish] <|speech|>...<|/speech|>  |  transcript <|sep|> translation <|sep|> <|speech|>...<|/speech|> <eos>

A new task is one `register_task` line. A chain is any sequence of tasks in which each finds what it reads among the
input and the outputs before it.
"""

import functools
from dataclasses import dataclass

from .errors import TriglotError


@dataclass(frozen=True)
class Slot:
    """A piece of content: a modality, in the source or the target language."""

    modality: str
    role: str = "source"  # "source" | "target"

    @property
    def key(self) -> str:
        """Name of the slot in a training example, e.g. "text_target"."""
        return f"{self.modality}_{self.role}"


@dataclass(frozen=True)
class TaskFormat:
    """One task: `source` modality in, `target` modality out; `translates` from source to target language."""

    name: str
    source: str
    target: str
    translates: bool = False


TASKS: dict[str, TaskFormat] = {}


def register_task(task: TaskFormat) -> TaskFormat:
    """Adds a task to the registry; its name is what the tag says."""
    if not task.name or " " in task.name or "]" in task.name:
        raise TriglotError(f"A task's name must be one word without ']'; came {task.name!r}.")
    if TASKS.get(task.name, task) != task:
        raise TriglotError(f"Task {task.name!r} is registered already, as {TASKS[task.name]}.")
    TASKS[task.name] = task
    return task


register_task(TaskFormat("ASR", "speech", "text"))
register_task(TaskFormat("AST", "speech", "text", translates=True))
register_task(TaskFormat("S2ST", "speech", "speech", translates=True))
register_task(TaskFormat("TTS", "text", "speech"))
register_task(TaskFormat("MT", "text", "text", translates=True))
register_task(TaskFormat("CAPTION", "image", "text"))
register_task(TaskFormat("T2I", "text", "image"))

# that a model knows by name in `generate(task=...)`; any other chain goes by `output_spans`
USUAL_CHAINS = ("ASR AST", "ASR AST S2ST", "CAPTION TTS", "CAPTION MT TTS", "ASR T2I")


@dataclass(frozen=True)
class TaskChain:
    """One task or several in one decode.

    Attributes:
        tasks: In the order of the tag.
        source: What is read.
        outputs: What is written, one slot a task.
    """

    tasks: tuple[TaskFormat, ...]
    source: Slot
    outputs: tuple[Slot, ...]

    @property
    def name(self) -> str:
        return " ".join(task.name for task in self.tasks)

    @property
    def translates(self) -> bool:
        return any(task.translates for task in self.tasks)

    def tag(self, source_language: str, target_language: str | None = None) -> str:
        """The tag as text, with English names of languages.

        Example:
            >>> parse_chain("ASR AST S2ST").tag("English", "Spanish")
            '[ASR AST S2ST English Spanish]'
        """
        languages = [source_language, *([target_language] if self.translates and target_language else [])]
        return f"[{self.name} {' '.join(languages)}]"


@functools.lru_cache(maxsize=256)  # asked for every example of a training set
def parse_chain(name: str) -> TaskChain:
    """A tag's task names -> the chain.

    Raises:
        TriglotError: an unknown task, no task, or a task that finds nothing to read or writes what is there already.

    Example:
        >>> [slot.key for slot in parse_chain("CAPTION MT TTS").outputs]
        ['text_source', 'text_target', 'speech_target']
    """
    names = name.split() if isinstance(name, str) else []
    unknown = [task for task in names if task not in TASKS]
    if not names or unknown:
        came = f"unknown task {unknown[0]!r} in {name!r}" if unknown else f"no task in {name!r}"
        raise TriglotError(f"{came}; known tasks are {', '.join(TASKS)}, alone or chained as in 'ASR AST S2ST'.")
    tasks = tuple(TASKS[task] for task in names)
    source = Slot(tasks[0].source)
    outputs: list[Slot] = []
    for task in tasks:
        readable = [slot for slot in (*reversed(outputs), source) if slot.modality == task.source]
        if task.translates:
            readable = [slot for slot in readable if slot.role == "source"]
        if not readable:
            had = ", ".join(slot.key for slot in (source, *outputs))
            raise TriglotError(f"In the chain {name!r}, {task.name} reads {task.source}, but there is only {had}.")
        written = Slot(task.target, "target" if task.translates else readable[0].role)
        if written in outputs:
            raise TriglotError(f"In the chain {name!r}, {task.name} writes {written.key} a second time.")
        outputs.append(written)
    return TaskChain(tasks, source, tuple(outputs))


def read_tag(text: str) -> tuple[str, list[str]]:
    """A tag, or the beginning or the end of one, as users write it -> (the tasks' names, at most two languages).

    Raises:
        TriglotError: something else.

    Example:
        >>> read_tag("[CAPTION MT English Hindi]"), read_tag("Spanish"), read_tag("")
        (('CAPTION MT', ['English', 'Hindi']), ('', ['Spanish']), ('', []))
    """
    words = text.strip().removeprefix("[").removesuffix("]").split()
    names = [word for word in words if word in TASKS]
    languages = words[len(names) :]
    if words[: len(names)] != names or len(languages) > 2:
        raise TriglotError(
            f"A task and its languages are needed, as 'CAPTION MT English Hindi', '[CAPTION Spanish]', 'Spanish' or ''; came {text!r}."
        )
    return " ".join(names), languages
