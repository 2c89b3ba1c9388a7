"""Runs that a signal interrupts."""

import json
import os
import time

from helpers.runs_here import run_recipe_here
from perceptinit.pretrainers.training import Training

EVERY = 2


EVERY_2_STEPS = ("checkpoint.every_steps=2", "pretrain.epochs=3")  # 9 steps of 3 in an epoch


def run(folder):
    return run_recipe_here(folder, *EVERY_2_STEPS)


def wait_for(folder, pattern):
    """Wait at most a minute for a file with this name below the folder."""
    end = time.monotonic() + 60
    while not any(folder.rglob(pattern)) and time.monotonic() < end:
        time.sleep(0.01)


def run_with_signal(folder, number, step, ranks=(0, 1), stage="step"):
    """Run, and send a signal to these processes at a step of pretraining or of an init stage."""

    def wrap(method):
        def wrapped(self, *args):
            at = self.num_steps + 1 if stage == "step" else self.step + 1
            if at == step and int(os.environ.get("RANK", "0")) in ranks:
                if stage == "step" or step > EVERY:  # a thread writes, so the kill may precede the file
                    wait_for(folder, "checkpoint-*.safetensors")
                os.kill(os.getpid(), number)
            return method(self, *args)

        return wrapped

    if stage == "step":
        Training.step = wrap(Training.step)
    else:
        from perceptinit.initializers.triplet_training import TripletTraining

        TripletTraining._take_step = wrap(TripletTraining._take_step)
    return run(folder)


def ended(processes):
    """Wait for processes and return their exit codes."""
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def record_of(folder):
    return json.loads((folder / "tiny/pi/seed0/record.json").read_text())
