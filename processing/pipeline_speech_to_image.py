"""pipeline("speech-to-image"): a wav -> pictures of what was said."""

from typing import Any

from .pipeline_drawing import DrawingPipeline


class SpeechToImagePipeline(DrawingPipeline):
    """`draw("in.wav", language="en")`; transcript and picture come from one decode, `[ASR T2I English]`.

    Returns:
        {"images": `num_images` PIL images, "text": the transcript of the first one's decode, "texts": those of all}
    """

    task_name = "speech-to-image"
    arguments = ("language", "sampling_rate")

    def chain_name(self, chain: bool) -> str:
        return "ASR T2I"

    def to_pictures(self, rows: list[list[Any]]) -> dict[str, Any]:
        texts = [pieces[0] for pieces in rows]
        return {"images": [pieces[-1] for pieces in rows], "text": texts[0], "texts": texts}
