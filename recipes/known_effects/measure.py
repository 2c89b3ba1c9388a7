"""Run a recipe seed by seed, one process at a time, and write down the processor seconds of each run.

    python recipes/known_effects/measure.py RECIPE OUT [--arm ARM ...] [--only-seed SEED ...] [--set PATH=VALUE ...]

All arms of a seed run before the next seed, so that arms are paired whenever it is stopped; the same command goes
on. OUT/NAME/processor.csv gets a row for each attempt: arm, seed, user and system seconds with the start of Python.
"""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path

from perceptinit.recipe.reading import load_recipe
from perceptinit.results.states import run_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--arm", action="append", default=[])
    parser.add_argument("--only-seed", type=int, action="append", default=[])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    given = parser.parse_args()
    recipe = load_recipe(given.recipe, given.overrides)
    root = given.out / recipe.name
    for seed in given.only_seed or recipe.seeds:
        for arm in given.arm or [arm.name for arm in recipe.arms]:
            if not (run_folder(root, arm, seed, recipe.origins) / "weights" / "final.safetensors").exists():
                seconds = run(given, arm, seed)
                with (root / "processor.csv").open("a", newline="") as file:
                    csv.writer(file).writerow([arm, seed, f"{seconds:.1f}"])


def run(given: argparse.Namespace, arm: str, seed: int) -> float:
    """Do one run and return its processor seconds."""
    before = os.times()
    options = ["--arm", arm, "--seed", str(seed), "--out", str(given.out), "--workers", "1"]
    overrides = [part for override in given.overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "perceptinit", "run", str(given.recipe), *options, *overrides]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
