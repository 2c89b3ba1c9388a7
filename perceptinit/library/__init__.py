"""Initialization of one model without a recipe: `apply_perceptual_init` and `perceptinit init`."""
