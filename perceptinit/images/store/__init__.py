"""Decoded and resized stimuli on disk, memory-mapped: each image is decoded once for all runs.

`store.py` finds images and adds those that are absent, `parts.py` is the format of the files,
`sources.py` tells which images are equal, `fingerprint.py` which programs make equal pixels.
"""
