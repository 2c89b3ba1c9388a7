"""Decisions on contrasts, their sentences and limits, and comparison with published scores."""
