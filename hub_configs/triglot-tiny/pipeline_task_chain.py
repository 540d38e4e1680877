"""pipeline("task-chain"): any chain of registered tasks in one decode, with everything on the way."""

from typing import Any

from .errors import TriglotError
from .pipeline_triglot import TriglotPipeline
from .task_formats import parse_chain


class TaskChainPipeline(TriglotPipeline):
    """`chain("in.png", tasks="CAPTION MT TTS", source_language="en", target_language="hi")`.

    The input is what the first task reads: text, sound or a picture.

    Returns:
        One dict for each task, in order: {"task", "text"}, {"task", "audio": float32 (samples,), "sampling_rate": Hz} or
        {"task", "image": PIL image}.
    """

    task_name = "task-chain"
    arguments = ("language", "target_language", "tasks", "voice_prompt", "sampling_rate")

    def choose_tasks(self, tasks: str | None, chain: bool, target_language: str | None) -> str:
        if tasks is None:
            raise TriglotError('The task-chain pipeline needs tasks=, one or more of them, e.g. "CAPTION MT TTS".')
        return tasks

    def postprocess(self, model_outputs: dict[str, Any]) -> Any:
        names = [task.name for task in parse_chain(model_outputs["tasks"]).tasks]
        results = [
            [{"task": name, **self._piece(piece)} for name, piece in zip(names, pieces)]
            for pieces in self.pieces(model_outputs)
        ]
        return results[0] if len(results) == 1 else {"candidates": results}

    def _piece(self, piece: Any) -> dict[str, Any]:
        if isinstance(piece, str):
            return {"text": piece}
        return {"image": piece} if hasattr(piece, "getexif") else self.speech_result(piece)
