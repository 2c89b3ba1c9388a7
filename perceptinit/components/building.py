"""Build a component from a recipe table.

A table such as

    use = "triplet-hinge"
    margin = 0.05
    [judgments]
    use = "nights"

becomes a `Spec` with the registry entry, the validated config, and the specs of nested components. All
problems in a table and its nested tables are reported at once. `Spec.build` creates the object.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from perceptinit.configs import REQUIRED, address_of, read_config, to_table
from perceptinit.errors import PerceptInitError, Problem, UsageError
from perceptinit.protocols import (
    HasModel,
    HasNeededPart,
    HasPlan,
    HasPreflight,
    HasSmoke,
    HasStandIn,
    HasWarnings,
)
from perceptinit.protocols.required import find_missing_members
from perceptinit.registry import Entry, Registry

# kinds of nested components by the key of their table
PARTS = {
    "judgments": "judgments",
    "also_on": "judgments",
    "pairs": "pairs",
    "pretrain": "pretrainer",
}
# nested components that are data, and their replacement in a smoke run
STAND_INS = {"judgments": "synthetic", "pairs": "synthetic"}
DATA_PARTS = (*STAND_INS, "also_on")
# model parts that evaluators can need, and their names in messages
PART_TITLES = {"text": "text tower", "head": "trained classifier"}


@dataclass(frozen=True, slots=True)
class Spec:
    """A validated table that configures a component.

    Args:
        entry: Registry entry of the component.
        config: `Config` of the component.
        where: Path of the table in the recipe.
        parts: Specs of nested components, by kind.
        folder: Folder of the recipe.
    """

    entry: Entry
    config: Any
    where: str
    parts: Mapping[str, Spec] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def base(self) -> Path:
        """Folder of relative paths: for plug-ins that of the recipe, else the working directory."""
        return Path() if self.entry.is_bundled else self.folder

    def build(self) -> Any:
        """Build the component and its parts, after downloading files and folders given as addresses.

        Raises:
            RemoteError: If a download fails.
        """
        parts = {name: spec.build() for name, spec in self.parts.items()}
        return self.entry.load()(_here(self.config, self.base), **parts)

    def table(self) -> dict[str, Any]:
        """Return the table with all keys, including defaults."""
        nested = {name: spec.table() for name, spec in self.parts.items()}
        return {"use": self.name, **to_table(self.config), **nested}

    def smoke(self, registry: Registry) -> Spec:
        """Return the version for `--smoke`: `Config.smoke()` or `smoke_stand_in`, with simulated data."""
        cls = self.entry.load()
        if isinstance(cls, HasStandIn):
            return self._stand_in(cls.smoke_stand_in, registry)
        config = self.config.smoke() if isinstance(self.config, HasSmoke) else self.config
        parts = {kind: spec._smoke_part(registry) for kind, spec in self.parts.items()}
        return replace(self, config=config, parts=parts)

    def _smoke_part(self, registry: Registry) -> Spec:
        """Return the replacement of a nested component: simulated data, or a wrapper of such data."""
        if self.parts or isinstance(self.entry.load(), HasStandIn):
            return self.smoke(registry)
        return self._stand_in(STAND_INS[self.entry.kind], registry)

    def _stand_in(self, name: str, registry: Registry) -> Spec:
        entry = registry.get(self.entry.kind, name)
        config = entry.load().Config()  # type: ignore[attr-defined]
        return Spec(entry, config.smoke() if isinstance(config, HasSmoke) else config, self.where)


def _here(config: Any, folder: Path) -> Any:
    """Return the config with paths relative to `folder`, and a local copy in place of each address."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    local = {name: _local(value, folder) for name, value in values.items()}
    changed = {name: value for name, value in local.items() if value != values[name]}
    return replace(config, **changed) if changed else config


def _local(value: Any, folder: Path) -> Any:
    if isinstance(value, tuple):
        return tuple(_local(item, folder) for item in value)
    if address := address_of(value):
        from perceptinit.files.remote.copies import local_copy

        return local_copy(address)
    return folder / value if isinstance(value, Path) else value


def read_spec(registry: Registry, kind: str, table: Any, where: str) -> tuple[Spec | None, list[Problem]]:
    """Return the spec of a table and its problems; the spec is None if there are problems."""
    if not isinstance(table, Mapping):
        return None, [Problem(where, f"expected a table, got {table!r}")]
    if not isinstance(table.get("use"), str):
        known = ", ".join(e.name for e in registry.of_kind(kind))
        return None, [Problem(f"{where}.use", f"required: name of the {kind}. Known: {known}")]
    try:
        entry = registry.get(kind, table["use"])
        cls = entry.load()
    except PerceptInitError as error:
        return None, [Problem(f"{where}.use", str(error))]
    wanted = find_parts(cls)
    own = {k: v for k, v in table.items() if k not in ("use", *PARTS)}
    config, problems = read_config(cls.Config, own, where)  # type: ignore[attr-defined]
    advice = f"{REQUIRED}. For its values, run: perceptinit show {kind} {entry.name}"
    problems = [replace(p, message=advice) if p.message == REQUIRED else p for p in problems]
    strange = [key for key in PARTS if key in table and key not in wanted]
    problems += [Problem(where, f"{entry.title} does not accept {key}") for key in strange]
    parts: dict[str, Spec] = {}
    for name, is_required in wanted.items():
        if name in table:
            part, more = read_spec(registry, PARTS[name], table[name], f"{where}.{name}")
            problems += more
            parts |= {name: part} if part else {}
        elif is_required:
            problems.append(Problem(where, f"{entry.title} needs a table [{where}.{name}] with 'use'"))
    return (None, problems) if problems else (Spec(entry, config, where, parts), [])


def find_parts(cls: type) -> dict[str, bool]:
    """Return the keys of the nested components that the class accepts, and whether each is required."""
    parameters = inspect.signature(cls).parameters
    return {key: parameters[key].default is inspect.Parameter.empty for key in PARTS if key in parameters}


def build_model(backbone: Spec) -> Any:
    """Build a backbone and return its model, initialized from torch's global generator.

    Raises:
        UsageError: If the model lacks a member of `DualEncoder`. The message names the member.
    """
    model = backbone.build().build()
    for problem in find_missing_members(model):
        raise UsageError(f"{backbone.entry.title}: {problem}")
    return model


def preflight(component: Any) -> list[str]:
    """Return the problems that a component reports before a run."""
    return list(component.preflight()) if isinstance(component, HasPreflight) else []


def find_component_warnings(component: Any) -> list[str]:
    """Return the warnings that a component reports about its settings."""
    return list(component.warnings()) if isinstance(component, HasWarnings) else []


def count_planned_steps(component: Any) -> int | None:
    """Return the planned number of steps of a component, or None."""
    return component.plan().steps if isinstance(component, HasPlan) else None


def find_needed_part(evaluator: Spec) -> str | None:
    """Return the part of a model that an evaluator needs in addition to the image tower, or None."""
    cls = evaluator.entry.load()
    return cls.needed_part if isinstance(cls, HasNeededPart) else None


def find_model_parts(pretrainer: Spec | None) -> tuple[str, ...]:
    """Return the parts of a run's model; without a pretrainer, both towers."""
    cls = pretrainer.entry.load() if pretrainer else None
    return cls.parts if isinstance(cls, HasModel) else ("image", "text")


def walk(specs: Iterable[Spec]) -> Iterable[Spec]:
    """Yield each spec, followed by the specs of its parts."""
    for spec in specs:
        yield spec
        yield from walk(spec.parts.values())
