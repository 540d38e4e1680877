"""`triglot demo`: a sentence that no training met, by a voice that no training met, becomes speech in another language.

espeak-ng's recording ─ pipeline("speech-to-speech-translation") ─▶ texts beside the truth, demo.wav, demo.png
"""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np

from .processing.audio_io import write_audio
from .processing.errors import TriglotError
from .processing.whole_files import whole_file
from .provenance import synthetic
from .training.data.demo_world import demo_sentences, speak
from .training.data.splits import HELD_OUT_VOICES, held_out_sentences, random_speaker
from .training.run_recipe import load_recipe, run_recipe

FALLBACK_RECIPE = "overfit_four"  # trained where there is no checkpoint: it knows four sentences
CHOICE = 200  # held-out sentences that `seed` chooses from


def spoken_sentence(known: bool, source: str, target: str, seed: int) -> tuple[np.ndarray, int, dict[str, str]]:
    """A recording and the truth about it.

    Args:
        known: Take a sentence and the voice of the fallback recipe, instead of held-out ones.
        source, target: ISO codes.
        seed: Which sentence and voice.

    Returns:
        float32 (samples,), its rate in Hz, {"speaker", "spoken", "truth"}.
    """
    rng = random.Random(seed)
    if known:
        recipe = load_recipe(FALLBACK_RECIPE)
        data = recipe.stages["data"]
        item, speaker = demo_sentences(data, recipe.seed)[seed % data.sentences], data.speakers.split()[0]
    else:
        item, speaker = rng.choice(held_out_sentences(CHOICE)), random_speaker(rng, HELD_OUT_VOICES)
    wave, rate = speak(item.sentence(source), source, speaker)
    return wave, rate, {"speaker": speaker, "spoken": item.sentence(source), "truth": item.sentence(target)}


def run_demo(s2st: Any, known: bool, source: str, target: str, seed: int, out: str) -> dict[str, str]:
    """Translates a sentence, writes the wav and the picture.

    Args:
        s2st: A speech-to-speech pipeline.
        known, source, target, seed: See `spoken_sentence`.
        out: Path of the wav; the picture lies beside it as .png.

    Returns:
        What came in and out, as lines to show.
    """
    wave, rate, truth = spoken_sentence(known, source, target, seed)
    inputs = s2st.preprocess(wave, sampling_rate=rate, source_language=source, target_language=target)
    heard = _codes(s2st, inputs["input_ids"])
    output = s2st._forward(inputs)
    result = s2st.postprocess(output)
    picture = Path(out).with_suffix(".png")
    write_audio(out, result["audio"], result["sampling_rate"], synthetic(s2st.model.name_or_path))
    panels = [
        (f"heard ({source}, {truth['speaker']})", truth["spoken"], wave, rate, heard),
        (f"said ({target})", result["text"], result["audio"], result["sampling_rate"], _codes(s2st, output["ids"])),
    ]
    with whole_file(picture) as partial:
        _draw(panels, partial)
    return {
        "speaker": truth["speaker"],
        "spoken": truth["spoken"],
        "transcript": result["source_text"],
        "translation": result["text"],
        "truth": truth["truth"],
        "written": f"{out} ({len(result['audio']) / result['sampling_rate']:.2f} s), {picture}",
    }


def train_fallback() -> str:
    """Trains the fallback recipe, or takes what an earlier run left: its checkpoint's folder."""
    return str(run_recipe(load_recipe(FALLBACK_RECIPE)))


def _codes(s2st: Any, ids: Any) -> list[int]:
    """The speech codes of one sequence."""
    runs = s2st.processor.runs(ids[0].tolist())
    return next((list(run.codes) for run in runs if run.modality == "speech"), [])


def _draw(panels: list[tuple[str, str, np.ndarray, int, list[int]]], path: str | os.PathLike) -> None:
    """Spectrograms (Hz over s) with the speech tokens under them, one colour and number a code."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TriglotError("demo.png needs matplotlib: pip install matplotlib") from error

    longest = max(len(wave) / rate for _, _, wave, rate, _ in panels)
    figure = Figure(figsize=(max(7.0, 3.2 * longest), 3.2 * len(panels)), dpi=120, layout="constrained")
    axes = figure.subplots(2 * len(panels), 1, height_ratios=[5, 1] * len(panels))
    for number, (title, text, wave, rate, codes) in enumerate(panels):
        sound, tokens = axes[2 * number], axes[2 * number + 1]
        seconds = len(wave) / rate
        shown = f"{title}: {text}" if _latin(text) else title
        window = 2 * round(0.0125 * rate)
        sound.specgram(wave + 1e-5, NFFT=window, noverlap=window * 3 // 4, Fs=rate, cmap="magma", vmin=-120)
        sound.set(title=shown, ylabel="Hz", xlim=(0, seconds), ylim=(0, 8_000), xticks=[])
        tokens.imshow(
            np.array([codes or [0]]) * 97 % 256, aspect="auto", cmap="hsv", alpha=0.55, extent=(0, seconds, 0, 1)
        )
        for place, code in enumerate(codes):
            tokens.text(
                (place + 0.5) * seconds / len(codes), 0.5, str(code), rotation=90, ha="center", va="center", size=5
            )
        tokens.set(yticks=[], xlabel="s", ylabel="tokens")
    FigureCanvasAgg(figure).print_png(path)


def _latin(text: str | None) -> bool:
    """Whether matplotlib's own font has all letters."""
    return text is not None and all(ord(letter) < 0x250 for letter in text)
