"""Devices, processes that work together, optimisers."""
