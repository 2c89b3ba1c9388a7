"""One model, no recipe: `apply_perceptual_init` and `perceptinit init`."""
