"""pipeline("text-to-image"): words -> pictures of what they say."""

from typing import Any

from .pipeline_drawing import DrawingPipeline


class TextToImagePipeline(DrawingPipeline):
    """`draw("a big red circle is above a big blue square", language="en", num_images=4, guidance_scale=3.0)`.

    Returns:
        `num_images` PIL images, the best first where `best_of` is given; a list of such lists for a list of texts.
    """

    task_name = "text-to-image"
    arguments = ("language",)

    def chain_name(self, chain: bool) -> str:
        return "T2I"

    def to_pictures(self, rows: list[list[Any]]) -> list[Any]:
        return [pieces[-1] for pieces in rows]
