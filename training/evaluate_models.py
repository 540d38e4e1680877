"""The models of an evaluation: the checkpoint under test, and stock models that judge what it says and whose voice it has.

rows (B)  ─▶  processor  ─▶  model.generate  ─▶  processor  ─▶  Answer (B): printed text, waveform, picture, codes
waveforms  ─▶  judge  ─▶  texts                   waveform  ─▶  speaker model  ─▶  embedding (D,)
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioXVector,
    AutoModelForCTC,
    AutoProcessor,
    PreTrainedConfig,
)

from ..modeling.decoders.configuration_speaker_encoder import SpeakerEncoderConfig
from ..modeling.decoders.modeling_speaker_encoder import SpeakerEncoder
from ..modeling.language_model.configuration_triglot import TriglotConfig
from ..processing.audio_io import resample
from ..processing.codecs_triglot import TEXT_TO_UNIT
from ..processing.errors import TriglotError
from ..processing.processing_triglot import TriglotProcessor
from ..processing.task_formats import TaskChain, parse_chain
from .judge import Judge, JudgeConfig
from .load_parts import load_reason, load_stock

JUDGE_RATE = 16_000  # Hz that judges and speaker embeddings are handed
JUDGED_AT_ONCE = 8  # waveforms, by a checkpoint


@dataclass(frozen=True)
class Question:
    """One input of one task.

    Attributes:
        text: What to read, for tasks that read text.
        audio: What to hear, and whose voice to speak in; None for the decoder's fallback voice.
        source_language, target_language: ISO codes; no target for a task of one language.
        name: How to call the item in an error.
        image: What to see, for tasks that read a picture.
    """

    text: str
    audio: Any
    source_language: str
    target_language: str | None
    name: str
    image: Any = None


@dataclass(frozen=True)
class Answer:
    """What came out.

    Attributes:
        pieces: Texts, waveforms and PIL images, one for each output of the chain; a text that is empty is "".
        codes: Of the last waveform or picture; None where the chain writes none.
        heard: float32 (samples,) that came in, at the checkpoint's rate; None without audio.
    """

    pieces: list[Any]
    codes: list[int] | None
    heard: np.ndarray | None


class CheckpointUnderTest:
    """A checkpoint's model and processor.

    Args:
        checkpoint: Folder or Hub id.
        device: None for a GPU where there is one.

    Raises:
        TriglotError: a checkpoint that cannot be loaded, or whose parts do not belong together.
    """

    def __init__(self, checkpoint: str | os.PathLike, device: str | None = None):
        name = os.fspath(checkpoint)
        self.device = _device(device)
        try:
            processor = AutoProcessor.from_pretrained(name, trust_remote_code=False)
            model = AutoModel.from_pretrained(name, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise TriglotError(f"The checkpoint {name!r} cannot be loaded: {load_reason(error)}") from error
        if not isinstance(processor, TriglotProcessor):
            raise TriglotError(f"{name!r} holds a {type(processor).__name__}; a Triglot checkpoint is needed.")
        processor.check_model(model.config)
        self.processor, self.model = processor.to(self.device), model.to(self.device).eval()

    @property
    def sampling_rate(self) -> int:
        """Hz of what it hears."""
        return self.processor.sampling_rate

    @property
    def spoken_rate(self) -> int:
        """Hz of what it says."""
        return self.processor.speech_decoder().sampling_rate

    def check(self, chains: Sequence[str]) -> None:
        """Loads the codecs these chains need.

        Raises:
            TriglotError: a codec that is missing or does not fit.
        """
        for chain in map(parse_chain, chains):
            if chain.source.modality == "speech":
                self.processor.codecs.get("speech_tokenizer")
            if chain.source.modality == "image":
                self.processor.codecs.get("image_tokenizer")
            for modality in {slot.modality for slot in chain.outputs} - {"text"}:
                self.processor.codecs.decoder(modality)
            if self.processor.spoken_plan(chain) is not None:
                self.processor.codecs.get(TEXT_TO_UNIT)

    def hear(self, question: Question) -> np.ndarray:
        """The question's audio: float32 (samples,) at `sampling_rate`."""
        return self.processor.load_audio(question.audio, name=question.name)

    def translate(self, wave: np.ndarray, rate: int, source: str, target: str) -> np.ndarray:
        """Speech -> speech with the texts between, in its own voice: float32 (samples,) at `JUDGE_RATE`; empty where none came."""
        audio = {"array": wave, "sampling_rate": rate}
        [answer] = self.answer("ASR AST S2ST", [Question("", audio, source, target, "audio")], {})
        spoken = answer.pieces[-1]
        return np.zeros(0, np.float32) if isinstance(spoken, str) else at_judge_rate(spoken, self.spoken_rate)

    @torch.no_grad()
    def answer(
        self, chain_name: str, questions: Sequence[Question], generate_kwargs: Mapping[str, Any]
    ) -> list[Answer]:
        """One batch through `generate`, kept to the span grammar, with the voice of each question's audio; where the checkpoint speaks
        from text, through its `text_to_unit` as well."""
        chain = parse_chain(chain_name)
        plan = self.processor.spoken_plan(chain)
        asked = chain if plan is None else plan.written
        hears, speaks = chain.source.modality == "speech", chain.outputs[-1].modality == "speech"
        waves = [
            self.hear(question) if question.audio is not None and (hears or speaks) else None for question in questions
        ]
        voices = (
            [
                None if wave is None else self.processor.voice(wave, self.sampling_rate, name=question.name)
                for wave, question in zip(waves, questions)
            ]
            if speaks
            else None
        )
        rows: list[list[Any]] = [[] for _ in questions]
        codes: list[list[list[int] | None]] = [[] for _ in questions]
        if asked is not None:
            ids = self._write(asked, questions, waves, generate_kwargs)
            rows = self.processor.post_process_multimodal_output(ids, voices=voices if plan is None else None)
            # an empty text at the end leaves no run of ids
            rows = [[*pieces, *[""] * (len(asked.outputs) - len(pieces))] for pieces in rows]
            runs = [self.processor.runs(row) for row in ids.tolist()]
            codes = [[list(run.codes) for run in row if run.modality != "text"] for row in runs]
        if plan is not None:
            languages = [(question.source_language, question.target_language) for question in questions]
            read = [question.text for question in questions]
            rows, codes = self.processor.spoken_pieces(plan, rows, read, languages, voices)
        media = [[item for item in row if item is not None] for row in codes]
        return [Answer(pieces, found[-1] if found else None, wave) for pieces, found, wave in zip(rows, media, waves)]

    def _write(
        self,
        chain: TaskChain,
        questions: Sequence[Question],
        waves: Sequence[np.ndarray | None],
        generate_kwargs: Mapping[str, Any],
    ) -> torch.Tensor:
        """New ids (B, L) of the language model."""
        languages: dict[str, Any] = {"source_language": [question.source_language for question in questions]}
        if chain.translates:
            languages["target_language"] = [question.target_language for question in questions]
        content: dict[str, Any] = {"text": [question.text for question in questions]}
        if chain.source.modality == "speech":
            content = {"audio": waves, "sampling_rate": self.sampling_rate}
        elif chain.source.modality == "image":
            content = {
                "images": [self.processor.load_image(question.image, name=question.name) for question in questions]
            }
        guided = chain.outputs[-1].modality == "image"  # the model's own scale where none is given
        inputs = self.processor(**content, task=chain.name, guidance=guided, **languages).to(self.device)
        return self.model.generate(**inputs, **generate_kwargs)[:, inputs["input_ids"].shape[1] :].cpu()


def at_judge_rate(wave: np.ndarray, rate: int) -> np.ndarray:
    """float32 (samples,) at JUDGE_RATE."""
    return resample(wave, rate, JUDGE_RATE)


class CtcJudge:
    """Any Hugging Face CTC recogniser at 16 kHz as a judge: greedy, one language or none in particular.

    Args:
        folder: Folder or Hub id with a `AutoModelForCTC` and its processor.
        device: None for a GPU where there is one.
    """

    def __init__(self, folder: str | os.PathLike, device: str | None = None):
        self.name, self.device = os.fspath(folder), _device(device)
        self.model = load_stock(AutoModelForCTC.from_pretrained, folder, "CTC recogniser").to(self.device)
        self.processor = load_stock(AutoProcessor.from_pretrained, folder, "processor of a CTC recogniser")

    @torch.no_grad()
    def transcribe(self, waveforms: Sequence[np.ndarray], languages: Sequence[str]) -> list[str]:
        """The words of each float32 (samples,) at 16 kHz, read one by one: group norms would see the padding of a batch."""
        texts = []
        for wave in waveforms:
            inputs = self.processor(wave, sampling_rate=JUDGE_RATE, return_tensors="pt").to(self.device)
            texts.append(self.processor.batch_decode(self.model(**inputs).logits.argmax(-1))[0])
        return texts


class CheckpointJudge:
    """A Triglot checkpoint that hears as a judge: its greedy transcripts. Of its own speech it is no independent one.

    Args:
        folder: Folder or Hub id.
        device: None for a GPU where there is one.
    """

    def __init__(self, folder: str | os.PathLike, device: str | None = None):
        self.name, self.checkpoint = os.fspath(folder), CheckpointUnderTest(folder, device)
        self.checkpoint.check(["ASR"])

    def transcribe(self, waveforms: Sequence[np.ndarray], languages: Sequence[str]) -> list[str]:
        """The words of each float32 (samples,) at 16 kHz; of less than a tenth of a second none."""
        texts = [""] * len(waveforms)
        long = [index for index, wave in enumerate(waveforms) if len(wave) >= JUDGE_RATE // 10]
        for start in range(0, len(long), JUDGED_AT_ONCE):
            batch = long[start : start + JUDGED_AT_ONCE]
            asked = [
                Question(
                    "", {"array": waveforms[index], "sampling_rate": JUDGE_RATE}, languages[index], None, "speech"
                )
                for index in batch
            ]
            for index, answer in zip(batch, self.checkpoint.answer("ASR", asked, {})):
                texts[index] = answer.pieces[0]
        return texts


AnyJudge = Judge | CtcJudge | CheckpointJudge


def load_judge(folder: str | os.PathLike, device: str | None = None) -> AnyJudge:
    """The project's own judge, a Triglot checkpoint, or any Hugging Face CTC recogniser, whichever the folder or Hub id holds.

    Raises:
        TriglotError: none of them.
    """
    settings, _ = load_stock(PreTrainedConfig.get_config_dict, folder, "CTC recogniser")
    if settings.get("model_type") == JudgeConfig.model_type:
        return load_stock(Judge.from_pretrained, folder, "judge", dtype=torch.float32).to(_device(device))
    if settings.get("model_type") == TriglotConfig.model_type:
        return CheckpointJudge(folder, device)
    return CtcJudge(folder, device)


def load_speaker_model(folder: str | os.PathLike, device: str | None = None) -> "SpeakerVector | XVector":
    """The project's own speaker model, or any Hugging Face x-vector model, whichever the folder or Hub id holds.

    Raises:
        TriglotError: neither.
    """
    settings, _ = load_stock(PreTrainedConfig.get_config_dict, folder, "speaker (x-vector) model")
    own = settings.get("model_type") == SpeakerEncoderConfig.model_type
    return SpeakerVector(folder, device) if own else XVector(folder, device)


class SpeakerVector:
    """A `SpeakerEncoder`: float32 (samples,) at 16 kHz -> embedding (E,).

    Args:
        folder: Folder or Hub id.
        device: None for a GPU where there is one.
    """

    def __init__(self, folder: str | os.PathLike, device: str | None = None):
        self.name = os.fspath(folder)
        self.model = load_stock(SpeakerEncoder.from_pretrained, folder, "speaker model", dtype=torch.float32)
        self.model.to(_device(device))

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        resampled = resample(wave, JUDGE_RATE, self.model.config.sampling_rate)
        return self.model.embed([torch.from_numpy(resampled)])[0].numpy()


class XVector:
    """Any Hugging Face x-vector model at 16 kHz: float32 (samples,) -> embedding (D,).

    Args:
        folder: Folder or Hub id with a `AutoModelForAudioXVector` and its feature extractor.
        device: None for a GPU where there is one.
    """

    def __init__(self, folder: str | os.PathLike, device: str | None = None):
        self.name, self.device = os.fspath(folder), _device(device)
        self.model = load_stock(AutoModelForAudioXVector.from_pretrained, folder, "speaker (x-vector) model").to(
            self.device
        )
        self.extractor = load_stock(
            AutoFeatureExtractor.from_pretrained, folder, "feature extractor of a speaker model"
        )

    @torch.no_grad()
    def __call__(self, wave: np.ndarray) -> np.ndarray:
        inputs = self.extractor(wave, sampling_rate=JUDGE_RATE, return_tensors="pt").to(self.device)
        return self.model(**inputs).embeddings[0].float().cpu().numpy()


def _device(wanted: str | None) -> torch.device:
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
