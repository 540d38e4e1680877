"""Room 2, ids -> ids: the token language model and its span-constrained generation."""
