"""Sources of rows, the generated demo world, task mixtures and packing."""
