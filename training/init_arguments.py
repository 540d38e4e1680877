"""The arguments of `triglot init`. Imports nothing else of the package, so that `triglot --help` is instant."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `triglot init`; their names are those of `InitArguments` and, with `plan_`, of `TrainingSetup`."""
    parser.add_argument("--text-llm", required=True, help="folder or Hub id of a causal LM and its tokenizer")
    parser.add_argument("--out", required=True, help="folder of the new checkpoint")
    parser.add_argument("--languages", default="en es", help="ISO codes, the default one first (default: 'en es')")
    parser.add_argument("--init", default="mean", help="of the new rows: zero, mean or centroids (default: mean)")
    parser.add_argument("--dtype", default="bfloat16", help="of the LM in the checkpoint (default: bfloat16)")
    parser.add_argument("--seed", type=int, default=0, help="of k-means (default: 0)")
    speech = parser.add_argument_group("speech tokens, from one of")
    speech.add_argument("--speech-tokenizer", default="", help="a finished speech tokenizer")
    speech.add_argument(
        "--speech-encoder", default="", help="HuBERT, Wav2Vec2, WavLM, w2v-BERT ... and k-means over --audio"
    )
    speech.add_argument(
        "--codec", default="", help="Mimi, EnCodec or DAC; beside an encoder it is kept for the acoustic half"
    )
    speech.add_argument(
        "--layer", type=int, default=6, help="of the encoder, whose features are clustered (default: 6)"
    )
    speech.add_argument("--frame-rate", type=float, default=25.0, help="codes/s of the encoder's tokens (default: 25)")
    speech.add_argument(
        "--codebook-size", type=int, default=1000, help="codes of the encoder's tokens (default: 1000)"
    )
    speech.add_argument("--audio", default="", help="sound for k-means: a folder of save_to_disk or of sound files, a "
                        "parquet file, a Hub id")  # fmt: skip
    speech.add_argument("--split", default="train", help="of --audio (default: train)")
    speech.add_argument(
        "--max-frames", type=int, default=500_000, help="codes' worth of sound for k-means (default: 500000)"
    )
    speech.add_argument("--levels", type=int, default=1, help="RVQ levels of the codec that are told (default: 1)")
    more = parser.add_argument_group("finished parts beside them")
    more.add_argument(
        "--speech-decoder", default="", help="of the tokens of --speech-tokenizer: SoundStorm, AudioLM ..."
    )
    more.add_argument("--image-tokenizer", default="", help="for a Triglot that sees and draws")
    plan = parser.add_argument_group("the memory plan")
    plan.add_argument("--plan-only", action="store_true", help="say what a training step takes in memory, and stop")
    plan.add_argument("--plan-trainable", default="full", help="full or lora (default: full)")
    plan.add_argument("--plan-dtype", default="float32", help="of the weights in memory (default: float32)")
    plan.add_argument(
        "--plan-autocast", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 activations"
    )
    plan.add_argument("--plan-optimizer-bytes", type=int, default=8, help="a trained number; 8 for AdamW (default: 8)")
    plan.add_argument("--plan-batch-size", type=int, default=8, help="rows a step (default: 8)")
    plan.add_argument("--plan-length", type=int, default=1024, help="ids a row (default: 1024)")
    plan.add_argument("--plan-gradient-checkpointing", action=argparse.BooleanOptionalAction, default=False, help=" ")
    plan.add_argument("--plan-lora-rank", type=int, default=16, help="of the adapters (default: 16)")
