"""Sound as users hold it -> mono float32 at the rate a tokenizer wants, or one `TriglotError` that says what is wrong.

path | bytes | array + sampling_rate | {"array" | "raw" | "bytes" | "path", "sampling_rate"}  ->  float32 (samples,)
"""

import io
import os
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
import soxr

from .errors import TriglotError

MIN_SECONDS = 0.1  # s; shorter than a syllable: nothing to recognise
SILENCE_PEAK = 1e-4  # full scale = 1; -80 dBFS
RATES = (4_000, 384_000)  # Hz; outside of this a sampling rate is a typing error

_ACCEPTED = (
    "a path, the bytes of a sound file, a 1-D or (channels, samples) array with sampling_rate=, "
    'or a dict {"array" or "raw": ..., "sampling_rate": ...}'
)


def load_audio(audio: Any, sampling_rate: int | None = None, *, target_rate: int, name: str = "audio") -> np.ndarray:
    """Reads, checks, mixes down and resamples one piece of sound.

    Args:
        audio: A path, bytes of a sound file (wav, flac, ogg, mp3), an array of shape (samples,), (channels, samples)
            or (samples, channels), int or float, or a dict as the stock pipelines and `datasets` use.
        sampling_rate: Hz of a raw array; ignored for files, which know their own.
        target_rate: Hz of the result.
        name: How to call the input in an error message.

    Returns:
        float32 (samples,), |x| <= 1 for integer input, at `target_rate`.

    Raises:
        TriglotError: missing, unreadable, truncated, empty, silent, NaN or shorter than 0.1 s; an array with no rate.
    """
    if isinstance(audio, Mapping):
        audio, sampling_rate = _open_mapping(audio, sampling_rate, name)
    if isinstance(audio, (str, os.PathLike)):
        wave, rate = _read_file(os.fspath(audio), name)
    elif isinstance(audio, (bytes, bytearray, memoryview)):
        wave, rate = _decode(bytes(audio), f"{name} ({len(audio)} bytes)")
    else:
        wave, rate = _from_array(audio, name), _check_rate(sampling_rate, name)
    wave = _to_mono(wave, name)
    _check_sound(wave, rate, name)
    if rate != target_rate:
        wave = soxr.resample(wave, rate, target_rate, quality="HQ")
    return np.ascontiguousarray(wave, dtype=np.float32)


def write_audio(path: str | os.PathLike, audio: np.ndarray, sampling_rate: int) -> None:
    """Writes float32 (samples,) as a 16-bit wav, whole or not at all."""
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise TriglotError(f"Cannot write {path!r}: the folder {folder!r} does not exist; make it first.")
    partial = os.path.join(folder, f".{os.path.basename(path)}.{uuid.uuid4().hex[:8]}.partial")
    try:
        soundfile.write(partial, np.clip(audio, -1.0, 1.0), sampling_rate, format="WAV", subtype="PCM_16")
        os.replace(partial, path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TriglotError(f"Cannot write {path!r}: {error}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _open_mapping(audio: Mapping, sampling_rate: int | None, name: str) -> tuple[Any, int | None]:
    rate = audio.get("sampling_rate", sampling_rate)
    for key in ("array", "raw", "bytes", "path"):
        if audio.get(key) is not None:
            return audio[key], rate
    raise TriglotError(f"{name} is a dict with the keys {sorted(audio)}; allowed is {_ACCEPTED}.")


def _read_file(path: str, name: str) -> tuple[np.ndarray, int]:
    if not os.path.exists(path):
        raise TriglotError(f"{name}: there is no file {path!r}.")
    if os.path.isdir(path):
        raise TriglotError(f"{name}: {path!r} is a folder; give the path of one sound file.")
    try:
        with open(path, "rb") as handle:
            content = handle.read()
    except OSError as error:
        raise TriglotError(f"{name}: {path!r} cannot be read: {error.strerror}.") from error
    return _decode(content, f"{name} {path!r}")


def _decode(content: bytes, what: str) -> tuple[np.ndarray, int]:
    if not content:
        raise TriglotError(f"{what} is empty (0 bytes).")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as handle:
            wave, rate, promised = handle.read(dtype="float32", always_2d=True), handle.samplerate, handle.frames
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise TriglotError(f"{what} is not a sound file that can be read (wav, flac, ogg, mp3): {error}") from error
    missing = max(promised - len(wave), _missing_riff_bytes(content) // max(1, wave.shape[1]))
    if missing > 0:
        raise TriglotError(f"{what} is truncated: its header promises more sound than the {len(wave)} samples there are.")
    return wave, rate


def _missing_riff_bytes(content: bytes) -> int:
    """How many bytes a wav's `data` chunk promises beyond the file's end; libsndfile shortens such files silently."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return 0
    position = 12
    while position + 8 <= len(content):
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if content[position : position + 4] == b"data":
            if size == 0xFFFFFFFF:  # written by a stream that could not seek back: the length is unknown
                return 0
            return max(0, position + 8 + size - len(content))
        position += 8 + size + (size & 1)
    return 0


def _from_array(audio: Any, name: str) -> np.ndarray:
    if hasattr(audio, "detach"):  # a torch tensor
        audio = audio.detach().cpu().float().numpy()
    try:
        array = np.asarray(audio)
    except ValueError as error:  # a ragged list
        raise TriglotError(f"{name} is a {type(audio).__name__} that is no regular array; allowed is {_ACCEPTED}.") from error
    if array.dtype.kind not in "iuf":
        raise TriglotError(f"{name} is a {type(audio).__name__} ({array.dtype}); allowed is {_ACCEPTED}.")
    if array.ndim not in (1, 2):
        raise TriglotError(f"{name} has the shape {array.shape}; allowed is {_ACCEPTED}.")
    if array.dtype.kind == "u":
        middle = 2.0 ** (8 * array.dtype.itemsize - 1)
        array = (array.astype(np.float64) - middle) / middle
    elif array.dtype.kind == "i":
        array = array.astype(np.float64) / 2.0 ** (8 * array.dtype.itemsize - 1)
    if array.ndim == 2 and array.shape[0] < array.shape[1]:  # (channels, samples), torchaudio's order
        array = array.T
    return array


def _check_rate(rate: Any, name: str) -> int:
    if rate is None:
        raise TriglotError(f"{name} is a raw array with no sampling rate; pass sampling_rate= in Hz (e.g. 16000).")
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)) or rate != int(rate):
        raise TriglotError(f"sampling_rate of {name} is {rate!r}; it must be a whole number of Hz.")
    if not RATES[0] <= rate <= RATES[1]:
        raise TriglotError(f"sampling_rate of {name} is {rate} Hz; allowed is {RATES[0]} to {RATES[1]} Hz.")
    return int(rate)


def _to_mono(wave: np.ndarray, name: str) -> np.ndarray:
    if wave.ndim == 1:
        return wave
    if wave.shape[1] > 32:
        raise TriglotError(f"{name} has {wave.shape[1]} channels; at most 32 are mixed down.")
    return wave.mean(axis=1)


def _check_sound(wave: np.ndarray, rate: int, name: str) -> None:
    if wave.size == 0:
        raise TriglotError(f"{name} is empty (0 samples).")
    if not np.isfinite(wave).all():
        bad = int((~np.isfinite(wave)).sum())
        raise TriglotError(f"{name} holds {bad} NaN or infinite samples of {wave.size}; clean it first.")
    if wave.size < MIN_SECONDS * rate:
        raise TriglotError(f"{name} lasts {wave.size / rate:.3f} s; at least {MIN_SECONDS} s are needed.")
    peak = float(np.abs(wave).max())
    if peak < SILENCE_PEAK:
        raise TriglotError(f"{name} is silent (peak {peak:.1e} of full scale; at least {SILENCE_PEAK:.0e} is needed).")
