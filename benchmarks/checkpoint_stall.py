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

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import safetensors
import torch

sys.path.insert(0, str(Path(__file__).parent))
import train_sets as made

from perceptinit.compute import optim
from perceptinit.recipe.settings import CheckpointConfig
from perceptinit.results.record import processor_name
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
    model = open_clip.CLIP(**made.MODELS[name])
    optimizer = optim.adamw([model], lr=5e-4, weight_decay=0.2)
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


def report(name: str, stalls: list[Stall], first: Stall) -> Stall:
    """Print and return the medians of the rounds after the first one."""
    fields = ("wall", "cpu", "pause", "cpu_after", "done")
    middle = Stall(*(statistics.median(getattr(s, field) for s in stalls) for field in fields))
    walls = [stall.wall for stall in stalls]
    print(
        f"{name:12} blocks {middle.wall:6.2f} s ({min(walls):.2f} to {max(walls):.2f}; the first time "
        f"{first.wall:.2f}), {middle.cpu:5.2f} CPU s; longest pause afterwards {1000 * middle.pause:.0f} ms, "
        f"{middle.cpu_after:.2f} CPU s until the file is there after {middle.done:.1f} s"
    )
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=sorted(made.MODELS), default="vit-b-32")
    parser.add_argument("--rounds", type=int, default=5, help="after the first one")
    parser.add_argument("--folder", type=Path, help="on the disk that is meant; a temporary one")
    asked = parser.parse_args()
    state = trained_state(asked.model)
    num_bytes = sum(p.nbytes for p in state["model"].values()) + sum(
        value.nbytes for row in state["pretrainer"]["state"].values() for value in row.values()
    )
    print(
        f"{asked.model}, {num_bytes / 1e9:.2f} GB, {torch.get_num_threads()} thread(s), medians of "
        f"{asked.rounds}; torch {torch.__version__}, safetensors {safetensors.__version__}, "
        f"{processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    theirs, mine = [], []
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        checkpoints = Checkpoints(folder / "ours", CheckpointConfig(keep=1), print)
        for index in range(asked.rounds + 1):
            theirs.append(with_torch(state, folder))
            mine.append(with_perceptinit(state, checkpoints, index + 1))
        checkpoints.close()
    peer = report("torch.save", theirs[1:], theirs[0])
    ours = report("perceptinit", mine[1:], mine[0])
    print(f"perceptinit / torch.save: wall 1/{peer.wall / ours.wall:.1f}, CPU 1/{peer.cpu / ours.cpu:.1f}")


if __name__ == "__main__":
    main()
