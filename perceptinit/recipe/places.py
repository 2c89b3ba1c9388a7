"""Where the user wrote what: tables that carry their TOML path through merging, for messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Table(dict[str, Any]):
    """A table that knows the TOML path where the user wrote it, `at`, and where each key: `path`.

    at: empty for the recipe itself; `FILE:` for another recipe that it is like.
    written: the paths of keys that came from other tables.
    """

    def __init__(
        self, items: Mapping[str, Any], at: str, written: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(items)
        self.at, self.written = at, dict(written or {})

    def path(self, key: str) -> str:
        """Return where the user wrote a key: here, unless it came from another table."""
        between = "" if not self.at else " " if self.at.endswith(":") else "."
        return self.written.get(key) or f"{self.at}{between}{key}"

    def without(self, *keys: str) -> Table:
        """Return a copy that lacks the keys."""
        return Table({k: v for k, v in self.items() if k not in keys}, self.at, self.written)


def locate(value: Any, at: str = "") -> Any:
    """Return a value with each table in it as a `Table`; those that are one already stay where they are."""
    if isinstance(value, Mapping):
        table = value.without() if isinstance(value, Table) else Table(value, at)
        return Table(
            {k: locate(v, table.path(k)) for k, v in table.items()}, table.at, table.written
        )
    if isinstance(value, list):
        return [locate(v, path) for path, v in zip(list_paths(at, value), value, strict=True)]
    return value


def list_paths(where: str, items: Sequence[Any]) -> list[str]:
    """Return the path of each item: an arm goes by its name, the only item of a list by the list's."""
    if where.rpartition(" ")[2] == "arm":
        return [where + (_arm_name(item) or f"[{i}]") for i, item in enumerate(items)]
    return [where] if len(items) == 1 else [f"{where}[{i}]" for i in range(len(items))]


def _arm_name(arm: Any) -> str:
    name = arm.get("name") if isinstance(arm, Mapping) else None
    return f".{name}" if isinstance(name, str) else ""


def written(where: str, places: Mapping[str, str]) -> str:
    """Return where the user wrote what stands at `where` of tables that `places` describes."""
    known = [p for p in places if where == p or where.startswith((f"{p}.", f"{p}["))]
    longest = max(known, key=len, default="")
    return places.get(longest, "") + where[len(longest) :]


def places(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of everything in resolved tables, and where the user wrote it."""
    if isinstance(value, Table):
        for key, item in value.items():
            path = f"{where}.{key}" if where else key
            yield path, item.at if isinstance(item, Table) else value.path(key)
            yield from places(item, path)
    elif isinstance(value, list):
        for path, item in zip(list_paths(where, value), value, strict=True):
            if isinstance(item, Table):
                yield path, item.at
                yield from places(item, path)
