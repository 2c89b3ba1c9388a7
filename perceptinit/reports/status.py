"""The state of each run in a folder: finished, running with progress, or failed with the reason."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text
from typing_extensions import TypedDict

from perceptinit.analysis.numbers import number
from perceptinit.configs import find_misfit
from perceptinit.files.reading import parse_rows
from perceptinit.results.locks import holder
from perceptinit.results.measures import is_diagnostic, is_share, rank, readable_seconds, split_name
from perceptinit.results.runs import LoadedRun, RunSet

FindJobs = Callable[[Path], Mapping[tuple[str, int], str]]
TAIL_BYTES = 65_536
STYLES = {
    "finished": "green",
    "running": "cyan",
    "interrupted": "yellow",
    "stopped": "yellow",
    "failed": "red",
    "unreadable": "red",
    "not started": "dim",
}


class LoggedEvent(TypedDict):
    kind: str
    time: float
    stage: str


class StepEvent(LoggedEvent):
    step: int


def status_table(runs: RunSet, find_jobs: FindJobs, now: float | None = None) -> Group:
    """Return a table with a line per run, and a line of totals with the remaining time if known.

    Args:
        runs: The runs of an experiment.
        find_jobs: Returns the state of the job of each submitted run in an output folder, by arm and seed.
        now: Time in seconds since the epoch. Default: the current time.
    """
    columns = [Column(heading, overflow="fold") for heading in ("arm", "seed", "state", "what")]
    table = Table(*columns, box=None, pad_edge=False, title=runs.name, title_justify="left")
    roots = {run.folder.parent.parent for run in runs.unfinished}
    jobs = {root: find_jobs(root) for root in roots}
    for run in runs.runs:
        known = {} if run.state == "finished" else jobs[run.folder.parent.parent]
        parts = [describe_run(run, now), known.get((run.arm, run.seed))]
        state = Text(run.state, style=STYLES[run.state])
        table.add_row(run.arm, str(run.seed), state, "; ".join(filter(None, parts)))
    return Group(table, Text(totals(runs)))


def describe_run(run: LoadedRun, now: float | None = None) -> str:
    """Return the progress, result or error of a run, at the time `now` in seconds since the epoch."""
    now = time.time() if now is None else now
    samples = f"{run.samples_seen:,} samples"
    if run.state == "running":
        who = holder(run.folder)
        process = f"process {who['pid']} on {who['host']}" if who else ""
        parts = [_progress(run.folder, now), process]
    elif run.state == "finished":
        seconds = run.record.get("wall_seconds", {}).get("total")
        took = "" if seconds is None else readable_seconds(seconds)
        parts = [took, samples, _last_score(run)]
    else:
        parts = [f"after {samples}" if run.samples_seen else "", run.reason]
    return "; ".join(filter(None, parts))


def _last_score(run: LoadedRun) -> str:
    last = [(split_name(row["name"])[0], row) for row in run.last_scores]
    judging = [(measure, row) for measure, row in last if not is_diagnostic(measure)]
    if not judging:
        return ""
    measure, row = min(judging, key=lambda found: rank(found[0]))
    if row["value"] is None:
        return f"{row['name']} is not a finite number"
    return f"{row['name']} {number(row['value'], is_share(measure, row['chance']))}"


def _progress(folder: Path, now: float) -> str:
    """Return stage, step, remaining time and age of the last event, read from the event file."""
    events = list(_last_events(folder / "events.jsonl"))
    if not events:
        return ""
    newest = {event["kind"]: event for event in events}
    stage = newest.get("stage-start")
    step = newest.get("step", {})
    parts = []
    if total := step.get("total_steps"):
        parts.append(f"{step['stage']} step {step['step']:,} of {total:,}")
        if stage is not None and stage["stage"] == step["stage"]:
            left = (step["time"] - stage["time"]) / step["step"] * (total - step["step"])
            parts.append(f"{readable_seconds(left)} left in the stage")
    return ", ".join([*parts, f"last event {readable_seconds(now - events[-1]['time'])} ago"])


def _last_events(file: Path) -> Iterable[dict[str, Any]]:
    """Yield the last events of the file, without incomplete lines."""
    if not file.is_file():
        return
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        begin = max(stream.tell() - TAIL_BYTES, 0)
        stream.seek(begin)
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    for event in parse_rows(lines[1 if begin else 0 :]):
        if not find_misfit(event, StepEvent if event.get("kind") == "step" else LoggedEvent):
            yield event


def totals(runs: RunSet) -> str:
    """Return the number of runs in each state, and the remaining time at the current speed."""
    counts = Counter[str](run.state for run in runs.runs)
    states = ", ".join(f"{counts[state]} {state}" for state in STYLES if counts[state])
    text = f"{len(runs.runs)} runs: {states}"
    seconds = [run.record["wall_seconds"].get("total", 0.0) for run in runs.finished]
    if not counts["running"] or not seconds:
        return text
    left = len(runs.unfinished) * sum(seconds) / len(seconds) / counts["running"]
    return f"{text}; at most {readable_seconds(left)} left with {counts['running']} at a time"
