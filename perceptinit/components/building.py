"""From a recipe table to a component: look the name up, read the config, build nested parts first.

A table such as

    use = "triplet-hinge"
    margin = 0.05
    [judgments]
    use = "nights"

becomes a `Spec`: entry, checked config, and the specs of its parts. All problems of a table and of
the tables in it are collected, so that they can be told at once. `Spec.build` makes the object.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from perceptinit.configs import read_config, to_table
from perceptinit.errors import PerceptInitError, Problem
from perceptinit.registry import Entry, Registry

# kinds that may be a part of another component; the nested table has the kind's name
PART_KINDS = ("judgments", "pairs")


@dataclass(frozen=True, slots=True)
class Spec:
    """A component that is ready to be built; `where` is its TOML path."""

    entry: Entry
    config: Any
    where: str
    parts: Mapping[str, Spec] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.entry.name

    def build(self) -> Any:
        """Make the component and its parts."""
        parts = {name: spec.build() for name, spec in self.parts.items()}
        return self.entry.load()(self.config, **parts)

    def table(self) -> dict[str, Any]:
        """Return the resolved table: every key with its value, also those left at their default."""
        nested = {name: spec.table() for name, spec in self.parts.items()}
        return {"use": self.name, **to_table(self.config), **nested}

    def smoke(self, registry: Registry) -> Spec:
        """Return the shrunken copy: `Config.smoke()` where defined, synthetic data for the parts.

        A class whose work needs files of its own names a stand-in of its kind, `smoke_stand_in`.
        """
        stand_in = getattr(self.entry.load(), "smoke_stand_in", None)
        if stand_in is not None:
            entry = registry.get(self.entry.kind, stand_in)
            return Spec(entry, entry.load().Config(), self.where)  # type: ignore[attr-defined]
        config = self.config.smoke() if hasattr(self.config, "smoke") else self.config
        parts = {kind: _smoke_part(kind, spec, registry) for kind, spec in self.parts.items()}
        return replace(self, config=config, parts=parts)


def _smoke_part(kind: str, spec: Spec, registry: Registry) -> Spec:
    if spec.parts:  # a wrapper stays, around simulated data
        return spec.smoke(registry)
    entry = registry.get(kind, "synthetic")
    return Spec(entry, entry.load().Config().smoke(), spec.where)  # type: ignore[attr-defined]


def read_spec(
    registry: Registry, kind: str, table: Any, where: str
) -> tuple[Spec | None, list[Problem]]:
    """Return the spec that `table` describes and every problem in it; the spec is None if there are any."""
    if not isinstance(table, Mapping):
        return None, [Problem(where, f"expected a table, got {table!r}")]
    if not isinstance(table.get("use"), str):
        known = ", ".join(e.name for e in registry.of_kind(kind))
        return None, [Problem(f"{where}.use", f"required: which {kind}? Known: {known}")]
    try:
        entry = registry.get(kind, table["use"])
        cls = entry.load()
    except PerceptInitError as error:
        return None, [Problem(f"{where}.use", str(error))]
    wanted = parts_of(cls)
    own = {k: v for k, v in table.items() if k not in ("use", *PART_KINDS)}
    config, problems = read_config(cls.Config, own, where)  # type: ignore[attr-defined]
    strange = [kind for kind in PART_KINDS if kind in table and kind not in wanted]
    problems += [Problem(where, f"{entry.title} takes no {kind}") for kind in strange]
    parts: dict[str, Spec] = {}
    for name, required in wanted.items():
        part, more = _read_part(registry, name, required, table, where, entry)
        problems += more
        if part is not None:
            parts[name] = part
    if problems or config is None:
        return None, problems
    return Spec(entry, config, where, parts), []


def _read_part(
    registry: Registry,
    kind: str,
    required: bool,
    table: Mapping[str, Any],
    where: str,
    entry: Entry,
) -> tuple[Spec | None, list[Problem]]:
    if kind in table:
        return read_spec(registry, kind, table[kind], f"{where}.{kind}")
    if required:
        return None, [Problem(where, f"{entry.title} needs a table [{where}.{kind}] with 'use'")]
    return None, []


def parts_of(cls: type) -> dict[str, bool]:
    """Return the part kinds that the class takes, and whether each is required."""
    parameters = inspect.signature(cls).parameters
    return {
        kind: parameters[kind].default is inspect.Parameter.empty
        for kind in PART_KINDS
        if kind in parameters
    }


def preflight(component: Any) -> list[str]:
    """Return what would make a built component fail later; empty when it is ready."""
    check = getattr(component, "preflight", None)
    return list(check()) if check else []


def planned_steps(component: Any) -> int | None:
    """Return the steps of the stage that a built component says it will do, None where it does not."""
    plan = getattr(component, "plan", None)
    return plan().steps if plan else None


def walk(specs: Iterable[Spec]) -> Iterable[Spec]:
    """Yield each spec and, after it, its parts."""
    for spec in specs:
        yield spec
        yield from walk(spec.parts.values())
