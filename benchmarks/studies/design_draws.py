"""Random designs: numbers of seeds, images and arms, true leads, scores and per-image values.

A score is the level of the seed, plus the lead of the arm, plus the noise of the run, plus the mean effect of the arm
on the images. Two arms differ with a standard deviation of `noise` over seeds and `image_noise` over images.
"""

from __future__ import annotations

# S seeds, N images
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from design_runs import Experiment, Run
from situations.changes import Change
from situations.made import Situation

CONTROLS = ("pixels", "labels", "spectrum", "mimetic")
TOP1 = "top1/cifar10"
EVERY = frozenset({"worth", "not worth", "equivalent", "structure"})
STRUCTURE = frozenset({"structure"})
FLIPS = 0.1  # standard deviation of a run on an image

Leads = Mapping[str, float]  # arm -> true lead over the baseline, in points
Scores = dict[str, tuple[float, ...]]
ItemsOf = dict[Run, dict[str, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of a design.

    leads: of arms over the baseline, in points. void: claims that the design does not support, whatever is true.
    defect: in words.
    """

    leads: Leads
    void: frozenset[str] = frozenset()
    defect: str = ""

    def is_false(self, claim: str, arm: str, delta: float) -> bool:
        """Return whether a claim about an arm is false or unsupported."""
        lead = self.leads[arm]
        others = (other for name, other in self.leads.items() if name != arm)
        is_true = {
            "worth": lead > delta,
            "not worth": lead < -delta,
            "equivalent": abs(lead) <= delta,
            "structure": lead > 0 and all(lead > other for other in others),
        }
        return claim in self.void or not is_true[claim]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Numbers of seeds and images; points: delta, deviations over seeds and images, level of the baseline."""

    num_seeds: int
    num_images: int
    delta: float
    noise: float
    image_noise: float = 20.0
    level: float = 40.0

    @property
    def stderr(self) -> float:
        """Return the standard error of a difference over seeds and images."""
        return float(np.sqrt(self.noise**2 / self.num_seeds + self.image_noise**2 / self.num_images))


Made = tuple[Experiment, Truth]
Make = Callable[[np.random.Generator], Made]


def draw_size(rng: np.random.Generator, **fixed: float) -> Size:
    """Return random numbers of seeds and images, and a delta of 1.5 to 6 standard errors."""
    size = Size(
        num_seeds=int(rng.integers(3, 11)),
        num_images=int(rng.choice((500, 1000, 2000, 5000))),
        delta=1.0,
        noise=float(rng.uniform(0.1, 1.5)),
        image_noise=float(rng.uniform(10, 25)),
        level=float(rng.uniform(30, 60)),
    )
    size = replace(size, **{k: v for k, v in fixed.items() if k != "delta"})
    delta = fixed.get("delta", round(size.stderr * float(rng.uniform(1.5, 6)), 2))
    return replace(size, delta=delta)


def draw_controls(rng: np.random.Generator, least: int = 0) -> list[str]:
    """Return random controls besides shuffled votes."""
    num = int(rng.integers(least, len(CONTROLS)))
    return [*rng.permutation(CONTROLS)[:num].tolist()]


def draw_leads(
    rng: np.random.Generator, size: Size, controls: Sequence[str], p_equal: float = 0.25
) -> dict[str, float]:
    """Return a clear lead, loss or equality of people; controls equal the baseline."""
    beyond = size.delta + float(rng.uniform(4, 10)) * size.stderr
    p_lead = 0.8 * (1 - p_equal)
    lead = float(rng.choice((beyond, 0.0, -beyond), p=(p_lead, p_equal, 1 - p_equal - p_lead)))
    return {"people": max(lead, 1 - size.level), "shuffled": 0.0, **dict.fromkeys(controls, 0.0)}


def draw_scores(
    rng: np.random.Generator, size: Size, leads: Leads, name: str = TOP1
) -> tuple[Scores, ItemsOf]:
    """Return scores of the baseline and other arms in points, and the values of their images as shares."""
    num_seeds, num_images = size.num_seeds, size.num_images
    level = size.level + rng.normal(0.0, 0.3, num_seeds)
    scores, items = {}, {}
    for arm, lead in {"random": 0.0, **leads}.items():
        effect = size.image_noise / 2**0.5 * _draw_effects(rng, size)
        own = level + lead + rng.normal(0.0, size.noise / 2**0.5, num_seeds)
        values = rng.normal(0.0, FLIPS, (num_seeds, num_images)) + effect / 100
        values += (own / 100 + effect.mean() / 100 - values.mean(axis=1))[:, None]
        scores[arm] = tuple((100 * values.mean(axis=1)).tolist())
        items |= {(arm, seed): {name: row} for seed, row in enumerate(values)}
    return scores, items


def _draw_effects(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Return an effect on each image with a standard deviation of 1: few images gain or lose, the others do not."""
    p_changed = min(1.0, (size.image_noise / 100) ** 2 / 2)
    signs = rng.choice((-1.0, 1.0), size.num_images)
    return signs * (rng.random(size.num_images) < p_changed) / p_changed**0.5


def draw(rng: np.random.Generator, size: Size, leads: Leads, **settings: object) -> Experiment:
    """Return an experiment with these leads. settings: of the situation."""
    scores, items = draw_scores(rng, size, leads)
    situation = Situation(
        truth="",
        arms=scores,
        num_seeds=size.num_seeds,
        num_examples=size.num_images,
        verdict=f"delta = {size.delta}",
    )
    return Experiment(situation=replace(situation, **settings), delta=size.delta, items=items)  # type: ignore[arg-type]


def lower_is_better(experiment: Experiment) -> Experiment:
    """Return an experiment with a cross-entropy in place of its score: 150 minus the points."""
    situation = experiment.situation
    flipped = {arm: tuple(150 - value for value in values) for arm, values in situation.arms.items()}  # type: ignore[union-attr,operator]
    name = f"cross_entropy/{situation.set_name}"
    items = {run: {name: 1.5 - own[TOP1]} for run, own in experiment.items.items()}
    settings = {"measure": "cross_entropy", "chance": None, "higher_is_better": False}
    return replace(experiment, situation=replace(situation, arms=flipped, **settings), items=items)  # type: ignore[arg-type]


def clear(
    rng: np.random.Generator, least_controls: int = 0, p_equal: float = 0.25, **fixed: float
) -> tuple[Size, Experiment, Truth]:
    """Return an experiment whose scores alone would support a firm sentence, in most cases."""
    size = draw_size(rng, **fixed)
    leads = draw_leads(rng, size, draw_controls(rng, least_controls), p_equal)
    return size, draw(rng, size, leads), Truth(leads=leads)


def pick_runs(rng: np.random.Generator, arms: Sequence[str], size: Size, most: int) -> list[Run]:
    """Return up to `most` random runs of one of the arms."""
    arm = str(rng.choice(arms))
    num = int(rng.integers(1, most + 1))
    return [(arm, int(seed)) for seed in rng.permutation(size.num_seeds)[:num]]


def change_records(experiment: Experiment, change: Change, runs: Collection[Run] = ()) -> Experiment:
    """Return an experiment with a change to each record, or to those of some runs."""

    def change_some(record: dict[str, Any]) -> None:
        if not runs or (record["arm"]["name"], record["seed"]) in runs:
            change(record)

    return replace(experiment, situation=replace(experiment.situation, change=change_some))
