"""Published sets of judgments."""
