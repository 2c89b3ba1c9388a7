"""Say only what differs: `like` and `through`, resolved before any component is known.

* `like = "init"` in a stage of an arm: that shared stage, with this table's other keys merged in
* `like = "data.people"` in a part (judgments, pairs): the table [data.people], merged likewise
* `without = ["temperature"]` beside a `like`: less those keys of the other table
* `through = ["subset"]` in a part: wrappers around it; the first named is the innermost
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perceptinit.components.building import PART_KINDS
from perceptinit.errors import Problem
from perceptinit.recipe.places import Table, list_paths, locate
from perceptinit.recipe.tables import ARM_SLOTS
from perceptinit.registry import unknown


def merged(base: Table, change: Table) -> Table:
    """Return `base` with the keys of `change`; tables merge until one names its own `use` or `like`."""
    home = base.at if change.keys() <= {"through"} else change.at
    result = Table(base, home, {key: base.path(key) for key in base})
    for key, new in change.items():
        old = base.get(key)
        if isinstance(old, Table) and isinstance(new, Table) and not new.keys() & {"use", "like"}:
            new = merged(old, new)
        result[key] = new
        result.written[key] = change.path(key)
    return result


def lacking(base: Table, path: str, told_at: str) -> Table | None:
    """Return `base` without the key at a TOML path in it, None when it has no such key.

    A part that is like another table gets a `without` of its own, written at `told_at`.
    """
    key, _, rest = path.partition(".")
    if "like" in base and key not in base:
        less = {**base, "without": [*base.get("without", []), path]}
        return Table(less, base.at, base.written | {"without": told_at})
    if not rest:
        return base.without(key) if key in base else None
    inner = base.get(key)
    found = lacking(inner, rest, told_at) if isinstance(inner, Table) else None
    return None if found is None else Table({**base, key: found}, base.at, base.written)


def resolve(tables: dict[str, Any]) -> tuple[Table, list[Problem]]:
    """Return the tables without `like`, `through` and `data`, and what is wrong with these."""
    return (resolver := _Resolver(locate(tables))).resolve(), resolver.problems


class _Resolver:
    def __init__(self, tables: Table) -> None:
        self.tables, self.problems = tables, list[Problem]()
        data = tables.pop("data", {})
        if not isinstance(data, dict):
            self.problems.append(Problem("data", f"expected tables, [data.NAME], got {data!r}"))
        self.data = {f"data.{k}": t for k, t in data.items()} if isinstance(data, dict) else {}
        self.shared = {
            slot if len(tables[slot]) == 1 else f"{slot}.{i}": stage
            for slot in ARM_SLOTS
            if isinstance(tables.get(slot), list)
            for i, stage in enumerate(tables[slot])
        }

    def _tell(self, table: Table, key: str, message: str) -> None:
        self.problems.append(Problem(table.path(key), message))

    def resolve(self) -> Any:
        arms = self.tables.get("arm")
        for arm in arms if isinstance(arms, list) else []:
            for slot in ARM_SLOTS:
                if isinstance(arm, Table) and isinstance(arm.get(slot), list):
                    arm[slot] = [self._taken(t, self.shared, "shared stage") for t in arm[slot]]
        return self._parts(self.tables)

    def _taken(self, table: Any, known: Mapping[str, Any], what: str) -> Any:
        """Return the table that this one is like, with this one merged in."""
        if not isinstance(table, Table) or "like" not in table:
            return table
        name, own = str(table["like"]), table.without("like")
        base = known.get(name, known.get(name.removesuffix(".0")))
        if not isinstance(base, Table):
            self._tell(table, "like", unknown(f"no {what} called", name, known))
        elif "use" in own:
            self._tell(table, "use", f"the table is like {name}: give 'use' or 'like', not both")
        elif "like" in base:
            self._tell(base, "like", f"{name} is what others are like: give it a 'use'")
        else:
            return merged(self._without(base, own, name), own.without("without"))
        return own

    def _without(self, base: Table, own: Table, name: str) -> Table:
        """Return the table that another is like, less what that one leaves out."""
        paths = own.get("without", [])
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            self._tell(own, "without", f"expected an array of keys of {name}, got {paths!r}")
            return base
        for path in paths:
            less = lacking(base, path, own.path("without"))
            if less is None:
                self._tell(own, "without", unknown(f"{name} states no", path, base))
            base = base if less is None else less
        return base

    def _parts(self, value: Any) -> Any:
        """Return the value with the `like` of each part taken and its `through` nested."""
        if not isinstance(value, Table):
            return [self._parts(v) for v in value] if isinstance(value, list) else value
        result = value.without()
        for key, item in value.items():
            part = self._taken(item, self.data, "table") if key in PART_KINDS else item
            result[key] = self._parts(part)
            if key in PART_KINDS and isinstance(part, Table) and "through" in part:
                result[key] = self._nested(key, result[key])
        return result

    def _nested(self, kind: str, part: Table) -> Table:
        wrappers, inner = part["through"], part.without("through")
        if not isinstance(wrappers, list) or not all(isinstance(w, (str, Table)) for w in wrappers):
            self._tell(part, "through", f"expected an array of {kind}, got {wrappers!r}")
            return inner
        places = list_paths(part.path("through"), wrappers)
        for place, wrapper in zip(places, wrappers, strict=True):
            own = {"use": wrapper} if isinstance(wrapper, str) else wrapper
            inner = Table({**own, kind: inner}, place)
        return inner
