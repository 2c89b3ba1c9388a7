"""Files that are there whole or not at all, and what a process that was killed left of them."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from perceptinit.errors import writing

# of `atomic_path`, and of safetensors while it writes
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]+\.tmp|\.tmp\w{6}")

ABANDONED_SECONDS = 3600.0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and move it there when the block succeeds; else remove it.

    Raises WriteError when the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # safetensors makes files that their owner alone may read
            temporary.replace(path)
    finally:
        remove_files([temporary])


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON atomically (a value that is not finite is an error)."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def remove_files(paths: Iterable[Path]) -> list[str]:
    """Remove files and return a sentence for each that could not be: it stays, and nothing depends on it."""
    complaints = []
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            complaints.append(f"{path}: could not be removed ({error.strerror or error})")
    return complaints


def temporaries(folder: Path) -> list[Path]:
    """Return what processes that were killed while they wrote into `folder` have left."""
    return sorted(
        path
        for path in folder.glob(".*")
        if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink()
    )


def final_path(temporary: Path) -> Path:
    """Return the path that a temporary of `atomic_path` would have had in the end."""
    return temporary.with_name(temporary.name[1:].rsplit(".", 2)[0])


def remove_abandoned(folder: Path) -> None:
    """Remove temporaries an hour old from a folder that several processes write to: nobody will finish them."""
    for path in temporaries(folder):
        with suppress(OSError):  # another process swept it, or has given it its name
            if path.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                path.unlink()
