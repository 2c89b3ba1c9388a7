"""Run recipes: cells, processes, checkpoints and trackers."""
