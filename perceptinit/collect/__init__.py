"""Collect human judgments: from a folder of images to a web page, its answers, and a table that trains a model.

Nothing here imports torch: the page answers at once, also on a small machine.
"""
