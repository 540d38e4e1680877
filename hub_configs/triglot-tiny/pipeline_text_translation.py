"""pipeline("text-translation"): words in one language -> words in another."""

from typing import Any

from .pipeline_triglot import TriglotPipeline


class TextTranslationPipeline(TriglotPipeline):
    """`mt("a red circle", source_language="en", target_language="es")` -> {"text": translation}."""

    task_name = "text-translation"
    arguments = ("target_language",)

    def chain_name(self, chain: bool) -> str:
        return "MT"

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        return {"text": pieces[0]}
