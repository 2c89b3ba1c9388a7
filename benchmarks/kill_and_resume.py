"""Kill all processes of a run at random steps, restart it each time, and compare it with an undisturbed run.

    python benchmarks/kill_and_resume.py --kills 10 --processes 2
    python benchmarks/kill_and_resume.py --kills 20 --processes 1 --optimizer nadamuon --moments

With --moments, kills occur at random times, in any stage or file operation, and not at the start of a step.

Weights, scores and the fingerprint of all samples must be bit-identical in fp32 on a CPU.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import bench

RECIPE = (
    """
schema = 1
name = "killed"
"""
    + bench.TINY_BACKBONE
    + """
[[init]]
use = "triplet-hinge"
epochs = 1
batch_size = 32
warmup_steps = 0
[init.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
[pretrain]
use = "clip"
epochs = 5
batch_size = 16
warmup_steps = 3
patch_dropout = 0.5
micro_batch = 4
ema_decay = 0.9
[pretrain.pairs]
use = "synthetic"
num_pairs = 160
image_size = 16
[[track]]
use = "jsonl"
[checkpoint]
every_steps = 3
"""
)
NUM_STEPS = 50


def attempt(folder: str, kill_at: int, optimizer: str) -> None:
    """Run until the end, or until this process kills itself with SIGKILL as it begins a step."""
    from perceptinit.pretrainers.training import Training
    from perceptinit.recipe.reading import read_recipe
    from perceptinit.running.runner import run_recipe

    step = Training.step

    def step_or_die(self: Any, batch: Any) -> Any:
        if self.num_steps + 1 == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch)

    Training.step = step_or_die  # type: ignore[method-assign]
    chosen = [f"{stage}.optimizer={optimizer}" for stage in ("init", "pretrain")]
    run_recipe(read_recipe(RECIPE, overrides=chosen), out=Path(folder), device="cpu")


def in_processes(
    num: int, folder: str, kill_at: int, optimizer: str, seconds: float | None = None
) -> list[int | None]:
    """Make an attempt with `num` processes, as torchrun would start them; returns their exit codes.

    The processes kill themselves as step `kill_at` begins, or are killed after `seconds`.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_ranked, args=(rank, num, port, folder, kill_at, optimizer))
        for rank in range(num)
    ]
    for process in processes:
        process.start()
    if seconds is not None:
        processes[0].join(seconds)
        for process in processes:
            process.kill()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _ranked(rank: int, num: int, port: int, folder: str, kill_at: int, optimizer: str) -> None:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num, "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in names.items()}, MASTER_ADDR="localhost")
    attempt(folder, kill_at, optimizer)


def record(folder: str) -> dict[str, Any]:
    return json.loads(Path(folder, "killed/default/seed0/record.json").read_text())


def newest_checkpoint(folder: str) -> str:
    names = [path.name for path in Path(folder).glob("killed/default/seed0/checkpoints/*")]
    return max(names, default="no checkpoint")


def compare(killed: str, alone: str) -> None:
    ours, theirs = record(killed), record(alone)
    for row in ours["warnings"]:
        print(f"  {row['message']}")
    for name in ("built", "init", "pretrain_data", "final"):
        same = ours["hashes"][name] == theirs["hashes"][name]
        print(f"{name}: {'identical' if same else 'DIFFERENT'}")
        assert same


def main() -> None:
    options = bench.parse(
        __doc__,
        kills=10,
        processes=2,
        seed=0,
        optimizer="adamw",
        moments={"default": False, "help": "kill at random times, not at steps"},
        tiny={"kills": 1, "processes": 1},
    )
    print(bench.about("torch"))
    num, optimizer = options.processes, options.optimizer
    # before the fork, so that no attempt imports them again
    importlib.import_module("perceptinit.pretrainers.training")
    importlib.import_module("perceptinit.backbones.timm_backbone")
    draws = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as top:
        alone, killed = f"{top}/alone", f"{top}/killed"
        start = time.perf_counter()
        assert in_processes(num, alone, 0, optimizer) == [0] * num
        whole = time.perf_counter() - start
        if options.moments:
            kills, finished = 0, 0
            while kills < options.kills:
                moment = draws.uniform(0, whole / 2)
                codes = in_processes(num, killed, 0, optimizer, moment)
                print(f"after {moment:.2f} of {whole:.1f} s, {newest_checkpoint(killed)}: exit codes {codes}")
                kills += any(codes)
                if not any(codes):  # the run ended: the next kills hit a new one
                    compare(killed, alone)
                    finished += 1
                    killed = f"{top}/killed{finished}"
        else:
            for step in sorted(draws.sample(range(1, NUM_STEPS + 1), options.kills)):
                codes = in_processes(num, killed, step, optimizer)
                print(f"killed at step {step}: exit codes {codes}", flush=True)
                assert codes == [-signal.SIGKILL] * num
        assert in_processes(num, killed, 0, optimizer) == [0] * num
        compare(killed, alone)


if __name__ == "__main__":
    main()
