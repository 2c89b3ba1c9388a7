"""Numbers about finished runs: statistics, intervals, decisions, comparisons, contrasts, curves."""
