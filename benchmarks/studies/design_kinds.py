"""Kinds of random designs whose truth is known. The defects and the truth do not come from the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from design_draws import (
    CONTROLS,
    EVERY,
    STRUCTURE,
    TOP1,
    Made,
    Make,
    Truth,
    change_records,
    clear,
    draw,
    draw_scores,
    draw_size,
    pick_runs,
)  # fmt: skip
from design_edges import (
    at_level,
    make_as_good,
    make_at_edge,
    make_family,
    make_few_images,
    make_unlearned,
    near_chance,
    near_the_end,
    within_delta_of_chance,
)  # fmt: skip
from design_opposed import (
    SETS,
    make_missing_set,
    make_opposed_control,
    make_opposed_end,
    make_opposed_measure,
    make_opposed_set,
    with_more,
)  # fmt: skip
from situations.changes import (
    Change,
    by_package,
    on_device,
    other_batches,
    other_processor,
    saw_in_stage_1,
    stage_1,
)  # fmt: skip

JUDGED = ("shuffled", "pixels", "labels")  # controls with a stage 1 of their own
FOR_ARM = EVERY - {"not worth"}  # claims that images seen in stage 1 favor


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of design. needs_statistics: whether a few false claims are errors that an interval allows."""

    name: str
    known: str
    make: Make
    needs_statistics: bool = False


def _lost(arms: Sequence[str], void: frozenset[str], *, may_lose_all: bool = False) -> Make:
    """Return a function that draws experiments in which runs of one of the arms have no score."""

    def make(rng: np.random.Generator) -> Made:
        size, experiment, truth = clear(rng, least_controls=1)
        present = [arm for arm in arms if arm in truth.leads or arm == "random"]
        lost = pick_runs(rng, present, size, size.num_seeds if may_lose_all else size.num_seeds - 2)
        how = str(rng.choice((*STATES, *VALUES)))
        if how in STATES:
            experiment = replace(experiment, states=dict.fromkeys(lost, how))  # type: ignore[arg-type]
        else:
            experiment = change_records(experiment, VALUES[how], lost)
        return experiment, replace(truth, void=void, defect=f"{how}: {lost}")

    return make


def _set_value(value: float | None) -> Change:
    def change(record: dict[str, Any]) -> None:
        for row in record["scores"]:
            row["value"] = value

    return change


STATES = ("failed", "unreadable", "not started", "interrupted", "stopped")
VALUES: dict[str, Change] = {
    "not finite": _set_value(None),
    "too large": _set_value(1e200),
}


def _collapsed(arms: Sequence[str]) -> Make:
    """Return a function that draws experiments in which stage 1 of an arm collapsed in some seeds."""

    def make(rng: np.random.Generator) -> Made:
        size, experiment, truth = clear(rng)
        present = [arm for arm in arms if arm in truth.leads]
        runs = pick_runs(rng, present, size, size.num_seeds)
        spread = float(10 ** rng.uniform(-6, -3.1))
        change = stage_1(runs[0][0], spread_after=spread)
        defect = f"spread {spread:.1g}: {runs}"
        return change_records(experiment, change, runs), replace(truth, void=STRUCTURE, defect=defect)

    return make


def _make_contracted_at_chance(rng: np.random.Generator) -> Made:
    _, experiment, truth = clear(rng)
    spread, two_afc = float(rng.uniform(0.002, 0.06)), float(rng.uniform(0.47, 0.505))
    change = stage_1("people", spread_after=spread, two_afc=two_afc)
    defect = f"spread {spread:.3f}, 2AFC {two_afc:.3f}"
    return change_records(experiment, change), replace(truth, void=STRUCTURE, defect=defect)


def _make_copied(rng: np.random.Generator) -> Made:
    size, experiment, truth = clear(rng)
    copies = [
        run for run in pick_runs(rng, list(experiment.situation.arms), size, size.num_seeds - 1) if run[1]
    ]
    copies = copies or [("people", 1)]
    arm = copies[0][0]
    values = list(experiment.situation.arms[arm])  # type: ignore[call-overload]
    for _, seed in copies:
        values[seed] = values[0]
    situation = replace(experiment.situation, arms={**experiment.situation.arms, arm: tuple(values)})
    items = {**experiment.items, **dict.fromkeys(copies, experiment.items[arm, 0])}
    void = EVERY if arm in ("random", "people") else STRUCTURE
    copied = replace(experiment, situation=situation, items=items, copies=frozenset(copies))
    return copied, replace(truth, void=void, defect=f"copies of seed 0: {copies}")


def _make_leaked(rng: np.random.Generator) -> Made:
    """Return an experiment in which stage 1 saw images of a set, in all seeds or in some."""
    size, experiment, truth = clear(rng, num_images=500)
    for name in SETS[: int(rng.choice((0, 0, 2)))]:
        experiment = with_more(
            experiment, f"top1/{name}", draw_scores(rng, size, truth.leads, f"top1/{name}")
        )
    share = float(rng.choice((1.0, 0.5, float(10 ** rng.uniform(-3, -1)))))
    name = str(rng.choice([TOP1, *(f"top1/{name}" for name in experiment.situation.sets)]))
    runs = pick_runs(rng, ("people",), size, size.num_seeds) if rng.random() < 0.3 else []
    trained = [arm for arm in truth.leads if arm != "mimetic"]

    def leak(record: dict[str, Any]) -> None:
        for row in record["scores"]:
            if row["name"] == name and record["arm"]["name"] in trained:
                row["extra"]["seen_in_stage_1"] = share

    defect = f"{share:.3f} of {name}, {runs or trained}"
    return change_records(experiment, leak, runs), replace(truth, void=FOR_ARM, defect=defect)


def _make_not_recorded(rng: np.random.Generator) -> Made:
    """Return an experiment in which runs of people, or of a control, lack a fact."""
    size, experiment, truth = clear(rng)
    defect = str(rng.choice(("seen images", "per-item values", "spread", "agreement", "standard error")))
    is_of_control = defect in ("per-item values", "spread")
    arms = ["people", *(arm for arm in JUDGED if arm in truth.leads and is_of_control)]
    runs = pick_runs(rng, arms, size, size.num_seeds)
    arm = runs[0][0]
    void = replace(truth, void=FOR_ARM if defect == "seen images" else STRUCTURE, defect=f"{defect}: {runs}")
    if defect == "per-item values":
        kept = {run: own for run, own in experiment.items.items() if run not in runs}
        return replace(experiment, items=kept), void
    changes = {
        "seen images": saw_in_stage_1(None, arm),
        "spread": stage_1(arm, spread_before=None, spread_after=None),
        "agreement": stage_1(arm, two_afc=None, stderr=None),
        "standard error": stage_1(arm, two_afc=0.502, stderr=None),
    }
    return change_records(experiment, changes[defect], runs if defect != "standard error" else ()), void


def _make_unlike(rng: np.random.Generator) -> Made:
    """Return an experiment in which the runs of an arm differ in more than their initialization."""
    _, experiment, truth = clear(rng)
    arm = str(rng.choice(list(experiment.situation.arms)))
    how = str(rng.choice(("torch", "device", "processor", "batches")))
    change = {
        "torch": by_package(arm, torch="1.0"),
        "device": on_device(arm, "another GPU"),
        "processor": other_processor(arm),
        "batches": other_batches(arm),
    }[how]
    void = EVERY if arm in ("random", "people") else STRUCTURE
    return change_records(experiment, change), replace(truth, void=void, defect=f"{how} of {arm}")


def _make_unequal_starts(rng: np.random.Generator) -> Made:
    """Return an experiment with a second draw of random weights that differs far beyond noise."""
    size, experiment, truth = clear(rng, num_seeds=int(rng.integers(6, 11)))
    away = 25 * size.noise * float(rng.choice((-1, 1)))
    scores = experiment.situation.arms
    level = np.array(scores["random"]) + away + rng.normal(0, size.noise, size.num_seeds)
    situation = replace(experiment.situation, arms={**scores, "redrawn": tuple(level.clip(1, 99).tolist())})
    shifted = {
        ("redrawn", seed): {
            TOP1: experiment.items["random", seed][TOP1] + (value - scores["random"][seed]) / 100
        }  # type: ignore[index]
        for seed, value in enumerate(situation.arms["redrawn"])  # type: ignore[arg-type]
    }
    found = replace(experiment, situation=situation, items={**experiment.items, **shifted})
    return found, replace(truth, void=EVERY - {"equivalent"})


def _make_above_ceiling(rng: np.random.Generator) -> Made:
    size = draw_size(rng, level=float(rng.uniform(52, 58)), num_images=5000)
    leads = {"people": size.delta + float(rng.uniform(8, 12)), "shuffled": 0.0}
    experiment = draw(rng, size, leads, chance=0.5, ceiling=(size.level + 2) / 100)
    return experiment, Truth(leads=leads, void=EVERY)


ARM, BASELINE = ("people",), ("random",)
OTHERS = ("shuffled", *CONTROLS)
KINDS = (
    Kind("lost runs of the arm", "runs of people failed, or their scores are NaN, unreadable or absent", _lost(ARM, EVERY)),
    Kind("lost runs of the baseline", "the same of random", _lost(BASELINE, EVERY)),
    Kind("lost runs of a control", "up to all runs of shuffled or another control", _lost(OTHERS, STRUCTURE, may_lose_all=True)),
    Kind("collapse of the arm", "the embeddings of people are equal in some seeds or all", _collapsed(ARM)),
    Kind("contraction without learning", "the embeddings of people shrank, and predict judgments at chance", _make_contracted_at_chance),
    Kind("collapse of a control", "the same of a control", _collapsed(JUDGED)),
    Kind("copies", "some seeds of an arm are copies of another", _make_copied),
    Kind("leaks", "stage 1 saw 0.1 to 100 % of the images of a set, in some seeds or all", _make_leaked),
    Kind("facts not recorded", "runs lack per-item values, the share of seen images, or a metric of stage 1", _make_not_recorded),
    Kind("unlike runs", "the runs of an arm have another torch, machine or data order", _make_unlike),
    Kind("opposed measure", "another measure of the set, or of each set, is far on the other side", make_opposed_measure),
    Kind("opposed control", "a control leads people by far in another measure or on a set", make_opposed_control),
    Kind("opposed set", "one of 2 to 5 sets is far on the other side of their mean", make_opposed_set),
    Kind("missing sets", "runs of people or random lack a set", make_missing_set),
    Kind("opposed end", "compared in the middle; the end is far on the other side", make_opposed_end),
    Kind("unequal equal starts", "a second draw of random weights differs by 25 deviations", _make_unequal_starts),
    Kind("above the ceiling", "people's score is far above the human ceiling", _make_above_ceiling),
    Kind("few images", "30 to 300 images; a control does as well, and half of the leads are delta", make_few_images, needs_statistics=True),
    Kind("judgments not learned", "held-out agreement is at chance, on 50 to 3,000 judgments", make_unlearned, needs_statistics=True),
    Kind("a control as good", "shuffled or another control leads as much or more", make_as_good, needs_statistics=True),
    Kind("effects of delta", "people's lead or loss is delta, or hardly more", make_at_edge, needs_statistics=True),
    Kind("families of arms", "4 to 10 arms whose lead or loss is delta, or hardly more", make_family, needs_statistics=True),
    Kind("baseline at chance", "no arm learned", at_level(near_chance), needs_statistics=True),
    Kind("baseline within delta of chance", "the baseline leads chance by less than delta", at_level(within_delta_of_chance), needs_statistics=True),
    Kind("baseline near the upper end", "no arm can lead by delta", at_level(near_the_end), needs_statistics=True),
)  # fmt: skip
