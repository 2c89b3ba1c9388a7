"""Preregistration: hypotheses, power, plan text, and departures from a plan."""
