"""Situations: records of simulated experiments with a known truth, and the supported sentences about them.

The package writes the records from a recipe and simulated scores. Values are in percent. The arms of a seed share
their noise; `Lead` adds a difference with an independent spread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from perceptinit.recipe.reading import read_recipe
from perceptinit.results.items import write_items
from perceptinit.results.preregistration import plan_sha256, seal_plan
from perceptinit.results.record import RECORD, new_record, score_row, write_record
from perceptinit.types import Score
from perceptinit.verdict.plan import keep_plan, make_plan
from situations.fields import make_items, stage_rows

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
{evaluators}
"""
ZERO_SHOT = """[[eval]]
use = "zero-shot"
root = "sets"
datasets = [{}]
"""
TWO_AFC = """[[eval]]
use = "two-afc"
judgments = {{ use = "table", path = "{}.csv" }}
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
        measure, set_name: The score is `measure/set_name`. sets: more data sets, name to arms as above.
        also: More scores, `measure/set` to arms as above. early: Scores of the first epoch, name to arms.
        num_examples: Number of images or judgments of every score.
        chance: Chance level; None for a score that is not a share. ceiling: Upper human ceiling, a share.
        writes_items: Whether the runs have per-item values.
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
    also: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    early: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    num_examples: int = 10_000
    chance: float | None = 0.1
    ceiling: float | None = None
    higher_is_better: bool = True
    writes_items: bool = True
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
        evaluators=_evaluators(situation),
    )
    arms = "".join(
        f'[[arm]]\nname = "{arm}"\ninit = {situation.init.get(arm) or INIT[arm]}\n' for arm in situation.arms
    )
    verdict = f"[verdict]\n{situation.verdict}\n" if situation.verdict else ""
    return f"{head}{verdict}{arms}{situation.expect}"


def _evaluators(situation: Situation) -> str:
    names = [situation.set_name, *situation.sets]
    if situation.measure == "2afc":
        return "".join(map(TWO_AFC.format, names))
    return ZERO_SHOT.format(", ".join(f'"{name}"' for name in names))


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

    @cache
    def record_of(look: int, name: str) -> dict[str, Any]:
        recipe = recipes[look]
        return new_record(recipe, next(arm for arm in recipe.arms if arm.name == name), 0, "cpu")

    for name in situation.arms:
        for seed, value in enumerate(situation.values(situation.arms, name)):
            look = next(num for num in looks if seed < num)
            record = deepcopy(record_of(look, name)) | {"seed": seed}
            record["started"] = f"2026-01-0{1 + looks.index(look)}T00:00:00+00:00"
            record |= planned
            record["scores"] = list(score_rows(situation, name, seed))
            record["hashes"] = run_hashes(name, seed)
            record["init"] = stage_rows(record["arm"]["resolved"]["init"])
            record["wall_seconds"] = {"total": 100.0, "pretrain": 60.0, "eval": 5.0}
            record["status"] = "finished" if value is not None else "failed"
            if value is None:
                record["scores"] = []
                record["error"] = "the loss is not finite (NaN) at step 40"
            record["finished"] = record["started"]
            situation.change(record)
            place = folder / name / f"seed{seed}"
            write_record(place / RECORD, record)
            if items := make_items(record) if situation.writes_items else {}:
                write_items(place, items)
    situation.after(folder)
    return folder


def score_rows(situation: Situation, arm: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the score rows of a run: those of the first epoch, then the final ones."""
    num_samples = 100_000 if situation.pretrain else 0
    stage = "pretrain" if situation.pretrain else "init"
    of_sets = {situation.set_name: situation.arms, **situation.sets}
    final = {f"{situation.measure}/{name}": arms for name, arms in of_sets.items()} | {**situation.also}
    for scores, epoch, num_seen in ((situation.early, 1, num_samples // 2), (final, 2, num_samples)):
        for name, arms in scores.items():
            values = situation.values(arms, arm) if arm in arms else ()
            if seed < len(values) and values[seed] is not None:
                yield score_row(_score(situation, name, values[seed] / 100), stage, epoch, num_seen)


def _score(situation: Situation, name: str, value: float) -> Score:
    is_share = situation.chance is not None
    return Score(
        name=name,
        value=value,
        higher_is_better=situation.higher_is_better,
        num_examples=situation.num_examples,
        stderr=(max(value * (1 - value), 0.0) / situation.num_examples) ** 0.5 if is_share else None,
        chance=situation.chance,
        ceiling=situation.ceiling,
        extra={"seen_in_stage_1": 0.0, **situation.extra},
    )


def run_hashes(arm: str, seed: int) -> dict[str, Any]:
    """Return the hashes of a run. Arms of a seed have equal first weights and data."""

    def digest(*parts: object) -> str:
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    built = {part: digest(part, seed) for part in ("image", "text", "model")}
    final = {part: digest(part, arm, seed) for part in ("image", "text", "model")}
    return {
        "built": built,
        "init": final | {"text": built["text"]},
        "final": final,
        "pretrain_data": digest("data", seed),
    }
