"""What a source's numbers mean. Published readers of one file disagree, so every adapter says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

NOT_APPLICABLE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """How an adapter reads its source; `perceptinit data check` prints it, docs/data-sets.md lists it.

    index_base: what the first image is called where images go by number: "0", "1", or "by name".
    odd_one: which column holds the odd image, for odd-one-out data.
    sides: which candidate becomes `first`, and whether that is drawn.
    direction: what a larger number says, for ratings and matrices.
    ties: what happens to judgments without a winner.
    winner_first: whether the file lists the winner first, so that column order gives it away.
    """

    index_base: str = "by name"
    odd_one: str = NOT_APPLICABLE
    sides: str
    direction: str = NOT_APPLICABLE
    ties: str
    winner_first: str


@runtime_checkable
class HasConventions(Protocol):
    """Judgments, as a class too, that say how they read their source."""

    conventions: Conventions


def list_conventions(judgments: Any) -> dict[str, str]:
    """Return the conventions of judgments, or of their class, that apply to the source, by name."""
    values = asdict(judgments.conventions) if isinstance(judgments, HasConventions) else {}
    return {name: value for name, value in values.items() if value != NOT_APPLICABLE}
