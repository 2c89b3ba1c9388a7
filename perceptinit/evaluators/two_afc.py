"""Agreement with human similarity judgments (`two-afc`)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from perceptinit.evaluators.judged import JudgedMeasure, ceiling_fields
from perceptinit.judgments.baselines import (
    Bounds,
    as_extra,
    ceiling_of_split,
    two_afc_baselines,
    values_of,
)
from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.linear_map import is_read_out, read_out
from perceptinit.judgments.scoring import (
    COLLAPSED_SPREAD,
    Distance,
    Weighting,
    agreement,
    find_few,
    held_out_error,
)
from perceptinit.judgments.two_afc import Embedded, score
from perceptinit.protocols import DualEncoder, HasNoiseCeiling, HasPeople, Judgments
from perceptinit.seeding import generator
from perceptinit.types import Items, RunContext, Score, Split, Triplets

# maximum number of anchors or people in a record
MAX_ROWS = 1000
ROUNDING = 1e-3  # of a number of votes, from a share in float32

Distances = Callable[[Triplets], tuple[np.ndarray, np.ndarray]]
Breakdown = dict[str, dict[str, Any]]


class TwoAFC(JudgedMeasure):
    """Share of human votes that agree with the model on which of two images is closer to an anchor.

    The scores are `2afc/<set>` and `embedding_spread/<set>`; a split other than `test` is part of the names.
    The model chooses the image with the smaller distance; a tie counts half. Chance is 0.5. The
    ceiling is the share of votes that the majority predicts, without (`lower_ceiling`) or with (`ceiling`)
    the person's own vote. It is missing if few questions have several votes. The standard error is clustered
    by the unit of the split: anchors, people, groups, or images in any role. The spread is the mean cosine
    distance between different images. The record also contains the scores of trivial models
    (pixels, histograms, random network) and the agreement by anchor and by person.

    With `readout = "linear"`, the score is `2afc_linear/<set>`: a map as of initializer `linear` is fitted on
    the judgments within each half of the images, and scored on the judgments within the other half.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.EncodingConfig):
        weighting: Weighting = "votes"
        """Unit of the mean: "votes", or "judgments" (triplets) as in DreamSim's scores on NIGHTS."""
        readout: Literal["linear"] | None = None
        """"linear" scores a linear map of the embeddings, fitted on judgments of other images of the set.
        None scores the embeddings."""
        distance: Distance | None = None
        """Distance between embeddings: "cosine", "pearson", "euclidean", or "dot" for the negative inner
        product. None for cosine."""

        def __post_init__(self) -> None:
            if self.readout and self.distance not in (None, "cosine"):
                raise ValueError(f'readout "{self.readout}" maps cosines: remove distance "{self.distance}"')

    config: Config

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the 2AFC score and the spread.

        Raises:
            DataError: If judgments or images cannot be read.
            TrainingError: If embeddings are not finite.
        """
        embedded = self._embed(model, ctx)
        triplets = self.data
        embedded = embedded.select(triplets.used)
        distances = embedded.distances(triplets)
        result = score(embedded, triplets, self.config.weighting, distances)
        values = agreement(*distances, triplets.p_second)
        answers, people = self._answers
        of_answers = values
        if people is not None:
            of_answers = agreement(*embedded.distances(answers), answers.p_second)
        measure = f"2afc{self.variant}"
        weighting = self.config.weighting
        is_by_vote = weighting == "votes"
        baselines = two_afc_baselines(answers, weighting, num_workers=ctx.num_workers)
        if result.is_collapsed:
            ctx.warn(
                f"{measure}/{self.set_name}: the image embeddings have collapsed: the mean cosine distance "
                f"of different images is {result.spread:.2g} (warning below {COLLAPSED_SPREAD:g}), and "
                f"{result.num_ties:,} of {result.num_judgments:,} judgments are ties"
            )
        yield Score(
            name=f"{measure}/{self.set_name}",
            value=result.accuracy,
            num_examples=result.num_judgments,
            stderr=result.stderr,
            chance=0.5,
            **ceiling_fields(self._ceiling),
            extra={
                "weighting": weighting,
                "num_ties": result.num_ties,
                "num_anchors": result.num_anchors,
                **as_extra(baselines),
                "by_anchor": by_anchor(values, triplets, triplets.num_votes if is_by_vote else None),
                "by_person": by_person(embedded.distances, *self._people),
                "held_out": self.data.unit,
                "num_units": result.num_units,
            },
            items=Items(
                of_answers,
                answers.roles.T,
                answers.num_votes if is_by_vote else None,
                values_of(baselines),
                people,
            ),
            choices=choose(*distances),
        )
        yield Score(
            name=f"embedding_spread{self.variant}/{self.set_name}",
            value=result.spread,
            num_examples=result.num_images,
        )

    def warnings(self) -> list[str]:
        """Return a warning if the split has few judgments."""
        return find_few(f"2afc{self.variant}/{self.set_name}", len(self.data))

    def read(self) -> Triplets:
        """Return the triplets of the split that are scored."""
        triplets = self.judgments.load(self.config.split)
        return triplets.select(is_read_out(triplets, self._halving)) if self.config.readout else triplets

    @property
    def variant(self) -> str:
        """End of the measure in scores with a readout or by another distance than cosine, as `_linear`."""
        return f"_{self.config.readout}" if self.config.readout else super().variant

    @property
    def _halving(self) -> np.random.Generator:
        """A new generator of the halves of a readout, which are the same for all models."""
        return generator(0, "readout")

    @cached_property
    def _ceiling(self) -> Bounds | None:
        c = self.config
        return ceiling_of_split(self.judgments, c.split, self.data, c.weighting)

    @cached_property
    def _answers(self) -> tuple[Triplets, np.ndarray | None]:
        """Return one judgment for each person and question, with the person of each, if people are known."""
        people, _ = self._people
        if not people or self.config.weighting != "votes":
            return self.data, None
        answers, owner = join_people(people)
        # the data of a control, or of mean matrices, are not the votes of the people
        are_votes = all(map(_are_close, count_choices(answers), count_choices(self.data)))
        return (answers, owner) if are_votes else (self.data, None)

    @cached_property
    def _people(self) -> tuple[Mapping[str, Triplets], Mapping[str, float | None]]:
        """Return the judgments of each person, and the agreement of each person with the others."""
        if self.config.readout or not self.names_people:  # of whom only some judgments are scored
            return {}, {}
        people = people_of_split(self.judgments, self.config.split)
        source = source_of(self.judgments, self.config.split)
        chosen_by_people = isinstance(source, HasNoiseCeiling)
        return people, {} if chosen_by_people else predict_by_others(people)

    def _embed(self, model: DualEncoder, ctx: RunContext) -> Embedded:
        triplets = self.judgments.load(self.config.split) if self.config.readout else self.data
        z = self.embed(model, ctx, triplets.stimuli, triplets.used)
        embedded = Embedded(triplets.used, z, self.distance)
        return read_out(embedded, triplets, self._halving) if self.config.readout else embedded


def choose(d_first: np.ndarray, d_second: np.ndarray) -> np.ndarray:
    """Return the chosen image of each judgment, 1 or 2 in (anchor, first, second), int8; -1 for a tie."""
    return np.select([d_first < d_second, d_first > d_second], [1, 2], -1).astype(np.int8)


def by_anchor(values: np.ndarray, triplets: Triplets, weights: np.ndarray | None) -> Breakdown:
    """Return the mean agreement and the number of judgments by anchor.

    Args:
        values: Agreement of each judgment, (N,).
        triplets: The N judgments.
        weights: Weight of each judgment, (N,); equal if None.

    Returns:
        `value` and `num_judgments` by image name; empty for more than `MAX_ROWS` anchors.
    """
    anchors, place = np.unique(triplets.anchor, return_inverse=True)
    if len(anchors) > MAX_ROWS:
        return {}
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    means = np.bincount(place, w * values) / np.bincount(place, w)
    counts = np.bincount(place)
    return {
        triplets.stimuli.ids[anchor]: {"value": float(mean), "num_judgments": int(count)}
        for anchor, mean, count in zip(anchors.tolist(), means, counts, strict=True)
    }


def by_person(
    distances: Distances, people: Mapping[str, Triplets], others: Mapping[str, float | None]
) -> Breakdown:
    """Return the model's agreement with each person by name: value, stderr, num_judgments, others.

    Args:
        distances: Returns the distances of both images to the anchors of triplets, (N,) each.
        people: Judgments of each person by name.
        others: The result of `predict_by_others`.
    """
    rows = {}
    for name, own in people.items():
        values = agreement(*distances(own), own.p_second)
        rows[name] = {
            "value": float(np.average(values, weights=own.num_votes)),
            "stderr": held_out_error(
                values, "anchor", own.anchor, own.group, own.roles, own.num_votes
            ).stderr,
            "num_judgments": len(own),
            "others": others.get(name),
        }
    return rows


def people_of_split(judgments: Judgments, split: Split) -> Mapping[str, Triplets]:
    """Return the judgments of each person in a split; empty for unknown or over `MAX_ROWS` people."""
    judgments = source_of(judgments, split)
    if not isinstance(judgments, HasPeople) or len(judgments.people) > MAX_ROWS:
        return {}
    return judgments.load_people(split)


def join_people(people: Mapping[str, Triplets]) -> tuple[Triplets, np.ndarray]:
    """Return the judgments of all people, and the index of the person of each judgment, (N,)."""
    each = list(people.values())
    rows = ("anchor", "first", "second", "p_second", "num_votes", "group")
    joined: dict[str, Any] = {name: np.concatenate([getattr(own, name) for own in each]) for name in rows}
    return replace(each[0], **joined), np.repeat(np.arange(len(each)), [len(own) for own in each])


def count_choices(triplets: Triplets) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct choices, as anchor, chosen and other image, (3, C), and their votes, (C,)."""
    anchor, first, second = triplets.roles
    for_second = triplets.p_second.astype(np.float64) * triplets.num_votes
    choices = np.concatenate([[anchor, second, first], [anchor, first, second]], axis=1)
    votes = np.concatenate([for_second, triplets.num_votes - for_second])
    distinct, place = np.unique(choices, axis=1, return_inverse=True)
    sums = np.bincount(place.ravel(), votes)
    return distinct[:, sums > ROUNDING], sums[sums > ROUNDING]


def _are_close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a, b, atol=ROUNDING)


def predict_by_others(people: Mapping[str, Triplets]) -> dict[str, float | None]:
    """Return the share of each person's choices that the majority of the others predicts, in [0, 1].

    A tie between the others counts half. None for a person whose questions no one else answered. The result
    is biased if the triplets were selected by their answers, because these include the person's own.
    """
    if not people:
        return {}
    answers, owner = join_people(people)
    anchor, first, second = answers.roles
    num = answers.num_votes.astype(np.float64)
    p_second = answers.p_second
    low = np.minimum(first, second)
    high = np.maximum(first, second)
    for_high = np.where(second == high, p_second, 1 - p_second) * num
    question = np.unique([anchor, low, high], axis=1, return_inverse=True)[1].ravel()
    own = np.unique(question * len(people) + owner, return_inverse=True)[1]
    left = np.bincount(question, num)[question] - np.bincount(own, num)[own]
    left_for_high = np.bincount(question, for_high)[question] - np.bincount(own, for_high)[own]
    side = np.sign(2 * left_for_high - left)
    predicted = np.where(side > 0, for_high, np.where(side < 0, num - for_high, num / 2))
    totals = np.bincount(owner, num * (left > 0), len(people)).tolist()
    sums = np.bincount(owner, predicted * (left > 0), len(people)).tolist()
    return {name: s / t if t else None for name, s, t in zip(people, sums, totals, strict=True)}
