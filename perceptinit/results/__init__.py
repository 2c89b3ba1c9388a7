"""Files of runs: records, states, weights, measures."""
