"""Freed memory stays with the process, so that the next step need not ask the kernel for it again."""

from __future__ import annotations

import ctypes
import sys

# of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let malloc use freed blocks again, whatever their size; return whether it can be told so (glibc).

    By default glibc asks the kernel for every block above 32 MiB and gives it back when it is freed;
    each page of it is then cleared and mapped anew, in every step. From this call on the process
    keeps the most memory it ever had.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(key, _NEVER_BYTES) for key in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
