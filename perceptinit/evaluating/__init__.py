"""Evaluate existing models: the weights of runs, checkpoints, open_clip and timm models."""
