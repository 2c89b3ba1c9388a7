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
from dataclasses import dataclass, field, fields, replace
from typing import Any

from perceptinit.configs import address_of, read_config, to_table
from perceptinit.errors import PerceptInitError, Problem
from perceptinit.protocols import (
    HasModel,
    HasNeededPart,
    HasPlan,
    HasPreflight,
    HasSmoke,
    HasStandIn,
    HasWarnings,
)
from perceptinit.registry import Entry, Registry

# kinds that may be a part of another component, in a nested table of the kind's name: what stands in
# for the part in a smoke run
STAND_INS = {"judgments": "synthetic", "pairs": "synthetic"}
PART_KINDS = tuple(STAND_INS)
# what evaluators may need of a model, in words
PART_TITLES = {"text": "text tower", "head": "trained classifier"}


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
        """Make the component and its parts; files and folders at addresses are fetched first.

        Raises DataError (RemoteError) when one does not come.
        """
        parts = {name: spec.build() for name, spec in self.parts.items()}
        return self.entry.load()(_here(self.config), **parts)

    def table(self) -> dict[str, Any]:
        """Return the resolved table: every key with its value, also those left at their default."""
        nested = {name: spec.table() for name, spec in self.parts.items()}
        return {"use": self.name, **to_table(self.config), **nested}

    def smoke(self, registry: Registry) -> Spec:
        """Return the shrunken copy: `Config.smoke()` where there is one, simulated data for the parts.

        A class whose work needs files of its own names a stand-in of its kind, `smoke_stand_in`.
        """
        cls = self.entry.load()
        if isinstance(cls, HasStandIn):
            return self._stand_in(cls.smoke_stand_in, registry)
        config = self.config.smoke() if isinstance(self.config, HasSmoke) else self.config
        parts = {kind: spec._smoke_part(registry) for kind, spec in self.parts.items()}
        return replace(self, config=config, parts=parts)

    def _smoke_part(self, registry: Registry) -> Spec:
        """Return what takes its place as a part: a wrapper stays, around simulated data."""
        if self.parts or isinstance(self.entry.load(), HasStandIn):
            return self.smoke(registry)
        return self._stand_in(STAND_INS[self.entry.kind], registry)

    def _stand_in(self, name: str, registry: Registry) -> Spec:
        entry = registry.get(self.entry.kind, name)
        config = entry.load().Config()  # type: ignore[attr-defined]
        if isinstance(config, HasSmoke):
            config = config.smoke()
        return Spec(entry, config, self.where)


def _here(config: Any) -> Any:
    """Return a config with local copies in its paths, where they are addresses."""
    values = ((field.name, getattr(config, field.name)) for field in fields(config))
    addresses = {name: address for name, value in values if (address := address_of(value))}
    if not addresses:
        return config
    from perceptinit.files.remote.copies import local_copy

    return replace(config, **{name: local_copy(address) for name, address in addresses.items()})


def read_spec(registry: Registry, kind: str, table: Any, where: str) -> tuple[Spec | None, list[Problem]]:
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
    for name, is_required in wanted.items():
        if name in table:
            part, more = read_spec(registry, name, table[name], f"{where}.{name}")
            problems += more
            parts |= {name: part} if part else {}
        elif is_required:
            message = f"{entry.title} needs a table [{where}.{name}] with 'use'"
            problems.append(Problem(where, message))
    if problems or config is None:
        return None, problems
    return Spec(entry, config, where, parts), []


def parts_of(cls: type) -> dict[str, bool]:
    """Return the part kinds that the class takes, and whether each is required."""
    parameters = inspect.signature(cls).parameters
    return {
        kind: parameters[kind].default is inspect.Parameter.empty for kind in PART_KINDS if kind in parameters
    }


def preflight(component: Any) -> list[str]:
    """Return what would make a built component fail later; empty when it is ready."""
    return list(component.preflight()) if isinstance(component, HasPreflight) else []


def warnings_of(component: Any) -> list[str]:
    """Return what about a built component works, but is hardly meant."""
    return list(component.warnings()) if isinstance(component, HasWarnings) else []


def planned_steps(component: Any) -> int | None:
    """Return the steps of the stage that a built component says it will do, None where it does not."""
    return component.plan().steps if isinstance(component, HasPlan) else None


def needed_by(evaluator: Spec) -> str | None:
    """Return the part of a model that an evaluator needs besides the image tower, None where there is none."""
    cls = evaluator.entry.load()
    return cls.needed_part if isinstance(cls, HasNeededPart) else None


def parts_left_by(pretrainer: Spec | None) -> tuple[str, ...]:
    """Return the parts that the model of a run has; without a pretrainer, both towers."""
    cls = pretrainer.entry.load() if pretrainer else None
    return cls.parts if isinstance(cls, HasModel) else ("image", "text")


def walk(specs: Iterable[Spec]) -> Iterable[Spec]:
    """Yield each spec and, after it, its parts."""
    for spec in specs:
        yield spec
        yield from walk(spec.parts.values())
