"""Plans before the runs: made, written, read as text, and held against what was done."""
