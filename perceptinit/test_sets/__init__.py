"""Evaluation sets: which there are, where they lie, how they are read."""
