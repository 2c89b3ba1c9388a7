"""Runs of a tiny recipe in this process."""

from helpers.tiny_recipes import RECIPE
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe


def run_recipe_here(folder, *overrides, fresh=False):
    text = RECIPE.replace('plugins = ["local.py"]\n', "").replace('use = "local/spy"', 'use = "jsonl"')
    text = text.replace('[[track]]\nuse = "jsonl"\n', "", 1)
    recipe = read_recipe(text, source="tiny.toml", overrides=overrides)
    [record] = run_recipe(recipe, arms=["pi"], seeds=[0], out=folder, device="cpu", fresh=fresh)
    return record
