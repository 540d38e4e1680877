"""espeak-ng in process: the same call gives the same samples whatever came before, in any process."""

import hashlib
import itertools
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from triglot.processing.errors import TriglotError
from triglot.training.data import espeak
from triglot.training.data.espeak import EspeakSynthesizer

pytest.importorskip("espeakng_loader")

TEXT = "a small red circle is above a big blue square"
CALLS = [  # the last three take their noise from two generators of random numbers
    ("en", None),
    ("en-us", "f3"),
    ("es", "Andy"),
    ("hi", "m3"),
    ("en", "croak"),
    ("en", "klatt4"),
    ("en", "whisper"),
    ("en", "Reed"),
    ("en", "caleb"),
]


@pytest.fixture(scope="module")
def synthesizer():
    return EspeakSynthesizer()


def _digest(wave: np.ndarray) -> str:
    return hashlib.sha256(wave.tobytes()).hexdigest()


def _all_digests() -> list[str]:
    synthesizer = EspeakSynthesizer()
    return [_digest(synthesizer.speak(TEXT, language=language, voice=voice)) for language, voice in CALLS]


def test_speech_is_float32_and_audible(synthesizer):
    wave = synthesizer.speak(TEXT, language="en")
    assert wave.dtype == np.float32 and wave.ndim == 1 and wave.flags.writeable
    assert synthesizer.sampling_rate == 22_050
    assert 1.5 < len(wave) / synthesizer.sampling_rate < 4
    assert 0.1 < np.abs(wave).max() <= 1.0


def test_same_call_same_samples_after_other_calls(synthesizer):
    first = _all_digests()
    for rate, pitch in ((80, 0), (450, 99), (200, 30)):
        synthesizer.speak("something else 12", language="fr", voice="whisper", rate=rate, pitch=pitch)
        synthesizer.phonemes("hello", "en")
    assert _all_digests() == first
    assert len(set(first)) == len(CALLS)


def test_same_samples_in_a_fresh_process(tmp_path):
    code = (
        "import hashlib\n"
        "from triglot.training.data.espeak import EspeakSynthesizer\n"
        f"for language, voice in {CALLS[::-1]!r}:\n"
        f"    wave = EspeakSynthesizer().speak({TEXT!r}, language=language, voice=voice)\n"
        "    print(hashlib.sha256(wave.tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    assert run.stdout.split()[::-1] == _all_digests()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_same_samples_after_a_fork_even_while_speaking():
    expected = _all_digests()
    with espeak._library(), multiprocessing.get_context("fork").Pool(2) as pool:  # the lock is held at the fork
        results = [pool.apply_async(_all_digests) for _ in range(2)]
        assert [result.get(timeout=60) for result in results] == [expected, expected]


def test_threads_do_not_disturb_one_another():
    expected, found = _all_digests(), {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: _all_digests()})) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 3


def test_a_synthesizer_can_be_pickled(synthesizer):
    again = pickle.loads(pickle.dumps(synthesizer))
    assert np.array_equal(again.speak("hello", language="en"), synthesizer.speak("hello", language="en"))


def test_rate_pitch_and_voice_matter(synthesizer):
    slow, fast = (synthesizer.speak(TEXT, language="en", rate=rate) for rate in (100, 300))
    assert len(slow) > 2 * len(fast)
    low, high = (synthesizer.speak(TEXT, language="en", pitch=pitch) for pitch in (0, 99))

    def centre(wave):  # Hz below which half of the energy lies
        power = np.cumsum(np.abs(np.fft.rfft(wave)) ** 2)
        return np.searchsorted(power, power[-1] / 2) * synthesizer.sampling_rate / len(wave)

    assert centre(high) > centre(low)


def test_silence_at_the_end_is_trimmed_on_request(synthesizer):
    whole = synthesizer.speak("hello. ...", language="en", trim_silence=False)
    trimmed = synthesizer.speak("hello. ...", language="en")
    assert len(trimmed) < len(whole)
    assert np.array_equal(trimmed, whole[: len(trimmed)])
    assert np.abs(whole[len(trimmed) :]).max() <= 1e-3


def test_languages_and_variants(synthesizer):
    languages, variants = synthesizer.languages(), synthesizer.variants()
    assert languages["en"] == "English (Great Britain)" and languages["hi"] == "Hindi"
    assert {"en", "es", "hi", "de", "fr", "cs", "en-us", "pt-br"} <= set(languages) and len(languages) > 100
    assert {"f1", "m3", "croak", "whisper", "Mr serious"} <= set(variants) and len(variants) > 100


def test_every_language_speaks(synthesizer):
    for language in synthesizer.languages():
        assert synthesizer.speak("hello 1", language=language).size > 1000, language


def test_every_variant_is_another_voice(synthesizer):
    waves = {_digest(synthesizer.speak("hello", language="en", voice=voice)) for voice in synthesizer.variants()}
    assert len(waves) == len(synthesizer.variants())


def test_voice_specifications(synthesizer):
    plain = synthesizer.speak(TEXT, language="en", voice="f3")
    assert np.array_equal(plain, synthesizer.speak(TEXT, language="EN", voice="en+f3"))
    assert np.array_equal(plain, synthesizer.speak(TEXT, language="en", voice="+F3"))
    accent = synthesizer.speak(TEXT, language="en", voice="es+f3")
    assert np.array_equal(accent, synthesizer.speak(TEXT, language="es", voice="f3"))
    assert not np.array_equal(accent, plain)


def test_phonemes(synthesizer):
    assert synthesizer.phonemes("hello world. how are you?", "en") == "həlˈəʊ wˈɜːld hˈaʊ ɑː juː"
    assert "ʋɾˈɪt" in synthesizer.phonemes("वृत्त", "hi")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"language": "eng"}, "no language 'eng'; did you mean 'en'"),
        ({"language": "klingonese"}, "Known are: af, am"),
        ({"language": None}, "no language None"),
        ({"language": "en", "voice": "f33"}, "no voice variant 'f33'; did you mean 'f3'"),
        ({"language": "en", "voice": "xx+f3"}, "no language 'xx'"),
        ({"language": "en", "voice": "en+"}, "names no variant"),
        ({"language": "en", "rate": 20}, "rate is 20; .* 80 to 450"),
        ({"language": "en", "rate": 175.5}, "whole number"),
        ({"language": "en", "pitch": 100}, "pitch is 100; .* 0 to 99"),
        ({"language": "en", "pitch": True}, "pitch is True"),
    ],
)
def test_arguments_that_cannot_be_served(synthesizer, arguments, message):
    with pytest.raises(TriglotError, match=message):
        synthesizer.speak(TEXT, **arguments)


@pytest.mark.parametrize("text", ["", " \n", "...", None, b"bytes", "\ud800"], ids=ascii)
def test_texts_that_cannot_be_spoken(synthesizer, text):
    with pytest.raises(TriglotError):
        synthesizer.speak(text, language="en")


def test_a_nul_does_not_cut_the_text(synthesizer):
    spoken = synthesizer.speak("red\0circle", language="en")
    assert np.array_equal(spoken, synthesizer.speak("red circle", language="en"))


def test_a_missing_wheel_is_named(monkeypatch):
    espeak._files.cache_clear()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    try:
        with pytest.raises(TriglotError, match="pip install espeakng-loader"):
            EspeakSynthesizer()
    finally:
        espeak._files.cache_clear()


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [("a big red circle", "en", None), ("छोटा लाल वृत्त", "hi", "f2"), ("mañana llueve; hoy no", "es", "en-us+m3")],
)
def test_phonemes_where_they_are_spoken(text, language, voice):
    espeak = EspeakSynthesizer()
    wave, phones = espeak.speak_aligned(text, language=language, voice=voice, rate=150, pitch=40)
    plain = espeak.speak(text, language=language, voice=voice, rate=150, pitch=40, trim_silence=False)
    assert np.array_equal(wave, plain), "listening to the phonemes changed the sound"
    assert all(before.end == after.start for before, after in itertools.pairwise(phones))
    assert 0 <= phones[0].start < phones[-1].end == len(wave)
    spoken = "".join(phone.name for phone in phones)
    if voice is None or "+" not in voice:  # an accent has phonemes of its own
        written = espeak.phonemes(text, language)
        assert spoken.replace("ː", "") == "".join(mark for mark in written if mark not in "ˈˌː ")


def test_vowels_are_where_it_is_loud():
    wave, phones = EspeakSynthesizer().speak_aligned("one. two.", language="en")
    vowels = [phone for phone in phones if phone.name in ("ɒ", "uː")]
    assert len(vowels) == 2 and all(np.abs(wave[phone.start : phone.end]).max() > 0.4 for phone in vowels)
    assert [phone.name for phone in phones if phone.end - phone.start > 1_000] == ["w", "ɒ", "n", "uː"]
    assert phones[-1].name == ""
