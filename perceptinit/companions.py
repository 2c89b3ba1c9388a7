"""Companion packages in `plugins/` of the repository, and the components and commands of each.

Components listed here need no vendor prefix. The error about a missing component names its package. A new
companion needs one entry in `COMPANIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
        offers={"judgments": ("bapps", "kadid10k", "pipal", "things", "tid2013"), "evaluator": ("jnd",)},
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
    Companion(distribution="perceptinit-initializers", offers={"initializer": ("lsuv", "weight-selection")}),
    Companion(distribution="perceptinit-estimate", offers={"verb": ("estimate",)}),
    Companion(
        distribution="perceptinit-packing",
        offers={"verb": ("data pack",), "pairs": ("webdataset-stream",)},
    ),
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
