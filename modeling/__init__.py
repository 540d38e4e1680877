"""Weights, in the order data flows: `tokenizers` (media -> codes), `language_model` (ids -> ids), `decoders` (codes -> media)."""

import transformers  # noqa: F401  triglot registers its classes when transformers is imported: before a file here is half read
