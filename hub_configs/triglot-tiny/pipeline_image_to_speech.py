"""pipeline("image-to-speech"): a picture -> what it shows, spoken."""

from typing import Any

from .pipeline_triglot import TriglotPipeline


class ImageToSpeechPipeline(TriglotPipeline):
    """`describe("in.png", language="hi")`, or `describe("in.png", source_language="en", target_language="hi")` by way of English.

    The caption, its translation where one is asked for, and the speech come from one decode: `[CAPTION TTS Hindi]`,
    `[CAPTION MT TTS English Hindi]`. Without `voice_prompt` the decoder's fallback voice speaks.

    Returns:
        {"audio": float32 (samples,), "sampling_rate": Hz, "text": what is spoken, "source_text": the caption it was translated from,
        or None}
    """

    task_name = "image-to-speech"
    arguments = ("language", "target_language", "voice_prompt", "sampling_rate")

    def choose_tasks(self, tasks: str | None, chain: bool, target_language: str | None) -> str:
        return "CAPTION TTS" if target_language is None else "CAPTION MT TTS"

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        source_text = pieces[0] if len(pieces) == 3 else None
        return {**self.speech_result(pieces[-1]), "text": pieces[-2], "source_text": source_text}
