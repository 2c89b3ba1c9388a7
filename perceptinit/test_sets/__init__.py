"""Evaluation sets: suites, locations and readers."""
