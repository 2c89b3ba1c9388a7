"""A run of one and of two processes, killed (-9) at each file operation: takes minutes, so in `make fuzz`."""

import os
import shutil
import signal
from itertools import count

import pytest
from helpers.file_operations import die_at
from helpers.outcomes import outcome
from helpers.processes import start, together
from helpers.runs_here import run_recipe_here

pytestmark = pytest.mark.skipif(
    "PERCEPTINIT_FUZZ_EXAMPLES" not in os.environ, reason="minutes: see `make fuzz`"
)
SHORT = ("checkpoint.every_steps=2", "pretrain.epochs=1", "init.epochs=1")


def run(folder):
    return run_recipe_here(folder, *SHORT)


def run_until(number, folder):
    if os.environ["RANK"] == "0":  # the process that writes
        die_at(number, folder)
    return run(folder)


@pytest.mark.parametrize("num", [1, 2])
def test_a_run_killed_at_any_file_operation_ends_like_an_uninterrupted_run(tmp_path, num):
    together(run, tmp_path / "alone", num=num)
    expected = outcome(tmp_path / "alone", "tiny")
    for number in count(1):
        folder = tmp_path / f"killed{number}"
        first, *others = start(run_until, number, folder, num=num)
        first.join()
        for other in others:
            if first.exitcode:  # otherwise it is about to finish
                other.kill()
            other.join()
        assert first.exitcode in (0, -signal.SIGKILL)
        if not first.exitcode:
            break
        together(run, folder, num=num)
        assert outcome(folder, "tiny") == expected, number
        shutil.rmtree(folder)
    print(f"{number - 1} kills, {num} processes")
    assert number > 80
