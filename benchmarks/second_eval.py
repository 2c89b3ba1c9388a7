"""A second `perceptinit eval` of the same weights and images with another measure: CPU seconds after imports.

    python benchmarks/second_eval.py

The first evaluation computes k nearest neighbors with k = 20, the second with k = 5, of a ViT-B/32 with random
weights. Each runs in a new process, which first evaluates a small model, so that its imports do not count.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import bench
import eval_sets

EVAL = '[[eval]]\nuse = "knn"\nk = {k}\nroot = "{root}"\ndatasets = ["{name}"]\n'
RECIPE = (
    'schema = 1\nname = "knn"\n[backbone]\nuse = "timm"\nmodel = "{model}"\n{evals}[[arm]]\nname = "random"\n'
)


def write_recipe(folder: Path, name: str, model: str, k: int) -> Path:
    """Write a recipe with one evaluator and return its path."""
    recipe = folder / f"{name}-{k}.toml"
    recipe.write_text(RECIPE.format(model=model, evals=EVAL.format(k=k, root=folder, name=name)))
    return recipe


def evaluate(folder: str, k: int) -> bench.Spent:
    """Return the seconds of `perceptinit eval` after imports, and print the scores."""
    from perceptinit.__main__ import main

    os.environ["PERCEPTINIT_CACHE"] = f"{folder}/cache"
    small = write_recipe(Path(folder), "small", "test_vit", 5)
    recipe = write_recipe(Path(folder), "photos", "vit_base_patch32_clip_224", k)

    def run(model: str, file: Path, *options: str) -> None:
        sys.argv = [
            "perceptinit",
            "eval",
            model,
            "--on",
            str(file),
            "--format",
            "csv",
            "--device",
            "cpu",
            *options,
        ]
        try:
            main()
        except SystemExit as error:
            if error.code:
                raise

    run("timm:test_vit", small, "--no-cache")
    return bench.spend(lambda: run(f"timm:vit_base_patch32_clip_224:{folder}/weights.safetensors", recipe))


def write_data(folder: Path, num_images: int) -> None:
    """Write two sets with training splits, and the weights of a ViT-B/32."""
    import timm
    from safetensors.torch import save_file

    for name, count in (("photos", num_images), ("small", 20)):
        for split in ("test", "train"):
            eval_sets.labelled_set(
                folder / name, num_classes=4, num_images=count, num_templates=1, seed=len(split)
            )
            (folder / name / "test").rename(folder / name / f"done-{split}")
        for split in ("test", "train"):
            (folder / name / f"done-{split}").rename(folder / name / split)
    model = timm.create_model("vit_base_patch32_clip_224", num_classes=0)
    save_file(model.state_dict(), folder / "weights.safetensors")


def main() -> None:
    options = bench.parse(__doc__, images=500, rounds=3, tiny={"images": 20, "rounds": 1})
    print(f"2 x {options.images} images; {bench.about('timm')}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench.in_new_process(write_data, folder, options.images)
        rounds: dict[str, list[float]] = {"first": [], "second": []}
        for _ in range(options.rounds):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            for which, k in (("first", 20), ("second", 5)):
                work = partial(evaluate, str(folder), k)
                rounds[which].append(bench.in_new_process(work).cpu)
    for which, seconds in rounds.items():
        print(f"{which:6} {bench.spread(seconds, 'CPU s')}")
    print(f"first / second: {bench.ratio(rounds['first'], rounds['second'], 1)}")


if __name__ == "__main__":
    main()
