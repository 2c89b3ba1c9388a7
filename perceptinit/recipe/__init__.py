"""Reading, resolving, checking and planning a recipe."""
