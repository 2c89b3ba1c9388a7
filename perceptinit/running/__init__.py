"""Running a recipe: its cells, their processes, checkpoints and trackers."""
