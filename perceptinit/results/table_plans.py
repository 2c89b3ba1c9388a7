"""Plans of runs that other software makes, read from a TOML file without backbone or data.

arms = ["random", "procedural"]
seeds = [0, 1, 2, 3, 4]
baseline = "random"

[verdict]
delta = 0.5
primary = "accuracy"
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from perceptinit.configs import NonNegativeInt, read_config
from perceptinit.errors import RecipeError
from perceptinit.recipe.settings import VerdictConfig
from perceptinit.recipe.tables import apply_overrides, parse_toml
from perceptinit.registry import unknown
from perceptinit.results.table_layouts import FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """A plan of runs in a table."""

    arms: tuple[str, ...]
    """Names of the arms. The first one besides the baseline has a 95 % interval. The others are a family."""
    seeds: tuple[NonNegativeInt, ...]
    """Seeds of every arm."""
    baseline: str
    """Arm with which the others are compared."""
    verdict: VerdictConfig
    """Decision rule, as in a recipe."""
    name: str = ""
    """Name of the experiment. Default: the name of the file."""
    summary: str = ""
    """Description in a sentence."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns of the table by field, such as arm = "init"."""
    source: str = ""
    """Path of the file."""
    overrides: tuple[str, ...] = ()
    """Values set on the command line, as path=value."""

    def __post_init__(self) -> None:
        if self.baseline not in self.arms:
            raise ValueError(unknown("baseline: no arm called", self.baseline, self.arms))
        for name in self.columns:
            if name not in FIELDS:
                raise ValueError(unknown("columns: no field called", name, FIELDS))
        for what, values in (("arms", self.arms), ("seeds", self.seeds)):
            if len(set(values)) < len(values) or len(values) < 2:
                raise ValueError(f"{what}: expected at least two different values")
        if self.verdict.max_seeds and self.verdict.max_seeds < len(self.seeds):
            raise ValueError(f"max_seeds is {self.verdict.max_seeds}, fewer than the {len(self.seeds)} seeds")


def read_table_plan(path: Path, overrides: Sequence[str] = ()) -> TablePlan | None:
    """Return the plan in a file; None for a recipe, which has [backbone] and [[arm]] tables.

    Raises:
        RecipeError: If the plan is invalid; lists all problems.
    """
    tables = parse_toml(path.read_text("utf-8"), str(path)) if path.is_file() else {}
    if "arms" not in tables or "backbone" in tables:
        return None
    problems = apply_overrides(tables, overrides)
    plan, wrong = read_config(TablePlan, {"verdict": {}, **tables}, "")
    if plan is None or problems:
        raise RecipeError([*problems, *wrong], str(path))
    return replace(plan, name=plan.name or path.stem, source=str(path), overrides=tuple(overrides))
