"""Files: downloads, archives, caches and checkpoints."""
