"""A tokenizer without weights, for the tests of what trains decoders."""

from types import SimpleNamespace

import torch


class LoudnessTokenizer:
    """Stands in for a `MediaTokenizer`: the code of 640 samples is their loudness."""

    codebook_size, sampling_rate, frame_rate = 8, 16_000, 25.0

    def __init__(self, deduplicate: bool = False):
        self.config = SimpleNamespace(deduplicate=deduplicate)
        self.fingerprint = "loudness" + " without repeats" * deduplicate

    def encode(self, media):
        padded = [torch.nn.functional.pad(item, (0, -len(item) % 640)) for item in media]
        codes = [(item.reshape(-1, 640).abs().mean(-1) * 40).long().clamp(max=7) for item in padded]
        return [item.unique_consecutive() for item in codes] if self.config.deduplicate else codes
