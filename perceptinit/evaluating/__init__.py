"""Measure models that exist: the weights of runs, checkpoints, open_clip and timm models."""
