"""Weights, in the order data flows: `tokenizers` (media -> codes), `language_model` (ids -> ids), `decoders` (codes -> media)."""
