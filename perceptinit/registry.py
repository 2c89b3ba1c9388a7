"""The registry of components, in which the CLI, recipes and the library look up names.

A plug-in returns a `Component` from a hook: a name and the import path of a class. An `Entry` also
contains the plug-in. Nothing is imported until `Entry.load` is called.

`COMPANIONS` lists the packages in `plugins/` of the repository that offer names without a vendor prefix. The
error about a missing component names its package.
"""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from perceptinit.errors import MissingPackageError, PerceptInitError, UsageError
from perceptinit.grouping import group

# kind -> folder, which is also the name of the hook without its prefix
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
    """Return the name of the hook that lists components of `kind`."""
    return f"perceptinit_{KINDS[kind]}"


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component that a plug-in offers.

    Args:
        name: Name in recipes; `vendor/name` outside the core.
        target: `"package.module:Class"`, which is imported on first use, or the class.
        summary: One line for `perceptinit list`.
        extra: Argument of `pip install` in the error message about a missing package.
    """

    name: str
    target: str | type
    summary: str
    extra: str | None = None

    @property
    def location(self) -> tuple[str, str]:
        """Return module and class name, without an import."""
        if isinstance(self.target, str):
            module, _, name = self.target.partition(":")
            return module, name
        return self.target.__module__, self.target.__qualname__


def built_in(table: Mapping[str, tuple[str, str]], package: str = "perceptinit") -> list[Component]:
    """Return components from a table.

    Args:
        table: Class (`"module:Class"`, relative to `package`) and summary of each component, by name.
        package: Package of the modules.
    """
    return [
        Component(name=name, target=f"{package}.{target}", summary=summary)
        for name, (target, summary) in table.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A component with its kind and the plug-in that offers it."""

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
        """Return kind and name for messages: `initializer 'triplet-hinge'`."""
        return f"{self.kind} '{self.name}'"

    @property
    def is_bundled(self) -> bool:
        """Return whether the core or one of its companion packages offers the component."""
        return self.distribution in ("perceptinit", *(each.distribution for each in COMPANIONS))

    def load(self) -> type:
        """Import and return the class.

        Raises:
            MissingPackageError: If an optional package is missing.
            PerceptInitError: If the target does not exist.
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
                    f"Install it: pip install {self.component.extra!r}"
                ) from error
            raise PerceptInitError(f"{self.title} of plug-in '{self.plugin}': {error}") from error
        except AttributeError as error:
            raise PerceptInitError(
                f"{self.title} of plug-in '{self.plugin}': {module} has no class {name}"
            ) from error


@dataclass
class Registry:
    """Components of all plug-ins. Using a name that two plug-ins offer is an error.

    Args:
        entries: Components of all plug-ins.
        left_out: Reason why a plug-in was not loaded, by distribution.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Entry]:
        """Return the entries of a kind, sorted by name."""
        return sorted((e for e in self.entries if e.kind == kind), key=lambda e: e.name)

    def get(self, kind: str, name: str) -> Entry:
        """Return the entry with a name.

        Raises:
            UsageError: If no plug-in or more than one plug-in offers the name.
            MissingPackageError: If a companion that is not installed offers it.
        """
        known = self.of_kind(kind)
        found = [e for e in known if e.name == name]
        if not found:
            if missing := missing_companion(kind, name, self.left_out):
                raise MissingPackageError(missing)
            vendor, slash, _ = name.partition("/")
            if slash and vendor not in {entry.name.partition("/")[0] for entry in self.entries}:
                raise MissingPackageError(
                    f"the {kind} '{name}' is offered by plug-in {vendor}, and plug-in {vendor} is not "
                    "installed. Install its package, or check the name: perceptinit list plugins"
                )
            raise UsageError(unknown(f"no {kind} called", name, [e.name for e in known]))
        if len(found) > 1:
            raise UsageError(self.collision(found))
        return found[0]

    def collisions(self) -> list[str]:
        """Return one message for each name that two plug-ins offer."""
        named = group(((entry.kind, entry.name), entry) for entry in self.entries)
        return [self.collision(entries) for entries in named.values() if len(entries) > 1]

    @staticmethod
    def collision(entries: list[Entry]) -> str:
        """Return the message about entries with the same name."""
        first, second = entries[:2]
        plugins = f"'{first.plugin}' and '{second.plugin}'"
        return f"{first.title} is offered by both {plugins}. Uninstall or rename one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A companion package.

    Args:
        distribution: Name of the distribution.
        offers: Names of its components by kind. "verb" lists commands, "section" lists sections of the
            report.
    """

    distribution: str
    offers: Mapping[str, tuple[str, ...]]

    @property
    def install(self) -> str:
        """Return the instructions to install the package."""
        wheel = self.distribution.replace("-", "_")
        return f"pip install ./plugins/{self.distribution} (in a checkout) or its wheel, {wheel}-*.whl"


COMPANIONS = (
    Companion(
        distribution="perceptinit-perceptual-sets",
        offers={
            "judgments": ("bapps", "kadid10k", "pipal", "things", "tid2013"),
            "evaluator": ("jnd", "shape-bias"),
        },
    ),
    Companion(
        distribution="perceptinit-brain-rdms",
        offers={"judgments": ("brain-rdms/rdm", "brain-rdms/regions", "brain-rdms/rsatoolbox")},
    ),
    Companion(
        distribution="perceptinit-representations",
        offers={"evaluator": ("cka-to-init", "linear-probe", "representation"), "section": ("examples",)},
    ),
    Companion(distribution="perceptinit-collect", offers={"verb": ("collect",)}),
    Companion(
        distribution="perceptinit-trackers",
        offers={"tracker": ("log/codecarbon", "log/mlflow", "log/tensorboard", "log/wandb")},
    ),
    Companion(distribution="perceptinit-estimate", offers={"verb": ("estimate",)}),
)


def companion_of(kind: str, name: str) -> Companion | None:
    """Return the companion that offers a component or a command, or None."""
    return next((c for c in COMPANIONS if name in c.offers.get(kind, ())), None)


def missing_companion(kind: str, name: str, left_out: Mapping[str, str]) -> str | None:
    """Return the error message for a component or command of a missing companion, None for other names.

    Args:
        kind: Kind of the component, or "verb".
        name: Name of the component or command.
        left_out: Reason why a plug-in was not loaded, by distribution.
    """
    companion = companion_of(kind, name)
    if companion is None:
        return None
    start = f"the {kind} '{name}' is part of the companion package {companion.distribution}"
    if reason := left_out.get(companion.distribution):
        return f"{start}, which was not loaded: {reason}"
    return f"{start}, which is not installed. Install it: {companion.install}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to `word`, or None."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean '...'?" with the most similar known word, or an empty string."""
    guess = nearest(word, known)
    return f" Did you mean '{guess}'?" if guess else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """Return the message about an unknown name: `no backbone called 'tim'. Did you mean ...`."""
    known = list(known)
    return f"{what} '{word}'.{suggest(word, known)} Known: {', '.join(known) or 'none'}"
