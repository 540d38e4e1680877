"""pipeline("voice-text-to-speech"): words and a voice prompt -> the words in that voice."""

from typing import Any

from .pipeline_triglot import TriglotPipeline


class VoiceTextToSpeechPipeline(TriglotPipeline):
    """`tts("hola", language="es", voice_prompt="me.wav")` -> {"audio": float32 (samples,), "sampling_rate": Hz}.

    Without `voice_prompt` the decoder's fallback voice speaks.
    """

    task_name = "voice-text-to-speech"
    arguments = ("language", "voice_prompt", "sampling_rate")

    def chain_name(self, chain: bool) -> str:
        return "TTS"

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        return self.speech_result(pieces[0])
