"""Agreement with human similarity judgments (2AFC), with the human ceiling and a collapse alarm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from perceptinit.evaluators.judged import JudgedMeasure, ceiling_fields
from perceptinit.judgments.baselines import Baseline, as_extra, two_afc_baselines
from perceptinit.judgments.breakdown import (
    by_anchor,
    by_person,
    people_of_split,
    predict_by_others,
)
from perceptinit.judgments.ceilings import Bounds, ceiling_of_split
from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.scoring import Weighting, agreement
from perceptinit.judgments.two_afc import COLLAPSED_SPREAD, Embedded, embed_judged, score
from perceptinit.protocols import DualEncoder, HasNoiseCeiling
from perceptinit.types import RunContext, Score, Triplets


class TwoAFC(JudgedMeasure):
    """Which of two images is closer to an anchor, by cosine distance of the image embeddings?

    Gives `2afc/<set>`, the share of human votes that agree with the model: a tie earns half, chance
    is 0.5, the ceiling is how well people predict a person's choice: `lower_ceiling` from the others'
    votes, `ceiling` from all; none where hardly a question was answered twice. Its standard error
    treats the judgments of one anchor as dependent, or of what else was held out: people, groups,
    pictures in any role. And `embedding_spread/<set>`, the mean cosine
    distance of two different images, with a warning when it shows a collapse. A split other than
    `test` is part of the names: `2afc/nights-val`.

    Beside it stands what pixels, the mean colour and a random network score on the same judgments; the
    record also holds the agreement by anchor, and by person where the judgments know theirs.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.EncodingConfig):
        weighting: Weighting = "votes"
        """What counts once: every vote, or every triplet as in DreamSim's scores of NIGHTS ("judgments")."""

    config: Config
    _baselines: tuple[Baseline, ...] | None = None

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the 2AFC score and the spread.

        Raises DataError for judgments or images that cannot be read, TrainingError for embeddings
        that are not finite.
        """
        embedded = self._embed(model, ctx)
        result = score(embedded, self.data, self.config.weighting)
        name, weighting = self.set_name, self.config.weighting
        if self._baselines is None:  # they do not depend on the model
            self._baselines = two_afc_baselines(self.data, weighting, num_workers=ctx.num_workers)
        if result.is_collapsed:
            ctx.warn(
                f"2afc/{name}: the image embeddings have collapsed: different images are "
                f"{result.spread:.2g} apart on average (cosine distance, alarm below "
                f"{COLLAPSED_SPREAD:g}); {result.num_ties:,} of {result.num_judgments:,} judgments are ties"
            )
        yield Score(
            name=f"2afc/{name}",
            value=result.accuracy,
            num_examples=result.num_judgments,
            stderr=result.stderr,
            chance=0.5,
            **ceiling_fields(self._ceiling),
            extra={
                "weighting": weighting,
                "num_ties": result.num_ties,
                "num_anchors": result.num_anchors,
                **as_extra(self._baselines),
                **self._breakdown(embedded),
                **self.held_out(self.data.unit, self.data.used_names),
            },
        )
        yield Score(name=f"embedding_spread/{name}", value=result.spread, num_examples=result.num_images)

    def read(self) -> Triplets:
        """Return the triplets of the split."""
        return self.judgments.load(self.config.split)

    @cached_property
    def _ceiling(self) -> Bounds | None:
        c = self.config
        return ceiling_of_split(self.judgments, c.split, self.data, c.weighting)

    def _breakdown(self, embedded: Embedded) -> dict[str, Any]:
        """Return agreement by anchor, and by person where the judgments know theirs."""
        triplets = self.data
        values = agreement(*embedded.distances(triplets), triplets.p_second)
        weights = triplets.num_votes if self.config.weighting == "votes" else None
        people, others = self._people
        return {
            "by_anchor": by_anchor(values, triplets, weights),
            "by_person": by_person(embedded.distances, people, others),
        }

    @cached_property
    def _people(self) -> tuple[Mapping[str, Triplets], Mapping[str, float | None]]:
        """Return each person's judgments, and how well the others predict each person."""
        people = people_of_split(self.judgments, self.config.split)
        source = source_of(self.judgments, self.config.split)
        chosen_by_people = isinstance(source, HasNoiseCeiling)
        return people, {} if chosen_by_people else predict_by_others(people)

    def _embed(self, model: DualEncoder, ctx: RunContext) -> Embedded:
        c = self.config
        return embed_judged(
            self.encoder(model.encode_image, ctx.device),
            self.data,
            self.images(self.data.stimuli, model.image_size, ctx.num_workers, c.cache_mib),
            device=ctx.device,
            batch_size=c.batch_size,
        )
