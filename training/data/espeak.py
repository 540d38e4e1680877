"""Speech from text by espeak-ng, in process: no system package, over 300 times faster than real time.

text + language + voice -> float32 (samples,) at 22,050 Hz

The library and its data come with the `espeakng-loader` wheel. espeak-ng is a C library of global variables: some
(the wave's phase, the noise generator, the flutter of the pitch) outlive `espeak_Terminate`, so that the same call
gives other samples the second time. Every call here therefore loads a private copy of the library from a file of its
own and drops it afterwards, which costs 4 ms and makes the result depend on the arguments alone: not on earlier
calls, not on the process or a fork, not on others who use espeak-ng beside us. (The C library's `rand` is seeded in
every call; Python, NumPy and torch do not use it.)
"""

import _ctypes
import contextlib
import ctypes
import difflib
import functools
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...processing.errors import TriglotError

SAMPLING_RATE = 22_050  # Hz, fixed in espeak-ng
RATES = (80, 450)  # words/min; espeak-ng clips what lies outside
PITCHES = (0, 99)  # espeak-ng's own scale; 50 is the voice's natural pitch

# From espeak-ng's speak_lib.h
_SYNCHRONOUS = 2  # espeak_Synth returns when the callback has had all samples; no sound device
_DONT_EXIT = 0x8000  # a failing initialisation returns an error instead of ending the process
_RATE, _PITCH = 1, 3
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_PHONEMES_IPA = 2

_SILENCE = 1e-3  # full scale = 1
_TAIL_SECONDS = 0.02  # s kept after the last sound, so that no consonant is cut

_PHONEME_EVENTS, _IPA_EVENTS = 1, 2
_END_OF_EVENTS, _PHONEME = 0, 7
_STRESS = "ˈˌ"


class Phone(NamedTuple):
    """A phoneme where it is spoken."""

    name: str  # International Phonetic Alphabet without stress; "" for a pause
    start: int  # sample
    end: int  # sample after its last one


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))

# Some voices take their noise from the C library's `rand`, which all copies and threads share.
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # a thread that held the lock does not exist in the child
    os.register_at_fork(after_in_child=_renew_lock)


class EspeakSynthesizer:
    """espeak-ng's languages and voices as one function from text to samples. Holds no state; may be pickled.

    Attributes:
        sampling_rate: Hz of everything `speak` returns.

    Raises:
        TriglotError: (when made) the `espeakng-loader` package is missing or does not work here.
    """

    sampling_rate: int = SAMPLING_RATE

    def __init__(self) -> None:
        _files()
        _languages()

    def languages(self) -> dict[str, str]:
        """Code -> English name of every language and accent espeak-ng speaks: {"en-us": "English (America)", ...}."""
        return {code: name for code, (name, _) in _languages().items()}

    def variants(self) -> list[str]:
        """Names of the voice variants, sorted: "Alex", "croak", "f1", "m3", "whisper", ..."""
        return list(_variants())

    def speak(
        self,
        text: str,
        *,
        language: str,
        voice: str | None = None,
        rate: int = 175,
        pitch: int = 50,
        trim_silence: bool = True,
    ) -> np.ndarray:
        """Speaks a text. The same arguments give identical samples, in any order of calls and in any process.

        Args:
            text: What to say; sentences are spoken with pauses between them.
            language: A code of `languages()`, in any case: "en", "es-419", "hi".
            voice: A variant of `variants()` ("f3"), or a language and a variant ("en-us+f3"), whose language then
                replaces `language`, as an accent would; None for the language's plain voice.
            rate: Words/min, 80 to 450.
            pitch: 0 to 99; 50 is natural.
            trim_silence: Whether to drop silence at the end (there is some after "..."), all but 20 ms.

        Returns:
            float32 (samples,), |x| <= 1, at `sampling_rate`.

        Raises:
            TriglotError: empty or unspeakable text, an unknown language or voice, rate or pitch out of range.
        """
        wave, _ = self._speak(text, language, voice, rate, pitch, options=0)
        if trim_silence:
            wave = wave[: int(_loud(wave)[-1]) + 1 + int(_TAIL_SECONDS * SAMPLING_RATE)]
        return wave

    def speak_aligned(
        self, text: str, *, language: str, voice: str | None = None, rate: int = 175, pitch: int = 50
    ) -> tuple[np.ndarray, list[Phone]]:
        """As `speak` without trimming, with the phonemes where espeak-ng speaks them.

        Returns:
            float32 (samples,) and the phones in order, without gaps from the first one's start to the last sample.
        """
        wave, starts = self._speak(text, language, voice, rate, pitch, options=_PHONEME_EVENTS | _IPA_EVENTS)
        ends = [start for _, start in starts[1:]] + [len(wave)]
        phones = [
            Phone(name.translate({ord(mark): None for mark in _STRESS}), start, min(end, len(wave)))
            for (name, start), end in zip(starts, ends)
        ]
        return wave, [phone for phone in phones if phone.end > phone.start]

    def _speak(
        self, text: str, language: str, voice: str | None, rate: int, pitch: int, options: int
    ) -> tuple[np.ndarray, list[tuple[str, int]]]:
        """The whole wave and, where the options ask for them, (phoneme, first sample) in order."""
        encoded = _encode(text)
        name = _voice_name(language, voice)
        _check_number("rate", rate, RATES, "words/min")
        _check_number("pitch", pitch, PITCHES, "on espeak-ng's scale")
        chunks: list[bytes] = []
        phonemes: list[tuple[str, int]] = []

        @_CALLBACK
        def collect(samples: Any, count: int, events: Any) -> int:
            if samples and count > 0:
                chunks.append(ctypes.string_at(samples, 2 * count))
            position = 0
            while options and events and events[position].type != _END_OF_EVENTS:
                if events[position].type == _PHONEME:
                    phonemes.append((events[position].name.decode("utf-8", "replace"), events[position].sample))
                position += 1
            return 0  # go on

        with _library(options) as library:
            library.espeak_SetSynthCallback(collect)
            _set_voice(library, name)
            library.espeak_SetParameter(_RATE, rate, 0)
            library.espeak_SetParameter(_PITCH, pitch, 0)
            size = ctypes.c_size_t(len(encoded) + 1)
            failed = (
                library.espeak_Synth(encoded, size, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
                or library.espeak_Synchronize()
            )
        if failed:
            raise TriglotError(f"espeak-ng cannot speak {text[:80]!r} as {name!r} (its error {failed}).")
        wave = np.frombuffer(b"".join(chunks), dtype=np.int16).astype(np.float32) / 32768.0
        if not _loud(wave).size:
            raise TriglotError(
                f"There is nothing to say in {text[:80]!r} for language {language!r}; give a text with words."
            )
        return wave, phonemes

    def phonemes(self, text: str, language: str) -> str:
        """The International Phonetic Alphabet of a text, with stress marks; clauses are joined by one space.

        Args:
            text: What to transcribe.
            language: A code of `languages()`.

        Raises:
            TriglotError: empty text or an unknown language.
        """
        encoded = ctypes.create_string_buffer(_encode(text))
        name = _voice_name(language, None)
        clauses = []
        with _library() as library:
            _set_voice(library, name)
            library.espeak_TextToPhonemes.restype = ctypes.c_char_p
            position = ctypes.c_void_p(ctypes.addressof(encoded))
            while position.value:  # one clause a call; a null pointer at the end
                clause = library.espeak_TextToPhonemes(ctypes.byref(position), _CHARS_UTF8, _PHONEMES_IPA)
                clauses.append((clause or b"").decode("utf-8").strip())
        return " ".join(clause for clause in clauses if clause)


class _Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.POINTER(ctypes.c_char)),  # a priority byte and a string, repeated; then a 0
        ("identifier", ctypes.c_char_p),  # the voice's file, below lang/
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


@functools.cache
def _files() -> tuple[Path, Path]:
    """The shared library and the data folder of the espeakng-loader wheel."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise TriglotError("Speech synthesis needs espeakng-loader: pip install espeakng-loader") from error
    library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    for path in (library, data / "voices", data / "lang"):
        if not path.exists():
            raise TriglotError(
                f"espeakng-loader is incomplete, {path} is missing: reinstall the espeakng-loader package."
            )
    return library, data


@contextlib.contextmanager
def _library(options: int = 0) -> Iterator[ctypes.CDLL]:
    """A freshly loaded, initialised espeak-ng that nobody else has, for the length of one call."""
    path, data = _files()
    with _lock:
        # Loaders recognise a library by its file, so a copy is a new instance; once loaded the file may go.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            library = ctypes.CDLL(shutil.copy(path, scratch))
        try:
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _DONT_EXIT | options)
            if rate != SAMPLING_RATE:
                raise TriglotError(f"espeak-ng does not start with the data in {data} (it answers {rate}).")
            library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # otherwise it is the time
            _c_library().srand(1)  # the breath of the Klatt voices ("Reed", "caleb")
            yield library
            library.espeak_Terminate()
        finally:
            getattr(_ctypes, "FreeLibrary" if sys.platform == "win32" else "dlclose")(library._handle)


@functools.cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)


def _loud(wave: np.ndarray) -> np.ndarray:
    """Places of the samples that are not silence."""
    return np.flatnonzero(np.abs(wave) > _SILENCE)


def _set_voice(library: ctypes.CDLL, name: str) -> None:
    if failed := library.espeak_SetVoiceByName(name.encode()):
        raise TriglotError(f"espeak-ng does not know the voice {name!r} (its error {failed}).")


@functools.cache
def _languages() -> dict[str, tuple[str, str]]:
    """Lower-case code -> (English name, identifier of the voice espeak-ng prefers for it), sorted by code."""
    _, data = _files()
    best: dict[str, tuple[int, str, str]] = {}
    with _library() as library:
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        voices = library.espeak_ListVoices(None)
        index = 0
        while voices[index]:
            voice = voices[index].contents
            index += 1
            name, identifier = voice.name.decode("utf-8"), voice.identifier.decode("utf-8")
            if not _has_dictionary(data, identifier):
                continue
            position = 0
            while priority := voice.languages[position][0]:
                code = ctypes.string_at(ctypes.addressof(voice.languages.contents) + position + 1)
                position += len(code) + 2
                # A low number is a high priority; the voice named like the code comes first among equals.
                own = identifier.lower().endswith("/" + code.decode("ascii").lower())
                entry = (priority - 100 * own, identifier, name)
                key = code.decode("ascii").lower()
                best[key] = min(best.get(key, entry), entry)
    return {code: (name, identifier) for code, (_, identifier, name) in sorted(best.items())}


def _has_dictionary(data: Path, identifier: str) -> bool:
    """Whether the wheel has the pronunciation dictionary of a voice file: it lacks a few, and speaks noise there."""
    voice = data / "lang" / identifier
    if not voice.is_file():
        return False
    settings = voice.read_text(encoding="utf-8", errors="replace")
    named = re.search(r"^dictionary\s+(\S+)", settings, re.MULTILINE)
    spoken = re.search(r"^language\s+([^\s-]+)", settings, re.MULTILINE)
    found = named or spoken
    return found is not None and (data / f"{found[1]}_dict").is_file()


@functools.cache
def _variants() -> tuple[str, ...]:
    _, data = _files()
    return tuple(sorted(path.name for path in (data / "voices" / "!v").iterdir() if path.is_file()))


def _encode(text: str) -> bytes:
    if not isinstance(text, str):
        raise TriglotError(f"The text to speak is a {type(text).__name__}; a str is needed.")
    if not text.strip():
        raise TriglotError(f"The text to speak is empty ({text!r}); give at least one word.")
    try:
        return text.replace("\0", " ").encode("utf-8")  # C takes a NUL for the end
    except UnicodeEncodeError as error:
        raise TriglotError(f"The text to speak is no valid unicode: {error}.") from error


def _voice_name(language: str, voice: str | None) -> str:
    """espeak-ng's own name of a voice, "gmw/en-US+f3", from a language and a voice as `speak` takes them."""
    accent, variant = language, ""
    if voice is not None:
        before, _, after = voice.rpartition("+")
        accent, variant = (before or language), after
        if not variant:
            raise TriglotError(f"The voice {voice!r} names no variant; write e.g. 'f3' or 'en+f3', or pass None.")
    _find("language", language, _languages())
    identifier = _languages()[_find("language", accent, _languages())][1]
    return f"{identifier}+{_find('voice variant', variant, _variants())}" if variant else identifier


def _find(what: str, name: str, known: "dict[str, tuple[str, str]] | tuple[str, ...]") -> str:
    """The entry of `known` that `name` means, in its own spelling or in another case."""
    if name in known:
        return name
    folded = {entry.lower(): entry for entry in known}
    lower = str(name).lower().replace("_", "-") if isinstance(known, dict) else str(name).lower()
    if lower in folded:
        return folded[lower]
    near = difflib.get_close_matches(lower, folded, n=3)
    hint = f"; did you mean {' or '.join(repr(folded[entry]) for entry in near)}?" if near else "."
    raise TriglotError(f"espeak-ng has no {what} {name!r}{hint} Known are: {', '.join(known)}.")


def _check_number(what: str, value: int, allowed: tuple[int, int], unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not allowed[0] <= value <= allowed[1]:
        raise TriglotError(
            f"{what} is {value!r}; a whole number from {allowed[0]} to {allowed[1]} ({unit}) is needed."
        )
