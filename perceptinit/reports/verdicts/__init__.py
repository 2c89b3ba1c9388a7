"""Decisions on contrasts, their sentences and limits, and published yardsticks."""
