"""Data conventions of a source: details of its files that published loaders interpret differently."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

NOT_APPLICABLE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """Data conventions of a source, printed by `perceptinit data check` and listed in docs/data-sets.md.

    Args:
        index_base: Number of the first image, "0" or "1", or "by name".
        odd_one: The column of the odd image, for odd-one-out data.
        sides: Which candidate becomes `first`, and whether sides are randomized.
        direction: The meaning of a larger number, for ratings and matrices.
        ties: Treatment of judgments without a winner.
        winner_first: Whether the file lists the winner first, so that the order of columns reveals it.
    """

    index_base: str = "by name"
    odd_one: str = NOT_APPLICABLE
    sides: str
    direction: str = NOT_APPLICABLE
    ties: str
    winner_first: str


@runtime_checkable
class HasConventions(Protocol):
    """A judgments component, or its class, that states the conventions of its source."""

    conventions: Conventions


def list_conventions(judgments: Any) -> dict[str, str]:
    """Return the applicable conventions of judgments, or of their class, by name."""
    values = asdict(judgments.conventions) if isinstance(judgments, HasConventions) else {}
    return {name: value for name, value in values.items() if value != NOT_APPLICABLE}
