"""Peers of `triglot train multi30k_speech`, from nothing on the same sentences and voices, for as many seconds as `--seconds` says.

    speech    log-mel frames of the first language in (transformers' Whisper)                              -> ASR, AST
    text      encoder and decoder for text (transformers' MBart), from and to the first language           -> MT
    cascade   what the first writes down, translated by the second                                         -> AST
    mixed     what Triglot wrote down (`--items`), translated by the second                                -> AST

    python benchmarks/multi30k_peers.py --folder multi30k --text-tokenizer runs/multi30k_speech/text_tokenizer --seconds 180 --out peers

writes OUT/speech.json and OUT/text.json, what they make of the test captions (greedily, as `triglot evaluate` decodes), and prints WER
and BLEU. `--what` runs one of the two. The learning rate follows the clock: cosine to 0 when the time is up. The speech model hears as many
utterances by other voices and through recording conditions as Triglot's encoder does (`--augmented-share`). Speaking and reading the test are not
counted. The defaults are of the size of `multi30k_speech`; training/recipes/multi30k_speech_small_test.yaml has the command for two CPU cores.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import (
    AutoTokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    WhisperConfig,
    WhisperForConditionalGeneration,
)
from transformers.audio_utils import mel_filter_bank

from triglot.processing.audio_io import resample
from triglot.processing.languages import language_name
from triglot.training.data.augment import RecordingConditions, resample_voice
from triglot.training.data.demo_world import speak
from triglot.training.data.spoken_text import SpokenTextArguments, parallel_sentences, speaker_of
from triglot.training.metrics import Bleu, WordErrorRate

RATE, HOP, WINDOW, MELS = 16_000, 160, 400, 80
LONGEST = 128  # ids of a sentence
WARMUP = 0.05  # of the time


def sounds(arguments: SpokenTextArguments, language: str, workers: int) -> list[np.ndarray]:
    """int16 (samples,) at 16 kHz of every sentence, by the speakers that the recipe gives them."""
    count = len(parallel_sentences(arguments))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        work = pool.map(_sound, [arguments] * count, [language] * count, range(count), chunksize=100)
        return list(tqdm(work, total=count, desc="speaking"))


def _sound(arguments: SpokenTextArguments, language: str, number: int) -> np.ndarray:
    text = parallel_sentences(arguments)[number][language]
    wave, rate = speak(text, language, speaker_of(arguments, 0, number))
    return (resample(wave, rate, RATE).clip(-1, 1) * 32767).astype(np.int16)


def heard(wave: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The int16 wave itself, or in this share of cases by another voice in another room, as `train_encoder` has it."""
    if rng.random() >= share:
        return wave
    other = resample_voice(wave.astype(np.float32) / 32767, rng)
    return (RecordingConditions.draw(rng).apply(other, RATE, rng) * 32767).astype(np.int16)


class LogMel:
    """Whisper's features (arXiv 2212.04356, section 2.2): float (N, 80, 100 * seconds)."""

    def __init__(self, seconds: int, device: torch.device):
        bank = mel_filter_bank(1 + WINDOW // 2, MELS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
        self.bank = torch.tensor(bank.T, dtype=torch.float32, device=device)
        self.window = torch.hann_window(WINDOW, device=device)
        self.samples, self.device = seconds * RATE, device

    def __call__(self, waves: Sequence[np.ndarray]) -> torch.Tensor:
        padded = torch.zeros(len(waves), self.samples, device=self.device)
        for row, wave in zip(padded, waves):
            heard = torch.from_numpy(wave[: self.samples]).to(self.device)
            row[: len(heard)] = heard.float() / 32767
        spectrum = torch.stft(padded, WINDOW, HOP, window=self.window, return_complex=True)[..., :-1].abs() ** 2
        logs = (self.bank @ spectrum).clamp(min=1e-10).log10()
        return (torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8) + 4) / 4


def padded(rows: Sequence[Sequence[int]], fill: int, device: torch.device) -> torch.Tensor:
    """int64 (N, L), filled on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], device=device)


class Texts:
    """Sentences as ids, and the tag that the decoder's output begins with."""

    def __init__(self, tokenizer: Any):
        self.tokenizer, self.pad, self.eos = tokenizer, tokenizer.pad_token_id, tokenizer.eos_token_id

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"][:LONGEST]

    def tag(self, task: str, *languages: str) -> list[int]:
        return [self.pad, *self.ids(f"[{task} {' '.join(map(language_name, languages))}]")]

    def targets(self, tags: Sequence[list[int]], outputs: Sequence[list[int]], device: torch.device) -> dict[str, Any]:
        """Decoder input and labels; the loss is on the sentences and their ends."""
        whole = [tag + output + [self.eos] for tag, output in zip(tags, outputs)]
        labels = [[-100] * (len(tag) - 1) + output + [self.eos] for tag, output in zip(tags, outputs)]
        return {
            "decoder_input_ids": padded([row[:-1] for row in whole], self.pad, device),
            "labels": padded(labels, -100, device),
        }


def train(model: torch.nn.Module, batches: Iterator[dict[str, Any]], seconds: float, rate: float) -> int:
    """Steps done in the time given."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    device, begin, steps, loss = next(model.parameters()).device, time.monotonic(), 0, torch.zeros(())
    bar = tqdm(total=int(seconds), unit="s", desc=type(model).__name__)
    while (passed := (time.monotonic() - begin) / seconds) < 1:
        batch = next(batches)
        labels = batch.pop("labels")
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(**batch, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100, label_smoothing=0.1
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(passed / WARMUP, 0.5 * (1 + math.cos(math.pi * passed)))
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
        if steps % 50 == 0:
            bar.set_postfix(loss=f"{float(loss):.3f}", steps=steps)
            bar.update(int(passed * seconds) - bar.n)
    print(f"{type(model).__name__}: {steps} steps, last loss {float(loss):.3f}")
    return steps


@torch.inference_mode()
def write(
    model: Any, encoded: Callable[[slice], dict[str, Any]], count: int, tag: list[int], texts: Texts
) -> list[str]:
    """What the model writes greedily after the tag, for each of `count` inputs."""
    model.eval()
    device, written = next(model.parameters()).device, []
    for start in range(0, count, 100):
        inputs = encoded(slice(start, min(start + 100, count)))
        with torch.autocast(device.type, torch.bfloat16):
            states = model.get_encoder()(**inputs)
            size, cache = len(states[0]), None
            ids = torch.tensor([tag] * size, device=device)
            outputs = torch.empty(size, 0, dtype=torch.long, device=device)
            ended = torch.zeros(size, dtype=torch.bool, device=device)
            masks = {key: value for key, value in inputs.items() if key == "attention_mask"}
            while outputs.shape[1] < LONGEST and not bool(ended.all()):
                made = model(
                    encoder_outputs=states, decoder_input_ids=ids, past_key_values=cache, use_cache=True, **masks
                )
                cache = made.past_key_values
                ids = made.logits[:, -1:].argmax(-1).masked_fill(ended[:, None], texts.pad)
                ended = ended | (ids[:, 0] == texts.eos)
                outputs = torch.cat([outputs, ids], 1)
        written += texts.tokenizer.batch_decode(outputs, skip_special_tokens=True)
    return written


def text_peer(arguments: argparse.Namespace, texts: Texts, device: torch.device) -> dict[str, Any]:
    """Trains the text Transformer; returns what it did and the translations of the test captions."""
    first, *others = arguments.languages.split()
    rows = [
        {language: texts.ids(text) for language, text in row.items()}
        for row in tqdm(parallel_sentences(spoken(arguments, "train")), desc="ids")
    ]
    model = MBartForConditionalGeneration(
        MBartConfig(
            vocab_size=len(texts.tokenizer), d_model=arguments.hidden_size, encoder_layers=arguments.layers,
            decoder_layers=arguments.layers, encoder_ffn_dim=arguments.ffn_size, decoder_ffn_dim=arguments.ffn_size,
            encoder_attention_heads=arguments.heads, decoder_attention_heads=arguments.heads, dropout=arguments.dropout,
            attention_dropout=0.0, activation_function="gelu", pad_token_id=texts.pad, eos_token_id=texts.eos,
            decoder_start_token_id=texts.pad, forced_eos_token_id=texts.eos, max_position_embeddings=512, scale_embedding=True,
        )
    ).to(device)  # fmt: skip
    directions = [pair for other in others for pair in ((first, other), (other, first))]
    tags = {pair: texts.tag("MT", *pair) for pair in directions}

    def batches() -> Iterator[dict[str, Any]]:
        rng = random.Random(arguments.seed)
        items = [(number, pair) for number in range(len(rows)) for pair in directions]
        while True:
            rng.shuffle(items)
            for start in range(0, len(items), 50 * arguments.batch_size):  # alike lengths beside each other
                near = sorted(
                    items[start : start + 50 * arguments.batch_size], key=lambda item: len(rows[item[0]][first])
                )
                groups = [near[i : i + arguments.batch_size] for i in range(0, len(near), arguments.batch_size)]
                rng.shuffle(groups)
                for group in groups:
                    ids = padded([[*rows[n][source], texts.eos] for n, (source, _) in group], texts.pad, device)
                    outputs = [rows[number][target] for number, (_, target) in group]
                    yield {
                        "input_ids": ids, "attention_mask": (ids != texts.pad).long(),
                        **texts.targets([tags[pair] for _, pair in group], outputs, device),
                    }  # fmt: skip

    steps = train(model, batches(), arguments.seconds, arguments.learning_rate)
    tests = parallel_sentences(spoken(arguments, "test_2016_flickr"))

    def translate(sentences: Sequence[str], source: str, target: str) -> list[str]:
        def encoded(which: slice) -> dict[str, Any]:
            ids = padded([[*texts.ids(text), texts.eos] for text in sentences[which]], texts.pad, device)
            return {"input_ids": ids, "attention_mask": (ids != texts.pad).long()}

        return write(model, encoded, len(sentences), tags[source, target], texts)

    written = {f"{s}-{t}": translate([row[s] for row in tests], s, t) for s, t in directions}
    result = {"parameters": model.num_parameters(), "steps": steps, "MT": written}
    written_down = Path(arguments.out) / "speech.json"
    end = time.monotonic() + arguments.wait
    while time.monotonic() < end and not all(map(Path.is_file, (written_down, arguments.items or written_down))):
        time.sleep(0.5)
    if not written_down.is_file():
        print(f"{written_down} is not there: the cascade is left out", flush=True)
    else:
        lines = json.loads(written_down.read_text(encoding="utf-8"))["ASR"][first]
        result["cascade"] = {f"{first}-{other}": translate(lines, first, other) for other in others}
    if arguments.items and not arguments.items.is_file():
        print(f"{arguments.items} is not there: the mixed cascade is left out", flush=True)
    elif arguments.items:
        items = [json.loads(line) for line in arguments.items.read_text(encoding="utf-8").splitlines()]
        asr = [item for item in items if item["task"] == "ASR" and item["source_language"] == first]
        lines = [item["hypothesis"] for item in asr][: len(tests)]
        result["mixed cascade"] = {f"{first}-{other}": translate(lines, first, other) for other in others}
    return result


def speech_peer(arguments: argparse.Namespace, texts: Texts, device: torch.device) -> dict[str, Any]:
    """Trains the Whisper-shaped model; returns what it did and what it makes of the spoken test captions."""
    first, *others = arguments.languages.split()
    train_text, test_text = spoken(arguments, "train"), spoken(arguments, "test_2016_flickr")
    waves = sounds(train_text, first, arguments.workers)
    kept = [number for number, wave in enumerate(waves) if len(wave) <= arguments.speech_seconds * RATE]
    rows = [{key: texts.ids(text) for key, text in row.items()} for row in parallel_sentences(train_text)]
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(texts.tokenizer), num_mel_bins=MELS, d_model=arguments.hidden_size,
            encoder_layers=arguments.layers, decoder_layers=arguments.layers, encoder_ffn_dim=arguments.ffn_size,
            decoder_ffn_dim=arguments.ffn_size, encoder_attention_heads=arguments.heads,
            decoder_attention_heads=arguments.heads, dropout=arguments.dropout, max_source_positions=50 * arguments.speech_seconds,
            max_target_positions=2 * LONGEST, pad_token_id=texts.pad, bos_token_id=texts.eos, eos_token_id=texts.eos,
            decoder_start_token_id=texts.pad, begin_suppress_tokens=None, suppress_tokens=None,
        )
    ).to(device)  # fmt: skip
    features = LogMel(arguments.speech_seconds, device)
    tags = {first: texts.tag("ASR", first), **{other: texts.tag("AST", first, other) for other in others}}

    def batches() -> Iterator[dict[str, Any]]:
        rng, noise = random.Random(arguments.seed), np.random.default_rng(arguments.seed)
        items = [(number, target) for number in kept for target in tags]
        while True:
            rng.shuffle(items)
            for start in range(0, len(items) - arguments.speech_batch_size + 1, arguments.speech_batch_size):
                group = items[start : start + arguments.speech_batch_size]
                outputs = [rows[number][target] for number, target in group]
                yield {
                    "input_features": features(
                        [heard(waves[number], arguments.augmented_share, noise) for number, _ in group]
                    ),
                    **texts.targets([tags[target] for _, target in group], outputs, device),
                }

    steps = train(model, batches(), arguments.seconds, arguments.learning_rate)
    tests = sounds(test_text, first, arguments.workers)
    written = {
        target: write(model, lambda which: {"input_features": features(tests[which])}, len(tests), tag, texts)
        for target, tag in tags.items()
    }
    asr = {first: written.pop(first)}
    ast = {f"{first}-{target}": lines for target, lines in written.items()}
    return {"parameters": model.num_parameters(), "steps": steps, "ASR": asr, "AST": ast}


def print_scores(result: dict[str, Any], tests: Sequence[dict[str, str]]) -> None:
    """WER of what was written down, BLEU of translations, in percent."""
    for task in ("ASR", "AST", "MT", "cascade", "mixed cascade"):
        for direction, lines in result.get(task, {}).items():
            references = [row[direction.split("-")[-1]] for row in tests]
            metric = WordErrorRate() if task == "ASR" else Bleu()
            print(task, direction, metric.compute(predictions=lines, references=references))


def spoken(arguments: argparse.Namespace, split: str) -> SpokenTextArguments:
    """The captions of a split, by the voices that the recipe and its test use."""
    return SpokenTextArguments(
        folder=arguments.folder, split=split, languages=arguments.languages, sentences=arguments.sentences,
        voices="training" if split == "train" else "held_out",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", required=True, help="of train.en.gz, test_2016_flickr.en.gz, ...")
    parser.add_argument("--text-tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--languages", default="en de fr cs")
    parser.add_argument("--what", default="speech text", help="peers, one after the other")
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="so long at most, until other processes have made speech.json and --items for the cascades",
    )
    parser.add_argument(
        "--items",
        type=Path,
        help="items.jsonl of `triglot evaluate`, of which the text peer translates the transcripts",
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="of training, each")
    parser.add_argument(
        "--speech-seconds",
        type=int,
        default=10,
        help="that the speech model hears; longer captions are left out of training and cut in the test",
    )
    parser.add_argument("--sentences", type=int, default=0, help="of each split; 0 for all")
    parser.add_argument("--hidden-size", type=int, default=384)
    parser.add_argument("--ffn-size", type=int, default=1152)
    parser.add_argument("--layers", type=int, default=4, help="of the encoder and of the decoder")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--batch-size", type=int, default=256, help="sentence pairs")
    parser.add_argument("--speech-batch-size", type=int, default=64, help="utterances")
    parser.add_argument(
        "--augmented-share", type=float, default=0.3, help="of utterances by other voices, in other rooms"
    )
    parser.add_argument("--learning-rate", type=float, default=7e-4)
    parser.add_argument("--workers", type=int, default=2, help="processes that speak")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    texts = Texts(AutoTokenizer.from_pretrained(arguments.text_tokenizer))
    Path(arguments.out).mkdir(parents=True, exist_ok=True)
    for what in arguments.what.split():
        (Path(arguments.out) / f"{what}.json").unlink(missing_ok=True)  # of an older run
    for what in arguments.what.split():
        result = {"speech": speech_peer, "text": text_peer}[what](arguments, texts, device)
        file = Path(arguments.out) / f"{what}.json"
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps({**result, "seconds": arguments.seconds}, ensure_ascii=False), encoding="utf-8")
        partial.replace(file)
        print(f"{file}: {result['parameters']} parameters, {result['steps']} steps")
        print_scores(result, parallel_sentences(spoken(arguments, "test_2016_flickr")))


if __name__ == "__main__":
    main()
