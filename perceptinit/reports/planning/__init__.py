"""Plans before runs: hypotheses, power, text, and departures from a plan."""
