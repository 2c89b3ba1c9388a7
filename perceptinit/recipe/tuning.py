"""The checked `[tune]` table: the search space, and the points of its trials."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from perceptinit.components.building import Spec
from perceptinit.configs import read_config, to_table
from perceptinit.errors import Problem
from perceptinit.recipe.settings import Range, TuneConfig, VerdictConfig
from perceptinit.registry import unknown
from perceptinit.seeding import generator

NO_EVAL = "required: a table [tune.eval] with the evaluator that chooses settings, on validation data"
NO_SPACE = 'required: the tuned keys, such as "pretrain.lr" = { low = 1e-4, high = 1e-2, scale = "log" }'
NOT_A_STAGE = (
    "only keys of pretraining (pretrain.KEY) and of shared stages (init.KEY, init.0.KEY) can be tuned, "
    "because arms share the network, the data and the evaluation"
)
NO_NUMBER = "only numbers can be tuned"
# keys that decide which pairs a step sees
_DATA = ("batch_size", "micro_batch", "shuffle_blocks", "samples_per_epoch", "num_workers", "decode_in")
_OF_DATA = "data order, seeds and batch size cannot be tuned, because arms are trained on the same batches"
_OF_BUDGET = "the length of pretraining cannot be tuned, because arms are compared at equal samples seen"
_DIGITS = 6  # significant digits of trial values


@dataclass(frozen=True, slots=True)
class Dimension:
    """A tuned key.

    Attributes:
        path: Name of the key, as in `--set`.
        range: Limits of its values.
        is_whole: Whether the key accepts integers only.
    """

    path: str
    range: Range
    is_whole: bool

    def value(self, share: float) -> float:
        """Return the value at a fraction in [0, 1) of the range, on the key's scale."""
        low = self.range.low
        high = self.range.high
        end = high + 1 if self.is_whole else high  # equal intervals for all integers
        if self.range.scale == "log":
            value = math.exp((1 - share) * math.log(low) + share * math.log(end))
        else:
            value = (1 - share) * low + share * end
        if self.is_whole:
            return min(max(math.floor(value), int(low)), int(high))
        return min(max(float(f"{value:.{_DIGITS}g}"), low), high)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The checked `[tune]` table. Trial k of search s has the number k * searches + s."""

    config: TuneConfig
    evaluator: Spec
    space: tuple[Dimension, ...]

    @property
    def num_trials(self) -> int:
        """Number of trials of an arm, over all searches."""
        return self.config.trials * self.config.searches

    @property
    def seeds(self) -> range:
        """Seed of each trial."""
        return range(self.config.seed, self.config.seed + self.num_trials)

    def points(self) -> list[dict[str, float]]:
        """Return the settings of each trial by path, the same for all arms.

        Each search uses a Halton sequence scrambled with its own seed, so trials cover the space evenly and
        searches are independent. Source: Owen 2017; quasi-random search: Bousquet et al. 2017.
        """
        from scipy.stats import qmc

        num = self.config.trials
        seed = self.config.seed
        searches = [
            qmc.Halton(len(self.space), rng=generator(seed, "tune", search)).random(num)
            for search in range(self.config.searches)
        ]
        return [
            {d.path: d.value(float(x)) for d, x in zip(self.space, search[k], strict=True)}
            for k in range(num)
            for search in searches
        ]


def read_tune_table(table: Mapping[str, Any]) -> tuple[TuneConfig | None, dict[str, Any], list[Problem]]:
    """Return the config of `[tune]`, the ranges of its space by path, and the problems in both."""
    own = {key: value for key, value in table.items() if key not in ("eval", "space")}
    config, problems = read_config(TuneConfig, own, "tune")
    space = table.get("space")
    ranges = dict(flatten(space)) if isinstance(space, Mapping) else {}
    return config, ranges, problems if ranges else [*problems, Problem("tune.space", NO_SPACE)]


def read_tuning(
    table: Mapping[str, Any], evaluator: Spec | None, pretrain: Spec | None, init: Sequence[Spec]
) -> tuple[Tuning | None, list[Problem]]:
    """Return the checked `[tune]` and the problems in it; the tuning is None if there are any.

    Args:
        table: `[tune]`.
        evaluator: Evaluator of `[tune.eval]`, None if it is missing or invalid.
        pretrain: Pretraining of the recipe.
        init: Shared stages of the recipe.
    """
    config, ranges, problems = read_tune_table(table)
    if "eval" not in table:
        problems.append(Problem("tune.eval", NO_EVAL))
    stages = {f"init.{i}": spec for i, spec in enumerate(init)}
    stages |= {"init": init[0]} if len(init) == 1 else {}
    stages |= {"pretrain": pretrain} if pretrain else {}
    dimensions = []
    for path, value in ranges.items():
        dimension, wrong = _read_dimension(path, value, stages)
        problems += wrong
        dimensions += [dimension] if dimension else []
    if config is None or evaluator is None or problems:
        return None, problems
    return Tuning(config, evaluator, tuple(dimensions)), []


def _read_dimension(
    path: str, value: Any, stages: Mapping[str, Spec]
) -> tuple[Dimension | None, list[Problem]]:
    """Return the dimension of `[tune.space]` at a path, or None, and the problems in its key and range."""
    where = f"tune.space.{path}"
    stage, _, key = path.rpartition(".")
    spec = stages.get(stage)
    if spec is None:
        return None, [Problem(where, NOT_A_STAGE)]
    refusal = _refuse(spec, stage, key)
    is_whole = _is_whole(spec, key)
    if refusal or is_whole is None:
        return None, [Problem(where, refusal or NO_NUMBER)]
    if not isinstance(value, Mapping):
        return None, [Problem(where, f"expected {{ low = ..., high = ... }}, got {value!r}")]
    limits, problems = read_config(Range, value, where)
    if limits is None or (problems := list(_check_ends(spec, key, limits, is_whole, where))):
        return None, problems
    return Dimension(path, limits, is_whole), []


def flatten(table: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each key in nested tables. A table with `low` or `high` is a value."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value and not value.keys() & {"low", "high"}:
            yield from flatten(value, f"{start}{key}.")
        else:
            yield f"{start}{key}", value


def _refuse(spec: Spec, stage: str, key: str) -> str:
    """Return the reason why a key cannot be tuned; empty if it can."""
    known = [field.name for field in fields(spec.config)]
    if key in _DATA or "seed" in key:
        return _OF_DATA
    if stage == "pretrain" and key in ("epochs", "steps"):
        return _OF_BUDGET
    return "" if key in known else unknown(f"{spec.entry.title} has no key called", key, known)


def _is_whole(spec: Spec, key: str) -> bool | None:
    """Return whether a key accepts integers only, None if it accepts no numbers."""
    hint = get_type_hints(type(spec.config)).get(key)
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return False if float in kinds else True if int in kinds else None


def _check_ends(spec: Spec, key: str, limits: Range, is_whole: bool, where: str) -> Iterator[Problem]:
    """Yield a problem for each end of a range that the key does not accept."""
    for name in ("low", "high"):
        value = getattr(limits, name)
        if is_whole and value != int(value):
            yield Problem(f"{where}.{name}", f"{key} accepts integers only, got {value:g}")
        else:
            table = to_table(spec.config) | {key: int(value) if is_whole else value}
            _, problems = read_config(type(spec.config), table, where)
            yield from (replace(problem, where=f"{where}.{name}") for problem in problems)


def seed_problems(tuning: Tuning, seeds: Sequence[int], verdict: VerdictConfig) -> Iterator[Problem]:
    """Yield a problem if a trial has a seed of the final runs or one that `run --until-decided` can add."""
    trials = tuning.seeds
    next_seed = max(seeds) + 1
    added = range(next_seed, next_seed + max(0, (verdict.max_seeds or 0) - len(seeds)))
    both = range(max(trials.start, added.start), min(trials.stop, added.stop))
    taken = [*(seed for seed in seeds if seed in trials), *both[:1]]
    if taken:
        yield Problem(
            "tune.seed",
            f"trials use seeds {trials[0]} to {trials[-1]}, and final runs also use {min(taken)}. Choose "
            "another seed",
        )
