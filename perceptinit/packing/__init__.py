"""`perceptinit data pack`: images with captions or labels into webdataset shards and test sets.

`sources` and `classes` read what there is, `shards` writes one tar, `journal` remembers which are
finished, and `pack` does all of them, in parallel and so that an interrupted packing goes on.
"""
