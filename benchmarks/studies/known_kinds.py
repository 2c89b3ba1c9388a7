"""Kinds of simulated experiments whose truth is known: records of the package with drawn scores.

All arms share the level of a seed. The difference from the baseline is the arm's lead plus noise with a standard
deviation of 0.8 points over seeds; in real A/A comparisons it is 0.72 (docs/results.md). Delta is 1 point.
"""

from __future__ import annotations

# S seeds, P images
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from calibration_images import draw_correct, true_difference
from calibration_seeds import NOISE, ask_at_looks
from sentence_rules import Pair, Truth
from situations.made import INIT, Situation

from perceptinit.analysis.decisions import rule_of
from perceptinit.recipe.settings import VerdictConfig
from perceptinit.results.items import write_items
from perceptinit.results.source import POINTS
from perceptinit.types import Items

DELTA, SPREAD, LEVEL = 1.0, 0.8, 40.0  # points
LARGE, SMALL = 4.0, 1.5  # leads in points
SEEDS = (3, 5, 6, 10)
P_FAILED = 0.25  # of a run
MOST_ADDED = 10
SCORE = "top1/cifar10"
Interval = tuple[float, float]
Make = Callable[[np.random.Generator], tuple[Situation, Truth]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of experiment.

    num: experiments. known: what is true of them. make: draws one. is_large: whether the first arm has a large
    effect that a table should find.
    """

    name: str
    num: int
    known: str
    make: Make
    is_large: bool = False


def _exactly(points: float) -> Interval:
    return points, points


def _draw(
    rng: np.random.Generator, num: int, leads: Mapping[str, float], noise: str = "normal"
) -> dict[str, tuple[float, ...]]:
    """Return the scores of the baseline and of arms with these leads, in percent."""
    level = LEVEL + 0.6 * rng.standard_normal(num)
    drawn = {arm: level + lead + SPREAD * NOISE[noise](rng, (num,)) for arm, lead in leads.items()}
    return {arm: tuple(values.tolist()) for arm, values in {"random": level, **drawn}.items()}


def _situation(arms: Mapping[str, Sequence[float | None]], **settings: object) -> Situation:
    situation = Situation(truth="", arms=arms, num_seeds=len(arms["random"]), verdict=f"delta = {DELTA}")
    return replace(situation, **settings)  # type: ignore[arg-type]


def _between(leads: Mapping[str, float]) -> dict[Pair, Interval]:
    """Return the true differences of arms from the baseline and of the first arm from `shuffled`."""
    between = {(arm, "random"): _exactly(lead) for arm, lead in leads.items()}
    if "shuffled" in leads:
        arm = next(iter(leads))
        between[arm, "shuffled"] = _exactly(leads[arm] - leads["shuffled"])
    return between


def _with_leads(
    leads: Mapping[str, float],
    *,
    structure: str = "",
    seeds: Sequence[int] = SEEDS,
    noise: str = "normal",
    **settings: object,
) -> Make:
    """Return a function that draws experiments with these leads."""

    def make(rng: np.random.Generator) -> tuple[Situation, Truth]:
        arms = _draw(rng, int(rng.choice(seeds)), leads, noise)
        return _situation(arms, **settings), Truth(_between(leads), structure=structure)  # type: ignore[arg-type]

    return make


def _make_alike(rng: np.random.Generator) -> tuple[Situation, Truth]:
    arms = _draw(rng, int(rng.choice(SEEDS)), {"redrawn": 0.0})
    return _situation(arms), Truth(_between({"redrawn": 0.0}), alike=frozenset({("redrawn", "random")}))


def _make_trained(rng: np.random.Generator) -> tuple[Situation, Truth]:
    leads = {"people": LARGE, "shuffled": 0.0}
    judged = {"measure": "2afc", "set_name": "nights", "chance": 0.5}
    arms = _draw(rng, int(rng.choice(SEEDS)), leads)
    return _situation(arms, **judged), Truth(_between(leads), structure="people", taught=True)


def _make_few_images(lead: float, structure: str = "") -> Make:
    """Return a function that draws experiments on few images. lead: of people, in logits."""

    def make(rng: np.random.Generator) -> tuple[Situation, Truth]:
        num_seeds, num_images = int(rng.choice((3, 5, 6))), int(rng.choice((50, 85, 200)))
        effect = float(rng.choice((0.5, 1.0)))  # logits, deviation over images
        difficulty = rng.normal(0.0, 1.5, num_images)
        drawn = {
            arm: draw_correct(rng, num_seeds, difficulty + own + deviation * rng.standard_normal(num_images))
            for arm, own, deviation in (("random", 0, 0), ("people", lead, effect), ("shuffled", 0, effect))
        }

        def write(folder: Path) -> None:
            images = np.arange(num_images)[:, None]
            for arm, correct in drawn.items():
                for seed, row in enumerate(correct):
                    write_items(folder / arm / f"seed{seed}", {SCORE: Items(row, images, None)})

        arms = {arm: tuple((100 * correct.mean(axis=1)).tolist()) for arm, correct in drawn.items()}
        own, other = (100 * true_difference(effect, one, 0.0) for one in (lead, 0.0))
        truth = Truth(_between({"people": own, "shuffled": other}), structure=structure)  # type: ignore[arg-type]
        return _situation(arms, num_examples=num_images, after=write), truth

    return make


def _make_failing(lead: float) -> Make:
    """Return a function that draws experiments in which runs of people fail. lead: of runs that finish."""

    def make(rng: np.random.Generator) -> tuple[Situation, Truth]:
        leads = {"people": lead, "shuffled": 0.0}
        arms: dict[str, tuple[float | None, ...]] = dict(_draw(rng, int(rng.choice((5, 6, 10))), leads))
        failed = rng.random(len(arms["people"])) < P_FAILED
        arms["people"] = tuple(None if f else v for f, v in zip(failed, arms["people"], strict=True))
        # a failed run counts as one at chance
        worst = (1 - P_FAILED) * lead - P_FAILED * (LEVEL - 10)
        truth = Truth(_between(leads), {("people", "random"): _exactly(worst)}, "people" if lead else "")
        return _situation(arms), truth

    return make


def _make_added_by_hand(rng: np.random.Generator) -> tuple[Situation, Truth]:
    """Return an experiment of equal arms whose seeds were added, one at a time, until it was decided."""
    first, leads = 3, {"people": 0.0}
    arms = _draw(rng, MOST_ADDED, leads)
    differences = [(a - b) / POINTS for a, b in zip(arms["people"], arms["random"], strict=True)]
    plan = VerdictConfig(delta=DELTA)
    rules = [rule_of(plan, first, listed) for listed in range(first, MOST_ADDED + 1)]
    _, num = ask_at_looks(differences, rules, first)
    shown = {arm: values[:num] for arm, values in arms.items()}
    return _situation(shown, looks=(first, num)), Truth(_between(leads))


TEN = tuple(f"start{k}" for k in range(10))
TEN_INIT = dict.fromkeys(TEN, '[{ use = "mimetic" }]')
OTHER_SETTINGS = {"shuffled": '[{ like = "init", epochs = 64, judgments.through = ["shuffled-votes"] }]'}
BY_PIXELS = {
    "pixels": INIT["pixels"],
    "shuffled": '[{ like = "init", judgments.through = ["pixel-triplets", "shuffled-votes"] }]',
}
# The name of a kind seeds its draws, so the stored counts keep "pictures".
KINDS = (
    Kind("A/A", 90, "two draws of fresh weights", _make_alike),
    Kind("no effect, heavy tails", 75, "people and shuffled equal the baseline",
         _with_leads({"people": 0.0, "shuffled": 0.0}, noise="heavy tails (t, 4 degrees of freedom)")),
    Kind("no effect on few pictures", 110, "50 to 200 images; on all images the arms are equal",
         _make_few_images(0.0)),
    Kind("large effect on few pictures", 50, "50 to 200 images; people lead by a logit", _make_few_images(1.0, "people")),
    Kind("ten arms, no effect", 90, "no arm differs from the baseline",
         _with_leads(dict.fromkeys(TEN, 0.0), init=TEN_INIT)),
    Kind("ten arms, one effect", 50, "one arm leads by 4 points",
         _with_leads(dict.fromkeys(TEN, 0.0) | {TEN[0]: LARGE}, init=TEN_INIT, seeds=(5, 6, 10)), is_large=True),
    Kind("no effect, runs fail", 50, "a quarter of the runs of people fail; the others equal the baseline",
         _make_failing(0.0)),
    Kind("a lead, but runs fail", 40, "a quarter of the runs of people fail; with them, people are worse",
         _make_failing(LARGE)),
    Kind("pixels do as well", 50, "people and pixels lead by 4 points: the answers of people do not explain it",
         _with_leads({"people": LARGE, "shuffled": 0.0, "pixels": LARGE})),
    Kind("shuffled votes do as well", 40, "people and shuffled lead by 4 points",
         _with_leads({"people": LARGE, "shuffled": LARGE})),
    Kind("a control with other settings", 35, "shuffled is trained longer, which costs 4 points",
         _with_leads({"people": 0.0, "shuffled": -LARGE}, init=OTHER_SETTINGS)),
    Kind("the score is the trained task", 35, "a lead does not show that the arm is worth it", _make_trained),
    Kind("pixels answer", 40, "no human votes; pixels lead by 4 points",
         _with_leads({"pixels": LARGE, "shuffled": 0.0}, structure="program", init=BY_PIXELS)),
    Kind("seeds added until decided, without a plan", 60, "no effect; 3 seeds first, 10 at most", _make_added_by_hand),
    Kind("an effect of exactly delta", 40, "people lead by 1 point, which is not worth it",
         _with_leads({"people": DELTA, "shuffled": 0.0}, structure="people")),
    Kind("small effect", 35, "people lead by 1.5 points",
         _with_leads({"people": SMALL, "shuffled": 0.0}, structure="people")),
    Kind("large effect", 110, "people lead by 4 points",
         _with_leads({"people": LARGE, "shuffled": 0.0}, structure="people", seeds=(5, 6, 10)), is_large=True),
)  # fmt: skip
