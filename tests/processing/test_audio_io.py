"""Sound in every form users hold it, and every way it can be wrong."""

import io
import pathlib
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from triglot.processing import audio_io, user_files
from triglot.processing.audio_io import load_audio, write_audio
from triglot.processing.errors import TriglotError

RATE = 16_000  # Hz
TONE_HZ = 440.0


def _tone(rate: int = RATE, seconds: float = 1.0, frequency: float = TONE_HZ, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def _encoded(wave: np.ndarray, rate: int = RATE, **how: Any) -> bytes:
    handle = io.BytesIO()
    soundfile.write(handle, wave, rate, **how)
    return handle.getvalue()


def _frequency(wave: np.ndarray, rate: int) -> float:
    window = wave * np.hanning(len(wave))
    return float(np.abs(np.fft.rfft(window)).argmax() * rate / len(wave))


def _amplitude(wave: np.ndarray) -> float:
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    return float(np.sqrt(2 * np.mean(middle.astype(np.float64) ** 2)))


FORMATS = [
    ("WAV", "PCM_U8", 1e-2),
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "PCM_32", 1e-7),
    ("WAV", "FLOAT", 0),
    ("WAV", "DOUBLE", 0),
    ("WAVEX", "PCM_16", 1e-4),
    ("FLAC", "PCM_16", 1e-4),
    ("FLAC", "PCM_24", 1e-6),
    ("AIFF", "PCM_16", 1e-4),
    ("OGG", "VORBIS", None),
    ("OGG", "OPUS", None),
    ("MP3", "MPEG_LAYER_III", None),
]


def _or_skip(wave: np.ndarray, rate: int, container: str, coding: str) -> bytes:
    if coding not in soundfile.available_subtypes(container if container in soundfile.available_formats() else "RAW"):
        pytest.skip(f"this libsndfile has no {container} {coding}")
    return _encoded(wave, rate, format=container, subtype=coding)


@pytest.mark.parametrize(("container", "coding", "tolerance"), FORMATS)
def test_files_of_every_format(container, coding, tolerance, tmp_path):
    wave = _tone()
    content = _or_skip(wave, RATE, container, coding)
    path = tmp_path / "sound.bin"
    path.write_bytes(content)
    loaded = load_audio(path, target_rate=RATE)
    assert loaded.dtype == np.float32 and loaded.shape == wave.shape and loaded.flags.c_contiguous
    if tolerance is None:  # lossy
        assert _frequency(loaded, RATE) == pytest.approx(TONE_HZ, abs=2)
        assert _amplitude(loaded) == pytest.approx(0.5, rel=0.05)
    else:
        assert np.abs(loaded - wave).max() <= tolerance
    for same in (str(path), content, bytearray(content), memoryview(content), io.BytesIO(content)):
        assert np.array_equal(load_audio(same, target_rate=RATE), loaded)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("target", [16_000, 24_000])
def test_resampling_keeps_frequency_amplitude_and_length(rate, target):
    loaded = load_audio(_tone(rate), rate, target_rate=target)
    assert loaded.dtype == np.float32 and abs(len(loaded) - target) <= 1
    assert _frequency(loaded, target) == pytest.approx(TONE_HZ, abs=1.5)
    assert _amplitude(loaded) == pytest.approx(0.5, rel=1e-3)


def test_resampling_down_leaves_no_alias():
    mixed = _tone(44_100) + _tone(44_100, frequency=15_000)  # 15 kHz would fold to 1 kHz at 16 kHz
    loaded = load_audio(mixed, 44_100, target_rate=16_000)
    assert np.abs(loaded - _tone(16_000))[800:-800].max() < 1e-3


def test_a_stereo_file_at_44100_hz(tmp_path):
    stereo = np.stack([_tone(44_100), _tone(44_100, amplitude=0.1)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44_100)
    loaded = load_audio(str(tmp_path / "stereo.wav"), target_rate=16_000)
    assert loaded.shape == (16_000,)
    assert _amplitude(loaded) == pytest.approx(0.3, rel=1e-3)


def test_a_file_knows_its_own_rate():
    content = _encoded(_tone(8_000), 8_000, format="WAV")
    assert len(load_audio(content, 44_100, target_rate=8_000)) == 8_000


@pytest.mark.parametrize(
    ("convert", "tolerance"),
    [
        (lambda x: x, 0),
        (lambda x: x.astype(np.float64), 0),
        (lambda x: x.astype(np.float16), 1e-3),
        (lambda x: (x * 2**15).astype(np.int16), 1e-4),
        (lambda x: (x.astype(np.float64) * 2**31).astype(np.int32), 1e-7),
        (lambda x: (x * 2**7).astype(np.int8), 1e-2),
        (lambda x: (x * 127 + 128).astype(np.uint8), 2e-2),
        (lambda x: x.tolist(), 0),
        (lambda x: tuple(x.tolist()), 0),
        (lambda x: x[::-1].copy()[::-1], 0),
        (lambda x: torch.tensor(x), 0),
        (lambda x: torch.tensor(x, requires_grad=True), 0),
        (lambda x: torch.tensor(x).bfloat16(), 5e-3),
        (lambda x: torch.tensor(x).double(), 0),
        (lambda x: (torch.tensor(x) * 2**15).to(torch.int16), 1e-4),
        (lambda x: (torch.tensor(x) * 127 + 128).to(torch.uint8), 2e-2),
    ],
    ids=[
        "float32",
        "float64",
        "float16",
        "int16",
        "int32",
        "int8",
        "uint8",
        "list",
        "tuple",
        "strided",
        "tensor",
        "grad",
        "bfloat16",
        "double",
        "int16-tensor",
        "uint8-tensor",
    ],
)
def test_arrays_of_every_kind(convert, tolerance):
    wave = _tone()
    loaded = load_audio(convert(wave), RATE, target_rate=RATE)
    assert loaded.dtype == np.float32 and loaded.shape == wave.shape
    assert np.abs(loaded - wave).max() <= tolerance
    assert len(load_audio(convert(wave), RATE, target_rate=24_000)) == 24_000


def test_channels_in_either_order():
    left, right = _tone(), _tone(amplitude=0.1)
    mono = (left + right) / 2
    for array in (np.stack([left, right]), np.stack([left, right], axis=1), torch.tensor(np.stack([left, right]))):
        assert np.allclose(load_audio(array, RATE, target_rate=RATE), mono, atol=1e-6)
    assert np.array_equal(load_audio(left[None], RATE, target_rate=RATE), left)
    assert np.array_equal(load_audio(left[:, None], RATE, target_rate=RATE), left)


def test_the_input_is_not_changed():
    wave = _tone()
    wave.flags.writeable = False
    assert np.array_equal(load_audio(wave, RATE, target_rate=RATE), _tone())
    writable = _tone()
    load_audio(writable, RATE, target_rate=RATE)[:] = 0  # what comes back may be edited
    assert np.array_equal(writable, _tone())


def test_dictionaries(tmp_path):
    wave, content = _tone(), _encoded(_tone(), format="WAV", subtype="FLOAT")
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    for sound in (
        {"array": wave, "sampling_rate": RATE},
        {"raw": wave, "sampling_rate": RATE},
        {"array": wave, "path": "gone.wav", "sampling_rate": RATE},
        {"bytes": content, "path": "gone.wav"},
        {"bytes": None, "path": str(path)},
        {"path": path},
    ):
        assert np.array_equal(load_audio(sound, target_rate=RATE), wave)
    assert np.array_equal(load_audio({"raw": wave, "sampling_rate": None}, RATE, target_rate=RATE), wave)
    assert len(load_audio({"raw": wave, "sampling_rate": 8_000}, RATE, target_rate=RATE)) == 32_000


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (_tone()[:0], r"empty \(0 samples\)"),
        (np.zeros((2, 0), np.float32), r"empty \(0 samples\)"),
        (np.zeros((0, 5), np.float32), r"empty \(0 samples\)"),
        ([], r"empty \(0 samples\)"),
        (np.zeros(RATE, np.float32), "silent .*at least 1e-04"),
        (np.full(RATE, 128, np.uint8), "silent"),
        (np.stack([_tone(), -_tone()]), "silent"),
        (np.where(np.arange(RATE) < 7, np.nan, _tone()), "7 NaN or infinite samples of 16000"),
        (np.where(np.arange(RATE) < 3, np.inf, _tone()), "3 NaN or infinite"),
        (_tone().astype(np.float64) * 1e300, "NaN or infinite"),
        (_tone(seconds=0.05), r"lasts 0\.050 s; at least 0\.1 s"),
        (_tone() * 32768, "peak of 16384, but float samples span -1 to 1"),
        ((_tone() * 32767).astype(np.int64), "int64 samples, whose full scale is unknown"),
        ([1, 2, 3], "full scale is unknown"),
        ([[0.1, 0.2], [0.3]], "no regular array"),
        ([None, 0.1], "allowed is a path"),
        (["a", "b"], "allowed is a path"),
        (_tone() > 0, "bool"),
        (_tone() + 0j, "complex"),
        (_tone()[None, None], r"shape \(1, 1, 16000\)"),
        (0.5, r"shape \(\)"),
        (None, "NoneType"),
        (object(), "allowed is a path"),
        (np.ones((100, 100)), "100 channels"),
        ({"array": {"array": _tone()}}, "allowed is a path"),
    ],
)
def test_arrays_that_cannot_be_served(wave, message):
    with pytest.raises(TriglotError, match=message):
        load_audio(wave, RATE, target_rate=RATE)


@pytest.mark.parametrize("sound", [{}, {"wave": [0.1]}, {"array": None, "path": None}])
def test_dictionaries_that_cannot_be_served(sound):
    with pytest.raises(TriglotError, match="a dict with the keys"):
        load_audio(sound, RATE, target_rate=RATE)


def test_an_array_without_a_rate():
    for sound in (_tone(), {"raw": _tone()}, {"array": _tone(), "sampling_rate": None}):
        with pytest.raises(TriglotError, match="no sampling rate; pass sampling_rate="):
            load_audio(sound, target_rate=RATE)


@pytest.mark.parametrize("rate", [0, -16_000, 16, 1e9, 16_000.5, "16000", True, [16_000], float("nan"), float("inf")])
def test_silly_rates(rate):
    with pytest.raises(TriglotError, match="sampling_rate of my audio"):
        load_audio(_tone(), rate, target_rate=RATE, name="my audio")
    with pytest.raises(TriglotError, match="sampling_rate of audio"):
        load_audio({"array": _tone(), "sampling_rate": rate}, target_rate=RATE)


@pytest.mark.parametrize("rate", [16_000, 16_000.0, np.int64(16_000), np.float32(16_000)])
def test_rates_of_any_number_type(rate):
    assert len(load_audio(_tone(), rate, target_rate=RATE)) == RATE


def test_missing_files(tmp_path):
    (tmp_path / "recording.wav").write_bytes(_encoded(_tone(), format="WAV"))
    with pytest.raises(TriglotError, match=r"there is no file .*recordin\.wav'; did you mean .*recording\.wav'\?$"):
        load_audio(str(tmp_path / "recordin.wav"), target_rate=RATE)
    for path in (
        tmp_path / "x.flac",
        tmp_path / "nowhere" / "x.wav",
        "",
        "a\0b",
        "https://example.org/x.wav",
        "\ud800",
    ):
        with pytest.raises(TriglotError, match=r"there is no file .*'\.$"):
            load_audio(path, target_rate=RATE)
    with pytest.raises(TriglotError, match=r"5000 characters") as caught:
        load_audio("A" * 5000, target_rate=RATE)
    assert len(str(caught.value)) < 400


def test_files_that_cannot_be_served(tmp_path):
    with pytest.raises(TriglotError, match="is a folder"):
        load_audio(tmp_path, target_rate=RATE)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(TriglotError, match=r"empty\.wav' is empty \(0 bytes\)"):
        load_audio(tmp_path / "empty.wav", target_rate=RATE)
    (tmp_path / "text.wav").write_text("hello world " * 100)
    with pytest.raises(TriglotError, match=r"text\.wav' is not a sound file") as caught:
        load_audio(tmp_path / "text.wav", target_rate=RATE)
    assert "BytesIO" not in str(caught.value)
    with pytest.raises(TriglotError, match=r"\(0 bytes\) is empty"):
        load_audio(b"", target_rate=RATE)
    with (tmp_path / "text.wav").open() as handle, pytest.raises(TriglotError, match="binary mode"):
        load_audio(handle, target_rate=RATE)
    with pytest.raises(TriglotError, match=r"lasts 0\.050 s"):
        load_audio(_encoded(_tone(seconds=0.05), format="WAV"), target_rate=RATE)
    with pytest.raises(TriglotError, match="silent"):
        load_audio(_encoded(_tone() * 0, format="FLAC"), target_rate=RATE)


@pytest.mark.parametrize(("container", "coding", "tolerance"), FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files(container, coding, tolerance, share):
    content = _or_skip(_tone(), RATE, container, coding)
    with pytest.raises(TriglotError, match=r"truncated|not a sound file|empty"):
        load_audio(content[: int(share * len(content))], target_rate=RATE)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_that_lacks_its_last_byte(channels):
    content = _encoded(np.stack([_tone()] * channels, axis=1), format="WAV")
    with pytest.raises(TriglotError, match="truncated: its header promises"):
        load_audio(content[:-1], target_rate=RATE)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"], ids=["ffmpeg", "sox"])
def test_a_wav_from_a_pipe_states_no_length(size):
    content = _encoded(_tone(), format="WAV")
    assert content[36:40] == b"data"
    piped = content[:4] + size + content[8:40] + size + content[44:]
    assert len(load_audio(piped, target_rate=RATE)) == RATE


def test_chunks_behind_the_sound_are_no_matter():
    content = _encoded(_tone(), format="WAV") + b"LIST\x04\x00\x00\x00abcd"
    assert len(load_audio(content, target_rate=RATE)) == RATE


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_an_mp3_that_states_no_length(rate, channels):
    wave = _tone(rate, seconds=12) * np.linspace(0, 1, 12 * rate, dtype=np.float32)
    content = _or_skip(np.stack([wave] * channels, axis=1), rate, "MP3", "MPEG_LAYER_III")
    stated = content.find(b"Xing") if b"Xing" in content else content.find(b"Info")
    second = content.index(content[:2], stated)
    loaded = load_audio(content[second:], target_rate=rate)
    assert abs(len(loaded) - len(wave)) < 4_000
    assert _frequency(loaded, rate) == pytest.approx(TONE_HZ, abs=1)
    tagged = load_audio(b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + content[second:], target_rate=rate)
    assert np.array_equal(tagged, loaded)
    assert len(load_audio(content, target_rate=rate)) == len(wave)


def test_written_files_can_be_read(tmp_path):
    path = tmp_path / "out.wav"
    write_audio(path, _tone(24_000), 24_000)
    information = soundfile.info(path)
    assert (information.samplerate, information.channels, information.subtype) == (24_000, 1, "PCM_16")
    assert np.abs(load_audio(path, target_rate=24_000) - _tone(24_000)).max() < 1e-4
    write_audio(str(path), torch.tensor(_tone(amplitude=3.0)), RATE)  # replaced, and clipped
    assert np.abs(load_audio(path, target_rate=RATE)).max() <= 1.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.wav"]


def test_a_file_without_a_folder_goes_to_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_audio("out.wav", _tone(), RATE)
    assert pathlib.Path("out.wav").is_file()


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "out.wav"
    write_audio(path, _tone(), RATE)
    before = path.read_bytes()

    def fail(target, *args, **kwargs):
        pathlib.Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(audio_io.soundfile, "SoundFile", fail)
    with pytest.raises(TriglotError, match="disk full"):
        write_audio(path, _tone(), RATE)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.wav"]


@pytest.mark.parametrize(
    "wave",
    [
        _tone()[:0],
        _tone()[None],
        np.full(100, np.nan),
        (_tone() * 32767).astype(np.int16),
        "sound",
        None,
        [[0.1], [0.1, 0.2]],
    ],
)
def test_waves_that_cannot_be_written(wave, tmp_path):
    with pytest.raises(TriglotError):
        write_audio(tmp_path / "out.wav", wave, RATE)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(TriglotError, match="does not exist; make it first"):
        write_audio(tmp_path / "nowhere" / "out.wav", _tone(), RATE)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TriglotError, match="Cannot write"):
        write_audio(tmp_path / "folder", _tone(), RATE)
    with pytest.raises(TriglotError, match="0 Hz"):
        write_audio(tmp_path / "out.wav", _tone(), 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_tags_stand_ahead_of_the_samples_and_are_read_by_others(tmp_path):
    tags = {"software": "Triglot 9.9", "comment": "synthetic; model=año"}
    write_audio(tmp_path / "out.wav", _tone(), RATE, tags)
    with soundfile.SoundFile(tmp_path / "out.wav") as handle:
        read = handle.copy_metadata()
    assert read["software"].startswith("Triglot 9.9") and read["comment"] == tags["comment"]
    content = (tmp_path / "out.wav").read_bytes()
    chunks, place = {}, 12
    while place < len(content):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        chunks[name] = content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    assert list(chunks) == [b"fmt ", b"LIST", b"data"]
    assert chunks[b"LIST"].startswith(b"INFOISFT") and b"ICMT" in chunks[b"LIST"]
    assert np.abs(load_audio(tmp_path / "out.wav", target_rate=RATE) - _tone()).max() < 1e-4
    write_audio(tmp_path / "plain.wav", _tone(), RATE)
    assert b"LIST" not in (tmp_path / "plain.wav").read_bytes()


def _flac_that_promises(frames: int) -> bytes:
    """A file of 0.5 s whose header speaks of many more frames."""
    content = bytearray(_encoded(_tone(seconds=0.5), format="FLAC"))
    content[21] = content[21] & 0xF0 | frames >> 32  # STREAMINFO: the lower 36 bits of bytes 21 to 25
    content[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content)


def test_what_would_not_fit_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    with pytest.raises(TriglotError, match="refused for its length: 4294967 s of 1 channel"):
        load_audio(_flac_that_promises(RATE * 4294967), target_rate=RATE)
    silent_wav = bytearray(_encoded(np.zeros(RATE), format="WAV"))
    silent_wav[24:28] = (1).to_bytes(4, "little")  # 1 Hz: resampled, a second would be hours
    with pytest.raises(TriglotError, match="is 1 Hz; allowed is 4000 to 384000"):
        load_audio(bytes(silent_wav), target_rate=RATE)
    monkeypatch.setattr(audio_io, "LONGEST_SECONDS", 15.0)
    endless = _or_skip(_tone(seconds=40), RATE, "MP3", "MPEG_LAYER_III")
    first = endless[:2]  # a frame's first bytes; without the frame that gives the length, read in pieces
    endless = endless[endless.index(first, max(endless.find(b"Xing"), endless.find(b"Info"))) :]
    for content in (_encoded(_tone(seconds=16), format="WAV"), endless):
        with pytest.raises(TriglotError, match="at most 15 s"):
            load_audio(content, target_rate=RATE)
    with pytest.raises(TriglotError, match="at most 15 s"):
        load_audio(_tone(seconds=16), RATE, target_rate=RATE)
    assert len(load_audio(_tone(seconds=15), RATE, target_rate=RATE)) == 15 * RATE


def test_a_file_without_an_end_is_not_read_for_ever(monkeypatch):
    monkeypatch.setattr(user_files, "MOST_BYTES", 1_000_000)
    with pytest.raises(TriglotError, match="larger than 1 MB"):
        load_audio("/dev/zero", target_rate=RATE)
    with pytest.raises(TriglotError, match="larger than 1 MB"):
        load_audio(io.BytesIO(bytes(2_000_000)), target_rate=RATE)
