"""Sound as users hold it -> mono float32 at the rate a tokenizer wants, or one `TriglotError` that says what is wrong.

path | bytes | open file | array + sampling_rate | {"array" | "raw" | "bytes" | "path", "sampling_rate"}  ->  float32 (samples,)

A file's header is read before its samples are: what would not fit into memory is refused unpacked, whatever its size on disk.
"""

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
import soxr

from .errors import TriglotError
from .user_files import check_folder, read_file, read_handle
from .whole_files import whole_file

MIN_SECONDS = 0.1  # s; shorter than a syllable: nothing to recognise
SILENCE_PEAK = 1e-4  # full scale = 1; -80 dBFS
LOUDEST_PEAK = 100.0  # full scale = 1; more is no loud recording but floats that hold integer samples
RATES = (4_000, 384_000)  # Hz; outside of this a sampling rate is a typing error
LONGEST_SECONDS = 3_600.0  # s of one piece of sound
MOST_SAMPLES = 200_000_000  # that are unpacked, of all channels together: 800 MB, an hour at 48 kHz in mono

_ACCEPTED = (
    "a path, the bytes of a sound file, a 1-D or (channels, samples) array with sampling_rate=, "
    'or a dict {"array" or "raw": ..., "sampling_rate": ...}'
)


def load_audio(audio: Any, sampling_rate: int | None = None, *, target_rate: int, name: str = "audio") -> np.ndarray:
    """Reads, checks, mixes down and resamples one piece of sound.

    Args:
        audio: A path, bytes of a sound file (wav, flac, ogg, mp3) or a file opened in binary mode, an array of shape (samples,), (channels, samples)
            or (samples, channels), or a dict as the stock pipelines and `datasets` use. Floats span -1 to 1, integers
            of 8, 16 or 32 bits their own range.
        sampling_rate: Hz of a raw array; ignored for files, which know their own.
        target_rate: Hz of the result.
        name: How to call the input in an error message.

    Returns:
        float32 (samples,) at `target_rate`; full scale is 1, which a resampled edge may overshoot a little.

    Raises:
        TriglotError: missing, unreadable, truncated, empty, silent, NaN, shorter than 0.1 s or longer than an hour; an array
            with no rate, or one whose scale cannot be told.
    """
    if isinstance(audio, Mapping):
        audio, sampling_rate = _open_mapping(audio, sampling_rate, name)
    if isinstance(audio, (str, os.PathLike)):
        path = os.fspath(audio)
        wave, rate = _decode(read_file(path, name, "sound file"), f"{name} {path!r}")
    elif isinstance(audio, (bytes, bytearray, memoryview)):
        wave, rate = _decode(bytes(audio), f"{name} ({len(audio)} bytes)")
    elif hasattr(audio, "read"):
        content = read_handle(audio, name)
        wave, rate = _decode(content, f"{name} ({len(content)} bytes)")
    else:
        wave, rate = _from_array(audio, name), _check_rate(sampling_rate, name)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is refused as such
        wave = _to_mono(wave, name).astype(np.float32)
    _check_sound(wave, rate, name)
    return resample(wave, rate, target_rate)


def resample(wave: np.ndarray, rate: float, target_rate: float) -> np.ndarray:
    """float (samples,) at `rate` Hz -> float32 (samples,) at `target_rate` Hz."""
    if rate != target_rate:
        wave = soxr.resample(wave, rate, target_rate, quality="HQ")
    return np.ascontiguousarray(wave, dtype=np.float32)


def write_audio(
    path: str | os.PathLike, audio: np.ndarray, sampling_rate: int, tags: Mapping[str, str] | None = None
) -> None:
    """Writes a waveform as a 16-bit wav, whole or not at all.

    Args:
        path: File to write or to replace, in an existing folder.
        audio: float (samples,), an array or a torch tensor; what lies beyond -1 to 1 is clipped.
        sampling_rate: Hz.
        tags: What the file says about itself, as `encode_audio` takes it; speech that a model made says so.

    Raises:
        TriglotError: a folder that does not exist or cannot be written to, another shape, integers, NaN or no samples.
    """
    path, rate = os.fspath(path), _check_rate(sampling_rate, "the audio to write")
    check_folder(path)
    wave = _to_numpy(audio, "the audio to write")
    if wave.dtype.kind != "f" or wave.ndim != 1 or not wave.size or not np.isfinite(wave).all():
        raise TriglotError(
            f"Cannot write {path!r}: the audio is {wave.dtype} {wave.shape}; "
            "finite floats of the shape (samples,) between -1 and 1 are needed."
        )
    try:
        with whole_file(path) as partial:
            encode_audio(partial, np.clip(wave, -1.0, 1.0), rate, tags=tags)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TriglotError(f"Cannot write {path!r}: {error}") from error


def encode_audio(
    target: Any, wave: np.ndarray, rate: int, kind: str = "WAV", tags: Mapping[str, str] | None = None
) -> None:
    """A waveform as a sound file of 16 bits.

    Args:
        target: Path or open binary file.
        wave: float (samples,) between -1 and 1.
        rate: Hz.
        kind: One of soundfile's formats, "WAV" or "FLAC".
        tags: {"software" | "comment" | "title" | ...: text}, soundfile's names; in a wav they become its LIST/INFO chunk.
    """
    with soundfile.SoundFile(target, "w", rate, 1, format=kind, subtype="PCM_16") as handle:
        for name, text in (tags or {}).items():  # ahead of the samples: what follows them is often not read
            setattr(handle, name, text)
        handle.write(wave)


def _open_mapping(audio: Mapping, sampling_rate: int | None, name: str) -> tuple[Any, int | None]:
    rate = audio.get("sampling_rate")
    rate = sampling_rate if rate is None else rate
    for key in ("array", "raw", "audio", "bytes", "path"):
        if audio.get(key) is not None:
            return audio[key], rate
    raise TriglotError(f"{name} is a dict with the keys {sorted(audio)}; allowed is {_ACCEPTED}.")


def _decode(content: bytes, what: str) -> tuple[np.ndarray, int]:
    if not content:
        raise TriglotError(f"{what} is empty (0 bytes).")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as handle:
            whole = _with_length(content) if handle.format == "MP3" else content
        with soundfile.SoundFile(io.BytesIO(whole)) as handle:
            rate, promised = _check_rate(handle.samplerate, what), handle.frames
            if whole is not content:  # its length is a bound: read to the end in pieces of 10 s
                pieces = [handle.read(10 * rate, dtype="float32", always_2d=True)]
                while len(pieces[-1]) == 10 * rate:
                    _check_length(10 * rate * len(pieces), handle.channels, rate, what)
                    pieces.append(handle.read(10 * rate, dtype="float32", always_2d=True))
                wave = np.concatenate(pieces)
                promised = len(wave)
            else:
                _check_length(promised, handle.channels, rate, what)
                wave = handle.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", error)
        raise TriglotError(f"{what} is not a sound file that can be read (wav, flac, ogg, mp3): {reason}") from error
    if promised > len(wave) or _missing_bytes(content) > 0:
        raise TriglotError(
            f"{what} is truncated: its header promises more sound than the {len(wave)} samples there are."
        )
    return wave, rate


def _with_length(mp3: bytes) -> bytes:
    """An mp3 that gives its number of frames; one that does not gets a Xing header with an upper bound in front.

    libsndfile guesses a missing length from the first frame's bit rate and reads no further: of a variable bit rate
    it may drop most of the sound, silently.
    """
    start = 0
    if mp3[:3] == b"ID3":  # the tag's size: four bytes of seven bits each
        start = 10 + sum(byte << shift for byte, shift in zip(mp3[6:10], (21, 14, 7, 0)))
    start = next((i for i in range(start, len(mp3) - 4) if mp3[i] == 0xFF and mp3[i + 1] & 0xE6 == 0xE2), -1)
    if start < 0 or any(tag in mp3[start : start + 2048] for tag in (b"Xing", b"Info", b"VBRI")):
        return mp3
    first = mp3[start : start + 4]
    version, rate_index, mono = first[1] >> 3 & 3, first[2] >> 2 & 3, first[3] >> 6 == 3
    if version == 1 or rate_index == 3:  # reserved values: no frame after all
        return mp3
    version_1 = version == 3
    rate = (44_100, 48_000, 32_000)[rate_index] // {3: 1, 2: 2, 0: 4}[version]  # MPEG 1, 2, 2.5
    # Bit rate index 8: 112 kbit/s in version 1, 64 in the others; protection off, no padding.
    size = 144 * 112_000 // rate if version_1 else 72 * 64_000 // rate
    side = (17 if mono else 32) if version_1 else (9 if mono else 17)
    head = bytes([0xFF, first[1] | 1, 0x80 | rate_index << 2, first[3]]) + bytes(side)
    frames = len(mp3) // 24 + 1  # no frame is shorter than 24 bytes
    head += b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return head.ljust(size, b"\0") + mp3[start:]


def _missing_bytes(content: bytes) -> int:
    """How many bytes the header of a wav or aiff promises beyond its end; libsndfile shortens such files silently."""
    if content[:4] == b"FORM":
        return max(0, 8 + int.from_bytes(content[4:8], "big") - len(content))
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return 0
    position = 12
    while position + 8 <= len(content):
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if content[position : position + 4] == b"data":
            if size >= 0x7FFF0000:  # written by a stream that could not seek back: the length is unknown
                return 0
            return max(0, position + 8 + size - len(content))
        position += 8 + size + (size & 1)
    return 0


def _to_numpy(audio: Any, name: str) -> np.ndarray:
    if hasattr(audio, "detach"):  # a torch tensor; NumPy has no bfloat16
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.is_floating_point() else audio).numpy()
    try:
        return np.asarray(audio)
    except ValueError as error:  # a ragged list
        raise TriglotError(
            f"{name} is a {type(audio).__name__} that is no regular array; allowed is {_ACCEPTED}."
        ) from error


def _from_array(audio: Any, name: str) -> np.ndarray:
    array = _to_numpy(audio, name)
    if array.dtype.kind not in "iuf":
        raise TriglotError(f"{name} is a {type(audio).__name__} ({array.dtype}); allowed is {_ACCEPTED}.")
    if array.ndim not in (1, 2):
        raise TriglotError(f"{name} has the shape {array.shape}; allowed is {_ACCEPTED}.")
    if array.dtype.kind in "iu":
        if array.dtype.itemsize > 4:  # also what a list of whole numbers becomes
            raise TriglotError(
                f"{name} holds {array.dtype} samples, whose full scale is unknown; give floats between -1 and 1, or "
                "integers of their own width, e.g. numpy.asarray(samples, dtype=numpy.int16)."
            )
        full_scale = 2.0 ** (8 * array.dtype.itemsize - 1)
        middle = full_scale if array.dtype.kind == "u" else 0.0
        array = (array.astype(np.float64) - middle) / full_scale
    if array.ndim == 2 and array.shape[0] < array.shape[1]:  # (channels, samples), torchaudio's order
        array = array.T
    return array


def _check_rate(rate: Any, name: str) -> int:
    if rate is None:
        raise TriglotError(f"{name} is a raw array with no sampling rate; pass sampling_rate= in Hz (e.g. 16000).")
    number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not number or not np.isfinite(rate) or rate != int(rate):
        raise TriglotError(f"sampling_rate of {name} is {rate!r}; it must be a whole number of Hz.")
    if not RATES[0] <= rate <= RATES[1]:
        raise TriglotError(f"sampling_rate of {name} is {rate} Hz; allowed is {RATES[0]} to {RATES[1]} Hz.")
    return int(rate)


def _check_length(frames: int, channels: int, rate: int, what: str) -> None:
    """Raises TriglotError for sound that is longer, or would take more memory, than any use here has need of."""
    if frames > LONGEST_SECONDS * rate or frames * channels > MOST_SAMPLES:
        raise TriglotError(
            f"{what} is refused for its length: {frames / rate:.0f} s of {channels} channel(s) at {rate} Hz; at most "
            f"{LONGEST_SECONDS:.0f} s and {MOST_SAMPLES} samples in all are read. Cut it first."
        )


def _to_mono(wave: np.ndarray, name: str) -> np.ndarray:
    if wave.ndim == 1 or not wave.size:
        return wave.reshape(-1)
    if wave.shape[1] > 32:
        raise TriglotError(f"{name} has {wave.shape[1]} channels; at most 32 are mixed down.")
    return wave.mean(axis=1)


def _check_sound(wave: np.ndarray, rate: int, name: str) -> None:
    if wave.size == 0:
        raise TriglotError(f"{name} is empty (0 samples).")
    _check_length(wave.size, 1, rate, name)
    if not np.isfinite(wave).all():
        bad = int((~np.isfinite(wave)).sum())
        raise TriglotError(f"{name} holds {bad} NaN or infinite samples of {wave.size}; clean it first.")
    if wave.size < MIN_SECONDS * rate:
        raise TriglotError(f"{name} lasts {wave.size / rate:.3f} s; at least {MIN_SECONDS} s are needed.")
    peak = float(np.abs(wave).max())
    if peak < SILENCE_PEAK:
        raise TriglotError(f"{name} is silent (peak {peak:.1e} of full scale; at least {SILENCE_PEAK:.0e} is needed).")
    if peak > LOUDEST_PEAK:
        raise TriglotError(
            f"{name} has a peak of {peak:.0f}, but float samples span -1 to 1; divide 16-bit samples by 32768."
        )
