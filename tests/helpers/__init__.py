"""Helpers of several test files: data, models, servers and processes."""
