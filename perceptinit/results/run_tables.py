"""Runs as a table of scores: read from a file or a data frame, written from records, and planned.

The plan of runs that other software makes is a TOML file without backbone or data:

    arms = ["random", "procedural"]
    seeds = [0, 1, 2, 3, 4]
    baseline = "random"

    [verdict]
    delta = 0.5
    primary = "accuracy"
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import numpy as np

from perceptinit.configs import NonNegativeInt, pick, read_config
from perceptinit.errors import UsageError, read_name, require_valid, shown
from perceptinit.files.columns import Columns
from perceptinit.files.reading import require_file
from perceptinit.files.tables import TABLE_SUFFIXES, read_table
from perceptinit.grouping import group
from perceptinit.recipe.settings import VerdictConfig
from perceptinit.recipe.tables import apply_overrides, parse_toml
from perceptinit.registry import unknown
from perceptinit.results.directions import Direction
from perceptinit.results.items import read_items
from perceptinit.results.measures import split_name
from perceptinit.results.planned import find_changes, read_replaced
from perceptinit.results.preregistration import read_plan
from perceptinit.results.record import RECORD, plain
from perceptinit.results.runs import LoadedRun, RunSet, load_runs
from perceptinit.results.source import ABSENT, KEYS, Axis, Progress
from perceptinit.results.states import State
from perceptinit.results.table_layouts import AXES, FIELDS, read_layout
from perceptinit.results.table_reading import (
    describe_reading,
    find_constants,
    find_gaps,
    require_direction,
    require_distinct,
    share_enough,
)
from perceptinit.results.table_scores import ScoreReader, read_details

PICKLES = {".pkl", ".pickle"}
COLUMNS = tuple(sorted({*FIELDS} - {"step", "epoch", "item", "sd", "n"}, key=FIELDS.index))
# six seeds of three arms of docs/results/initializations.md: accuracy on 5,000 photographs after an epoch
EXAMPLE = "example"
EXAMPLE_TABLE = "example.csv"
EXAMPLE_DELTA = 1.0  # points
# words of wandb and MLflow for a state
_STATES: dict[str, State] = {
    **dict(zip(get_args(State), get_args(State), strict=True)),
    "completed": "finished",
    "crashed": "failed",
    "killed": "failed",
    "preempting": "running",
    "scheduled": "not started",
}
# keys of a score row that have a column
_FLAT = ("name", "samples_seen", "num_examples", "value", "higher_is_better", "chance", "is_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What a table does not contain.

    Attributes:
        baseline: Arm with which the others are compared. Default: that of the plan.
        delta: Largest difference that does not matter, in points for shares and otherwise in the unit of the
            values. Default: that of the plan.
        columns: Columns of the table by field. Default: those of the plan, or of a known layout.
        plan: File of the plan of the runs.
        is_unpaired: Whether arms are never paired by seed.
        direction: Better values of measures whose name does not state it. Default: that of the plan.
        target: Value of the primary score that arms are compared with, also of records.
        spread_from: Path of earlier runs whose spread is that of single runs, also of records.
    """

    baseline: str | None = None
    delta: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    plan: Path | None = None
    is_unpaired: bool = False
    direction: Direction | None = None
    target: float | None = None
    spread_from: str | None = None


def load_results(
    sources: Sequence[Any], out: Path = Path("runs"), options: TableOptions | None = None
) -> RunSet:
    """Load runs from records or, if the source is a table, from its rows.

    Args:
        sources: A table (a path or a data frame), `example` for the table of the package, or what `load_runs`
            accepts.
        out: Parent of the recipes' output folders.
        options: What a table does not contain.

    Raises:
        UsageError: If there are no runs, or options of tables are given for records.
        DataError: If the table is invalid.
    """
    options = options or TableOptions()
    if [str(source) for source in sources] == [EXAMPLE] and not Path(EXAMPLE).exists():
        sources = [Path(__file__).with_name(EXAMPLE_TABLE)]
        delta = EXAMPLE_DELTA if options.delta is None else options.delta
        options = replace(options, baseline=options.baseline or "random", delta=delta)
    tables = [s for s in sources if not isinstance(s, Path) or _is_table(s)]
    if not tables:
        if options != TableOptions(**pick(options, "baseline", "target", "spread_from")):
            raise UsageError("--delta, --columns and --plan are for tables. Set [verdict] in the recipe")
        return _state(load_runs(sources, out), options)
    if len(sources) > 1:
        raise UsageError(f"{tables[0]}: a table is compared alone. Join the tables")
    table = read_table(tables[0]) if isinstance(tables[0], Path) else read_frame(tables[0])
    if not options.plan:
        return read_runs(table, options, {})
    require_file(options.plan, ". Write it with: perceptinit preregister results.toml")
    runs = read_runs(table, options, read_plan(options.plan.parent, options.plan.name))
    as_planned = replace(options, baseline=None, delta=None)
    replaced = (read_runs(table, as_planned, plan) for plan in read_replaced(options.plan))
    return replace(runs, replaced=tuple(replaced))


def _is_table(path: Path) -> bool:
    """Return whether a path names a table; UsageError for a pickle."""
    if path.suffix.lower() in PICKLES:
        raise UsageError(
            f"{path}: not read, because unpickling executes what the file contains. Save the table as CSV or "
            "Parquet, such as frame.to_parquet"
        )
    return path.suffix.lower() in TABLE_SUFFIXES and path.name != RECORD


def _state(runs: RunSet, options: TableOptions) -> RunSet:
    """Return the runs with the keys of `[verdict]` in options, and the runs of `spread_from`.

    A change of a plan is a departure.
    """
    stated = pick(options, "target", "spread_from")
    rule = replace(runs.rule, **{key: value for key, value in stated.items() if value is not None})
    departures = tuple(find_changes(runs.plan, rule, rule)) if runs.plan else runs.departures
    earlier = _load_scores(Path(rule.spread_from), options) if rule.spread_from else ()
    return replace(runs, rule=rule, departures=departures, earlier_runs=tuple(earlier))


def _load_scores(path: Path, options: TableOptions) -> Sequence[LoadedRun]:
    """Return the runs in a folder or a table, which needs no baseline."""
    if not _is_table(path):
        return load_runs([path]).finished
    rows, _ = read_layout(read_table(path), options.columns)
    return [run for run in _build_runs(rows, options.direction) if run.state == "finished"]


def read_frame(frame: Any) -> Columns:
    """Return the columns of a data frame of pandas, or of a library with the same `columns` and cells."""
    if any(getattr(getattr(frame, "index", None), "names", ())):
        frame = frame.reset_index()
    cells = {str(name): list(frame[name]) for name in frame.columns}
    return Columns.of(Path("data frame"), cells, np.arange(2, len(frame) + 2))


def read_runs(table: Columns, options: TableOptions, plan: Mapping[str, Any]) -> RunSet:
    """Return the runs of a table, and the planned runs that it lacks.

    Raises:
        DataError: If the table is invalid.
        UsageError: If the baseline is not stated or not an arm, or no measure has a known direction.
    """
    rows, layout = read_layout(table, options.columns or plan.get("columns", {}), not plan)
    direction = options.direction or plan.get("direction")
    runs = list(_build_runs(rows, direction))
    require_direction(table.path, runs, direction)
    planned = {arm["name"]: frozenset(plan["seeds"]) for arm in plan.get("arms", ())}
    arms = tuple(dict.fromkeys([*planned, *map(attrgetter("arm"), runs)]))
    about = read_details(rows, 0)
    source = KEYS[about.get("source", "")]
    baseline = options.baseline or plan.get("baseline", "") or (arms[0] if len(arms) == 1 else "")
    if baseline not in arms and (baseline or not source.has_best):
        missing = f"no baseline. Choose one: --baseline {' or '.join(arms)}"
        raise UsageError(f"{table.path}: {unknown('no arm called', baseline, arms) if baseline else missing}")
    require_distinct(table.path, arms)
    listed = {arm: frozenset(run.seed for run in runs if run.arm == arm) for arm in arms}
    is_single = not plan and not source.one_run_decides and max(map(len, listed.values())) == 1
    is_unpaired = options.is_unpaired or is_single
    gaps: dict[str, list[int]] = {}
    if source.key:
        layout = ""
    else:
        seeds = listed | planned
        base = seeds[baseline]
        paired = [] if is_unpaired else [arm for arm in arms if share_enough(seeds[arm], base)]
        gaps = {} if plan else find_gaps(listed, paired)
        layout = describe_reading(layout, runs, listed, paired, gaps)
    cells = [*product(planned, plan.get("seeds", ())), *((arm, seed) for arm in gaps for seed in gaps[arm])]
    absent = {*cells}.difference(map(attrgetter("arm", "seed"), runs))
    runs += [LoadedRun(*cell, table.path, "not started", reason=ABSENT) for cell in absent]
    runs.sort(key=lambda run: (arms.index(run.arm), run.seed))
    stated = dict(plan.get("verdict", {}))
    if options.delta is not None:
        stated["delta"] = options.delta
    verdict = require_valid(read_config(VerdictConfig, stated, "verdict"))
    axis: Axis = next((axis for axis in AXES if axis in rows), "")
    progress = Progress.along(about.get("axis", "") if source.key else axis, about.get("samples", ""))
    num_seeds = max(Counter(map(attrgetter("arm"), runs)).values())
    found = RunSet(
        about.get("name", table.path.stem),
        about.get("summary", ""),
        baseline,
        arms,
        tuple(runs),
        rule=verdict,
        num_planned=len(plan.get("seeds", ())) or num_seeds,
        num_listed=num_seeds,
        departures=tuple(find_changes(plan, verdict, verdict)) if plan else (),
        earlier=plan.get("verdict", {}),
        plan=plan,
        planned=planned,
        is_unpaired=is_unpaired,
        constants=find_constants(rows, [arm for arm in arms if len(listed[arm]) > 1]),
        source=replace(source, progress=progress, layout=layout),
    )
    return _state(found, options)


def _build_runs(rows: Columns, direction: Direction | None) -> Iterator[LoadedRun]:
    """Yield a run for each arm and seed. A run is finished if all of its rows are."""
    arms = rows.coded("arm", read_name).texts()
    cells = zip(arms, rows.counts("seed").tolist(), strict=True)
    by_run = group((cell, index) for index, cell in enumerate(cells))
    states = rows.coded("status", _read_state, "finished").texts() if "status" in rows else []
    reader = ScoreReader(rows, direction)
    for cell, indices in by_run.items():
        unfinished: list[Any] = [states[i] for i in indices if states and states[i] != "finished"]
        scores, items = reader.read(indices)
        details = read_details(rows, indices[0])
        yield LoadedRun(
            *cell,
            rows.path,
            unfinished[0] if unfinished else "finished",
            reason=details.get("reason", ""),
            scores=tuple(scores),
            about=details.get("arm", {}),
            items=items,
        )


def _read_state(word: str) -> str:
    if word.lower() not in _STATES:
        raise ValueError(f"is {shown(repr(word))}. Known: {', '.join(_STATES)}")
    return _STATES[word.lower()]


def list_rows(runs: RunSet) -> Iterator[dict[str, Any]]:
    """Yield a row for each run, score and evaluation, with the columns that `read_runs` reads.

    The column `details` contains the settings of the arm and the per-item values as JSON. A run without
    scores has a row without a measure.
    """
    key = runs.source.key
    stated = {"source": key, "axis": runs.progress.column, **pick(runs, "name", "summary")} if key else {}
    for run in runs.runs:
        items = run.items or read_items(run.folder)
        shared = {**pick(run, "arm", "seed"), "status": run.state, "higher_is_better": True}
        details = {**stated, "arm": dict(run.about), "reason": run.reason, "samples": runs.progress.unit}
        for row in run.scores or [{}]:
            found = items.get(row.get("name", "")) if row.get("samples_seen") == run.samples_seen else None
            details["score"] = {key: value for key, value in row.items() if key not in _FLAT}
            details["items"] = asdict(found) if found else {}
            known = {key: value for key, value in plain(details).items() if value}
            measure, data_set = split_name(row.get("name", ""))
            yield {
                **shared,
                **{key: row[key] for key in ("value", "higher_is_better", "chance") if row},
                "measure": measure,
                "data_set": data_set,
                "num_items": row.get("num_examples"),
                runs.progress.column or "samples_seen": row.get("samples_seen"),
                "details": json.dumps(known, separators=(",", ":")),
            }


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
    direction: Direction | None = None
    """"higher" or "lower": which values of a measure are better whose name does not state it."""
    source: str = ""
    """Path of the file."""
    overrides: tuple[str, ...] = ()
    """Values set on the command line, as path=value."""

    def __post_init__(self) -> None:
        list(map(read_name, (self.name, *self.arms)))
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
    plan = require_valid(read_config(TablePlan, {"verdict": {}, **tables}, ""), problems, str(path))
    return replace(plan, name=plan.name or path.stem, source=str(path), overrides=tuple(overrides))
