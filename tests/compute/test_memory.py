"""Freed memory is reused without new pages from the kernel."""

import subprocess
import sys

import pytest

COUNT = """
import resource
import numpy as np
from perceptinit.compute.devices import keep_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(1 << 26, dtype=np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

new_pages()
print(new_pages(), keep_freed_memory(), new_pages(), new_pages())
"""


def test_a_second_block_of_64_mib_reuses_the_pages_of_the_first():
    done = subprocess.run(
        [sys.executable, "-c", COUNT], check=True, capture_output=True, text=True
    ).stdout.split()
    if done[1] != "True":
        pytest.skip("the C library has no mallopt")
    before, second = int(done[0]), int(done[3])
    assert before > 10  # 32 where the kernel gives 2 MiB at a time
    assert second < 5
