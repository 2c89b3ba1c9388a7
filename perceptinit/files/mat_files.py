"""Read MATLAB files of versions 4 to 7 (`save -v7`) with scipy, in a subprocess with limits.

With damaged files, scipy's reader can crash, or allocate as much memory as a header states.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.errors import DataError, shown
from perceptinit.files.reading import open_regular
from perceptinit.grouping import group

MAX_SECONDS = 300
# a matrix of 8 GB, its copy in another byte order, and the interpreter
MAX_BYTES = 17 << 30
# the parent folder of the package comes last, so its contents do not shadow numpy or scipy
_CHILD = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from perceptinit.files.mat_files import send; send(*sys.argv[2:])"
)


@dataclass(frozen=True, slots=True, eq=False)
class MatValue:
    """A variable, or a field of a struct.

    kind: "" for dense real numbers, "text", or another type, such as "a struct".
    array: Numbers in MATLAB's shape, or the rows of a text; empty for other types.
    """

    kind: str
    array: np.ndarray


def read_mat(path: Path) -> dict[str, list[MatValue]]:
    """Return the values in a MATLAB file by key, such as "data.rdm" for a field of a struct.

    A variable has one value, and a field one value per element of its struct.

    Raises:
        DataError: If the file is damaged or of version 7.3, or reading exceeds `MAX_SECONDS` or `MAX_BYTES`.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "values.npz"
        home = str(Path(__file__).parents[2])
        command = [sys.executable, "-P", "-c", _CHILD, home, str(path.absolute()), str(result)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each thread reserves memory
        try:
            child = subprocess.run(
                command, capture_output=True, text=True, timeout=MAX_SECONDS, env=environment
            )
        except subprocess.TimeoutExpired:
            raise DataError(
                f"{path}: reading takes more than {MAX_SECONDS} s. Save only the matrix"
            ) from None
        if child.returncode:
            raise DataError(f"{path}: {_explain(child)}")
        with np.load(result, allow_pickle=False) as arrays:
            keys = enumerate(arrays["keys"].tolist())
            return group((key, MatValue(kind, arrays[str(i)])) for i, (key, kind) in keys)


def _explain(child: subprocess.CompletedProcess[str]) -> str:
    lines = child.stderr.strip().splitlines()
    reason = lines[-1] if lines else f"the reader exited with code {child.returncode}"
    if "v7.3" in reason:
        return "MATLAB 7.3 format is not supported. Save the file with -v7 or as .npy"
    return f"not a readable .mat file ({shown(reason)})"


def send(path: str, result: str) -> None:
    """Read a file and write its values as arrays; runs in the subprocess."""
    _limit_memory()
    from scipy.io import loadmat

    try:
        with open_regular(Path(path)) as file:
            content = loadmat(file)
        variables = [(name, value) for name, value in content.items() if name[:2] != "__"]
        found = [row for name, value in variables for row in _flatten(name, value)]
        keys = np.array([(key, value.kind) for key, value in found], dtype=str).reshape(-1, 2)
        arrays: dict[str, Any] = {str(i): value.array for i, (_, value) in enumerate(found)}
        np.savez(result, keys=keys, **arrays)
    except Exception as error:  # scipy's parsers raise many exception types
        sys.exit(f"{type(error).__name__}: {error}")


def _limit_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MAX_BYTES if hard == resource.RLIM_INFINITY else min(MAX_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _flatten(key: str, value: Any) -> Iterator[tuple[str, MatValue]]:
    """Yield a value and, if it is a struct, the fields of its elements."""
    kind = _kind_of(value)
    array = np.empty((0, 0)) if kind else value
    if kind == "text":
        array = np.char.strip(np.atleast_1d(value))
    yield key, MatValue(kind, array)
    if kind == "a struct":
        for element in value.ravel():
            for name in value.dtype.names:
                yield from _flatten(f"{key}.{name}", element[name])


def _kind_of(value: Any) -> str:
    from scipy.sparse import issparse

    if issparse(value):
        return "a sparse matrix"
    if type(value) is not np.ndarray:
        return "an object"
    if value.dtype.names:
        return "a struct"
    return {"O": "a cell array", "U": "text", "c": "complex"}.get(value.dtype.kind, "")
