"""pipeline("speech-to-text-translation"): a wav in one language -> words in another."""

from typing import Any

from .pipeline_triglot import TriglotPipeline


class SpeechToTextTranslationPipeline(TriglotPipeline):
    """`ast("in.wav", source_language="en", target_language="es")` -> {"text": translation, "source_text": transcript}.

    With `chain=True` (default) the transcript is decoded first, as AudioPaLM's `[ASR AST English Spanish]`; with
    `chain=False` the translation comes directly and `source_text` is None.
    """

    task_name = "speech-to-text-translation"
    arguments = ("target_language", "chain", "sampling_rate")

    def chain_name(self, chain: bool) -> str:
        return "ASR AST" if chain else "AST"

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        return {"text": pieces[-1], "source_text": pieces[0] if len(pieces) == 2 else None}
