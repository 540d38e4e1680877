"""The YAML recipes, packaged so that `triglot train tiny_smoke` finds them by name."""
