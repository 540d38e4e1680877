"""TriglotProcessor: media in -> ids, ids -> media out.

    __call__(text | audio | images, task, languages)   ->  input_ids (B, T), attention_mask (B, T), output_spans (B, S)
    post_process_multimodal_output(ids)                ->  the pieces in order: str, waveform, image
    training_example(...)                              ->  input_ids, labels (the loss is on the outputs only)

It holds no weights: media go through `codecs` (TriglotCodecs), which loads a component when it is first needed.
Shapes: B prompts, T ids, S output spans.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from huggingface_hub import create_repo
from transformers import BatchFeature, ProcessorMixin

from .audio_io import load_audio, resample
from .codecs_triglot import TEXT_TO_UNIT, TriglotCodecs
from .errors import TriglotError
from .exported_text import ExportedText
from .image_io import load_image, to_picture
from .languages import LANGUAGES, language_name, resolve_language
from .spoken_plan import READ, SpokenPlan, spoken_plan
from .task_formats import TASKS, USUAL_CHAINS, Slot, TaskChain, parse_chain, read_tag
from .token_space import Run, TokenSpace

IGNORE = -100  # label of the ids that carry no loss
NO_SPAN = -1  # padding of output_spans
ALL = "all"  # generation mode: every piece
_MODES = {"text": "text", "audio": "speech", "image": "image"}  # transformers' names of what is written
MAX_AUDIO_SECONDS = 60.0  # s; longer sound would not fit the context of the models here: cut it first
MOST_VOICE_BYTES = 64_000_000  # of a voice's file, which is loaded whole
_PUSH_KEYS = ("repo_id", "private", "token", "commit_message", "commit_description", "revision", "create_pr")
_HUB_KEYS = ("token", "revision", "cache_dir", "local_files_only", "force_download", "trust_remote_code")


class TriglotProcessor(ProcessorMixin):
    """Text, features and ids of one checkpoint.

    Args:
        tokenizer: A fast text tokenizer, the text LLM's own.
        modalities: As in the model's config, text first.
        languages: ISO codes the checkpoint knows, the default one first; None for all of the table.
        sampling_rate: Hz of speech that comes in, and of what `decode` returns; elsewhere it comes out at the decoder's rate.
        parts: Names of the codec components that lie beside the processor.
        codecs: The container itself; made from the checkpoint's folder when None.
    """

    _auto_class = "AutoProcessor"

    def __init__(
        self,
        tokenizer=None,
        modalities: Sequence[Mapping[str, Any]] | None = None,
        languages: Sequence[str] | None = None,
        sampling_rate: int = 16_000,
        parts: Sequence[str] | None = None,
        codecs: TriglotCodecs | None = None,
        chat_template: str | None = None,
    ):
        if modalities is None:
            raise TriglotError(
                "TriglotProcessor needs modalities=, the entries of the model's config (config.modalities)."
            )
        self.modalities = [dict(entry) for entry in modalities]
        self.languages = [resolve_language(code) if code not in LANGUAGES else code for code in languages or LANGUAGES]
        self.sampling_rate = sampling_rate
        self.space = TokenSpace(self.modalities)
        self.codecs = codecs if codecs is not None else TriglotCodecs(self.modalities, parts=parts)
        super().__init__(tokenizer, chat_template=chat_template)
        added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._control_ids = frozenset({*tokenizer.all_special_ids, *added})
        self._exported: ExportedText | None = None
        self.tokenizer.padding_side = "left"  # prompts are continued; the pipelines' batching reads this too
        self.tokenizer.init_kwargs["padding_side"] = (
            "left"  # saved: the stock text-to-audio loads a tokenizer of its own
        )

    # ---- ids of the text tokenizer

    @property
    def parts(self) -> list[str]:
        """Codec components that `save_pretrained` writes."""
        return self.codecs.names

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def pad_id(self) -> int:
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.eos_id

    @property
    def control_ids(self) -> frozenset[int]:
        """Text ids that are no text: <bos>, <eos>, padding and the tokenizer's other special ids."""
        return self._control_ids

    def text_ids(self, text: str) -> list[int]:
        """A user's text -> ids, none of which is a control id, whatever the text says.

        Raises:
            TriglotError: not a str.
        """
        if not isinstance(text, str):
            raise TriglotError(f"text is a {type(text).__name__}; a str is needed.")
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [index for index in ids if index not in self.control_ids]

    # ---- media in -> ids

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: Any = None,
        audio: Any = None,
        task: str | None = None,
        source_language: str | Sequence[str] | None = None,
        target_language: str | Sequence[str] | None = None,
        sampling_rate: int | None = None,
        return_tensors: str | None = "pt",
        guidance: bool = False,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prompts for `model.generate`.

        Args:
            text: One or several; for MT and TTS, T2I. Beside images or audio: what to do with them, as the tag says it, e.g.
                "Spanish", "[CAPTION Spanish]" or "ASR AST English Hindi"; "" for a caption or a transcript in the default language.
            images: What `load_image` reads, one or several; for CAPTION.
            audio: A path, bytes, an array with `sampling_rate`, the stock pipelines' dict, or a list of these.
            task: "ASR", "AST", "S2ST", "TTS", "MT", "CAPTION", "T2I" or a chain such as "ASR AST S2ST". None: text is to
                be spoken (TTS), audio transcribed (ASR), an image described (CAPTION).
            source_language: ISO code or English name; one for all or one each. None: the checkpoint's first.
            target_language: Likewise; needed by tasks that translate.
            sampling_rate: Hz of raw arrays.
            return_tensors: "pt", "np" or None.
            guidance: Add `negative_prompt_ids` and `negative_prompt_attention_mask` (B, T'), prompts that say nothing, for
                `generate(guidance_scale=...)`; for tasks that write a picture.

        Returns:
            `input_ids` and `attention_mask` (B, T), padded on the left, and `output_spans` (B, S), which tells `generate`
            what to write.

        Raises:
            TriglotError: input that cannot be served; see `load_audio`, `load_image`, `resolve_language`, `parse_chain`.
        """
        if kwargs.pop("padding", True) not in (True, "longest") or kwargs.pop("truncation", False):
            raise TriglotError("Prompts are always padded on the left to the longest and never truncated.")
        if kwargs.pop("videos", None) is not None:
            raise TriglotError("Videos are not read; give text, audio or images.")
        if kwargs:
            raise TypeError(f"TriglotProcessor got unknown arguments {sorted(kwargs)}.")
        if text is not None and (images is None) != (audio is None):
            task, source_language, target_language = self._asked(text, task, source_language, target_language)
            text = None
        modality, items = self._one_input(text, images, audio)
        chain = parse_chain(task or {"text": "TTS", "speech": "ASR", "image": "CAPTION"}[modality])
        if chain.source.modality != modality:
            raise TriglotError(f"Task {chain.name!r} reads {chain.source.modality}; came {modality}.")
        if self.spoken_plan(chain) is not None:
            raise TriglotError(
                f"This checkpoint's language model writes text, and text_to_unit speaks it; {chain.name!r} is for the pipelines (say, "
                "speech-to-speech-translation or voice-text-to-speech), which ask each for its part."
            )
        pairs = self._languages(chain, source_language, target_language, len(items))
        contents = self._contents(modality, items, sampling_rate)
        prompts = [self.prompt_ids(chain, *pair, content) for pair, content in zip(pairs, contents)]
        spans = [[self.space.index(slot.modality) for slot in chain.outputs]] * len(prompts)
        nulls = [self.null_prompt_ids(chain, *pair) for pair in pairs] if guidance else None
        return self.pad(prompts, spans, return_tensors, nulls)

    def pad(
        self,
        prompts: Sequence[Sequence[int]],
        spans: Sequence[Sequence[int]],
        return_tensors: str | None = "pt",
        nulls: Sequence[Sequence[int]] | None = None,
    ) -> BatchFeature:
        """Prompts of any tasks -> one batch, padded on the left; `nulls` are prompts that say nothing, see `guidance`."""
        most = max(map(len, spans))
        batch = self._padded(prompts, "input_ids", "attention_mask")
        batch["output_spans"] = [list(row) + [NO_SPAN] * (most - len(row)) for row in spans]
        if nulls is not None:
            batch |= self._padded(nulls, "negative_prompt_ids", "negative_prompt_attention_mask")
        return BatchFeature(batch, tensor_type=return_tensors)

    def _padded(self, rows: Sequence[Sequence[int]], ids_name: str, mask_name: str) -> dict[str, list[list[int]]]:
        width = max(map(len, rows))
        return {
            ids_name: [[self.pad_id] * (width - len(ids)) + list(ids) for ids in rows],
            mask_name: [[0] * (width - len(ids)) + [1] * len(ids) for ids in rows],
        }

    def prompt_ids(self, chain: TaskChain, source: str, target: str | None, content: Sequence[int]) -> list[int]:
        """<bos>, the tag, the input: `content` is text ids or codes of the chain's source."""
        tag = chain.tag(language_name(source), language_name(target) if target else None)
        bos = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        return [*bos, *self.text_ids(tag), *self._span(chain.source, content, closer=self.space.sep_id)]

    def null_prompt_ids(self, chain: TaskChain, source: str, target: str | None) -> list[int]:
        """The prompt that says nothing, for guidance of the chain's picture: the tag of the task that draws it, without content.

        Of `[ASR T2I English] speech` it is `[T2I English]` and the closer, which training shows where `condition_dropout` is set.

        Raises:
            TriglotError: the chain draws nothing.
        """
        grids = {entry["name"] for entry in self.modalities if entry.get("grid") is not None}
        for task, slot in zip(chain.tasks, chain.outputs):
            if slot.modality in grids:
                alone = parse_chain(task.name)
                first = source if task.translates or slot.role == "source" or target is None else target
                return self.prompt_ids(alone, first, target if task.translates else None, [])
        raise TriglotError(f"Guidance is for pictures; {chain.name} draws none.")

    def training_example(
        self, task: str, source_language: str, target_language: str | None, contents: Mapping[str, Sequence[int]]
    ) -> dict[str, list[int]]:
        """One example with its labels.

        Args:
            task: As in `__call__`.
            source_language: ISO code or name; `target_language` likewise, where the task translates.
            contents: {slot key: text ids or codes}, e.g. {"speech_source": [...], "text_target": [...]}.

        Returns:
            `input_ids` and `labels` (-100 on tag and input).
        """
        chain = parse_chain(task)
        ((source, target),) = self._languages(chain, source_language, target_language, 1)
        missing = [slot.key for slot in (chain.source, *chain.outputs) if slot.key not in contents]
        if missing:
            raise TriglotError(f"Task {chain.name!r} needs {missing}; the example has {sorted(contents)}.")
        prompt = self.prompt_ids(chain, source, target, contents[chain.source.key])
        output: list[int] = []
        for position, slot in enumerate(chain.outputs):
            last = position == len(chain.outputs) - 1
            output += self._span(slot, contents[slot.key], closer=None if last else self.space.sep_id)
        output.append(self.eos_id)
        return {"input_ids": prompt + output, "labels": [IGNORE] * len(prompt) + output}

    def _span(self, slot: Slot, content: Sequence[int], closer: int | None) -> list[int]:
        if slot.modality == "text":
            return [*content, *([closer] if closer is not None else [])]
        return self.space.span(slot.modality, content)

    def _one_input(self, text: Any, images: Any, audio: Any) -> tuple[str, list[Any]]:
        given = {"text": text, "speech": audio, "image": images}
        present = [name for name, value in given.items() if value is not None]
        if len(present) != 1:
            raise TriglotError(
                f"Exactly one of text, audio and images is needed; came {', '.join(present) or 'none'}."
            )
        value = given[present[0]]
        batched = isinstance(value, (list, tuple)) and not (
            present[0] == "speech" and value and all(isinstance(item, (int, float, np.number)) for item in value)
        )
        items = list(value) if batched else [value]
        if not items:
            raise TriglotError(f"{present[0]} is an empty list; at least one item is needed.")
        return present[0], items

    def _languages(self, chain: TaskChain, source: Any, target: Any, count: int) -> list[tuple[str, str | None]]:
        """[(ISO source, ISO target or None)] for each item."""

        def spread(value: Any, role: str) -> list[Any]:
            if not isinstance(value, (list, tuple)):
                return [value] * count
            if len(value) != count:
                raise TriglotError(f"{role} has {len(value)} entries for {count} items; give one for all or one each.")
            return list(value)

        pairs: list[tuple[str, str | None]] = []
        for one, other in zip(spread(source, "source_language"), spread(target, "target_language")):
            first = resolve_language(one if one is not None else self.languages[0], self.languages, "source_language")
            second = resolve_language(other, self.languages, "target_language") if chain.translates else None
            if first == second:
                raise TriglotError(
                    f"source_language and target_language are both {language_name(first)}; {chain.name} translates between "
                    "two languages. To transcribe or speak in one language use ASR or TTS."
                )
            pairs.append((first, second))
        return pairs

    def _contents(self, modality: str, items: list[Any], sampling_rate: int | None) -> list[list[int]]:
        """Text ids or codes of each item; all items are checked before the first is encoded."""
        if modality == "text":
            return [self.text_ids(item) for item in items]
        if modality == "speech":
            media = [self.load_audio(item, sampling_rate, name=f"audio[{i}]" if len(items) > 1 else "audio")
                     for i, item in enumerate(items)]  # fmt: skip
        elif modality == "image":
            media = [self.load_image(item, name=f"images[{i}]" if len(items) > 1 else "image")
                     for i, item in enumerate(items)]  # fmt: skip
        else:
            raise TriglotError(f"This version reads text, audio and images; {modality} is none of them.")
        return [codes.tolist() for codes in self.codecs.encode(modality, media)]

    def load_audio(self, audio: Any, sampling_rate: int | None = None, *, name: str = "audio") -> np.ndarray:
        """Any sound a user holds -> float32 (samples,) at this processor's rate; see `load_audio` in audio_io."""
        wave = load_audio(audio, sampling_rate, target_rate=self.sampling_rate, name=name)
        seconds = len(wave) / self.sampling_rate
        if seconds > MAX_AUDIO_SECONDS:
            raise TriglotError(
                f"{name} lasts {seconds:.1f} s; at most {MAX_AUDIO_SECONDS:.0f} s at a time: cut it first."
            )
        return wave

    def load_image(self, image: Any, *, name: str = "image") -> np.ndarray:
        """Any picture a user holds -> float32 (3, H, W) in 0..1; see `load_image` in image_io."""
        return load_image(image, name=name)

    def _asked(self, text: Any, task: str | None, source: Any, target: Any) -> tuple[str | None, Any, Any]:
        """(task, source languages, target languages) of the texts beside media, where the arguments say nothing."""
        texts = [text] if isinstance(text, str) else list(text) if isinstance(text, (list, tuple)) else [text]
        if not texts or not all(isinstance(item, str) for item in texts):
            raise TriglotError(f"text beside images or audio is {text!r}; a str is needed, or one for each of them.")
        tags = [read_tag(item) for item in texts]
        names = {name for name, _ in tags}
        if len(names) > 1:
            raise TriglotError(f"The texts beside media ask for {sorted(names)}; one task a batch is needed.")
        columns = [[*languages, None, None][:2] for _, languages in tags]
        firsts, seconds = (_one_or_all([row[place] for row in columns], isinstance(text, str)) for place in (0, 1))
        return (
            task or names.pop() or None,
            firsts if any(row[0] for row in columns) else source,
            seconds if any(row[1] for row in columns) else target,
        )

    # ---- speech by way of text

    @property
    def speaks_from_text(self) -> bool:
        """Whether the checkpoint has a `text_to_unit`, which speaks what the language model writes as text."""
        return TEXT_TO_UNIT in self.codecs.names

    def spoken_plan(self, chain: TaskChain) -> SpokenPlan | None:
        """What the language model is asked of a chain, and what is spoken of its answer; None where it writes all itself."""
        speaks = any(slot.modality == "speech" for slot in chain.outputs)
        return spoken_plan(chain) if speaks and self.speaks_from_text else None

    def language_pair(self, chain: TaskChain, source: Any, target: Any) -> tuple[str, str | None]:
        """(ISO source, ISO target or None) of one item, as a chain needs them; None as source is the checkpoint's first."""
        return self._languages(chain, source, target, 1)[0]

    def spoken_pieces(
        self,
        plan: SpokenPlan,
        written: Sequence[Sequence[Any]],
        read: Sequence[str | None],
        languages: Sequence[tuple[str, str | None]],
        voices: Sequence[Any] | None = None,
    ) -> tuple[list[list[Any]], list[list[list[int] | None]]]:
        """What the language model wrote -> the pieces of the chain, its texts spoken.

        Args:
            plan: Of the chain.
            written: Pieces of `plan.written` for each row; empty ones where it is None.
            read: The text that came in, for chains that read text.
            languages: (source, target), ISO codes, of each row.
            voices: One `Voice` a row; None for the decoder's fallback voice.

        Returns:
            Pieces of each row as `post_process_multimodal_output` gives them, and for each the codes that were spoken, None for others.

        Raises:
            TriglotError: a component that is missing or broken.
        """
        voices = voices if voices is not None else [None] * len(written)
        pieces: list[list[Any]] = [
            [text if place == READ else row[place] for place in plan.places] for row, text in zip(written, read)
        ]
        codes: list[list[list[int] | None]] = [[None] * len(plan.places) for _ in written]
        spoken = [(i, j) for i in range(len(pieces)) for j, role in enumerate(plan.roles) if role is not None]
        pairs = [dict(zip(("source", "target"), pair)) for pair in languages]
        units = self.codecs.units(
            [pieces[i][j] for i, j in spoken], [str(pairs[i][plan.roles[j] or ""]) for i, j in spoken]
        )
        waves = self.codecs.decode("speech", units, voices=[voices[i] for i, _ in spoken])
        for (i, j), item, wave in zip(spoken, units, waves):
            pieces[i][j], codes[i][j] = wave.detach().float().cpu().numpy(), item.tolist()
        return pieces, codes

    # ---- ids -> media out

    def post_process_multimodal_output(
        self,
        generated_outputs: Any,
        skip_special_tokens: bool = True,
        generation_mode: str | None = ALL,
        voices: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ids -> the pieces in order.

        Args:
            generated_outputs: Ids (T,) or (B, T); a prompt in front is read like the rest.
            skip_special_tokens: Kept for the stock pipelines; control ids are never part of a piece.
            generation_mode: "all" for all pieces. As the stock any-to-any pipeline asks for what was written behind the prompt:
                "text" or None for its texts, on lines of their own; "audio" or "image" for the last waveform or picture.
            voices: One `Voice` a row for spoken pieces, see `voice`; None for the decoder's own fallback voice.

        Returns:
            Pieces of one sequence, or a list of them for each row: str for text, float32 (samples,) at the speech decoder's
            rate for speech, PIL.Image for pictures. In the other modes one str, waveform or picture in place of the pieces.

        Raises:
            TriglotError: ids that do not parse, that hold nothing of the mode, or a component that is missing.
        """
        if generation_mode != ALL and (generation_mode or "text") not in _MODES:
            raise TriglotError(
                f"generation_mode is {generation_mode!r}; allowed is {', '.join(map(repr, (ALL, *_MODES)))} or None."
            )
        ids = _to_list(generated_outputs)
        single = not ids or not isinstance(ids[0], list)
        rows = [ids] if single else ids
        runs = [self.runs(row) for row in rows]
        if generation_mode in (None, "text"):
            texts = [self._written_text(row) for row in runs]
            return texts[0] if single else texts
        if generation_mode != ALL:
            runs = [[self._last_written(row, _MODES[generation_mode])] for row in runs]
        pieces = self._pieces(runs, voices if voices is not None else [None] * len(rows))
        if generation_mode != ALL:
            pieces = [piece for [piece] in pieces]
        return pieces[0] if single else pieces

    def _pieces(self, runs: Sequence[Sequence[Run]], voices: Sequence[Any]) -> list[list[Any]]:
        """Runs of each row -> what they stand for; each modality is decoded at once."""
        pieces: list[list[Any]] = [
            [self._text(run.codes) if run.modality == "text" else None for run in row] for row in runs
        ]
        for modality in self.space.names[1:]:
            places = [(i, j) for i, row in enumerate(runs) for j, run in enumerate(row) if run.modality == modality]
            if places:
                conditions = {"voices": [voices[i] for i, _ in places]} if modality == "speech" else {}
                media = self.codecs.decode(modality, [runs[i][j].codes for i, j in places], **conditions)
                for (i, j), item in zip(places, media):
                    array = item.detach().float().cpu().numpy()
                    pieces[i][j] = to_picture(array) if modality == "image" else array
        return pieces

    def _written(self, runs: Sequence[Run]) -> Sequence[Run]:
        """The runs behind the prompt, whose tag says what it reads; all of them where there is no tag."""
        tag, closed, _ = (
            self._text(runs[0].codes).partition("]") if runs and runs[0].modality == "text" else ("", "", "")
        )
        try:
            name = read_tag(tag)[0] if closed and tag.startswith("[") else ""
        except TriglotError:
            name = ""
        if not name:
            return runs
        return runs[1:] if parse_chain(name).source.modality == "text" else runs[2:]

    def _written_text(self, runs: Sequence[Run]) -> str:
        return "\n".join(self._text(run.codes) for run in self._written(runs) if run.modality == "text")

    def _last_written(self, runs: Sequence[Run], modality: str) -> Run:
        found = [run for run in self._written(runs) if run.modality == modality]
        if not found:
            raise TriglotError(
                f"Nothing of {modality} was written; choose a task that writes it, e.g. task='TTS' or 'T2I'."
            )
        return found[-1]

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
    ) -> list[str]:
        """What is written behind the prompt of each row, as the stock image-text-to-text pipeline asks for it.

        Args:
            generated_outputs: Ids (B, T), prompt and answer.
            skip_special_tokens: Kept for the stock pipeline; control ids are never part of a text.

        Returns:
            One str a row; the texts of a chain on lines of their own. "" for a prompt alone.
        """
        ids = _to_list(generated_outputs)
        return [self._written_text(self.runs(row)) for row in (ids if ids and isinstance(ids[0], list) else [ids])]

    def runs(self, ids: Sequence[int]) -> list[Run]:
        """One sequence of ids (T,) -> its runs of text ids and codes in order, control ids left out.

        Raises:
            TriglotError: ids that do not parse.
        """
        return self.space.split(ids, self.control_ids)

    def _text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any:
        """Ids -> text; sequences that end in speech -> that waveform, as the stock text-to-audio pipeline wants it.

        Args:
            token_ids: (T,) or (B, T).

        Returns:
            A str or a list of str; for speech a float32 tensor (samples,), or a list of them for several rows.
        """
        ids = _to_list(token_ids)
        single = not ids or not isinstance(ids[0], list)
        rows = [ids] if single else ids
        if rows[0] and all(self._ends_in_speech(row) for row in rows):
            rate = self.speech_decoder().sampling_rate
            waves = [
                torch.from_numpy(resample(wave, rate, self.sampling_rate))
                for wave in self.post_process_multimodal_output(rows, generation_mode="audio")
            ]
            return waves[0] if len(waves) == 1 else waves
        return self.tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens, **kwargs)

    def _ends_in_speech(self, ids: Sequence[int]) -> bool:
        last = next((index for index in reversed(ids) if index not in self.control_ids), None)
        return "speech" in self.space.names and last == self.space.span_ids("speech")[1]

    def batch_decode(self, token_ids: Any, **kwargs: Any) -> list[Any]:
        """`decode` of each row."""
        return [self.decode(row, **kwargs) for row in token_ids]

    # ---- ids <-> the text of an exported model

    @property
    def exported(self) -> ExportedText:
        """The vocabulary as `triglot export` writes it; `.tokenizer` is the tokenizer in that folder. Made when first asked for."""
        if self._exported is None:
            self._exported = ExportedText(self.tokenizer, self.space, self.control_ids)
        return self._exported

    def exported_prompts(self, input_ids: Any) -> list[str]:
        """Prompts as the text that an engine serving the exported model reads as just these ids.

        Args:
            input_ids: (B, T), as `__call__` gives them; padding on the left is dropped.

        Raises:
            TriglotError: a prompt that text cannot say, as one whose words hold the name of a media token.

        Example:
            >>> processor.exported_prompts(processor("hola", source_language="es").input_ids)
            ['<s>[TTS Spanish] hola<|sep|>']
        """
        return [self.exported.text(self._unpadded(row)) for row in _to_list(input_ids)]

    def _unpadded(self, row: list[int]) -> list[int]:
        start = next((place for place, index in enumerate(row) if index != self.pad_id), len(row))
        return row[start:]

    def ids_of_exported_text(self, text: str) -> list[int]:
        """What an engine serving the exported model wrote -> ids (T,), for `post_process_multimodal_output`.

        Raises:
            TriglotError: not a str.
        """
        return self.exported.ids(text)

    # ---- model, devices, disk

    def check_model(self, config: Any) -> None:
        """Whether this processor's ids and fingerprints are those of a model with this config.

        Raises:
            TriglotError: another kind of model, or other modalities.
        """
        entries = getattr(config, "modalities", None)
        if entries is None:
            raise TriglotError(f"The model is a {config.model_type}; a triglot model is needed.")
        keys = ("name", "size", "fingerprint")
        ours, theirs = ([[entry.get(key) for key in keys] for entry in each] for each in (self.modalities, entries))
        if ours != theirs:
            raise TriglotError(
                f"The processor's modalities {ours} are not the model's {theirs}; use a processor saved with this model."
            )

    def span_grammar(
        self, budgets: Mapping[str, int] | None = None, tasks: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """What `generation_config.span_grammar` holds for this vocabulary.

        Args:
            budgets: Most ids or codes of a span, e.g. {"text": 128, "speech": 500}.
            tasks: Tasks and chains the model knows by name; None for every registered one it has the modalities for.
        """
        chains = [parse_chain(name) for name in (tasks if tasks is not None else (*TASKS, *USUAL_CHAINS))]
        fitting = [
            chain
            for chain in chains
            if {slot.modality for slot in (chain.source, *chain.outputs)} <= set(self.space.names)
        ]
        return {
            "budgets": dict(budgets or {}),
            "tasks": {chain.name: [slot.modality for slot in chain.outputs] for chain in fitting},
            "text_size": len(self.tokenizer),
            "forbidden_text": sorted(index for index in self.control_ids if index < self.space.sep_id),
        }

    def speech_decoder(self) -> Any:
        """The checkpoint's decoder of speech, loaded if need be; its `sampling_rate` is that of the waveforms that come out.

        Raises:
            TriglotError: there is none.
        """
        return self.codecs.get("speech_decoder")

    def voice(self, prompt: Any, sampling_rate: int | None = None, *, name: str = "voice_prompt") -> Any:
        """A voice for `post_process_multimodal_output(voices=...)`: computed once, it can be saved and used again.

        Args:
            prompt: Any sound `load_audio` reads, of which the first minute counts; a file of `Voice.save`; or a voice.
            sampling_rate: Hz of a raw array.
            name: How to call the prompt in an error.

        Returns:
            `Voice`, as the checkpoint's speech decoder understands it; `.save("me.safetensors")` keeps it.

        Raises:
            TriglotError: no sound, silence, NaN, or a voice of another decoder.
        """
        decoder = self.speech_decoder()
        try:
            if isinstance(prompt, (str, os.PathLike)) and os.fspath(prompt).endswith(".safetensors"):
                size = os.path.getsize(prompt) if os.path.isfile(prompt) else 0
                if size > MOST_VOICE_BYTES:
                    raise TriglotError(f"the file has {size} bytes; a voice has at most {MOST_VOICE_BYTES}.")
                return decoder.load_voice(prompt)
            if hasattr(prompt, "tensors"):
                return decoder.check_voices([prompt], 1)[0]
        except ValueError as error:
            raise TriglotError(f"{name}: {error}") from error
        wave = load_audio(prompt, sampling_rate, target_rate=decoder.sampling_rate, name=name)
        return self.codecs.voice(wave[: int(MAX_AUDIO_SECONDS * decoder.sampling_rate)])

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "TriglotProcessor":
        """Moves the codecs, those loaded and those that will be."""
        self.codecs.to(device, dtype)
        return self

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "output_spans"]

    @staticmethod
    def pipeline_classes() -> dict[str, type]:
        """{task: Pipeline subclass}. The imports also make transformers ship these files with the processor."""
        from .pipeline_image_to_speech import ImageToSpeechPipeline
        from .pipeline_speech_recognition import SpeechRecognitionPipeline
        from .pipeline_speech_to_image import SpeechToImagePipeline
        from .pipeline_speech_to_speech_translation import SpeechToSpeechTranslationPipeline
        from .pipeline_speech_to_text_translation import SpeechToTextTranslationPipeline
        from .pipeline_task_chain import TaskChainPipeline
        from .pipeline_text_to_image import TextToImagePipeline
        from .pipeline_text_translation import TextTranslationPipeline
        from .pipeline_voice_text_to_speech import VoiceTextToSpeechPipeline

        classes = (
            SpeechToSpeechTranslationPipeline,
            SpeechRecognitionPipeline,
            SpeechToTextTranslationPipeline,
            TextTranslationPipeline,
            VoiceTextToSpeechPipeline,
            TextToImagePipeline,
            ImageToSpeechPipeline,
            SpeechToImagePipeline,
            TaskChainPipeline,
        )
        return {cls.task_name: cls for cls in classes}

    def to_dict(self) -> dict[str, Any]:
        codecs = self.__dict__.pop("codecs")
        try:
            output = super().to_dict()
        finally:
            self.codecs = codecs
        output["parts"] = codecs.names
        return output

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any):
        """Writes tokenizer, settings, code and every codec component, laid out as a Hub repository.

        Args:
            save_directory: Made where there is none.
            push_to_hub: Push what was written, in one commit. `push_to_hub(repo_id)` does so without a folder. Either leaves the
                language model out, which has its own; `triglot.push_to_hub((model, processor), repo_id, card=...)` checks and
                pushes all of a checkpoint at once.
            kwargs: `repo_id` (default: the folder's name), `commit_message`, `commit_description`, `private`, `token`, `revision`
                and `create_pr` of the push.
        """
        folder = os.fspath(save_directory)
        os.makedirs(folder, exist_ok=True)
        before = self._get_files_timestamps(folder)
        self.codecs.save_pretrained(folder)
        hub = {name: kwargs.pop(name) for name in _PUSH_KEYS if name in kwargs}
        written = super().save_pretrained(folder, **kwargs)
        if push_to_hub:  # not by super(), which would not see the components as new
            repository = {name: hub.pop(name) for name in ("repo_id", "private") if name in hub}
            repo_id = repository.pop("repo_id", None) or os.path.basename(os.path.abspath(folder))
            made = create_repo(repo_id, token=hub.get("token"), exist_ok=True, **repository)
            self._upload_modified_files(folder, made.repo_id, before, **hub)
        return written

    @classmethod
    def get_processor_dict(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any):
        processor_dict, rest = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if "modalities" not in processor_dict:
            raise TriglotError(f"{os.fspath(pretrained_model_name_or_path)!r} holds no Triglot processor_config.json.")
        processor_dict["codecs"] = TriglotCodecs(
            processor_dict["modalities"],
            source=os.fspath(pretrained_model_name_or_path),
            parts=processor_dict.get("parts"),
            hub_kwargs={key: kwargs.get(key) for key in _HUB_KEYS},
        )
        return processor_dict, rest

    @classmethod
    def _get_arguments_from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        processor_dict: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """The tokenizer: the repository's own, or where there are configs alone that of the text LLM which they name.

        Raises:
            TriglotError: the text LLM's tokenizer cannot be had.
        """
        source = (processor_dict or {}).pop("text_llm", None)
        if source is None:
            return super()._get_arguments_from_pretrained(pretrained_model_name_or_path, processor_dict, **kwargs)
        elsewhere = {name: kwargs[name] for name in kwargs if name not in ("revision", "subfolder", "_commit_hash")}
        try:
            return super()._get_arguments_from_pretrained(source, processor_dict, **elsewhere)
        except (OSError, ValueError) as error:
            raise TriglotError(
                f"{os.fspath(pretrained_model_name_or_path)!r} has configs alone and takes the tokenizer of {source!r}, which cannot be "
                f"loaded: {str(error).strip().splitlines()[0]}"
            ) from error


def _one_or_all(values: list[Any], one: bool) -> Any:
    return values[0] if one else values


def _to_list(ids: Any) -> list[Any]:
    if hasattr(ids, "tolist"):
        return ids.tolist()
    return [item.tolist() if hasattr(item, "tolist") else item for item in ids]
