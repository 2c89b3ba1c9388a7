"""From records to a verdict: statistics over seeds and tables."""
