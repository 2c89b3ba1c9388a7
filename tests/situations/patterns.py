"""Patterns of sentences about `people`, and arms that most situations share."""

from __future__ import annotations

from situations.made import Lead

WORTH = r"(?<![Ww]hether )(?<!that )people is worth it"
NOT_WORTH = r"people is not worth it"
STRUCTURE = r"it is the human structure that helps"
EQUIVALENT = r"people (is equivalent to random|makes no difference that matters)"
BETTER = r"people is better than random"
WORSE = r"people is worse than random"
UNDECIDED = r"undecided"
ANY_SIDE = (WORTH, NOT_WORTH, EQUIVALENT)
NOT_BY_DELTA = r"not shown to be (better )?by more than"
NOTHING_ELSE = r"in nothing else"
AS_PLANNED = r"As planned"

RANDOM = Lead(0, 0)
SHUFFLED = Lead(0)


def arms(people: Lead, **others: Lead) -> dict[str, Lead]:
    """Return the arms random, people and shuffled, followed by other arms."""
    return {"random": RANDOM, "people": people, "shuffled": SHUFFLED, **others}
