"""Situations: records of simulated experiments with a known truth, and the supported sentences about them.

The package writes the records from a recipe and simulated scores. Values are in percent. The arms of a seed share
their noise; `Lead` adds a difference with an independent spread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from perceptinit.recipe.reading import read_recipe
from perceptinit.results.preregistration import plan_sha256, seal_plan
from perceptinit.results.record import RECORD, new_record, score_row, write_record
from perceptinit.types import Score
from perceptinit.verdict.plan import keep_plan, make_plan

HEAD = """
schema = 1
name = "{name}"
summary = "a made situation"
seeds = {seeds}
baseline = "{baseline}"
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
{settings}
[[init]]
use = "triplet-hinge"
judgments = {{ use = "nights", root = "nights" }}
{pretrain}
[[eval]]
use = "zero-shot"
root = "sets"
datasets = ["cifar10"]
"""
PRETRAIN = """
[pretrain]
use = "clip"
epochs = 2
pairs = { use = "csv", file = "pairs.csv" }
"""
# the initial stages of an arm by name, unless a situation overrides them
INIT = {
    "random": "[]",
    "redrawn": '[{ use = "random" }]',
    "people": '[{ like = "init" }]',
    "more-people": '[{ like = "init", epochs = 30 }]',
    "shuffled": '[{ like = "init", judgments.through = ["shuffled-votes"] }]',
    "pixels": '[{ like = "init", judgments.through = ["pixel-triplets"] }]',
    "labels": '[{ like = "init", judgments = { use = "class-triplets", root = "sets" } }]',
    "spectrum": '[{ like = "init" }, { use = "statistics-matched" }]',
    "norms": '[{ like = "init" }, { use = "norm-matched" }]',
    "mimetic": '[{ use = "mimetic" }]',
    "impulse": '[{ use = "impulse" }]',
    "scheme": '[{ use = "timm-scheme" }]',
    "imagenet": '[{ use = "imagenet", tag = "augreg_in21k" }]',
}
BASE = (0.3, -0.5, 0.6, -0.2, 0.1, -0.3, 0.4, -0.6, 0.5, -0.1)
PATTERN = (0.4, -1.1, 0.9, -0.3, 1.2, -0.8, 0.2, -1.0, 0.7, -0.2)


@dataclass(frozen=True, slots=True)
class Lead:
    """An arm whose mean is `points` above the level of the seeds.

    The difference has a standard deviation of about `spread` over seeds. `base`: the level without a lead.
    """

    points: float
    spread: float = 0.3
    base: float = 40.0

    def values(self, num: int, turn: int) -> tuple[float, ...]:
        """Return a score for each of `num` seeds; `turn` rotates the pattern, so arms differ."""
        pattern = [PATTERN[(s + 3 * turn) % 10] for s in range(num)]
        centre, deviation = mean(pattern), stdev(pattern) if num > 1 else 1.0
        return tuple(
            self.base + BASE[s % 10] + self.points + self.spread * (pattern[s] - centre) / deviation
            for s in range(num)
        )


Values = Lead | Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """An experiment with a known truth.

    Args:
        truth: The truth in a sentence.
        arms: Name to a `Lead`, or to a score for each seed in percent; None for a failed run.
        num_seeds: Number of seeds of arms with a `Lead`; other arms have one seed per score.
        must: Patterns that each match in every view (terminal, Markdown, page).
        never: Patterns that match in no view.
        firm: Whether the runs settle the question, so that hedging would be wrong.
        name, measure: The score is `measure/name`. sets: more data sets, name to arms as above.
        num_examples: Number of images or judgments of every score.
        init: Arm to its stages in TOML if they differ from `INIT`.
        verdict: The text of `[verdict]`. expect: The text of `[[expect]]` and other tables.
        looks: Numbers of seeds of earlier invocations, each with its runs.
        planned: Whether the plan precedes the runs; `plan` overrides values of its [verdict].
        options: Command-line options of `compare`.
        extra: Extra values of every score. pretrain: The table, empty for runs without pretraining.
        change: Called with each record before it is written.
        after: Called with the folder of the experiment after all records are written.
    """

    truth: str
    arms: Mapping[str, Values]
    must: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    firm: bool = False
    num_seeds: int = 6
    measure: str = "top1"
    set_name: str = "cifar10"
    sets: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    num_examples: int = 10_000
    chance: float = 0.1
    init: Mapping[str, str] = field(default_factory=dict)
    baseline: str = "random"
    verdict: str = "delta = 1.0"
    expect: str = ""
    settings: str = ""
    pretrain: str = PRETRAIN
    looks: tuple[int, ...] = ()
    planned: bool = False
    plan: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[dict[str, Any]], None] = lambda record: None
    after: Callable[[Path], None] = lambda folder: None

    @property
    def num_planned(self) -> int:
        """Return the seeds that the recipe lists in the end."""
        listed = [len(scores) for scores in self.arms.values() if not isinstance(scores, Lead)]
        return max(listed) if len(listed) == len(self.arms) else self.num_seeds

    def values(self, arms: Mapping[str, Values], arm: str) -> Sequence[float | None]:
        """Return the scores of an arm of `arms`, one for each seed."""
        found = arms[arm]
        if isinstance(found, Lead):
            return found.values(self.num_seeds, list(self.arms).index(arm))
        return found


def text_of(situation: Situation, num_seeds: int) -> str:
    """Return the recipe of the situation with this number of seeds."""
    head = HEAD.format(
        name="made",
        seeds=list(range(num_seeds)),
        baseline=situation.baseline,
        settings=situation.settings,
        pretrain=situation.pretrain,
    )
    arms = "".join(
        f'[[arm]]\nname = "{arm}"\ninit = {situation.init.get(arm) or INIT[arm]}\n' for arm in situation.arms
    )
    verdict = f"[verdict]\n{situation.verdict}\n" if situation.verdict else ""
    return f"{head}{verdict}{arms}{situation.expect}"


def write_runs(situation: Situation, root: Path) -> Path:
    """Write the records of a situation below `root`, and return the folder of the experiment."""
    first_look = situation.looks[0] if situation.looks else situation.num_planned
    recipes = {
        num: read_recipe(text_of(situation, num), source=str(root / "made.toml"))
        for num in {first_look, *situation.looks, situation.num_planned}
    }
    looks = sorted(recipes)
    folder = root / "made"
    planned = {}
    if situation.planned:
        plan = seal_plan(make_plan(recipes[first_look], root) | situation.plan)
        keep_plan(plan, folder, replaces=False)
        planned = {"plan": plan_sha256(plan)}
    for name in situation.arms:
        for seed, value in enumerate(situation.values(situation.arms, name)):
            recipe = recipes[next(num for num in looks if seed < num)]
            arm = next(arm for arm in recipe.arms if arm.name == name)
            record = new_record(recipe, arm, seed, "cpu")
            record["started"] = f"2026-01-0{1 + looks.index(len(recipe.seeds))}T00:00:00+00:00"
            record |= planned
            record["scores"] = list(_rows(situation, name, seed))
            record["hashes"] = _hashes(name, seed)
            record["wall_seconds"] = {"total": 100.0, "pretrain": 60.0, "eval": 5.0}
            record["status"] = "finished" if value is not None else "failed"
            if value is None:
                record["scores"] = []
                record["error"] = "the loss is not finite (NaN) at step 40"
            record["finished"] = record["started"]
            situation.change(record)
            write_record(folder / name / f"seed{seed}" / RECORD, record)
    situation.after(folder)
    return folder


def _rows(situation: Situation, arm: str, seed: int) -> Sequence[dict[str, Any]]:
    num_samples = 100_000 if situation.pretrain else 0
    stage = "pretrain" if situation.pretrain else "init"
    rows = []
    for name, arms in {situation.set_name: situation.arms, **situation.sets}.items():
        values = situation.values(arms, arm) if arm in arms else ()
        if seed >= len(values) or values[seed] is None:
            continue
        value = values[seed] / 100
        score = Score(
            name=f"{situation.measure}/{name}",
            value=value,
            num_examples=situation.num_examples,
            stderr=(value * (1 - value) / situation.num_examples) ** 0.5,
            chance=situation.chance,
            extra=dict(situation.extra),
        )
        rows.append(score_row(score, stage, 2, num_samples))
    return rows


def _hashes(arm: str, seed: int) -> dict[str, Any]:
    def digest(*parts: object) -> str:
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    built = {part: digest(part, seed) for part in ("image", "text", "model")}
    final = {part: digest(part, arm, seed) for part in ("image", "text", "model")}
    return {"built": built, "init": final, "final": final, "pretrain_data": digest("data", seed)}
