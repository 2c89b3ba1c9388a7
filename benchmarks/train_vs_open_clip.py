"""CPU seconds and memory of CLIP training, `perceptinit run` compared with open_clip's trainer. Linux only.

    python benchmarks/train_vs_open_clip.py --peer-python ENV/bin/python --model small --precision bf16
    python benchmarks/train_vs_open_clip.py --peer-python ENV/bin/python --model vit-b-32 \\
        --precision bf16 --peer-precision fp32 --patch-dropout 0.5     # reported separately: different training

ENV contains open_clip's trainer, with the version of webdataset that it needs:

    python -m venv ENV
    ENV/bin/pip install open_clip_torch==3.3.0 "webdataset<=0.2.86" pandas braceexpand

Both train the same open_clip model from the same initial weights, on the same shards of 500 x 375 JPEG
files, with the same batch size, precision, crops and AdamW. The peer is `python -m open_clip_train.main` with its
cheapest flags: without loader processes if one thread is measured, because they add a millisecond per sample.
perceptinit is `perceptinit run` of a recipe.

The two processes alternate after each step, and the waiting process is stopped (SIGSTOP), so both run under equal
conditions. CPU seconds include loader processes and are measured from the end of a step to the end of the next one.
The first steps are warm-up and are not measured.

With --threads 2, the wall time matters, and each side has a loader process or thread.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import train_sets as made

from perceptinit.results.record import processor_name

PEER_PRECISIONS = {"fp32": "fp32", "bf16": "amp_bf16"}
WARM_UP = 2
NUM_PAIRS, NUM_SHARDS = 2048, 4
RECIPE = """
schema = 1
name = "bench"
seeds = [0]
plugins = ["{plugin}"]
[backbone]
use = "open-clip"
model = "{config}"
pretrained = "{weights}"
[pretrain]
use = "bench/clip-with-step-log"
epochs = {epochs}
batch_size = {batch}
lr = 5e-4
warmup_steps = 1000
betas = [0.9, 0.98]
eps = 1e-6
weight_decay = 0.2
precision = "{precision}"
patch_dropout = {patch_dropout}
num_workers = {workers}
[pretrain.pairs]
use = "webdataset"
shards = "{shards}"
[checkpoint]
every_minutes = 0.0
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """Duration of a step."""

    cpu: float
    wall: float


class Trainer:
    """A training process that runs only during its turns."""

    def __init__(self, name: str, command: Sequence[str], mark: str, threads: int) -> None:
        """mark: text in the lines on standard error that report a step."""
        self.name, self._mark = name, mark
        self.turns: list[Turn] = []
        self.tail: list[str] = []
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
            start_new_session=True,  # a group of its own, to be stopped with its loader processes
        )
        self._signal(signal.SIGSTOP)

    def step(self) -> Turn:
        """Let the trainer run for a step; raise SystemExit with its last lines if it ends instead."""
        cpu, begin = self._cpu_seconds(), time.perf_counter()
        self._signal(signal.SIGCONT)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.tail = [*self.tail[-30:], line]
            if self._mark in line:
                wall = time.perf_counter() - begin
                self._signal(signal.SIGSTOP)
                return Turn(self._cpu_seconds() - cpu, wall)
        raise SystemExit(f"{self.name} ended before its steps were done:\n{''.join(self.tail)}")

    def peak_mebibytes(self) -> float:
        """Return the largest resident memory of the process so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(row for row in status.splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def end(self) -> None:
        """Kill the group."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def _cpu_seconds(self) -> float:
        """Return user and system seconds of all processes of the group, those that have ended included."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == self._process.pid:  # the process group
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")


def ours(asked: argparse.Namespace, work: Path, model: tuple[Path, Path], shards: str) -> Trainer:
    """Return our trainer of the model with these configuration and weights."""
    recipe = work / "bench.toml"
    recipe.write_text(
        RECIPE.format(
            plugin=Path(__file__).with_name("clip_with_step_log.py"),
            config=model[0],
            weights=model[1],
            shards=shards,
            epochs=1_000_000 // NUM_PAIRS,
            batch=asked.batch_size,
            precision=asked.precision,
            patch_dropout=float(asked.patch_dropout),
            workers=asked.threads - 1,
        )
    )
    command = [sys.executable, "-m", "perceptinit", "run", str(recipe), "--out", str(work / "runs")]
    return Trainer("perceptinit", command, "finished step", asked.threads)


def peer(asked: argparse.Namespace, work: Path, folder: Path, shards: str) -> Trainer:
    """Return open_clip's trainer of the model in `folder`."""
    command = [
        str(asked.peer_python), "-m", "open_clip_train.main",
        "--model", f"local-dir:{folder}",
        "--train-data", shards, "--train-num-samples", "1000000", "--dataset-type", "webdataset",
        "--batch-size", str(asked.batch_size), "--workers", str(asked.threads - 1),
        "--precision", PEER_PRECISIONS[asked.peer_precision or asked.precision],
        "--lr", "5e-4", "--warmup", "1000", "--wd", "0.2",
        "--beta1", "0.9", "--beta2", "0.98", "--eps", "1e-6",
        "--log-every-n-steps", "1", "--logs", str(work / "logs"), "--name", "peer",
    ]  # fmt: skip
    return Trainer("open_clip", command, "Train Epoch:", asked.threads)


def take_turns(trainers: Sequence[Trainer], rounds: int) -> None:
    """Run the steps of the trainers in alternation, and print each step."""
    for index in range(-WARM_UP, rounds):
        steps = [trainer.step() for trainer in trainers]
        if index < 0:
            continue
        for trainer, turn in zip(trainers, steps, strict=True):
            trainer.turns.append(turn)
        told = ", ".join(
            f"{trainer.name} {turn.cpu:.2f} CPU s, {turn.wall:.2f} s"
            for trainer, turn in zip(trainers, steps, strict=True)
        )
        print(f"  step {index + 1}: {told}", flush=True)


def report(asked: argparse.Namespace, trainers: Sequence[Trainer]) -> None:
    """Print medians and ratios."""
    medians = []
    for trainer in trainers:
        cpu = [1000 * turn.cpu / asked.batch_size for turn in trainer.turns]
        wall = [1000 * turn.wall / asked.batch_size for turn in trainer.turns]
        medians.append((statistics.median(cpu), statistics.median(wall), trainer.peak_mebibytes()))
        print(
            f"{trainer.name:12} {medians[-1][0]:7.2f} CPU ms per sample ({min(cpu):.2f} to {max(cpu):.2f}), "
            f"{medians[-1][1]:7.2f} ms wall, {medians[-1][2]:5.0f} MiB at most"
        )
    (cpu, wall, memory), (peer_cpu, peer_wall, peer_memory) = medians
    print(
        f"open_clip / perceptinit: CPU {peer_cpu / cpu:.2f} x, wall {peer_wall / wall:.2f} x, "
        f"memory {peer_memory / memory:.2f} x"
    )


def versions(python: str) -> str:
    """Return the versions of the relevant packages in an environment."""
    names = ("torch", "torchvision", "open_clip_torch", "webdataset", "pillow")
    code = f"from importlib.metadata import version\nfor name in {names}:\n    print(name, version(name))"
    lines = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    return ", ".join(lines.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--model", choices=sorted(made.MODELS), default="small")
    parser.add_argument("--precision", choices=sorted(PEER_PRECISIONS), default="fp32")
    parser.add_argument("--peer-precision", choices=sorted(PEER_PRECISIONS), help="if another")
    parser.add_argument("--patch-dropout", type=float, default=0.0, help="on our side alone")
    parser.add_argument("--batch-size", type=int, default=0, help="0: that of the comparison")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="measured steps of each side")
    parser.add_argument("--photos", type=Path, help="folder or tar file of JPEG photographs")
    asked = parser.parse_args()
    asked.batch_size = asked.batch_size or made.BATCHES[asked.model]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shards = made.write_shards(work / "shards", NUM_PAIRS, NUM_SHARDS, asked.photos)
        model = made.write_model(work / asked.model, asked.model)
        print(
            f"{asked.model}, batch {asked.batch_size}, {asked.precision}"
            f"{f', peer {asked.peer_precision}' if asked.peer_precision else ''}"
            f"{f', patch dropout {asked.patch_dropout:g}' if asked.patch_dropout else ''}, "
            f"{asked.threads} thread(s), medians of {asked.rounds} steps; {processor_name()}, "
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
            f"perceptinit with {versions(sys.executable)}\n"
            f"open_clip with {versions(str(asked.peer_python))}",
            flush=True,
        )
        trainers: list[Trainer] = []
        try:
            trainers.append(ours(asked, work, model, shards))
            trainers.append(peer(asked, work, work / asked.model, shards))
            take_turns(trainers, asked.rounds)
            report(asked, trainers)
        finally:
            for trainer in trainers:
                trainer.end()


if __name__ == "__main__":
    main()
