"""pipeline("speech-recognition"): a wav -> its words."""

from typing import Any

from .pipeline_triglot import TriglotPipeline


class SpeechRecognitionPipeline(TriglotPipeline):
    """`asr("in.wav", language="en")` -> {"text": transcript}."""

    task_name = "speech-recognition"
    arguments = ("language", "sampling_rate")

    def chain_name(self, chain: bool) -> str:
        return "ASR"

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        return {"text": pieces[0]}
