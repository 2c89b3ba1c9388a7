"""Devices, distributed processes and optimizers."""
