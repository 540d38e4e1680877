"""What training a token LM of 1B and 8B takes on 1, 8 and 64 GPUs: memory of each, tokens a second. A plan on paper, nothing is run.

    python benchmarks/sizing.py [--peak 989] [--utilisation 0.4] [--length 2048] [--batch 4] [--new-rows 2048]

The memory is `training.memory_plan`'s, which the tests hold against what autograd keeps; the rest, the arithmetic of docs/sizing.md, is
`training.throughput`'s.
"""

import argparse

from transformers import LlamaConfig

from triglot.training.memory_plan import TrainingSetup, plan_memory
from triglot.training.throughput import Accelerator, gpu_bytes, training_tokens

SIZES = {
    "1B": {
        "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "tie_word_embeddings": True,
    },
    "8B": {
        "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "tie_word_embeddings": False,
    },
}  # fmt: skip
WAYS = {"full, float32 + AdamW": "full", "LoRA of rank 16, frozen weights in bfloat16": "lora"}
GPUS = (1, 8, 64)


def plan(size: str, trainable: str, gpus: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """GiB on each GPU and tokens a second of all."""
    config = LlamaConfig(**SIZES[size])
    setup = TrainingSetup(
        trainable=trainable,
        dtype="float32" if trainable == "full" else "bfloat16",
        batch_size=arguments.batch,
        length=arguments.length,
        gradient_checkpointing=True,
    )
    memory = plan_memory(config, arguments.new_rows, setup)
    accelerator = Accelerator(peak=arguments.peak, utilisation=arguments.utilisation)
    return gpu_bytes(memory, config, gpus) / 2**30, training_tokens(
        memory.parameters, config, setup, gpus, accelerator
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=float, default=989, help="TFLOP/s of a GPU in bfloat16, dense (H100 SXM: 989)")
    parser.add_argument(
        "--utilisation", type=float, default=0.4, help="share of the peak that training reaches; an assumption"
    )
    parser.add_argument("--length", type=int, default=2048, help="ids of a packed row")
    parser.add_argument("--batch", type=int, default=4, help="packed rows a step and GPU")
    parser.add_argument("--new-rows", type=int, default=2048, help="media codes")
    arguments = parser.parse_args()
    print("| model | trained | GPUs | GiB each | tokens/s | hours for 1B tokens |\n|---|---|---:|---:|---:|---:|")
    for size in SIZES:
        for name, trainable in WAYS.items():
            for gpus in GPUS:
                memory, tokens = plan(size, trainable, gpus, arguments)
                fits = "" if memory < 75 else " (does not fit into 80)"
                print(f"| {size} | {name} | {gpus} | {memory:.0f}{fits} | {tokens:,.0f} | {1e9 / tokens / 3600:.1f} |")


if __name__ == "__main__":
    main()
