"""Who offers which component: the one table that the CLI, recipes and the library look names up in.

A `Component` is what a plug-in returns from a hook: a name and where to import the class from.
An `Entry` adds who offered it. Nothing is imported until `Entry.load` is called.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from perceptinit.companions import missing_companion
from perceptinit.errors import MissingPackageError, PerceptInitError, UsageError

# kind -> folder, which is also the hook's name without its prefix
KINDS = {
    "initializer": "initializers",
    "backbone": "backbones",
    "pretrainer": "pretrainers",
    "judgments": "judgments",
    "pairs": "pairs",
    "evaluator": "evaluators",
    "tracker": "trackers",
}


def hook_name(kind: str) -> str:
    """Return the hook that lists components of `kind`."""
    return f"perceptinit_{KINDS[kind]}"


@dataclass(frozen=True, kw_only=True)
class Component:
    """What a plug-in offers: a name, where its class is, and one line about it.

    name: how recipes call it; outside the core `vendor/name`.
    target: `"package.module:Class"`, imported only when used, or the class itself.
    summary: one line for `perceptinit list`.
    extra: what to `pip install` when importing the target fails for want of a package.
    """

    name: str
    target: str | type
    summary: str
    extra: str | None = None

    @property
    def location(self) -> tuple[str, str]:
        """Return (module, class name), without importing anything."""
        if isinstance(self.target, str):
            module, _, name = self.target.partition(":")
            return module, name
        return self.target.__module__, self.target.__qualname__


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A component together with its kind and the plug-in that offers it."""

    kind: str
    component: Component
    plugin: str
    distribution: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def title(self) -> str:
        """Return the component as messages name it: `initializer 'triplet-hinge'`."""
        return f"{self.kind} '{self.name}'"

    def load(self) -> type:
        """Import and return the class.

        Raises MissingPackageError when an optional package is absent, and PerceptInitError when
        the target does not exist.
        """
        if not isinstance(self.component.target, str):
            return self.component.target
        module, name = self.component.location
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if self.component.extra:
                raise MissingPackageError(
                    f"{self.title} needs the package '{error.name}'. "
                    f"Get it: pip install {self.component.extra!r}"
                ) from error
            raise PerceptInitError(f"{self.title} of plug-in '{self.plugin}': {error}") from error
        except AttributeError as error:
            raise PerceptInitError(
                f"{self.title} of plug-in '{self.plugin}': {module} has no class {name}"
            ) from error


@dataclass
class Registry:
    """All entries, by kind and name. A name offered twice is refused when it is used.

    left_out: distribution -> why its plug-in was not loaded.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Entry]:
        """Return the entries of a kind, sorted by name."""
        return sorted((e for e in self.entries if e.kind == kind), key=lambda e: e.name)

    def get(self, kind: str, name: str) -> Entry:
        """Return the entry called `name`.

        Raises UsageError when no plug-in offers it (with suggestions) or when two do, and
        MissingPackageError when a companion that is not installed offers it.
        """
        found = [e for e in self.of_kind(kind) if e.name == name]
        if not found:
            missing = missing_companion(kind, name, self.left_out)
            if missing:
                raise MissingPackageError(missing)
            raise UsageError(unknown(f"no {kind} called", name, [e.name for e in self.of_kind(kind)]))
        if len(found) > 1:
            raise UsageError(self.collision(found))
        return found[0]

    def collisions(self) -> list[str]:
        """Return one sentence for each name that two plug-ins offer."""
        groups: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault((entry.kind, entry.name), []).append(entry)
        return [self.collision(group) for group in groups.values() if len(group) > 1]

    @staticmethod
    def collision(group: list[Entry]) -> str:
        first, second = group[:2]
        return (
            f"{first.title} is offered by both '{first.plugin}' and '{second.plugin}'; "
            "uninstall or rename one"
        )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the end of a message that names the known word probably meant, or an empty text."""
    guess = nearest(word, known)
    return f" Did you mean '{guess}'?" if guess else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that does not exist: `no backbone called 'tim'. Did you mean ...`."""
    known = list(known)
    return f"{what} '{word}'.{suggest(word, known)} Known: {', '.join(known) or 'none'}"
