"""TriglotPipeline: what all Triglot pipelines share. One subclass a task says which chain it runs and what it returns.

preprocess   input + languages -> processor -> input_ids (1, T), output_spans (1, S), voice
_forward     model.generate, kept to the span grammar -> new ids (1, L)
postprocess  ids -> pieces -> a dict

Where the checkpoint has a `text_to_unit`, the model is asked for texts alone, and those are spoken afterwards (`spoken_plan`).
"""

import os
from typing import Any, ClassVar

import torch
from transformers import GenerationConfig, Pipeline

from .errors import TriglotError
from .task_formats import TaskChain, parse_chain

KEPT = ("voice", "tasks", "spoken")  # what goes past `generate`
_GENERATION_KEYS = frozenset(key for key in vars(GenerationConfig()) if not key.startswith("_"))


class TriglotPipeline(Pipeline):
    """Shared by all tasks.

    Args:
        speech_decoder, image_decoder: A folder with a decoder, or the model itself, in place of the checkpoint's.
        text_to_unit: Likewise; a checkpoint without one then speaks by way of text as well.
        fast: For many calls of a small model: weights are prepared once, and on a CPU read as int8 (`model.speed_up`).

    Call arguments (each pipeline takes those it has a use for, at construction or per call):
        source_language, target_language: ISO codes or English names.
        language: For tasks of one language; the same as source_language.
        chain: Decode the intermediate texts too.
        tasks: A chain, as the tag says it, where the pipeline leaves a choice: "CAPTION MT TTS".
        voice_prompt: Sound whose voice speaks, a `Voice`, or a file that keeps one; default: the speaker of the input.
        sampling_rate: Hz of raw arrays.
        generate_kwargs, or generation parameters by name: handed to `model.generate`.
    """

    task_name: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]] = ()
    forward_arguments: ClassVar[tuple[str, ...]] = ()  # of `_forward`

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False
    _pipeline_calls_generate = True

    def __init__(
        self,
        *args: Any,
        speech_decoder: Any = None,
        image_decoder: Any = None,
        text_to_unit: Any = None,
        fast: bool = False,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        if not hasattr(self.processor, "codecs"):
            raise TriglotError(
                f"The {self.task_name} pipeline needs a TriglotProcessor; came {type(self.processor).__name__}."
            )
        self.processor.check_model(self.model.config)
        self.processor.to(self.device)
        if speech_decoder is not None:
            self.processor.codecs.speech_decoder = speech_decoder
        if image_decoder is not None:
            self.processor.codecs.image_decoder = image_decoder
        if text_to_unit is not None:
            self.processor.codecs.text_to_unit = text_to_unit
        if fast:
            try:
                self.model.speed_up()
            except ValueError as error:
                raise TriglotError(f"fast=True: {error}") from error

    # ---- for subclasses

    def choose_tasks(self, tasks: str | None, chain: bool, target_language: str | None) -> str:
        """The task or chain to decode, as in the tag; `tasks` is what the caller wrote."""
        return self.chain_name(chain)

    def chain_name(self, chain: bool) -> str:
        """The same for pipelines that know theirs beforehand."""
        raise AttributeError(f"{type(self).__name__} must define chain_name")

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        """The pieces in order -> what the user gets."""
        raise AttributeError(f"{type(self).__name__} must define to_result")

    def more_inputs(self, inputs: Any, chain: TaskChain, source_language: str | None) -> dict[str, Any]:
        """What `_forward` needs beside the prompt; `generate` does not see it."""
        return {}

    # ---- transformers' steps

    def _sanitize_parameters(self, generate_kwargs: dict | None = None, **kwargs: Any):
        if "language" in kwargs and "language" in self.arguments:
            if kwargs.get("source_language") is not None:
                raise TriglotError("language and source_language are the same argument here; give one of them.")
            kwargs["source_language"] = kwargs.pop("language")
        allowed = {*self.arguments, *self.forward_arguments, "source_language"}
        unknown = sorted(key for key in kwargs if key not in allowed and key not in _GENERATION_KEYS)
        if unknown:
            raise TypeError(
                f"{self.task_name} got unknown arguments {unknown}; it takes {', '.join(sorted(allowed))}, "
                "generate_kwargs and transformers' generation parameters."
            )
        generate = {
            **{key: value for key, value in kwargs.items() if key in _GENERATION_KEYS},
            **(generate_kwargs or {}),
        }
        forward = {key: value for key, value in kwargs.items() if key in self.forward_arguments}
        preprocess = {key: value for key, value in kwargs.items() if key in allowed and key not in forward}
        return preprocess, {**forward, **({"generate_kwargs": generate} if generate else {})}, {}

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any):
        """One input -> a dict; a list of inputs -> a list of dicts. See the class for the arguments."""
        if isinstance(inputs, tuple):
            inputs = list(inputs)
        if isinstance(inputs, list) and not inputs:
            return []
        return super().__call__(inputs, *args, **kwargs)

    def preprocess(
        self,
        inputs: Any,
        source_language: str | None = None,
        target_language: str | None = None,
        chain: bool = True,
        voice_prompt: Any = None,
        sampling_rate: int | None = None,
        tasks: str | None = None,
    ) -> dict[str, Any]:
        chosen = parse_chain(self.choose_tasks(tasks, chain, target_language))
        plan = self.processor.spoken_plan(chosen)
        asked = chosen if plan is None else plan.written
        written = {slot.modality for slot in chosen.outputs}
        if "image" in written:
            self.processor.codecs.decoder("image")  # missing: say so now
        wave = self.processor.load_audio(inputs, sampling_rate) if chosen.source.modality == "speech" else None
        target_language = target_language if chosen.translates else None
        more = self._to_be_spoken(chosen, plan, inputs, source_language, target_language) if plan is not None else {}
        voice = self._voice(voice_prompt, inputs, wave, sampling_rate) if "speech" in written else None
        features: Any = {}
        if asked is not None:
            settings: dict[str, Any] = {
                "task": asked.name,
                "source_language": source_language,
                "target_language": target_language,
                "guidance": "image" in written,
            }
            features = self._features(asked, inputs, wave, settings)
        more |= {"tasks": chosen.name, **({} if voice is None else {"voice": voice})}
        return {**features, **more, **self.more_inputs(inputs, chosen, source_language)}

    def _features(self, asked: TaskChain, inputs: Any, wave: Any, settings: dict[str, Any]) -> Any:
        """What the model reads."""
        if wave is not None:
            features = self.processor(audio=wave, sampling_rate=self.processor.sampling_rate, **settings)
        elif asked.source.modality == "image":
            features = self.processor(images=inputs, **settings)
        else:
            features = self.processor(text=inputs, **settings)
        try:
            self.model.check_context(features["attention_mask"], features["output_spans"])
        except ValueError as error:
            raise TriglotError(str(error)) from error
        return features

    def _to_be_spoken(
        self, chain: TaskChain, plan: Any, inputs: Any, source_language: Any, target_language: Any
    ) -> dict[str, Any]:
        """The text that came in, where one did, and the languages; texts that cannot be said are refused before any work."""
        languages = self.processor.language_pair(chain, source_language, target_language)
        read = inputs if chain.source.modality == "text" else None
        if read is not None:
            self.processor.text_ids(read)  # a str
            if any(role is not None and place < 0 for place, role in zip(plan.places, plan.roles)):
                self.processor.codecs.check_text(read, languages[0])
        return {"spoken": (read, languages)}

    def _voice(self, prompt: Any, inputs: Any, wave: Any, sampling_rate: int | None) -> Any:
        """Of the prompt, else of the speech that comes in, else the decoder's fallback."""
        decoder = self.processor.speech_decoder()
        if prompt is not None:
            return self.processor.voice(prompt, sampling_rate)
        if wave is None:
            return decoder.fallback_voice()
        if decoder.sampling_rate == self.processor.sampling_rate or hasattr(
            inputs, "read"
        ):  # a file is read only once
            return self.processor.voice(wave, self.processor.sampling_rate)
        return self.processor.voice(inputs, sampling_rate)

    def _forward(self, model_inputs: dict[str, Any], generate_kwargs: dict | None = None) -> dict[str, Any]:
        kept: dict[str, Any] = {key: model_inputs.pop(key) for key in KEPT if key in model_inputs}
        if "input_ids" not in model_inputs:  # the model has nothing to write
            return kept
        prompt_length = model_inputs["input_ids"].shape[1]
        try:
            ids = self.model.generate(**model_inputs, **self._prepare_generate_kwargs(generate_kwargs or {}))
        except ValueError as error:  # settings that cannot be
            raise TriglotError(str(error)) from error
        if not isinstance(ids, torch.Tensor):
            ids = ids.sequences
        spans = model_inputs["output_spans"]
        new = ids[:, prompt_length:]
        if len(new) > len(spans):  # several for each prompt: they stay together when a batch is taken apart
            new = new.reshape(len(spans), -1, new.shape[1])
        return {"ids": new, "output_spans": spans, **kept}

    def postprocess(self, model_outputs: dict[str, Any]) -> dict[str, Any]:
        results = [self.to_result(pieces) for pieces in self.pieces(model_outputs)]
        return results[0] if len(results) == 1 else {"candidates": results}

    def pieces(self, model_outputs: dict[str, Any]) -> list[list[Any]]:
        """What `_forward` gave of one prompt -> the pieces of each sequence, one for each output of the chain."""
        spoken = model_outputs.get("spoken")
        rows: list[list[Any]] = [[]]
        if "ids" in model_outputs:
            ids = model_outputs["ids"].flatten(0, -2)
            voices = [model_outputs["voice"]] * len(ids) if "voice" in model_outputs and spoken is None else None
            rows = self.processor.post_process_multimodal_output(ids, voices=voices)
            expected = int((model_outputs["output_spans"].flatten(0, -2)[0] >= 0).sum())
            # an empty text at the end leaves no run of ids
            rows = [[*pieces, *[""] * (expected - len(pieces))] for pieces in rows]
        if spoken is None:
            return rows
        read, languages = spoken
        plan, count = self.processor.spoken_plan(parse_chain(model_outputs["tasks"])), len(rows)
        voices = [model_outputs["voice"]] * count
        return self.processor.spoken_pieces(plan, rows, [read] * count, [languages] * count, voices)[0]

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Writes model, processor, codecs and code as one Hub repository."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)

    def speech_result(self, wave: Any) -> dict[str, Any]:
        """{"audio": float32 (samples,), "sampling_rate": Hz}."""
        return {"audio": wave, "sampling_rate": self.processor.speech_decoder().sampling_rate}
