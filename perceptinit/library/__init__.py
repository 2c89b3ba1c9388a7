"""Initialize one model without a recipe, for `apply_perceptual_init` and `perceptinit init`."""
