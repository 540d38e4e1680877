"""Meaning, no weights: the token space, the task formats, the processor and the pipelines."""

import transformers  # noqa: F401  triglot registers its classes when transformers is imported: before a file here is half read
