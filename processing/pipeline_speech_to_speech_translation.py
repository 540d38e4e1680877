"""pipeline("speech-to-speech-translation"): a wav in one language -> a wav in another, in the same voice."""

from typing import Any

from .pipeline_triglot import TriglotPipeline


class SpeechToSpeechTranslationPipeline(TriglotPipeline):
    """`s2st("in.wav", source_language="en", target_language="es")`.

    With `chain=True` (default) the transcript, the translation and the speech come from one decode, as AudioPaLM's
    `[ASR AST S2ST English Spanish]`; with `chain=False` the speech comes directly and the texts are None.

    Returns:
        {"audio": float32 (samples,), "sampling_rate": Hz, "text": translation, "source_text": transcript}
    """

    task_name = "speech-to-speech-translation"
    arguments = ("target_language", "chain", "voice_prompt", "sampling_rate")

    def chain_name(self, chain: bool) -> str:
        return "ASR AST S2ST" if chain else "S2ST"

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        source_text, text = pieces[:2] if len(pieces) == 3 else (None, None)
        return {**self.speech_result(pieces[-1]), "text": text, "source_text": source_text}
