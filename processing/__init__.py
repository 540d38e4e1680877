"""Meaning, no weights: the token space, the task formats, the processor and the pipelines."""
