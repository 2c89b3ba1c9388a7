"""Sample triplets from pairwise similarities: ratings, matrices, label counts."""

# M candidates of one anchor, N triplets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from perceptinit.errors import DataError
from perceptinit.seeding import generator
from perceptinit.types import Split, Stimuli, Triplets, Unit

# number of pairs examined per requested pair, if there are too many to examine all
OVERSAMPLE = 50

Votes = tuple[np.ndarray, np.ndarray]  # p_second and num_votes, (N,) each
VoteRule = Literal["gap", "elo"]  # how two ratings are converted to votes
ELO_SCALE = 400.0  # Elo points for odds of 10 to 1


@dataclass(frozen=True, slots=True)
class TripletDraw:
    """Settings for sampling triplets.

    Args:
        source: Name of the judgments, used in messages and, with `seed`, for the random stream.
        per_anchor: Maximum number of triplets per anchor.
        min_gap: Minimum difference between the distances of two candidates.
        seed: Seed of the random stream.
    """

    source: str
    per_anchor: int
    min_gap: float
    seed: int


class DerivedAnswers:
    """Judgments whose answers are computed from ratings or labels, without individual choices."""

    def noise_ceiling(self, split: Split) -> None:
        """Return None, because computed answers would overestimate how well people agree."""


def draw_pairs(
    distances: np.ndarray, count: int, min_gap: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample up to `count` distinct pairs of candidates whose distances differ by at least `min_gap`.

    The order within a pair is random. Candidates with equal distances never form a pair.

    Args:
        distances: Distances to the anchor, (M,), any unit; NaN for ineligible candidates.
        count: Maximum number of pairs.
        min_gap: Minimum difference between the distances, in their unit.
        rng: Random generator.
    """
    usable = np.flatnonzero(~np.isnan(distances))
    total = len(usable) * (len(usable) - 1) // 2
    if not total:
        return usable[:0], usable[:0]
    codes = rng.choice(total, size=min(total, OVERSAMPLE * count), replace=False)
    # code -> pair a < b: 0 -> (0, 1), 1 -> (0, 2), 2 -> (1, 2), 3 -> (0, 3)...
    b = ((1 + np.sqrt(1 + 8 * codes.astype(np.float64))) / 2).astype(np.int64)
    b -= b * (b - 1) // 2 > codes  # the square root may round up
    a = codes - b * (b - 1) // 2
    gap = np.abs(distances[usable[a]] - distances[usable[b]])
    # tolerances: 0.3 - 0.1 < 0.2 in floating point, and sums differ in the last digit
    noise = 1e-9 * np.abs(distances[usable]).max()
    wide = np.flatnonzero((gap >= min_gap * (1 - 1e-9)) & (gap > noise))[:count]
    is_swapped = rng.random(len(wide)) < 0.5
    first, second = np.where(is_swapped, [a[wide], b[wide]], [b[wide], a[wide]])
    return usable[first], usable[second]


def draw_triplets(
    stimuli: Stimuli,
    anchors: Iterable[int],
    distances_of: Callable[[int], np.ndarray],
    votes_of: Callable[[int, np.ndarray, np.ndarray], Votes],
    draw: TripletDraw,
    members: Sequence[int] | None = None,
) -> Triplets:
    """Sample triplets for each anchor, without replacement.

    Each anchor has its own random stream, seeded by `draw.source`, `draw.seed` and its stimulus id.

    Args:
        stimuli: All M images.
        anchors: Indices of the anchors.
        distances_of: Maps an anchor to the distances of all images, (M,); NaN for images that are not
            candidates. The anchor is never a candidate.
        votes_of: Maps anchor, first and second to (p_second, num_votes).
        draw: Sampling settings.
        members: Images that may be candidates, so that splits share no image; all if None.

    Raises:
        DataError: If no two candidates differ enough.
    """
    rows = [[np.empty(0, dtype=np.int64)] * 5]
    is_member = np.isin(np.arange(len(stimuli)), members) if members is not None else True
    for anchor in anchors:
        rng = generator(draw.seed, "judgments", draw.source, "pairs", stimuli.ids[anchor])
        distances = np.where(is_member, distances_of(anchor), np.nan)
        distances[anchor] = np.nan
        first, second = draw_pairs(distances, draw.per_anchor, draw.min_gap, rng)
        p_second, num_votes = votes_of(anchor, first, second)
        is_voted = num_votes > 0  # otherwise no subject rated both candidates
        columns = (np.full(len(first), anchor), first, second, p_second, num_votes)
        rows.append([column[is_voted] for column in columns])
    drawn, first, second, p_second, votes = map(np.concatenate, zip(*rows, strict=True))
    if not len(drawn):
        raise DataError(
            f"judgments {draw.source}: no two candidates of one anchor differ by min_gap = {draw.min_gap:g}. "
            "Lower it"
        )
    unit: Unit = "anchor" if members is None else "image"
    return Triplets.build(stimuli, drawn, first, second, p_second, votes, unit=unit)


@dataclass(frozen=True, slots=True, eq=False)
class RatedPairs:
    """Ratings of how close the second image of a pair is to the first.

    Args:
        stimuli: The M images.
        first: Indices into stimuli, int64 (N,).
        second: Indices into stimuli, int64 (N,).
        closeness: Rating, higher if closer, float (N,), any unit.
        num_votes: Number of people per rating, int (N,); 1 if unknown.
    """

    stimuli: Stimuli
    first: np.ndarray
    second: np.ndarray
    closeness: np.ndarray
    num_votes: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def select(self, rows: np.ndarray) -> Self:
        """Return the rows selected by a mask or an index array, over the same stimuli."""
        columns = ("first", "second", "closeness", "num_votes")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def triplets(self, draw: TripletDraw, rule: VoteRule = "gap") -> Triplets:
        """Sample triplets from pairs with the same first image, which is the anchor.

        Args:
            draw: Sampling settings; `min_gap` is in units of the rating. Equal ratings never form a triplet.
            rule: "gap": the candidate with the higher rating gets all votes. "elo": shares of votes follow
                the Elo model, 1 / (1 + 10^((a - b) / 400)).

        Raises:
            DataError: If no two ratings differ enough.
        """

        def distances_of(anchor: int) -> np.ndarray:
            return -self._column(anchor, self.closeness)

        def votes_of(anchor: int, first: np.ndarray, second: np.ndarray) -> Votes:
            closeness = self._column(anchor, self.closeness)
            num_votes = self._column(anchor, self.num_votes)
            lead = closeness[second] - closeness[first]
            p_second = (lead > 0).astype(np.float64) if rule == "gap" else elo_share(lead)
            return p_second, np.minimum(num_votes[first], num_votes[second]).astype(np.int64)

        return draw_triplets(self.stimuli, np.unique(self.first).tolist(), distances_of, votes_of, draw)

    def _column(self, anchor: int, column: np.ndarray) -> np.ndarray:
        """Return the values of an anchor's pairs, indexed by second image, (M,); NaN without a pair."""
        row = np.full(len(self.stimuli), np.nan)
        is_anchor = self.first == anchor
        row[self.second[is_anchor]] = column[is_anchor]
        return row


def elo_share(lead: np.ndarray) -> np.ndarray:
    """Return the expected share of people who prefer an image that leads by `lead` Elo points.

    Source: the Elo model of PIPAL (Gu et al. 2020).
    """
    return 1 / (1 + 10 ** (-np.asarray(lead, dtype=np.float64) / ELO_SCALE))
