"""Layouts of tables of scores: each becomes rows of arm, seed, measure and value.

Tables with these columns, run tables of wandb and MLflow, chart exports of wandb, and wide tables with a
column for each arm are recognized. A column that is not named must have a unique candidate.

Sources: https://docs.wandb.ai/models/runs/customize-run-display (run table),
https://docs.wandb.ai/models/app/features/panels/line-plot (chart export),
https://mlflow.org/docs/latest/ml/search/search-runs (`mlflow.search_runs`, and the CSV of the UI).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from shlex import quote
from typing import Any

import numpy as np

from perceptinit.errors import DataError, shown
from perceptinit.files.columns import Columns, is_number
from perceptinit.results.directions import find_direction, is_of_training
from perceptinit.results.measures import measure_names
from perceptinit.results.source import Axis

AXES: tuple[Axis, ...] = ("samples_seen", "step", "epoch")
FACTS = ("higher_is_better", "chance", "num_items")
FIELDS = (
    *("arm", "seed", "measure", "data_set", *AXES, "item", "value", "status", *FACTS, "sd", "n", "details"),
)
WIDE_MEASURE = "score"
WITH_DEVIATION = re.compile(r"[\d.]+ *%? *(±|\+/?-|\() *[\d.]+ *%?\)?")  # 76.3 ± 0.2, 76.3 (0.2)
# columns of run tables that are neither scores nor settings, with those that identify the table first
RUN_TABLES = {
    "mlflow.search_runs": ("run_id", "status", "experiment_id", "artifact_uri", "start_time", "end_time"),
    "the CSV of MLflow's page": (
        *("Run ID", "Status", "Start Time", "Duration", "Name", "Source Type", "Source Name", "User"),
    ),
    "wandb's run table": (
        *("Name", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep", "ID", "Group", "Job Type"),
    ),
}
NUM_MARKS = 2
BOOKKEEPING = frozenset(chain(*RUN_TABLES.values()))
# other names of the columns of a field
ALIASES = {
    "seed": ("seed", "run_seed", "random_seed", "rng_seed", "rng"),
    "arm": ("arm", "method", "init", "initialization", "model", "condition"),
    "data_set": ("data_set", "dataset", "task", "benchmark"),
    "sd": ("sd", "std", "stdev", "stddev", "standard_deviation"),
    "n": ("n", "num_seeds", "num_runs", "n_seeds", "n_runs", "seeds", "runs"),
}
# the seed at the end of a run's name, such as `random-seed3` or `random_3`
_RUN_NAME = re.compile(r"(?P<arm>.+?)(?:[\s_./:-]*seed|[\s_./:-]+s)?[\s_./:=-]*(?P<seed>\d+)", re.I)
_CHART = re.compile(r"(?P<run>.+) - (?P<measure>.+?)(?P<bound>__MIN|__MAX)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the columns of a table become rows.

    Attributes:
        name: Name of the layout in messages; empty for a table with the expected columns.
        shared: Column of each field that all values of a row share.
        values: Columns of values, with the fields that the name of each column states.
    """

    name: str
    shared: Mapping[str, str]
    values: Mapping[str, Mapping[str, Any]]

    def __str__(self) -> str:
        pairs = [f"{name} = {column}" for name, column in self.shared.items() if name != column]
        column, stated = next(iter(self.values.items()))
        if {"arm", "seed"} <= stated.keys():
            pairs.append(f"{shown(column)} = arm {stated['arm']}, seed {stated['seed']}")
        elif "arm" in stated:
            pairs.append(f"arm = {' or '.join(self.values)}")
        elif column != "value":
            pairs.append(f"value = {shown(' + '.join(self.values), 300)}")
        return ": ".join(filter(None, [self.name, ", ".join(pairs)]))


def read_layout(table: Columns, given: Mapping[str, str], must_choose: bool = True) -> tuple[Columns, str]:
    """Return a table with a row for each value and a column for each field, and a description of its layout.

    Columns that are not read follow the fields. Of a run that logged a measure, rows without it are skipped.

    Args:
        table: Table in a layout of this module.
        given: Columns by field, such as `{"arm": "init", "value": "accuracy"}`. In a table with a column of
            measures, the value can be one of them.
        must_choose: Whether one of several measures that could decide must be chosen.

    Raises:
        DataError: If a field has no column, or a guess is not unique.
    """
    measures = given.get("measure", "measure")
    if measures in table and given.get("value", measures) in table.distinct[measures]:
        table = table.select(np.array(table.cells(measures)) == given["value"])
        given = {name: column for name, column in given.items() if name != "value"}
    table.require(given.values())
    special = None if given else _find_chart(table) or _find_wide(table)
    layout = special or _find_run_table(table, given, must_choose and "details" not in table)
    unread = [c for c in table.names if c not in {*layout.shared.values(), *layout.values}]
    kept = {} if special else {column: column for column in unread if column not in FIELDS}
    cells: dict[str, list[Any]] = defaultdict(list)
    for column, stated in layout.values.items():
        for name, source in {**layout.shared, "value": column, **kept}.items():
            cells[name] += table.cells(source)
        for name, text in stated.items():
            cells[name] += [text] * len(table)
    rows = Columns.of(table.path, cells, np.tile(table.rows, len(layout.values)))
    if "status" not in rows and not rows.names.isdisjoint(AXES):
        logs = list(zip(*(rows.cells(name) for name in ("arm", "seed", "measure")), strict=True))
        are_empty = list(map(is_empty, rows.cells("value")))
        logged = {log for log, is_left_out in zip(logs, are_empty, strict=True) if not is_left_out}
        rows = rows.select(~np.array(are_empty) | np.array([log not in logged for log in logs]))
    listed = f"columns not read: {shown(', '.join(unread), 120)}" if unread else ""
    return rows, "; ".join(filter(None, [str(layout), listed]))


def _find_run_table(table: Columns, given: Mapping[str, str], must_choose: bool) -> Layout:
    """Return the layout of a table with a row for each run or each value."""
    known = next((name for name, names in RUN_TABLES.items() if table.names >= {*names[:NUM_MARKS]}), "")
    ignored = RUN_TABLES.get(known, ())
    shared = dict(zip(FIELDS, FIELDS, strict=True)) | ({"status": ignored[NUM_MARKS - 1]} if known else {})
    shared |= given
    value = shared.pop("value")
    shared = {name: column for name, column in shared.items() if column in table}
    settings = [c for c in table.names if c not in shared.values() and may_be_setting(c, ignored)]
    found = {name: [shared[name]] if name in shared else _find_field(name, settings) for name in ALIASES}
    # rows of means have no seed, but a standard deviation and a number of runs
    are_means = bool(found["sd"] and found["n"] and not found["seed"])
    for name in ("seed",) if are_means else ("sd", "n"):
        del found[name]
        shared.pop(name, None)
    if not found["data_set"]:
        del found["data_set"]
    if not found["arm"]:
        found["arm"] = [c for c in settings if _may_be_arm(table, c, found.get("seed", ()))]
    shared |= {name: columns[0] for name, columns in found.items() if len(columns) == 1}
    arm = shared.get("arm", "") if "seed" in shared else ""
    free = [column for column in settings if column not in shared.values()]
    if value not in table and (are_means or "measure" in shared):
        value = "mean"
    values = [value] if value in table else [c for c in free if _may_be_score(table, c, arm)]
    # scores of single or equal runs do not vary within an arm
    found["value"] = values = _drop_training(values or list(filter(find_direction, free)))
    known_ones = [c for c in values if c.removeprefix("metrics.").replace("/", "_") in measure_names()]
    if known_ones:
        values = [c for c in values if c in known_ones or find_direction(c)]
    if known_ones or "measure" in shared:
        found["value"] = values[:1]
    if "measure" in shared and must_choose:
        listed = dict.fromkeys(map(str, table.cells(shared["measure"])))
        directed = [m for m in listed if "higher_is_better" in shared or find_direction(m)]
        measures = _drop_training(directed or list(listed))
        found["value"] = values[:1] if {*measure_names()} & {*measures} or len(measures) < 2 else measures
    if any(len(columns) != 1 for columns in found.values()):
        raise _ask(table, given, found)
    fixed: dict[str, Any] = {"seed": 0} if are_means else {}
    stated = [
        fixed if "measure" in shared else {"measure": c.removeprefix("metrics."), **fixed} for c in values
    ]
    return Layout(known, shared, dict(zip(values, stated, strict=True)))


def _ask(table: Columns, given: Mapping[str, str], found: Mapping[str, Sequence[str]]) -> DataError:
    """Return an error on the fields that have no column or more than one, with a command that names them."""
    reasons = []
    named = dict(given)
    for name, columns in found.items():
        kind = "column" if {*columns} <= table.names else "measure"
        if not columns:
            reasons.append(f"no column for '{name}' in {shown(', '.join(table.names), 1000)}")
        elif len(columns) > 1:
            reasons.append(f"more than one {kind} may be '{name}': {shown(', '.join(columns), 1000)}")
        if len(columns) != 1:
            named[name] = next(iter(columns), "COLUMN")
    start = f"{table.path}: {'; '.join(reasons)}"
    for name in sorted(table.names):
        if any(WITH_DEVIATION.fullmatch(str(cell).strip()) for cell in table.distinct[name]):
            return DataError(f"{start}. '{name}' holds means with deviations: use columns mean, sd and n")
    columns_option = quote(",".join(map("=".join, named.items())))
    command = f"perceptinit compare {quote(str(table.path))} --columns {columns_option}"
    return DataError(f"{start}. Choose one, such as: {command}")


def may_be_setting(column: str, ignored: Collection[str]) -> bool:
    """Return whether a column of a run table may be a setting or a score, and not a name of the run."""
    return column not in ignored and not column.startswith(("_", "tags."))


def _find_field(field: str, columns: Sequence[str]) -> list[str]:
    """Return the columns of a field: those with its name, else those with the first of its other names."""
    for alias in ALIASES[field]:
        found = [c for c in columns if re.split(r"[/.]", c.lower())[-1] == alias]
        if found:
            return found
    return []


def _drop_training(columns: Sequence[str]) -> list[str]:
    """Return the columns that do not describe training; all of them if there are no others."""
    return [c for c in columns if not is_of_training(c)] or list(columns)


def _may_be_arm(table: Columns, column: str, seeds: Sequence[str]) -> bool:
    """Return whether a column contains texts and, if the column of seeds is known, another for each run."""
    arms = table.cells(column)
    runs = set(zip(arms, table.cells(seeds[0]) if len(seeds) == 1 else table.rows.tolist(), strict=True))
    return len(set(arms)) > 1 and len(runs) == len(arms) and not _is_numeric(table, column)


def _may_be_score(table: Columns, column: str, arm: str) -> bool:
    """Return whether a column contains numbers that differ between the runs of an arm; at all without one."""
    arms = table.cells(arm) if arm else [""] * len(table)
    pairs = set(zip(arms, table.cells(column), strict=True))
    return _is_numeric(table, column) and len(pairs) > len(set(arms))


def is_empty(cell: Any) -> bool:
    """Return whether a cell has no content: empty, NaN or a missing value of another library."""
    return cell is None or str(cell).strip().lower() in ("", "nan", "nat", "<na>", "none")


def _is_numeric(table: Columns, column: str) -> bool:
    return all(is_empty(cell) or is_number(str(cell)) for cell in table.distinct[column])


def _find_chart(table: Columns) -> Layout | None:
    """Return the layout of wandb's chart export; None for another table."""
    columns = [column for column in table.names if column != "Step"]
    values = {}
    for column in columns:
        match = _CHART.fullmatch(column)
        if match is None or "Step" not in table:
            return None
        run = _RUN_NAME.fullmatch(match["run"])
        if run is None:
            end = "does not end with a seed, such as random-seed3. Rename the runs, or export the run table"
            raise DataError(f"{table.path}: the run name in the column '{shown(column)}' {end}")
        if not match["bound"]:
            values[column] = {**run.groupdict(), "measure": match["measure"]}
    return Layout("wandb's chart export", {"step": "Step"}, values) if values else None


def _find_wide(table: Columns) -> Layout | None:
    """Return the layout of a table with a column for each arm and a row for each seed; None for another."""
    seeds = [name for name in table.names if name.lower() in ("seed", "")]
    arms = [name for name in table.names if name not in seeds]
    is_wide = len(seeds) == 1 and len(arms) > 1 and table.names.isdisjoint((*FIELDS[:1], "measure", "value"))
    if not is_wide or not all(map(partial(_is_numeric, table), arms)):
        return None
    values = {arm: {"arm": arm, "measure": WIDE_MEASURE} for arm in arms}
    return Layout("a column for each arm", {"seed": seeds[0]}, values)
