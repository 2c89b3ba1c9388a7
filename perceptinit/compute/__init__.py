"""Devices, processes that work together, optimizers."""
