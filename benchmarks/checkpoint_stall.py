"""Time for which a checkpoint blocks training, compared with torch.save of the same state.

    python benchmarks/checkpoint_stall.py
    python benchmarks/checkpoint_stall.py --model small --rounds 3       # a few seconds

The state is the checkpoint of ViT-B/32 CLIP after a step: weights, AdamW's moments and a small record,
1.8 GB. `torch.save` blocks until the file is passed to the operating system. perceptinit blocks while tensors are
copied; a thread then writes and syncs the file. That thread must release the interpreter lock, so a ticker in the
training thread measures the longest pause until the file is complete. The two methods alternate, and each waits
until its file is on disk. The first round of each, which allocates memory, is reported separately.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import bench
import open_clip
import torch
import train_sets

from perceptinit.compute import optim
from perceptinit.recipe.settings import CheckpointConfig
from perceptinit.running.checkpoints import Checkpoints

TICK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Stall:
    """Wall and CPU seconds while training is blocked, and the longest pause and CPU seconds afterwards, until
    the file is on disk after `done` seconds."""

    wall: float
    cpu: float
    pause: float
    cpu_after: float
    done: float


def trained_state(name: str) -> dict[str, Any]:
    """Return the state of a run of the model after its first step."""
    torch.manual_seed(0)
    model = open_clip.CLIP(**train_sets.MODELS[name])
    optimizer = optim.make_optimizer([model], lr=5e-4, weight_decay=0.2)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return {"model": model.state_dict(), "pretrainer": optimizer.state_dict(), "epoch": 1}


def measured(save: Callable[[], None], is_done: Callable[[], bool]) -> Stall:
    """Return the time that `save` takes, and the pauses until `is_done`."""
    begin, cpu = time.perf_counter(), time.process_time()
    save()
    wall, cpu_spent = time.perf_counter() - begin, time.process_time() - cpu
    pause, before = 0.0, time.perf_counter()
    while not is_done():
        time.sleep(TICK_SECONDS)
        now = time.perf_counter()
        pause, before = max(pause, now - before - TICK_SECONDS), now
    return Stall(
        wall,
        cpu_spent,
        pause,
        time.process_time() - cpu - cpu_spent,
        time.perf_counter() - begin,
    )


def with_torch(state: dict[str, Any], folder: Path) -> Stall:
    """Return the stall of torch.save; the file is removed."""
    path = folder / "state.pt"
    stall = measured(lambda: torch.save(state, path), lambda: True)
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # or it would still be written during the next measurement
    path.unlink()
    return stall


def with_perceptinit(state: dict[str, Any], checkpoints: Checkpoints, number: int) -> Stall:
    """Return the stall of perceptinit's checkpoint with this number."""
    path = checkpoints.folder / f"checkpoint-{number:06d}.safetensors"

    def is_done() -> bool:
        checkpoints.check()
        return path.exists()

    return measured(lambda: checkpoints.save(state), is_done)


def report(name: str, first: Stall, stalls: list[Stall]) -> None:
    """Print the medians of the rounds after the first one."""
    wall, cpu, pause, cpu_after, done = zip(*map(astuple, stalls), strict=True)
    print(
        f"{name:12} blocks {bench.spread(wall, 's')}, the first time {first.wall:.2f} s, {bench.spread(cpu, 'CPU s')}; "
        f"longest pause afterwards {bench.spread(pause, 'ms', 0, 1000)}, {bench.spread(cpu_after, 'CPU s')} until the "
        f"file is there after {bench.spread(done, 's', 1)}"
    )


def main() -> None:
    options = bench.parse(
        __doc__,
        model={"choices": sorted(train_sets.MODELS), "default": "vit-b-32"},
        rounds={"default": 5, "help": "after the first one"},
        folder={"type": Path, "help": "on the disk that is meant; a temporary one by default"},
        tiny={"model": "small", "rounds": 1},
    )
    state = trained_state(options.model)
    tensors = [*state["model"].values()]
    for row in state["pretrainer"]["state"].values():
        tensors += row.values()
    print(
        f"{options.model}, {sum(tensor.nbytes for tensor in tensors) / 1e9:.2f} GB, medians of {options.rounds}; "
        f"{bench.about('torch', 'safetensors')}",
        flush=True,
    )
    numbers = itertools.count(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        checkpoints = Checkpoints(folder / "ours", CheckpointConfig(keep=1), print)
        sides = {
            "torch.save": lambda: with_torch(state, folder),
            "perceptinit": lambda: with_perceptinit(state, checkpoints, next(numbers)),
        }
        stalls = bench.alternate(sides, options.rounds + 1)
        checkpoints.close()
    for side, (first, *rest) in stalls.items():
        report(side, first, rest)
    walls = {side: [stall.wall for stall in found[1:]] for side, found in stalls.items()}
    cpus = {side: [stall.cpu for stall in found[1:]] for side, found in stalls.items()}
    wall = bench.ratio(*walls.values(), 1)
    cpu = bench.ratio(*cpus.values(), 1)
    print(f"torch.save / perceptinit: wall {wall}, CPU {cpu}")


if __name__ == "__main__":
    main()
