"""Representational similarity analysis with human dissimilarities (`rsa`)."""

# S subjects, M models, K images, P = K (K - 1) / 2 pairs, G groups of images
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from perceptinit.errors import UsageError
from perceptinit.evaluators.judged import JudgedMeasure, ceiling_fields
from perceptinit.evaluators.metrics import jackknife
from perceptinit.evaluators.rank_correlation import Without, kendall_without, number, spearman_without
from perceptinit.judgments.baselines import (
    Baseline,
    Bounds,
    as_extra,
    describe_images,
    distances,
    values_of,
)
from perceptinit.judgments.forms.rdm import HasDissimilarities
from perceptinit.judgments.scoring import MIN_UNITS, Distance, HeldOutError
from perceptinit.protocols import DualEncoder, HasPeople
from perceptinit.types import Items, MeasuredSplit, RunContext, Score, Stimuli

MAX_LEFT_OUT = 200  # images that are left out one by one
NUM_GROUPS = 100  # groups of more images, by position

MEASURES = {"rsa_spearman": spearman_without, "rsa_kendall": kendall_without}


class RSA(JudgedMeasure):
    """Rank correlation between dissimilarities of the model and of people.

    The scores `rsa_spearman/<set>` and `rsa_kendall/<set>` (tau-b) are means over subjects. The ceiling is
    the mean correlation of a subject with the mean of all subjects, the lower ceiling with the mean of the
    others; a single matrix has no ceiling. The record contains the value and the lower ceiling of each
    subject. Standard errors are from a jackknife that leaves out each image, or 100 groups of more than 200
    images. Fewer than 10 images have none. The record also contains the standard error over subjects, and
    the scores of trivial models (pixels, histograms, random network) if the images are known. Judgments:
    `rdm` and other matrices.

    Source: Nili et al. 2014.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.EncodingConfig):
        split: MeasuredSplit = "test"  # type: ignore[assignment]  # wider than that of other measures
        """Split of the images, or "all" if no arm was trained on these judgments."""
        distance: Distance = "cosine"
        """Dissimilarity of two embeddings: 1 - cosine or "pearson" correlation, "euclidean", or "dot" for the
        negative inner product."""

    config: Config

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield Spearman's and Kendall's rank correlation.

        Raises:
            DataError: If matrices or images cannot be read.
        """
        stimuli, used, subjects = self.data
        z = self.embed(model, ctx, stimuli, used)
        apart = model_dissimilarities(z, self.config.distance)
        for measure in MEASURES:
            yield self._score(measure, apart, subjects)

    def read(self) -> tuple[Stimuli, np.ndarray, np.ndarray]:
        """Return stimuli, image indices and dissimilarities of the split; UsageError without matrices."""
        if not isinstance(self.judgments, HasDissimilarities):
            raise UsageError(
                f"rsa: judgments '{self.judgments.name}' are not dissimilarity matrices. Use 'rdm'"
            )
        return self.judgments.load_dissimilarities(self.config.split)

    def used(self) -> tuple[Stimuli, np.ndarray]:
        """Return the stimuli and the indices of the images of the matrices, int64 (K,)."""
        stimuli, used, _ = self.data
        return stimuli, used

    @cached_property
    def _ceilings(self) -> dict[str, Sequence[Bounds]]:
        """The noise ceilings of each measure, which do not depend on the model."""
        return {name: noise_ceilings(self.data[2], correlate) for name, correlate in MEASURES.items()}

    @cached_property
    def _trivial(self) -> Mapping[str, Sequence[Baseline]]:
        """The scores of trivial models in each measure, which do not depend on the model."""
        stimuli, used, _ = self.data
        features = describe_images(stimuli, used)
        if not features:
            return dict.fromkeys(MEASURES, ())
        rows, columns = np.indices((len(used), len(used))).reshape(2, -1)
        apart = [distances(points, (rows, columns))[0] for points in features.values()]
        matrices = np.stack(apart).reshape(-1, len(used), len(used))
        return {measure: self._score_trivial(measure, list(features), matrices) for measure in MEASURES}

    def _score_trivial(self, measure: str, names: Sequence[str], matrices: np.ndarray) -> list[Baseline]:
        """Return the scores of trivial models, except for those without a correlation (equal distances)."""
        found = self._correlate(measure, matrices)
        baselines = []
        for place, name in enumerate(names):
            values = found[:, place]
            stderr, items = jackknife_images(values)
            error = HeldOutError(stderr, matrices.shape[1], "image", is_correlation=True)
            if np.isfinite(values).all():
                baselines.append(
                    Baseline(name, float(values[0].mean()), error, items.values if items else None)
                )
        return baselines

    def _correlate(self, measure: str, matrices: np.ndarray) -> np.ndarray:
        """Return correlations with all subjects, (1 + G, M, S); without groups for few images."""
        count = matrices.shape[1]
        group = np.arange(count) % (NUM_GROUPS if count > MAX_LEFT_OUT else count)
        num_groups = int(group.max()) + 1 if count >= MIN_UNITS else 0
        return correlations(matrices, self.data[2], MEASURES[measure], group, num_groups)

    def _score(self, measure: str, apart: np.ndarray, subjects: np.ndarray) -> Score:
        from scipy.stats import sem

        count = len(apart)
        found = self._correlate(measure, apart[None])[:, 0]
        values = found[0]
        stderr, items = jackknife_images(found)
        ceilings = self._ceilings[measure]
        trivial = self._trivial[measure]
        bounds: Any = np.mean(ceilings, axis=0).tolist() if ceilings else None
        people: Sequence[Any] = range(len(subjects))
        if isinstance(self.judgments, HasPeople):
            people = self.judgments.people
        # empty for a single subject
        by_person = zip(map(str, people), values.tolist(), ceilings, strict=True) if ceilings else ()
        return Score(
            name=f"{measure}{self.variant}/{self.set_name}",
            value=float(values.mean()),
            num_examples=count * (count - 1) // 2,
            stderr=stderr,
            chance=0.0,
            **ceiling_fields(bounds),
            extra={
                **as_extra(trivial),
                "precision": self.config.precision,
                "distance": self.config.distance,
                "num_images": count,
                "held_out": "image",
                "num_units": count,
                "num_subjects": len(subjects),
                "stderr_over_subjects": float(sem(values)) if ceilings else None,
                "by_person": {
                    name: {"value": value, "others": lower} for name, value, (lower, _) in by_person
                },
            },
            pseudo_items=items and replace(items, baselines=values_of(trivial)),
        )


def jackknife_images(correlations: np.ndarray) -> tuple[float | None, Items | None]:
    """Return the standard error of a mean over subjects, and its pseudo-values; None without groups.

    Args:
        correlations: With each subject, of all images and without each group of them, (1 + G, S).
    """
    without = correlations[1:]
    if not len(without):
        return None, None
    return jackknife(without.mean(axis=1)), pseudo_items(correlations[0], without)


def pseudo_items(values: np.ndarray, without: np.ndarray) -> Items:
    """Return the jackknife pseudo-values of a mean over subjects, whose mean is the score.

    Args:
        values: Correlation of each subject, (S,).
        without: The same without each group of images, (G, S).

    Source: Tukey 1958. The pseudo-values are shifted by the jackknife estimate of bias.
    """
    num_groups, num_subjects = without.shape
    pseudo = values - (num_groups - 1) * (without - without.mean(axis=0))
    images = np.repeat(np.arange(num_groups), num_subjects)[:, None]
    people = np.tile(np.arange(num_subjects), num_groups) if num_subjects > 1 else None
    return Items(pseudo.ravel(), images, people=people)


def model_dissimilarities(embeddings: np.ndarray, distance: Distance) -> np.ndarray:
    """Return the dissimilarities of all pairs of embeddings (K, D), as (K, K)."""
    from scipy.spatial.distance import pdist, squareform

    if distance == "dot":
        return -embeddings @ embeddings.T
    return squareform(pdist(embeddings, "correlation" if distance == "pearson" else distance))


def correlations(
    models: np.ndarray, subjects: np.ndarray, correlate: Without, group: np.ndarray, num_groups: int
) -> np.ndarray:
    """Return the correlation of each model's dissimilarities with those of each subject, (1 + G, M, S).

    The first ones are those of all images, the others are those without each group of images.

    Args:
        models: Dissimilarities of the models, (M, K, K).
        subjects: Dissimilarities of the subjects, (S, K, K). NaN pairs of a subject are excluded.
        correlate: Rank correlation.
        group: Group of each image, from 0 without gaps, int64 (K,).
        num_groups: Number of groups G to leave out.
    """
    pairs = np.array(np.triu_indices(len(group), 1))
    is_unknown = np.isnan(subjects[:, *pairs])
    found = np.empty((1 + num_groups, len(models), len(subjects)))
    # subjects with the same pairs share the order of the models' dissimilarities
    masks, mask_of = np.unique(is_unknown, axis=0, return_inverse=True)
    for place, mask in enumerate(masks):
        own = mask_of.ravel() == place
        first, second = pairs[:, ~mask]
        x = _number_rows(models[:, first, second])
        y = _number_rows(subjects[own][:, first, second])
        found[:, :, own] = correlate(x, y, group[np.stack([first, second])], num_groups)
    return found


def _number_rows(rows: np.ndarray) -> np.ndarray:
    return np.stack([number(row) for row in rows])


def noise_ceilings(subjects: np.ndarray, correlate: Without) -> Sequence[Bounds]:
    """Return the correlations of each subject with the mean of the others and with the mean of all.

    Dissimilarities are ranked before they are averaged. Empty for fewer than two subjects.

    Source: Nili et al. 2014, noise ceiling of RSA.
    """
    if len(subjects) < 2:
        return []
    from scipy.stats import rankdata

    pairs = np.triu_indices(subjects.shape[1], 1)
    vectors = np.stack([own[pairs] for own in subjects])
    ranks = rankdata(vectors, axis=1, nan_policy="omit")
    of_all = _mean_of_known(ranks)
    found = []
    for s, own in enumerate(vectors):
        of_others = _mean_of_known(np.delete(ranks, s, axis=0))
        lower = _correlate_known(correlate, of_others, own)
        found.append((lower, _correlate_known(correlate, of_all, own)))
    return found


def _correlate_known(correlate: Without, a: np.ndarray, b: np.ndarray) -> float:
    known = ~(np.isnan(a) | np.isnan(b))
    no_groups = np.zeros((2, known.sum()), dtype=int)
    return float(correlate(number(a[known])[None], number(b[known])[None], no_groups, 0).item())


def _mean_of_known(vectors: np.ndarray) -> np.ndarray:
    count = (~np.isnan(vectors)).sum(axis=0)
    return np.where(count > 0, np.nansum(vectors, axis=0) / np.maximum(count, 1), np.nan)
