"""TriglotPipeline: what all Triglot pipelines share. One subclass a task says which chain it runs and what it returns.

preprocess   input + languages -> processor -> input_ids (1, T), output_spans (1, S), voice
_forward     model.generate, kept to the span grammar -> new ids (1, L)
postprocess  ids -> pieces -> a dict
"""

import os
from typing import Any, ClassVar

import torch
from transformers import GenerationConfig, Pipeline

from .errors import TriglotError
from .task_formats import parse_chain

_GENERATION_KEYS = frozenset(key for key in vars(GenerationConfig()) if not key.startswith("_"))


class TriglotPipeline(Pipeline):
    """Shared by all tasks.

    Args:
        speech_decoder: A folder with a decoder, or the model itself, in place of the checkpoint's.

    Call arguments (each pipeline takes those it has a use for, at construction or per call):
        source_language, target_language: ISO codes or English names.
        language: For tasks of one language; the same as source_language.
        chain: Decode the intermediate texts too.
        voice_prompt: Sound whose voice speaks, a `Voice`, or a file that keeps one; default: the speaker of the input.
        sampling_rate: Hz of raw arrays.
        generate_kwargs, or generation parameters by name: handed to `model.generate`.
    """

    task_name: ClassVar[str]
    speaks: ClassVar[bool] = False
    arguments: ClassVar[tuple[str, ...]] = ()

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False
    _pipeline_calls_generate = True

    def __init__(self, *args: Any, speech_decoder: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not hasattr(self.processor, "codecs"):
            raise TriglotError(
                f"The {self.task_name} pipeline needs a TriglotProcessor; came {type(self.processor).__name__}."
            )
        self.processor.check_model(self.model.config)
        self.processor.to(self.device)
        if speech_decoder is not None:
            self.processor.codecs.speech_decoder = speech_decoder

    # ---- for subclasses

    def chain_name(self, chain: bool) -> str:
        """The task or chain to decode, as in the tag."""
        raise AttributeError(f"{type(self).__name__} must define chain_name")

    def to_result(self, pieces: list[Any]) -> dict[str, Any]:
        """The pieces in order -> what the user gets."""
        raise AttributeError(f"{type(self).__name__} must define to_result")

    # ---- transformers' steps

    def _sanitize_parameters(self, generate_kwargs: dict | None = None, **kwargs: Any):
        if "language" in kwargs and "language" in self.arguments:
            if kwargs.get("source_language") is not None:
                raise TriglotError("language and source_language are the same argument here; give one of them.")
            kwargs["source_language"] = kwargs.pop("language")
        allowed = {*self.arguments, "source_language"}
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
        preprocess = {key: value for key, value in kwargs.items() if key in allowed}
        return preprocess, ({"generate_kwargs": generate} if generate else {}), {}

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
    ) -> dict[str, Any]:
        chain_name = self.chain_name(chain)
        languages = {"source_language": source_language, "target_language": target_language}
        reads_speech = parse_chain(chain_name).source.modality == "speech"
        wave = self.processor.load_audio(inputs, sampling_rate) if reads_speech else None
        voice = self._voice(voice_prompt, inputs, wave, sampling_rate) if self.speaks else None
        if reads_speech:
            features = self.processor(
                audio=wave, sampling_rate=self.processor.sampling_rate, task=chain_name, **languages
            )
        else:
            features = self.processor(text=inputs, task=chain_name, **languages)
        batch = dict(features)
        if self.speaks:
            batch["voice"] = voice
        return batch

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
        voice = model_inputs.pop("voice", None)
        prompt_length = model_inputs["input_ids"].shape[1]
        ids = self.model.generate(**model_inputs, **self._prepare_generate_kwargs(generate_kwargs or {}))
        if not isinstance(ids, torch.Tensor):
            ids = ids.sequences
        output = {"ids": ids[:, prompt_length:], "output_spans": model_inputs["output_spans"]}
        if voice is not None:
            output["voice"] = voice
        return output

    def postprocess(self, model_outputs: dict[str, Any]) -> dict[str, Any]:
        ids = model_outputs["ids"]
        voices = None
        if "voice" in model_outputs:
            voices = [model_outputs["voice"]] * ids.shape[0]
        rows = self.processor.post_process_multimodal_output(ids, voices=voices)
        expected = int((model_outputs["output_spans"][0] >= 0).sum())
        # an empty text at the end leaves no run of ids
        results = [self.to_result([*pieces, *[""] * (expected - len(pieces))]) for pieces in rows]
        return results[0] if len(results) == 1 else {"candidates": results}

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Writes model, processor, codecs and code as one Hub repository."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)

    def speech_result(self, wave: Any) -> dict[str, Any]:
        """{"audio": float32 (samples,), "sampling_rate": Hz}."""
        return {"audio": wave, "sampling_rate": self.processor.speech_decoder().sampling_rate}
