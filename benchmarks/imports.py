"""CPU seconds of the imports of two commands, compared with `import torch, timm`, in alternation.

    python benchmarks/imports.py

The commands are an evaluation with kept classifiers and embeddings, and a run with stage 1 alone, which needs no text
tower. Their seconds are those of a process that imports the same modules in the same order, and
hides the same ones.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import bench
import eval_sets

BASE = "import torch, timm"
# a command in this process, which prints the modules that it has imported, in order
LIST = """
import json, os, sys
stdout = os.dup(1)
os.dup2(2, 1)
from perceptinit.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
names = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
os.write(stdout, json.dumps(names).encode())
"""
IMPORT = """
import contextlib, importlib, sys
from perceptinit.components.light_imports import import_lightly
import_lightly()
names = sys.argv[1].split(",")
for name in names:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
"""
RECIPE = """
schema = 1
name = "imports"
{backbone}
[[init]]
use = "triplet-hinge"
epochs = 3
[init.judgments]
use = "synthetic"
num_train = 40
num_val = 20
num_test = 20
[[eval]]
use = "two-afc"
[eval.judgments]
use = "synthetic"
num_train = 40
num_val = 20
num_test = 20
[[arm]]
name = "pi"
"""


def list_modules(arguments: list[str], cache: Path) -> list[str]:
    """Return the modules that a command imports."""
    command = [sys.executable, "-c", LIST, *arguments]
    return json.loads(bench.run_command(command, PERCEPTINIT_CACHE=str(cache)).output)


def write_data(folder: Path) -> None:
    """Write a test set, a checkpoint and a recipe."""
    eval_sets.labelled_set(folder / "small", num_classes=4, num_images=20, num_templates=2)
    eval_sets.write_checkpoints(folder / "weights", 1, 1)
    (folder / "recipe.toml").write_text(RECIPE.format(backbone=bench.TINY_BACKBONE))


def cpu_seconds(code: str, *arguments: str) -> float:
    """Return user plus system seconds of a new interpreter."""
    return bench.run_command([sys.executable, "-c", code, *arguments]).cpu


def main() -> None:
    options = bench.parse(__doc__, rounds=5, tiny={"rounds": 1})
    print(bench.about("torch", "timm", "open_clip_torch", threads=1), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench.in_new_process(write_data, folder)
        evaluation = [
            "eval", f"{folder}/weights", "--backbone", f"open-clip:{folder}/weights/configs/tiny-eval.json",
            "--on", f"small,root={name}",
        ]  # fmt: skip
        run = ["run", f"{folder}/recipe.toml", "--out", f"{folder}/runs", "--device", "cpu"]
        list_modules(evaluation, folder / "cache")  # keeps classifiers and embeddings
        imported = {
            "second eval": list_modules(evaluation, folder / "cache"),
            "run of stage 1": list_modules(run, folder / "cache"),
        }
    sides = {BASE: partial(cpu_seconds, BASE)}
    sides |= {title: partial(cpu_seconds, IMPORT, ",".join(names)) for title, names in imported.items()}
    seconds = bench.alternate(sides, options.rounds, warm_up=0 if options.tiny else 1)
    print(f"| imports | CPU seconds of {options.rounds} rounds | more than `{BASE}` | transformers |")
    print("|---|---:|---:|---|")
    for title, values in seconds.items():
        more = [value - base for value, base in zip(values, seconds[BASE], strict=True)]
        has = "transformers" in imported.get(title, ())
        print(
            f"| {title} | {bench.spread(values, 's')} | {bench.spread(more, 's')} | {'imported' if has else '-'} |"
        )


if __name__ == "__main__":
    main()
