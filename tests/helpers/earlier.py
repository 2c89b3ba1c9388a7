"""A recipe whose stage 1 another recipe reuses."""

from helpers.tiny_recipes import RECIPE

TINY = RECIPE.replace('plugins = ["local.py"]\n', "").replace('use = "local/spy"', 'use = "jsonl"')
