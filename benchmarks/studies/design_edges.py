"""Random designs at a statistical edge, at which intervals allow a few false sentences, and sound designs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from design_draws import (
    STRUCTURE,
    Made,
    Make,
    Size,
    Truth,
    change_records,
    clear,
    draw,
    draw_controls,
    draw_leads,
    draw_scores,
    draw_size,
    lower_is_better,
)  # fmt: skip
from design_opposed import with_more
from situations.changes import stage_1

START = '[{ use = "mimetic" }]'
CHANCE = 10.0


def at_level(level: Callable[[np.random.Generator, Size], float]) -> Make:
    """Return a function that draws equal arms at a level at which equality says nothing."""

    def make(rng: np.random.Generator) -> Made:
        size = draw_size(rng)
        size = replace(size, noise=min(size.noise, size.delta / 4), image_noise=10.0)
        size = replace(size, level=level(rng, size))
        leads = {"people": 0.0, "shuffled": 0.0, **dict.fromkeys(draw_controls(rng), 0.0)}
        return draw(rng, size, leads), Truth(leads=leads, void=frozenset({"equivalent"}))

    return make


def make_at_edge(rng: np.random.Generator) -> Made:
    """Return a lead of exactly delta, or one just beyond it."""
    size = draw_size(rng)
    lead = float(rng.choice((size.delta, -size.delta, 1.001 * size.delta, -1.001 * size.delta)))
    leads = {
        "people": lead,
        "shuffled": float(rng.choice((0.0, lead))),
        **dict.fromkeys(draw_controls(rng), 0.0),
    }
    experiment = draw(rng, size, leads)
    is_lower = rng.random() < 0.25
    return lower_is_better(experiment) if is_lower else experiment, Truth(leads=leads)


def make_few_images(rng: np.random.Generator) -> Made:
    """Return experiments on few images, in which people's lead is delta, or a control does as well."""
    delta = round(float(rng.uniform(0.3, 3)), 2)
    size = draw_size(
        rng, num_images=int(rng.integers(30, 300)), noise=float(rng.uniform(0.05, 1)), delta=delta
    )
    beyond = min(size.delta + 8 * size.stderr, 95 - size.level)
    is_at_edge = rng.random() < 0.5
    lead = size.delta if is_at_edge else beyond
    controls = draw_controls(rng, least=1)
    leads = {"people": lead, "shuffled": 0.0, **dict.fromkeys(controls, 0.0)}
    leads[str(rng.choice(["shuffled", *controls]))] = lead
    return draw(rng, size, leads), Truth(leads=leads)


def make_as_good(rng: np.random.Generator) -> Made:
    """Return an experiment in which shuffled votes or another control lead as much as people, or more."""
    size = draw_size(rng, delta=round(float(rng.uniform(0.3, 3)), 2))
    leads = draw_leads(rng, size, draw_controls(rng, least=1))
    leads["people"] = abs(leads["people"]) + size.delta
    others = [arm for arm in leads if arm != "people"]
    leads[str(rng.choice(others))] = leads["people"] + float(rng.choice((0.0, 0.0, 3.0)))
    return draw(rng, size, leads), Truth(leads=leads)


AT_CHANCE = {"two_afc_before": 0.5, "trivial_2afc/pixels 16 x 16": 0.5}


def make_unlearned(rng: np.random.Generator) -> Made:
    """Return an experiment whose stage 1 learned nothing: held-out agreement is at chance but for noise.

    The seeds share the held-out judgments, which are half of the variance.
    """
    size, experiment, truth = clear(rng)
    stderr = float(0.5 / np.sqrt(rng.integers(50, 3000)))
    noise = (rng.standard_normal() + rng.standard_normal(size.num_seeds)) * stderr / 2**0.5
    spread = float(rng.uniform(0.1, 0.6))

    def change(record: dict[str, Any]) -> None:
        after = 0.5 + noise[record["seed"]]
        stage_1("people", two_afc=after, stderr=stderr, spread_after=spread, **AT_CHANCE)(record)

    return change_records(experiment, change), replace(truth, void=STRUCTURE, defect=f"s.e. {stderr:.3f}")


def make_family(rng: np.random.Generator) -> Made:
    """Return four to ten arms that lead by exactly delta, or differ by hardly more than delta."""
    size = draw_size(rng)
    edge = size.delta * float(rng.choice((1.0, -1.0, 1.001, -1.001)))
    arms = [f"start{k}" for k in range(int(rng.integers(4, 11)))]
    leads = dict.fromkeys(arms, max(edge, 1 - size.level))
    return draw(rng, size, leads, init=dict.fromkeys(arms, START)), Truth(leads=leads)


def make_sound(rng: np.random.Generator) -> Made:
    """Return an experiment without defects: people lead the baseline and each control by three deltas."""
    size = Size(num_seeds=7, num_images=2000, delta=2.0, noise=2.0, level=float(rng.uniform(20, 70)))
    controls = draw_controls(rng)
    leads = {"people": 3 * size.delta, "shuffled": 0.0, **dict.fromkeys(controls, 0.0)}
    return draw(rng, size, leads), Truth(leads=leads)


def make_large(rng: np.random.Generator) -> Made:
    """Return a large lead over the baseline and each control: other sizes, sets, scales and harmless oddities."""
    size = draw_size(rng, num_seeds=int(rng.integers(6, 11)), num_images=1000)
    lead = size.delta + 12 * size.stderr
    leads = {"people": lead, "shuffled": 0.0, **dict.fromkeys(draw_controls(rng), 0.0)}
    oddity = str(rng.choice(("none", *MORE_SCORES, *ODDITIES, "ceiling", "equal starts", "lower is better")))
    if oddity == "equal starts":
        leads["redrawn"] = 0.0
    experiment = draw(rng, size, leads, ceiling=0.99 if oddity == "ceiling" else None)
    for name in MORE_SCORES.get(oddity, ()):
        experiment = with_more(experiment, name, draw_scores(rng, size, leads, name))
    if oddity in ODDITIES:
        experiment = change_records(experiment, ODDITIES[oddity])
    if oddity == "lower is better":
        experiment = lower_is_better(experiment)
    return experiment, Truth(leads=leads, defect=oddity)


MORE_SCORES = {
    "three sets": ("top1/dtd", "top1/svhn"),
    "five sets": ("top1/dtd", "top1/svhn", "top1/eurosat", "top1/pets"),
    "another measure": ("mean_per_class_recall/cifar10",),
}
ODDITIES = {
    "contraction": stage_1("people", spread_after=0.03),
    "weak agreement": stage_1("people", two_afc=0.55, **AT_CHANCE),
    "spread of shuffled": stage_1("shuffled", spread_after=0.01, two_afc=0.49),
}


def near_chance(rng: np.random.Generator, size: Size) -> float:
    """Return a level at which nothing was learned."""
    return CHANCE


def within_delta_of_chance(rng: np.random.Generator, size: Size) -> float:
    """Return a level above chance by less than delta."""
    return CHANCE + size.delta * float(rng.uniform(0.2, 0.7))


def near_the_end(rng: np.random.Generator, size: Size) -> float:
    """Return a level below the upper end by less than delta."""
    return 100 - size.delta * float(rng.uniform(0.4, 0.7))
