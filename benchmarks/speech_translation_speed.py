"""Speech-to-speech translation: real-time factor warm, seconds cold, peak memory; beside SeamlessM4T v2 of the same size.

    python benchmarks/speech_translation_speed.py [--model hub_configs/triglot-tiny] [--sentences 10] [--rounds 3]

The peer is transformers' SeamlessM4Tv2Model with as many parameters, at random, made to print as many text tokens and to
speak as long as ours did for the same sentence (a trained one of this size does not exist). Both run in one process and
alternate sentence by sentence; the best of the rounds counts. The cold figure is the whole command `triglot translate`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import SeamlessM4TFeatureExtractor, SeamlessM4Tv2Config, SeamlessM4Tv2Model, pipeline
from transformers.utils import logging

import triglot  # noqa: F401  (registers the pipelines)
from triglot.processing.audio_io import load_audio, write_audio
from triglot.training.data.demo_world import DemoWorldArguments, demo_world

UNIT_RATE = 50  # units/s of SeamlessM4T: 320 samples of 16 kHz each
CHARACTERS = 4  # of each of the peer's text tokens
LANGUAGE = "spa"
PEER = "SeamlessM4T v2, random"


def build_peer(parameters: int) -> SeamlessM4Tv2Model:
    """A SeamlessM4T v2 with random weights and about as many parameters, whose outputs have the lengths they are told."""
    width = 160

    def config(inner: int) -> SeamlessM4Tv2Config:
        return SeamlessM4Tv2Config(
            vocab_size=2_400, t2u_vocab_size=520, char_vocab_size=100, hidden_size=width,
            encoder_layers=2, encoder_ffn_dim=inner, encoder_attention_heads=4,
            decoder_layers=3, decoder_ffn_dim=inner, decoder_attention_heads=4,
            speech_encoder_layers=4, speech_encoder_attention_heads=4, speech_encoder_intermediate_size=inner,
            t2u_encoder_layers=2, t2u_encoder_ffn_dim=inner, t2u_encoder_attention_heads=4,
            t2u_decoder_layers=2, t2u_decoder_ffn_dim=inner, t2u_decoder_attention_heads=4,
            t2u_variance_predictor_embed_dim=width, unit_hifi_gan_vocab_size=520, unit_embed_dim=width,
            lang_embed_dim=32, spkr_embed_dim=32, vocoder_offset=0,  # at random, a control unit may be drawn
            vocoder_num_langs=3, vocoder_num_spkrs=4, upsample_initial_channel=128, max_new_tokens=64,
        )  # fmt: skip

    def size(inner: int) -> int:
        with torch.device("meta"):
            return sum(weight.numel() for weight in SeamlessM4Tv2Model(config(inner)).parameters())

    inner = min(range(64, 2_049, 32), key=lambda inner: abs(size(inner) - parameters))
    torch.manual_seed(0)
    peer = SeamlessM4Tv2Model(config(inner)).eval()
    settings = peer.generation_config
    settings.text_decoder_lang_to_code_id = {LANGUAGE: 10}
    settings.t2u_lang_code_to_id = {LANGUAGE: 5}
    settings.vocoder_lang_code_to_id = {LANGUAGE: 1}
    settings.id_to_text = {str(index): "▁" + "a" * (CHARACTERS - 1) for index in range(2_400)}
    settings.char_to_id = {"▁": 5, "a": 6, "__spa__": 7}
    settings.pad_token_id, settings.bos_token_id, settings.eos_token_id = 0, 2, 3
    for predictor in (peer.t2u_model.model.decoder.duration_predictor, peer.vocoder.dur_predictor):
        torch.nn.init.zeros_(predictor.proj.weight)  # durations are the bias alone; `ask_peer` sets the first one's
    torch.nn.init.constant_(peer.vocoder.dur_predictor.proj.bias, float(np.log(2.0)))  # one frame a unit
    return peer


def ask_peer(peer, extractor, wave: np.ndarray, tokens: int, seconds: float) -> float:
    """Translates once; returns the seconds of speech that came out."""
    per_character = max(1, round(seconds * UNIT_RATE / (tokens * CHARACTERS)))
    torch.nn.init.constant_(
        peer.t2u_model.model.decoder.duration_predictor.proj.bias, float(np.log(1.0 + per_character))
    )
    inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
    # <eos> closes the text and the language opens it: neither is spoken
    lengths = {"text_min_new_tokens": tokens + 1, "text_max_new_tokens": tokens + 1}
    audio, _ = peer.generate(
        input_features=inputs["input_features"], attention_mask=inputs["attention_mask"], tgt_lang=LANGUAGE,
        num_beams=1, do_sample=False, **lengths,
    )  # fmt: skip
    return audio.shape[-1] / 16_000


def parameters_of(s2st) -> int:
    """Of the LM, the tokenizer and the decoder together."""
    codecs = s2st.processor.codecs
    parts = [s2st.model, codecs.get("speech_tokenizer"), codecs.get("speech_decoder")]
    return sum(weight.numel() for part in parts for weight in part.parameters())


def cold(model: str, wave: np.ndarray) -> tuple[float, float]:
    """Seconds of the whole command from a fresh process, and the process's peak memory in GB."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.wav"
        write_audio(source, wave, 16_000)
        command = [
            sys.executable, "-m", "triglot", "translate", str(source), "--from", "es", "--to", "en", "--model", model,
            "-o", str(Path(folder) / "out.wav"),
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hub_configs/triglot-tiny")
    parser.add_argument("--sentences", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    world = demo_world(
        DemoWorldArguments(
            sentences=arguments.sentences, phrases=True, held_out=True, languages="es en", speakers="", voices="held_out",
            directions="ring",
        ),
        seed=1,
    )  # fmt: skip
    waves = [load_audio(row["audio"], target_rate=16_000) for row in world if row["source_language"] == "es"]
    seconds, memory = min(cold(arguments.model, waves[0]) for _ in range(arguments.rounds))

    s2st = pipeline("speech-to-speech-translation", model=arguments.model)
    ways = {"triglot, chain": True, "triglot, direct": False}

    def ask(wave: np.ndarray, chain: bool) -> dict:
        return s2st(wave, sampling_rate=16_000, source_language="es", target_language="en", chain=chain)

    ask(waves[0], True)
    parameters = parameters_of(s2st)
    peer, extractor = build_peer(parameters), SeamlessM4TFeatureExtractor()
    ask_peer(peer, extractor, waves[0], 10, 2.0)
    best = {name: np.full(len(waves), np.inf) for name in (*ways, PEER)}
    spoken = {name: np.zeros(len(waves)) for name in best}

    def timed(name: str, number: int, call: Any) -> Any:
        start = time.perf_counter()
        result = call()
        best[name][number] = min(best[name][number], time.perf_counter() - start)
        return result

    for _ in range(arguments.rounds):
        for number, wave in enumerate(waves):
            results = {name: timed(name, number, partial(ask, wave, chain)) for name, chain in ways.items()}
            for name, result in results.items():
                spoken[name][number] = len(result["audio"]) / result["sampling_rate"]
            tokens = max(2, len(s2st.processor.text_ids(results["triglot, chain"]["text"])))
            seconds_out = float(spoken["triglot, chain"][number])
            spoken[PEER][number] = timed(PEER, number, partial(ask_peer, peer, extractor, wave, tokens, seconds_out))
    heard = sum(len(wave) for wave in waves) / 16_000
    counts = dict.fromkeys(ways, parameters)
    counts[PEER] = sum(weight.numel() for weight in peer.parameters())
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(waves)} sentences, best of {arguments.rounds}"
    )
    print("| system | parameters | s of speech in | out | s of work | real-time factor |\n|---|---|---|---|---|---|")
    for name in best:
        work = best[name].sum()
        print(
            f"| {name} | {counts[name] / 1e6:.1f}M | {heard:.1f} | {spoken[name].sum():.1f} | {work:.2f} | {work / heard:.3f} |"
        )
    print(f"cold `triglot translate`: {seconds:.1f} s to the file, peak memory {memory:.2f} GB")


if __name__ == "__main__":
    main()
