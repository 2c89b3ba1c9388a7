"""Durations as people say them."""

from __future__ import annotations


def readable_seconds(seconds: float) -> str:
    """Return a duration as people say it: `42 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
