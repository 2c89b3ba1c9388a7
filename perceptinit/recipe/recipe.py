"""A recipe: an experiment in a TOML file, with arms that can differ in `init` and `posthoc` only.

    schema = 1
    name = "pi-clip-yfcc"
    seeds = [0, 1, 2]
    [backbone]  [[init]]  [pretrain]  [[posthoc]]  [[eval]]
    [verdict]  [[expect]]  [tune]  [[track]]  [checkpoint]  [jobs]
    [[arm]]

A recipe defines the slots; the keys inside a slot belong to the component that `use` names. A run is one arm
with one seed. Arms share everything outside `init` and `posthoc`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from perceptinit.components.building import Spec
from perceptinit.components.plugin_manager import Plugins
from perceptinit.configs import NonNegativeInt
from perceptinit.errors import Problem, UsageError, map_texts, without_credentials
from perceptinit.recipe.differences import stages_in_words
from perceptinit.recipe.settings import (
    CheckpointConfig,
    ExpectConfig,
    JobsConfig,
    VerdictConfig,
)
from perceptinit.recipe.tables import stage_names
from perceptinit.recipe.text import Origin
from perceptinit.recipe.tuning import Tuning
from perceptinit.registry import Registry, unknown

Every = str | int  # "epoch", "end", or a number of steps
Tables = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeTable:
    """The keys of a resolved recipe. The component or settings class of a table checks its content."""

    schema: Literal[1]
    name: str
    summary: str = ""
    seeds: tuple[NonNegativeInt, ...] = (0,)
    baseline: str = ""
    plugins: tuple[str, ...] = ()
    backbone: dict[str, Any]
    init: Tables = ()
    pretrain: dict[str, Any] | None = None
    posthoc: Tables = ()
    eval: Tables = ()
    verdict: dict[str, Any]
    expect: Tables = ()
    tune: dict[str, Any] | None = None
    track: Tables = ()
    checkpoint: dict[str, Any]
    jobs: dict[str, Any]
    arm: Tables = ()


@dataclass(frozen=True, slots=True)
class EvalSlot:
    """An evaluator and when it runs: at every epoch, every N steps, or at the end.

    All evaluators run at the end. Those without `"end"` also run before pretraining.
    """

    spec: Spec
    every: Every

    def is_due(self, step: int, end_of_epoch: bool) -> bool:
        """Return whether the evaluator runs after a step of pretraining other than the last."""
        if self.every == "epoch":
            return end_of_epoch
        return isinstance(self.every, int) and step % self.every == 0

    def count_times(self, num_steps: int, num_epochs: int) -> int:
        """Return how often the evaluator runs in a run with a length of pretraining; 0 steps: without it."""
        if self.every == "end":
            return 1
        every = max(num_steps // num_epochs, 1) if self.every == "epoch" else int(self.every)
        return 2 + max(num_steps - 1, 0) // every


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm: the stages before and after pretraining. Arms of a recipe differ in these only."""

    name: str
    init: tuple[Spec, ...]
    posthoc: tuple[Spec, ...]
    summary: str = ""

    def smoke(self, registry: Registry) -> Arm:
        """Return the arm with smaller stages, see `Spec.smoke`."""
        init, posthoc = (tuple(s.smoke(registry) for s in stages) for stages in (self.init, self.posthoc))
        return replace(self, init=init, posthoc=posthoc)


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """A checked recipe, which equals only itself, so that what is computed from it can be cached.

    Attributes:
        shared: Stages of arms that do not define their own.
        warnings: Settings that are valid but probably not intended.
        text: Text of the file, or of the merged tables if the recipe has a `like`.
        source: Path of the file.
        sources: Path and text of each merged file, empty without `like`.
        overrides: `path=value` strings of `--set`.
        folder: Folder to which local `plugins` are relative.
        origins: Experiment with which each inherited, unchanged arm shares its runs.
    """

    name: str
    summary: str
    seeds: tuple[int, ...]
    baseline: str
    backbone: Spec
    pretrain: Spec | None
    evals: tuple[EvalSlot, ...]
    tracks: tuple[Spec, ...]
    arms: tuple[Arm, ...]
    plugins: Plugins
    shared: Arm
    warnings: tuple[Problem, ...] = ()
    text: str = ""
    source: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    overrides: tuple[str, ...] = ()
    folder: Path = Path()
    is_smoke: bool = False
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    expected: tuple[ExpectConfig, ...] = ()
    tune: Tuning | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)

    @property
    def is_trial(self) -> bool:
        """Whether this is a trial of `perceptinit tune`. Trials have no table: their settings differ."""
        return self.tune is not None and self.tune.config.role == "trial"

    def specs(self) -> list[Spec]:
        """Return all top-level specs."""
        shared = [self.backbone, *([self.pretrain] if self.pretrain else [])]
        per_arm = [spec for arm in self.arms for spec in (*arm.init, *arm.posthoc)]
        return [*shared, *per_arm, *(e.spec for e in self.evals), *self.tracks]

    def arm(self, name: str) -> Arm:
        """Return an arm by name; UsageError with suggestions if it does not exist."""
        arms = {arm.name: arm for arm in self.arms}
        if name not in arms:
            raise UsageError(unknown(f"{self.source}: no arm called", name, arms))
        return arms[name]

    def resolve(self, arm: Arm) -> dict[str, Any]:
        """Return all settings, defaults included, that determine the results of one arm.

        Credentials are removed from URLs, so a URL with a new signature does not change the fingerprint.
        """
        return map_texts(
            without_credentials,
            {
                "name": self.name,
                "backbone": self.backbone.table(),
                "init": [spec.table() for spec in arm.init],
                "pretrain": self.pretrain.table() if self.pretrain else None,
                "posthoc": [spec.table() for spec in arm.posthoc],
                "eval": [{"every": e.every, **e.spec.table()} for e in self.evals],
            },
        )

    def fingerprint(self, arm: Arm) -> str:
        """Return a hash of `resolve(arm)`: runs with equal fingerprints and seeds are the same run."""
        text = json.dumps(self.resolve(arm), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def difference(self, arm: Arm) -> str:
        """Return the stages of an arm in words: `shuffled = init, but judgments through shuffled-votes`."""
        shared = stages_by_name(self.shared)
        before = stages_in_words(arm.init, shared) or "fresh weights"
        after = stages_in_words(arm.posthoc, shared)
        return f"{arm.name} = {before}{f'; after pretraining {after}' if after else ''}"

    def smoke(self) -> Recipe:
        """Return a small version on simulated data, with one seed, that runs in seconds on a CPU."""
        registry = self.plugins.registry
        return replace(
            self,
            name=f"{self.name}-smoke",
            seeds=self.seeds[:1],
            backbone=self.backbone.smoke(registry),
            pretrain=self.pretrain.smoke(registry) if self.pretrain else None,
            evals=tuple(EvalSlot(e.spec.smoke(registry), e.every) for e in self.evals),
            arms=tuple(arm.smoke(registry) for arm in self.arms),
            shared=self.shared.smoke(registry),
            is_smoke=True,
            origins={},
        )


def stages_by_name(shared: Arm) -> dict[str, Spec]:
    """Return the shared stages by name, as in `like`: `init`, or `init.0` if there are several."""
    return {
        name: spec
        for slot, stages in (("init", shared.init), ("posthoc", shared.posthoc))
        for name, spec in zip(stage_names(slot, len(stages)), stages, strict=True)
    }


def fingerprint_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return a unified diff of the settings of two runs."""
    before, after = (json.dumps(v, indent=1, sort_keys=True).splitlines() for v in (old, new))
    return "\n".join(difflib.unified_diff(before, after, "the earlier run", "this recipe", lineterm="", n=1))
