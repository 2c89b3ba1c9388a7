"""Run the arms and seeds of recipes: processes, checkpoints and trackers."""
