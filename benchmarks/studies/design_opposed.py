"""Random designs whose other measures, sets or evaluations disagree with the primary score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from design_draws import (
    EVERY,
    STRUCTURE,
    TOP1,
    ItemsOf,
    Leads,
    Made,
    Scores,
    Size,
    Truth,
    change_records,
    clear,
    draw_scores,
    pick_runs,
)  # fmt: skip
from design_runs import SAMPLES, Experiment

SETS = ("dtd", "svhn", "eurosat", "pets")
PER_CLASS = "mean_per_class_recall"


def with_more(experiment: Experiment, name: str, drawn: tuple[Scores, ItemsOf]) -> Experiment:
    """Return an experiment with another score."""
    scores, items = drawn
    situation = experiment.situation
    if name.startswith("top1/"):
        situation = replace(situation, sets={**situation.sets, name.removeprefix("top1/"): scores})
    else:
        situation = replace(situation, also={**situation.also, name: scores})
    merged = {run: {**own, **items.get(run, {})} for run, own in experiment.items.items()}
    return replace(experiment, situation=situation, items=merged)


def _opposed(leads: Leads, size: Size, rng: np.random.Generator) -> Leads:
    """Return leads of which people's has the other sign and is far beyond noise."""
    away = (size.delta + float(rng.uniform(8, 14)) * size.stderr) * (-1 if leads["people"] > 0 else 1)
    return {**leads, "people": away}


def make_opposed_measure(rng: np.random.Generator) -> Made:
    """Return an experiment on one set or several, on which another measure is on the other side."""
    size, experiment, truth = clear(
        rng, p_equal=0.0, level=60.0, num_seeds=int(rng.integers(6, 11)), num_images=500
    )
    names = SETS[: int(rng.choice((0, 0, 2)))]
    for name in names:
        experiment = with_more(
            experiment, f"top1/{name}", draw_scores(rng, size, truth.leads, f"top1/{name}")
        )
    opposed = _opposed(truth.leads, size, rng)
    for name in (experiment.situation.set_name, *names):
        other = f"{PER_CLASS}/{name}"
        experiment = with_more(experiment, other, draw_scores(rng, size, opposed, other))
    defect = f"{PER_CLASS} {opposed['people']:+.2f} on {1 + len(names)} sets"
    return experiment, replace(truth, void=EVERY - {"equivalent"}, defect=defect)


def make_opposed_control(rng: np.random.Generator) -> Made:
    """Return an experiment with another measure, or a set of a mean, in which a control leads people by far."""
    size, experiment, truth = clear(
        rng, p_equal=0.0, level=40.0, num_seeds=int(rng.integers(6, 11)), num_images=500
    )
    control = str(rng.choice([arm for arm in truth.leads if arm != "people"]))
    ahead = {
        **truth.leads,
        control: truth.leads["people"] + size.delta + float(rng.uniform(8, 14)) * size.stderr,
    }
    if rng.random() < 0.5:
        other = f"{PER_CLASS}/cifar10"
        found = with_more(experiment, other, draw_scores(rng, size, ahead, other))
        return found, replace(truth, void=STRUCTURE, defect=f"{control} leads in {other}")
    far = {**truth.leads, "people": truth.leads["people"] + 2 * ahead[control]}
    for name, leads in (("dtd", far), ("svhn", ahead)):
        experiment = with_more(experiment, f"top1/{name}", draw_scores(rng, size, leads, f"top1/{name}"))
    every = (truth.leads, far, ahead)
    means = {arm: float(np.mean([leads[arm] for leads in every])) for arm in truth.leads}
    return experiment, Truth(leads=means, void=STRUCTURE, defect=f"{control} leads on svhn")


def make_opposed_set(rng: np.random.Generator) -> Made:
    """Return an experiment on two to five sets, of which one is on the other side of their mean."""
    size, experiment, truth = clear(
        rng, p_equal=0.0, level=60.0, num_seeds=int(rng.integers(6, 11)), num_images=500
    )
    names = SETS[: int(rng.choice((1, 2, 4)))]
    opposed = _opposed(truth.leads, size, rng)
    toward = (-opposed["people"] * (1 + 2 / len(names))) + np.sign(-opposed["people"]) * size.delta
    for name in names[:-1]:
        own = {**truth.leads, "people": float(toward)}
        experiment = with_more(experiment, f"top1/{name}", draw_scores(rng, size, own, f"top1/{name}"))
    experiment = with_more(
        experiment, f"top1/{names[-1]}", draw_scores(rng, size, opposed, f"top1/{names[-1]}")
    )
    every = [truth.leads["people"], *[float(toward)] * (len(names) - 1), opposed["people"]]
    leads = {**truth.leads, "people": float(np.mean(every))}
    defect = f"sets {np.round(every, 2).tolist()}"
    return experiment, Truth(leads=leads, void=EVERY - {"equivalent"}, defect=defect)


def make_missing_set(rng: np.random.Generator) -> Made:
    """Return an experiment on several sets, of which runs of people or random lack one."""
    size, experiment, truth = clear(rng, num_seeds=int(rng.integers(4, 11)), num_images=500)
    names = SETS[: int(rng.integers(1, 4))]
    for name in names:
        drawn = draw_scores(rng, size, truth.leads, f"top1/{name}")
        experiment = with_more(experiment, f"top1/{name}", drawn)
    lost = pick_runs(rng, ("random", "people"), size, size.num_seeds)
    missing = f"top1/{rng.choice(names)}"

    def drop(record: dict[str, Any]) -> None:
        record["scores"] = [row for row in record["scores"] if row["name"] != missing]

    return change_records(experiment, drop, lost), replace(truth, void=EVERY, defect=f"{missing}: {lost}")


def make_opposed_end(rng: np.random.Generator) -> Made:
    """Return an experiment that is compared in the middle, and whose end is on the other side."""
    size, experiment, truth = clear(rng, p_equal=0.0, level=70.0, num_seeds=int(rng.integers(6, 11)))
    early, _ = draw_scores(rng, size, _opposed(truth.leads, size, rng))
    situation = replace(experiment.situation, early={TOP1: early})
    leads = {**truth.leads, "people": -truth.leads["people"]}
    return replace(experiment, situation=situation, at=SAMPLES // 2), Truth(leads=leads, void=EVERY)
