"""DrawingPipeline: what pipelines share whose answer is a picture. Draw some, keep the ones whose caption is most likely.

_forward   prompt (B, T) -> best_of sequences a prompt, sampled -> log p(text | picture) -> the num_images best (B, N, L)
"""

from numbers import Integral
from typing import Any, ClassVar

import torch

from .caption_likelihood import caption_likelihoods
from .errors import TriglotError
from .pipeline_triglot import TriglotPipeline
from .task_formats import TaskChain

MOST_DRAWN = 256  # of one prompt at a time


class DrawingPipeline(TriglotPipeline):
    """More call arguments:

    guidance_scale: Above 1: classifier-free guidance (arXiv 2207.12598); needs a model trained with `condition_dropout`. Default, as of
        `do_sample`, `temperature`, `top_k` and `top_p`: what `drawing` in the checkpoint's generation config says; without it, one
        picture is drawn greedily and unguided. Where neither says `top_k`, samples are of all codes.
    num_images: Pictures of each prompt; several are always sampled.
    best_of: Draw so many and keep the `num_images` under which the model itself finds the text most likely, as their caption.
    seed: Of the sampling of each batch, 0 to 2**64 - 1; the same seed gives the same pictures of the same inputs, on the same kind
        of device. In a batch (`batch_size` above 1) the second input is drawn otherwise than alone.
    """

    forward_arguments: ClassVar[tuple[str, ...]] = ("num_images", "best_of", "seed")

    def to_pictures(self, rows: list[list[Any]]) -> Any:
        """The pieces of each sequence of one prompt -> what the user gets."""
        raise AttributeError(f"{type(self).__name__} must define to_pictures")

    def more_inputs(self, inputs: Any, chain: TaskChain, source_language: str | None) -> dict[str, Any]:
        """The text that is drawn, where it is known beforehand, and its language."""
        text = self.processor.text_ids(inputs) if chain.source.modality == "text" else None
        return {"condition": (text, source_language or self.processor.languages[0])}

    def _forward(
        self,
        model_inputs: dict[str, Any],
        generate_kwargs: dict | None = None,
        num_images: int = 1,
        best_of: int | None = None,
        seed: int | None = None,
    ) -> dict[str, Any]:
        for name, value in (("num_images", num_images), ("best_of", best_of), ("seed", seed)):
            left_out = value is None and name != "num_images"
            if not left_out and (isinstance(value, bool) or not isinstance(value, Integral)):
                raise TriglotError(f"{name} is {value!r}; a whole number is needed.")
        if seed is not None and not 0 <= seed < 2**64:
            raise TriglotError(f"seed is {seed}; 0 to 2**64 - 1 is allowed.")
        drawn = best_of if best_of is not None else num_images
        if not 1 <= num_images <= drawn <= MOST_DRAWN:
            raise TriglotError(
                f"num_images is {num_images} and best_of {best_of}; 1 <= num_images <= best_of <= {MOST_DRAWN} is needed."
            )
        settings = dict(generate_kwargs or {})
        if drawn > 1:
            if settings.get("do_sample") is False:
                raise TriglotError(
                    f"{drawn} pictures drawn without sampling would be alike; leave do_sample=False out."
                )
            settings |= {"do_sample": True, "num_return_sequences": drawn}
        conditions = model_inputs.pop("condition")
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            output = super()._forward(model_inputs, settings)
        if num_images < drawn:
            output["ids"] = self._best(output["ids"], conditions, num_images)
        return output

    def postprocess(self, model_outputs: dict[str, Any]) -> Any:
        return self.to_pictures(self.pieces(model_outputs))

    def _best(self, ids: torch.Tensor, conditions: Any, count: int) -> torch.Tensor:
        """(B, N, L) -> (B, count, L), the best first."""
        conditions = conditions if isinstance(conditions, list) else [conditions]
        kept = []
        for rows, (asked, language) in zip(ids, conditions):
            codes, texts = [], []
            for row in rows.tolist():
                runs = self.processor.runs(row)
                place = next(place for place, run in enumerate(runs) if run.modality == "image")
                before = [list(run.codes) for run in runs[:place] if run.modality == "text"]
                codes.append(list(runs[place].codes))
                texts.append(before[-1] if before else asked)
            scores = caption_likelihoods(self.model, self.processor, codes, texts, language)
            kept.append(rows[scores.argsort(descending=True)[:count].to(rows.device)])
        return torch.stack(kept)
