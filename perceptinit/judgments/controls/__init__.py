"""Control judgments, in which human information is removed or replaced."""
