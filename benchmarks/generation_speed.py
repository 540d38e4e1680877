"""What the span grammar costs and the fused loop gains: tokens/s of the same weights as a bare text LM, as a token LM by
transformers' own loop, by the fused one, kept to the grammar, and guided, where every row has a twin; and seconds a picture.

    python benchmarks/generation_speed.py [--rows 1 8]

All in one process, alternating, the best of three; random weights of triglot-tiny's size (6 layers of 256).
"""

import argparse
import time
from unittest import mock

import torch
from transformers.utils import logging

from triglot import extend_text_model
from triglot.modeling.language_model import generation_triglot
from triglot.training.new_text_model import new_text_model

TEXT_ROWS, EOS = 1_000, 2
GRID = (14, 14)  # an image span has an exact length: 196 codes, two borders and <eos>
NEW_IDS = GRID[0] * GRID[1] + 3


def build_model():
    """A token LM of 6M parameters with 1,000 text rows, 500 speech codes and 64 image codes."""
    torch.manual_seed(0)
    base = new_text_model(
        4, qk_norm=True, vocab_size=TEXT_ROWS, hidden_size=256, intermediate_size=704, num_hidden_layers=6,
        num_attention_heads=8, tie_word_embeddings=True,
    )  # fmt: skip
    media = [{"name": "speech", "size": 500, "frame_rate": 25.0}, {"name": "image", "size": 64, "grid": list(GRID)}]
    model = extend_text_model(base, media, "mean").eval()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = EOS, 0
    return model


def measure(model, prompt: torch.Tensor, options: dict) -> float:
    """Tokens per second of one call, by what it really made."""
    start = time.perf_counter()
    made = model.generate(input_ids=prompt, **options).shape[1] - prompt.shape[1]
    return made * len(prompt) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8])
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    model = build_model()
    model.generation_config.span_grammar = {"tasks": {"T2I": ["image"]}}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; tokens/s, best of three")
    print(
        "| rows | bare text LM | token LM | fused | fused + span grammar | guided | s a picture | s a guided picture |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for rows in arguments.rows:
        prompt = torch.randint(3, TEXT_ROWS, (rows, 40))
        shared = {"attention_mask": torch.ones_like(prompt), "do_sample": False}
        free = {**shared, "max_new_tokens": NEW_IDS, "min_new_tokens": NEW_IDS}
        ways = [
            (model.language_model, free, False),
            (model, free, False),
            (model, free, True),
            (model, {**shared, "task": "T2I"}, True),
            (model, {**shared, "task": "T2I", "guidance_scale": 3.0, "negative_prompt_ids": prompt[:, :8]}, True),
        ]
        best = [0.0] * len(ways)
        for _ in range(3):
            for index, (which, options, fused) in enumerate(ways):
                with mock.patch.object(generation_triglot, "can_fuse", return_value=fused):
                    best[index] = max(best[index], measure(which, prompt, options))
        speeds = " | ".join(f"{speed:.0f}" for speed in best)
        print(f"| {rows} | {speeds} | {NEW_IDS / best[-2]:.3f} | {NEW_IDS / best[-1]:.3f} |")


if __name__ == "__main__":
    main()
