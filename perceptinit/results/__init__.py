"""What runs left: records, states, weights, measures."""
