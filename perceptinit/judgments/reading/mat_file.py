"""Read full numeric arrays from MATLAB files of format 4 to 7 (`save -v7`), whatever else is in them.

Every size is checked before it is believed. scipy's reader ends the whole process at some damaged
files, and reads at length what a header promises.
Source: MAT-File Format, The MathWorks (2023).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from perceptinit.files.reading import read_bytes

HEADER_BYTES = 128
# more than the type, dimensions and name of a variable take
ABOUT_BYTES = 4096
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16-{}", 16: "utf-8"}
_CLASSES = {1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix"}
_OLD_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")
_COMPLEX = 0x800


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A variable of a file; what it holds is read when it is asked for.

    kind: empty for full real numbers, else what it is: "a struct". shape: as MATLAB shows it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    content: bytes
    order: str
    is_compressed: bool = False
    type: str = ""

    def array(self) -> np.ndarray:
        """Return the numbers; ValueError when the file does not have as many as its header says."""
        kind, data = (self.type, self.content) if self.type else self._data()
        numbers = np.frombuffer(data, dtype=self.order + kind)
        if len(numbers) != math.prod(self.shape):
            raise ValueError(f"'{self.name}' has {len(numbers)} cells, its shape is {self.shape}")
        return numbers.reshape(self.shape, order="F").astype(numbers.dtype.newbyteorder("="))

    def texts(self) -> list[str]:
        """Return the rows of a text, without the blanks that MATLAB fills them with; ValueError for no text."""
        content, place = self._inner()
        number, data, _ = _element(content, place, self.order)
        if self.kind != "text" or self.type or len(self.shape) != 2 or number not in _ENCODINGS:
            raise ValueError(f"'{self.name}' is no text")
        encoding = _ENCODINGS[number].format("le" if self.order == "<" else "be")
        signs = list(data.decode(encoding))
        if len(signs) != math.prod(self.shape):
            raise ValueError(f"'{self.name}' has {len(signs)} signs, its shape is {self.shape}")
        rows = np.array(signs, dtype="<U1").reshape(self.shape, order="F")
        return ["".join(row).strip() for row in rows]

    def structs(self) -> list[dict[str, Variable]]:
        """Return the fields of each element of a struct; ValueError for what is none."""
        if self.kind != "a struct":
            raise ValueError(f"'{self.name}' is no struct")
        content, place = self._inner()
        _, length, place = _element(content, place, self.order)
        _, packed, place = _element(content, place, self.order)
        width = max(1, int.from_bytes(length[:4], "little" if self.order == "<" else "big"))
        starts = range(0, len(packed), width)
        names = [packed[i : i + width].split(b"\0")[0].decode("latin-1") for i in starts]
        found: list[dict[str, Variable]] = []
        for _ in range(math.prod(self.shape) if names else 0):
            fields = {}
            for name in names:
                _, inner, place = _element(content, place, self.order)
                empty = Variable(name, "empty", (0, 0), b"", self.order)
                field = _variable(inner, self.order, False) if inner else empty
                fields[name] = replace(field, name=name)
            found.append(fields)
        return found

    def _inner(self) -> tuple[bytes, int]:
        """Return the content, and where what follows flags, dimensions and name begins."""
        content = _inflated(self.content, self.order) if self.is_compressed else self.content
        place = 0
        for _ in range(3):
            _, _, place = _element(content, place, self.order)
        return content, place

    def _data(self) -> tuple[str, bytes]:
        content, place = self._inner()
        number, data, _ = _element(content, place, self.order)
        if number not in _TYPES:
            raise ValueError(f"'{self.name}' holds no numbers (type {number})")
        return _TYPES[number], data


def read_variables(path: Path) -> list[Variable]:
    """Return the variables of a MATLAB file.

    Raises NotImplementedError for format 7.3, which is HDF5, ValueError for what is no such file or is
    damaged, OSError when it cannot be read.
    """
    data = read_bytes(path)
    if 0 in data[:4]:
        return list(_old_variables(data))
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no MATLAB header")
    if data[124:126][:: 1 if order == ">" else -1] != b"\1\0":
        raise NotImplementedError("format 7.3")
    found, place = [], HEADER_BYTES
    while place < len(data):
        number, content, place = _element(data, place, order)
        if number not in (_MATRIX, _COMPRESSED):
            raise ValueError(f"no variable before byte {place}")
        found.append(_variable(content, order, number == _COMPRESSED))
    return found


def _element(data: bytes, place: int, order: str) -> tuple[int, bytes, int]:
    """Return the type and content of the element at `place`, and where the next begins."""
    if place + 8 > len(data):
        raise ValueError(f"ends at byte {len(data)}, inside an element")
    number, size = struct.unpack_from(f"{order}II", data, place)
    if number >> 16:  # at most four bytes, in the tag itself
        number, size = number & 0xFFFF, min(number >> 16, 4)
        return number, data[place + 4 : place + 4 + size], place + 8
    end = place + 8 + size
    if end > len(data):
        raise ValueError(f"byte {place}: {size:,} bytes promised, {len(data) - place - 8:,} there")
    return number, data[place + 8 : end], end + (0 if number == _COMPRESSED else -size % 8)


def _inflated(content: bytes, order: str, most: int | None = None) -> bytes:
    """Return a compressed variable: its first `most` bytes, or all that its tag promises, checked."""
    stream = zlib.decompressobj()
    number, size = struct.unpack(f"{order}II", stream.decompress(content, 8).ljust(8, b"\0"))
    if number != _MATRIX or not size:
        raise ValueError(f"a compressed element of type {number} with {size:,} bytes")
    inner = stream.decompress(stream.unconsumed_tail, most or size)
    if most is None and (stream.decompress(stream.unconsumed_tail, 1) or not stream.eof):
        raise ValueError(f"a compressed variable that has other than the promised {size:,} bytes")
    return inner


def _variable(content: bytes, order: str, is_compressed: bool) -> Variable:
    about = _inflated(content, order, ABOUT_BYTES) if is_compressed else content
    _, flags, place = _element(about, 0, order)
    _, sides, place = _element(about, place, order)
    _, name, _ = _element(about, place, order)
    if len(flags) < 4 or not sides or len(sides) % 4:
        raise ValueError("a variable without type or shape")
    (flag,) = struct.unpack_from(f"{order}I", flags)
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    if min(shape) < 0:
        raise ValueError(f"a variable of shape {shape}")
    kind = "" if 6 <= flag & 0xFF <= 15 else _CLASSES.get(flag & 0xFF, "of an unknown class")
    if flag & _COMPLEX:
        kind = "complex"
    return Variable(name.decode("latin-1"), kind, shape, content, order, is_compressed)


def _old_variables(data: bytes) -> Iterator[Variable]:
    """Yield the variables of format 4: headers of five integers, each with a name and numbers."""
    order = "<" if int.from_bytes(data[:4], "little") < 5000 else ">"
    place = 0
    while place < len(data):
        if place + 20 > len(data):
            raise ValueError(f"ends at byte {len(data)}, inside a header")
        code, rows, columns, is_complex, name_bytes = struct.unpack_from(f"{order}5i", data, place)
        precision, text_or_sparse = code // 10 % 10, code % 10
        if (
            not 0 <= code < 5000
            or precision >= len(_OLD_TYPES)
            or min(rows, columns, name_bytes) < 0
        ):
            raise ValueError(f"no variable at byte {place}")
        start = place + 20 + name_bytes
        size = rows * columns * np.dtype(_OLD_TYPES[precision]).itemsize
        place = start + size * (2 if is_complex else 1)
        if place > len(data):
            raise ValueError(f"ends at byte {len(data)}, inside a variable")
        kind = ("", "text", "a sparse matrix")[min(text_or_sparse, 2)]
        yield Variable(
            data[start - name_bytes : start].rstrip(b"\0").decode("latin-1"),
            "complex" if is_complex else kind,
            (rows, columns),
            data[start : start + size],
            order,
            type=_OLD_TYPES[precision],
        )
