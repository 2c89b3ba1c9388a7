"""Forms of judgments, and their conversion to triplets."""
