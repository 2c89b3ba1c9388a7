"""Read, resolve, check and plan recipes."""
