"""TriglotCodecs: the media tokenizers and decoders of a checkpoint, each loaded the first time it is needed.

    <checkpoint>/speech_tokenizer/   waveform -> codes        <checkpoint>/speech_decoder/   codes + voice -> waveform
    <checkpoint>/image_tokenizer/    pixels -> codes          <checkpoint>/image_decoder/    codes -> pixels
    <checkpoint>/text_to_unit/       text -> codes of speech, for a language model that writes text alone

An image tokenizer that draws (`decode`) needs no decoder beside it.

The components are ordinary `AutoModel`s; this file knows their contract (`encode`, `decode`, `fingerprint`), not their
classes. Codes of another tokenizer are noise to a model, so fingerprints are compared before any work.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModel

from .audio_io import resample
from .errors import TriglotError
from .whole_files import whole_folder

KINDS = ("tokenizer", "decoder")
TEXT_TO_UNIT = "text_to_unit"


def prompt_encoder(tokenizer: Callable[[], Any], rate: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """What `SpeechDecoder.voice_from_waveform` asks for codes: float (S,) at `rate` Hz -> int64 (T,).

    Args:
        tokenizer: Called when codes are asked for; returns the speech tokenizer.
        rate: Hz of the decoder.
    """

    def encode(prompt: torch.Tensor) -> torch.Tensor:
        ready = tokenizer()
        return ready.encode([torch.from_numpy(resample(prompt.numpy(), rate, ready.sampling_rate))])[0]

    return encode


@contextlib.contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Within it, what a component finds wrong becomes a TriglotError that names the component."""
    try:
        yield
    except TriglotError:
        raise
    except ValueError as error:
        raise TriglotError(f"{name}: {error}") from error


def _is_component(name: str) -> bool:
    """Whether an attribute of this name is a component."""
    return name == TEXT_TO_UNIT or (not name.startswith("_") and name.rpartition("_")[2] in KINDS)


def _contract(name: str) -> tuple[str, str, str]:
    """Of a component: its modality, what it is, the method that makes it one."""
    if name == TEXT_TO_UNIT:
        return "speech", "text-to-unit model", "units"
    modality, _, kind = name.rpartition("_")
    return modality, kind, "encode" if kind == "tokenizer" else "decode"


class TriglotCodecs:
    """A lazy container of `{modality}_tokenizer` and `{modality}_decoder`, and of `text_to_unit`.

    Args:
        modalities: Entries of the checkpoint (`name`, `size`, `fingerprint`), text first.
        source: Folder or Hub id that holds the components' subfolders; None when all are assigned.
        parts: Names of the components the source has; None to try any.
        hub_kwargs: `token`, `revision`, `cache_dir`, `local_files_only`, `trust_remote_code` (default: False) for loading.

    A component is replaced by assignment, with a model or a folder that holds one:
    `codecs.speech_decoder = "my_decoder/"`. Pickles and copies carry no weights; they load again from the source.
    """

    def __init__(
        self,
        modalities: Sequence[Mapping[str, Any]],
        source: str | None = None,
        parts: Sequence[str] | None = None,
        hub_kwargs: Mapping[str, Any] | None = None,
    ):
        self._entries = {entry["name"]: dict(entry) for entry in modalities if entry["name"] != "text"}
        self._source = source
        self._parts = list(parts) if parts is not None else None
        given = {key: value for key, value in (hub_kwargs or {}).items() if value is not None}
        self._hub_kwargs = {"trust_remote_code": False, **given}  # left open, transformers asks on standard input
        self._folders: dict[str, str] = {}  # components that come from a folder of their own
        self._loaded: dict[str, Any] = {}
        self._device = torch.device("cpu")
        self._dtype: torch.dtype | None = None

    # ---- access

    @property
    def names(self) -> list[str]:
        """Components of this checkpoint, loaded or not."""
        known = set(self._parts or ()) | set(self._folders) | set(self._loaded)
        return [name for name in self._possible if name in known]

    @property
    def _possible(self) -> list[str]:
        """What a checkpoint with these modalities may have."""
        pairs = [f"{modality}_{kind}" for modality in self._entries for kind in KINDS]
        return [*pairs, *([TEXT_TO_UNIT] if "speech" in self._entries else [])]

    @property
    def loaded(self) -> list[str]:
        """Components whose weights are in memory."""
        return sorted(self._loaded)

    def __getattr__(self, name: str) -> Any:
        if not _is_component(name):
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if _is_component(name):
            self.set(name, value)
        else:
            super().__setattr__(name, value)

    def get(self, name: str) -> Any:
        """The component, loaded if need be.

        Raises:
            TriglotError: this checkpoint has none, its folder is missing or damaged, or its fingerprint is another.
        """
        self._check_name(name)
        if name not in self._loaded:
            self._loaded[name] = self._place(self._load(name))
        return self._loaded[name]

    def set(self, name: str, component: Any) -> None:
        """Replaces a component by a model, or by the path or Hub id of a folder that holds one."""
        self._check_name(name)
        if isinstance(component, (str, os.PathLike)):
            before = self._folders.get(name), self._loaded.pop(name, None)
            self._folders[name] = os.fspath(component)
            try:
                self.get(name)
            except TriglotError:
                self._folders.pop(name)
                if before[0] is not None:
                    self._folders[name] = before[0]
                if before[1] is not None:
                    self._loaded[name] = before[1]
                raise
            return
        self._check_fingerprint(name, component, f"the {type(component).__name__} assigned as {name}")
        self._folders.pop(name, None)
        self._loaded[name] = self._place(component)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "TriglotCodecs":
        """Moves what is loaded and what will be."""
        if device is not None:
            self._device = torch.device(device)
        if dtype is not None:
            self._dtype = dtype
        for component in self._loaded.values():
            self._place(component)
        return self

    # ---- media

    def encode(self, modality: str, media: Sequence[Any]) -> list[torch.Tensor]:
        """Media -> int64 (T,) codes of each item; waveforms float (S,) at the tokenizer's rate, images (3, H, W) in 0..1."""
        tokenizer = self.get(f"{modality}_tokenizer")
        with _told_of(f"{modality}_tokenizer"):
            return tokenizer.encode([torch.as_tensor(item) for item in media])

    def decoder(self, modality: str) -> Any:
        """What makes media of codes: the modality's decoder, else its tokenizer where that draws as well (a VQ-VAE).

        Raises:
            TriglotError: neither.
        """
        name, other = f"{modality}_decoder", f"{modality}_tokenizer"
        if name in self.names or other not in self.names:
            return self.get(name)
        tokenizer = self.get(other)
        if not callable(getattr(tokenizer, "decode", None)):
            raise TriglotError(
                f"This checkpoint has no {name}, which is needed here: its {other}, a {type(tokenizer).__name__}, cannot decode. "
                f"Assign one: codecs.{name} = DIR."
            )
        return tokenizer

    def decode(self, modality: str, codes: Sequence[Any], **conditions: Any) -> list[torch.Tensor]:
        """int64 (T,) codes of each item -> media, with the decoder's own conditions (speech: `voices`)."""
        decoder = self.decoder(modality)
        with _told_of(f"{modality}_decoder"):
            return decoder.decode([torch.as_tensor(item, dtype=torch.long) for item in codes], **conditions)

    def units(self, texts: Sequence[str], languages: Sequence[str]) -> list[torch.Tensor]:
        """Texts in these languages (ISO codes) -> int64 (T,) codes of speech of each, by `text_to_unit`."""
        with _told_of(TEXT_TO_UNIT):
            return self.get(TEXT_TO_UNIT).units(texts, languages)

    def check_text(self, text: str, language: str) -> None:
        """Raises TriglotError for a text that `text_to_unit` cannot say."""
        with _told_of(TEXT_TO_UNIT):
            self.get(TEXT_TO_UNIT).check_text(text, language)

    def voice(self, waveform: Any) -> Any:
        """The `Voice` of a prompt float (S,) at the speech decoder's rate; see `SpeechDecoder.voice_from_waveform`.

        Raises:
            TriglotError: a prompt that holds no voice, or a part that is missing.
        """
        decoder = self.get("speech_decoder")
        encode = prompt_encoder(lambda: self.get("speech_tokenizer"), decoder.sampling_rate)
        with _told_of("speech_decoder"):
            return decoder.voice_from_waveform(torch.as_tensor(waveform), encode)

    # ---- disk

    def save_pretrained(self, save_directory: str | os.PathLike) -> None:
        """Writes every component into its subfolder, each whole or not at all, and its code into the root.

        The code of a component lies in the root because that is where transformers looks for it.
        """
        root = os.fspath(save_directory)
        for name in self.names:
            component = self.get(name)
            with whole_folder(os.path.join(root, name)) as partial:
                component.save_pretrained(partial)
                for code in partial.glob("*.py"):
                    os.replace(code, os.path.join(root, code.name))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": {}}

    def __repr__(self) -> str:
        return f"TriglotCodecs({', '.join(self.names)}; loaded: {', '.join(self.loaded) or 'none'})"

    # ---- inside

    def _check_name(self, name: str) -> None:
        if name not in self._possible:
            raise TriglotError(f"There is no component {name!r}; allowed are {', '.join(self._possible)}.")

    def _load(self, name: str) -> Any:
        folder, subfolder = self._folders.get(name), ""
        if folder is None:
            folder, subfolder = self._source, name
            if folder is None or (self._parts is not None and name not in self._parts):
                have = ", ".join(self.names) or "none"
                raise TriglotError(f"This checkpoint has no {name}; it has: {have}. Assign one: codecs.{name} = DIR.")
        where = os.path.join(folder, subfolder) if subfolder else folder
        if os.path.isdir(folder) and not os.path.isfile(os.path.join(where, "config.json")):
            raise TriglotError(f"The part {name} is missing: there is no {os.path.join(where, 'config.json')!r}.")
        try:
            component, info = AutoModel.from_pretrained(
                folder,
                subfolder=subfolder,
                output_loading_info=True,
                dtype=self._dtype or torch.float32,  # "auto" would compute in the half precision of the files
                **self._hub_kwargs,
            )
        except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
            raise TriglotError(f"The part {name} in {where!r} cannot be loaded: {error}") from error
        broken = {key: sorted(map(str, info[key])) for key in ("missing_keys", "mismatched_keys") if info.get(key)}
        if broken:
            details = "; ".join(f"{key.replace('_', ' ')}: {values[:3]}" for key, values in broken.items())
            raise TriglotError(f"The part {name} in {where!r} is damaged: {details}.")
        self._check_fingerprint(name, component, f"{name} in {where!r}")
        return component.eval()

    def _check_fingerprint(self, name: str, component: Any, what: str) -> None:
        modality, kind, method = _contract(name)
        if not callable(getattr(component, method, None)) or not hasattr(component, "codebook_size"):
            raise TriglotError(f"{what} is no {kind}: it has no {method}().")
        entry = self._entries[modality]
        if component.codebook_size != entry["size"]:
            raise TriglotError(
                f"{what} has {component.codebook_size} codes; the language model has {entry['size']} {modality} rows."
            )
        expected, came = entry.get("fingerprint") or "", component.fingerprint or ""
        if expected and came != expected:
            raise TriglotError(
                f"{what} has the fingerprint {came[:12] or 'none'}; the language model was trained on {modality} codes of "
                f"{expected[:12]}. Codes of another tokenizer are noise to it: use the parts saved with the model, or train again."
            )

    def _place(self, component: Any) -> Any:
        component = component.to(self._device)
        return component if self._dtype is None else component.to(self._dtype)
