"""The companion packages: what each one adds to perceptinit, so that errors can name it.

A companion is a distribution in `plugins/` of the repository. It may offer the components listed here
without a vendor prefix. A new companion needs one entry in `COMPANIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A companion package. components: kind -> names; verbs: of the command line."""

    distribution: str
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verbs: tuple[str, ...] = ()

    def offers(self, kind: str, name: str) -> bool:
        """Return whether a component belongs to the package; kind "verb": whether a verb does."""
        return name in (self.verbs if kind == "verb" else self.components.get(kind, ()))

    @property
    def install(self) -> str:
        """Return how to install the package."""
        wheel = self.distribution.replace("-", "_")
        return f"pip install ./plugins/{self.distribution} (in a checkout) or its wheel, {wheel}-*.whl"


COMPANIONS = (
    Companion(
        distribution="perceptinit-perceptual-sets",
        components={
            "judgments": ("bapps", "kadid10k", "pipal", "things", "tid2013"),
            "evaluator": ("jnd",),
        },
    ),
    Companion(
        distribution="perceptinit-brain-rdms",
        components={
            "judgments": ("brain-rdms/rdm", "brain-rdms/regions", "brain-rdms/rsatoolbox"),
        },
    ),
    Companion(distribution="perceptinit-collect", verbs=("collect",)),
    Companion(distribution="perceptinit-packing", verbs=("data pack",)),
)


def companion_of(kind: str, name: str) -> Companion | None:
    """Return the companion that offers a component or a verb, None where there is none."""
    return next((c for c in COMPANIONS if c.offers(kind, name)), None)


def missing_companion(kind: str, name: str, left_out: Mapping[str, str]) -> str | None:
    """Return the error for what a companion offers that is not loaded, None for other names.

    left_out: distribution -> why its plug-in was not loaded.
    """
    companion = companion_of(kind, name)
    if companion is None:
        return None
    start = f"the {kind} '{name}' is part of the companion package {companion.distribution}"
    reason = left_out.get(companion.distribution)
    if reason:
        return f"{start}, which was not loaded: {reason}"
    return f"{start}, which is not installed. Install it: {companion.install}"
