"""Codes -> sound: SoundStorm beside soundstorm-pytorch and beside AudioLM, AudioLM's steps beside transformers' `generate`, long output.

    python benchmarks/speech_decoder_speed.py [--soundstorm DIR] [--audiolm DIR] [--peer-python PYTHON] [--rounds 3]

Without folders the models are random, of the sizes below: speed does not depend on what weights know. The peer needs an environment of
its own with soundstorm-pytorch in it (any torch will do, if its torchaudio can be imported): --peer-python is its interpreter, which
this script calls with itself; without it that table is left out. Ours and the peer's turns alternate within one run; both take
`ITERATIONS` passes for the first level and one for each finer one.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

ITERATIONS, LEVELS, ENTRIES, SEMANTIC, SECONDS, RATE = 18, 8, 1024, 500, 30, 50  # of the comparison with the peer
PASSES = ITERATIONS + LEVELS - 1


def peer() -> None:
    """In the peer's environment: one line of JSON, parameters and seconds of each call, for every line that comes in."""
    import types

    sys.modules.setdefault("fairseq", types.ModuleType("fairseq"))  # imported by a dependency, not used here
    import torch
    from soundstorm_pytorch import ConformerWrapper, SoundStorm

    torch.manual_seed(0)
    conformer = ConformerWrapper(
        codebook_size=ENTRIES, num_quantizers=LEVELS,
        conformer={"dim": 256, "depth": 6, "heads": 4, "dim_head": 64, "ff_mult": 4, "conv_kernel_size": 5, "attn_flash": True},
    )  # fmt: skip
    model = SoundStorm(conformer, steps=ITERATIONS, schedule="cosine").eval()
    print(json.dumps({"parameters": sum(weight.numel() for weight in model.parameters())}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(SECONDS * RATE, batch_size=1)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def beside_the_peer(python: str, rounds: int) -> None:
    """Our passes and the peer's, turn by turn, at the peer's number of parameters."""
    import torch

    process = subprocess.Popen(
        [python, __file__, "--peer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a progress bar
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    theirs = json.loads(process.stdout.readline())["parameters"]
    model = soundstorm_like(theirs)
    ours = sum(weight.numel() for name, weight in model.named_parameters() if not name.startswith("codec."))
    semantic = torch.randint(SEMANTIC, (SECONDS * 25,))
    times: dict[str, list[float]] = {"SoundStorm": [], "soundstorm-pytorch": []}
    for _ in range(rounds):
        start = time.perf_counter()
        with torch.inference_mode():
            model.complete(semantic, torch.zeros(LEVELS, 0, dtype=torch.long), torch.Generator().manual_seed(0))
        times["SoundStorm"].append(time.perf_counter() - start)
        process.stdin.write("\n")
        process.stdin.flush()
        times["soundstorm-pytorch"].append(json.loads(process.stdout.readline())["seconds"])
    process.stdin.close()
    process.wait()
    print(f"\n{SECONDS} s of codes, {LEVELS} levels of {ENTRIES}, {PASSES} passes, best of {rounds}")
    print("| | parameters, M | s | s a pass |\n|---|---|---|---|")
    for name, count in (("SoundStorm", ours), ("soundstorm-pytorch", theirs)):
        best = min(times[name])
        print(f"| {name} | {count / 1e6:.1f} | {best:.2f} | {best / PASSES:.3f} |")
    print(f"{min(times['soundstorm-pytorch']) / min(times['SoundStorm']):.2f} times as fast")


def soundstorm_like(parameters: int):
    """A random SoundStorm of about so many parameters, as deep and wide as the peer's."""
    import torch

    from triglot.modeling.decoders.configuration_soundstorm import SoundStormConfig
    from triglot.modeling.decoders.modeling_soundstorm import SoundStorm

    def build(intermediate: int):
        torch.manual_seed(0)
        config = SoundStormConfig(
            codebook_size=SEMANTIC, codec_config=small_codec(), levels=LEVELS, level_size=ENTRIES, sampling_rate=16_000,
            hop_length=320, hidden_size=256, num_hidden_layers=6, num_attention_heads=4, intermediate_size=intermediate,
            iterations=ITERATIONS, window_seconds=SECONDS,
        )  # fmt: skip
        return SoundStorm(config).eval()

    def size(model) -> int:
        return sum(weight.numel() for name, weight in model.named_parameters() if not name.startswith("codec."))

    small = build(256)
    per_unit = 6 * 2 * 2 * 256  # two feed-forward parts a layer, two matrices each
    return build(max(64, round(256 + (parameters - size(small)) / per_unit)))


def small_codec() -> dict:
    """A DAC of 50 frames/s at 16 kHz."""
    return {
        "model_type": "dac", "encoder_hidden_size": 16, "downsampling_ratios": [2, 4, 5, 8], "decoder_hidden_size": 256,
        "upsampling_ratios": [8, 5, 4, 2], "n_codebooks": LEVELS, "codebook_size": ENTRIES, "codebook_dim": 8,
        "sampling_rate": 16_000,
    }  # fmt: skip


def random_audiolm():
    import torch

    from triglot.modeling.decoders.configuration_audiolm import AudioLmConfig
    from triglot.modeling.decoders.modeling_audiolm import AudioLm

    torch.manual_seed(0)
    config = AudioLmConfig(
        codebook_size=SEMANTIC, codec_config=small_codec(), levels=LEVELS, level_size=ENTRIES, sampling_rate=16_000, hop_length=320,
        window_seconds=5.0, context_seconds=1.0,
    )  # fmt: skip
    return AudioLm(config).eval()


def beside_generate(model, rounds: int) -> None:
    """Codes a second of the coarse stage beside ids a second of `generate` on a Llama of its sizes."""
    import torch
    from transformers import LlamaForCausalLM

    stage, config = model.coarse, model.config
    llama = LlamaForCausalLM(stage.body.config).eval()
    codes, frames = 50, 150 // config.coarse_levels
    semantic, new = torch.arange(codes) % config.codebook_size, frames * config.coarse_levels
    stream = model._coarse_stream(semantic, torch.zeros(config.coarse_levels, 0, dtype=torch.long))
    best = {"AudioLm": float("inf"), "generate": float("inf")}
    for _ in range(rounds):
        with torch.inference_mode():
            start = time.perf_counter()
            model._write(stage, stream, frames, 0, config.temperature, torch.Generator().manual_seed(0))
            best["AudioLm"] = min(best["AudioLm"], time.perf_counter() - start)
            start = time.perf_counter()
            llama.generate(
                semantic[None], attention_mask=torch.ones(1, codes, dtype=torch.long), do_sample=True, max_new_tokens=new,
                min_new_tokens=new, pad_token_id=0,
            )  # fmt: skip
            best["generate"] = min(best["generate"], time.perf_counter() - start)
    rates = {name: new / seconds for name, seconds in best.items()}
    print(f"\n{new} codes after {codes} given, best of {rounds}\n| | codes/s |\n|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} |")
    print(f"{rates['AudioLm'] / rates['generate']:.2f} times as fast")


def beside_each_other(models: dict, rounds: int) -> None:
    """Real-time factors from codes to sound."""
    import torch

    codes = torch.randint(next(iter(models.values())).codebook_size, (25 * 10,))
    seconds, best = 10.0, {}
    for name, model in models.items():
        codes_here = codes % model.codebook_size
        for _ in range(rounds):
            start = time.perf_counter()
            model.decode([codes_here])
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - start)
    print(
        f"\n{seconds:.0f} s of codes to sound, best of {rounds}\n| | parameters, M | real-time factor |\n|---|---|---|"
    )
    for name, model in models.items():
        count = sum(weight.numel() for weight in model.parameters()) / 1e6
        print(f"| {name} | {count:.1f} | {best[name] / seconds:.3f} |")
    print(f"SoundStorm is {best['AudioLm'] / best['SoundStorm']:.0f} times as fast as AudioLm")


def long_output(model) -> None:
    """Time and memory over length, and what is heard where windows meet."""
    import numpy as np
    import torch

    print("\n| length, s | s of work | real-time factor | peak memory, MB |\n|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    sound = np.zeros(0)
    for seconds in (10, 60, 600):
        codes = torch.randint(model.codebook_size, (round(seconds * model.config.frame_rate),), generator=generator)
        start = time.perf_counter()
        sound = model.decode([codes])[0].numpy()
        work = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {seconds} | {work:.1f} | {work / seconds:.3f} | {peak:.0f} |")
    print(seams(model, sound))


def seams(model, sound) -> str:
    """Where windows, and where the codec's chunks meet: the step from sample to sample against that everywhere else."""
    import numpy as np

    from triglot.modeling.decoders.neural_codec import CHUNK_SECONDS

    steps = np.abs(np.diff(sound))
    window = model.config.whole_codes(model.config.window_seconds) * model.samples_per_code
    chunk = round(CHUNK_SECONDS * model.codec.frame_rate) * model.codec.hop_length
    lines = []
    for name, size in (("windows", window), ("the codec's chunks", chunk)):
        borders = np.arange(size, len(sound), size) - 1
        share = float(np.mean(steps <= np.median(steps[borders])))
        lines.append(
            f"{len(borders)} borders of {name}: median step {np.median(steps[borders]):.4f}, inside {np.median(steps):.4f} "
            f"(the borders' median lies at {100 * share:.0f} % of all steps)"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soundstorm")
    parser.add_argument("--audiolm")
    parser.add_argument("--peer-python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-long", action="store_true", help="leave out the ten minutes of output")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer()
        return
    import torch

    from triglot.training.load_parts import load_speech_decoder

    soundstorm = load_speech_decoder(arguments.soundstorm) if arguments.soundstorm else soundstorm_like(11_700_000)
    audiolm = load_speech_decoder(arguments.audiolm) if arguments.audiolm else random_audiolm()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if arguments.peer_python:
        beside_the_peer(arguments.peer_python, arguments.rounds)
    beside_generate(audiolm, arguments.rounds)
    beside_each_other({"SoundStorm": soundstorm, "AudioLm": audiolm}, arguments.rounds)
    if not arguments.skip_long:
        long_output(soundstorm)


if __name__ == "__main__":
    main()
