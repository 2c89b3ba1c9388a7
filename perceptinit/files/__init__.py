"""Read and write files: downloads, archives, caches and checkpoints."""
