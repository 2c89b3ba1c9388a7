"""Tables and sentences of docs/results/initializations.md, from its records and CPU seconds."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from perceptinit.analysis.compare import compare
from perceptinit.analysis.comparison import Difference, ScoreComparison
from perceptinit.analysis.numbers import interval, number, signed
from perceptinit.analysis.statistics import Estimate, differences, estimate
from perceptinit.results.record import read_record
from perceptinit.results.runs import load_runs
from perceptinit.verdict.verdict import verdict

MEASURE, DELTA, NUM_SEEDS = "accuracy/unseen", 0.01, 6
BASELINE, LONGER = "random", "random-longer"
STAGES = {  # folders of records, and their optimizer and length
    "initializations": "AdamW, one epoch",
    "initializations-longer": "AdamW, four epochs",
    "initializations-muon": "nadamuon, one epoch",
}
RATES = ("6e-4", "1.5e-3", "4e-3")
TRIALS = {"AdamW": "rate-", "nadamuon": "muon-rate-"}  # folders of trials, without the rate
FREE = 5.0  # CPU seconds below which a start is not compared at equal time
NOT_READ = "none found for this size"
# arm: published effect, images besides the 40,000 of training
ABOUT = {
    "redrawn": ("", "none"),
    "mimetic": ("above 5 points on CIFAR-10", "none"),
    "impulse": ("gains on small data sets", "none"),
    "procedural": ("+1.7 points on ImageNet-1k", "none"),
    "procedural-shuffled": ("", "none"),
    "fractals": ("better than from scratch", "256, generated"),
    "simclr": (NOT_READ, "none"),
    "distil": (NOT_READ, "none; a teacher of four epochs"),
    "people": (NOT_READ, "7,000, with 51 labels each"),
    LONGER: ("", "none"),
}
LEAST_PUBLISHED = {"mimetic": 0.05}  # stated sizes, as shares

Scores = Mapping[str, Mapping[int, float]]  # by arm and seed


def tables(kept: Path) -> str:
    """Return the page's tables and sentences; stages without records are omitted."""
    parts = [part for name in STAGES if (kept / name).is_dir() for part in _stage(kept, name)]
    return "\n\n".join([*parts, *trials(kept), *at_other_rates(kept), advice(kept)])


def _stage(kept: Path, name: str) -> Iterator[str]:
    """Yield the title, the table and the answers of a stage."""
    score, longer = compared(kept / name), longer_scores(kept) if name == "initializations" else {}
    seeds = sorted(score.arm(BASELINE).by_seed)
    interim = "" if len(seeds) >= NUM_SEEDS else f" ({len(seeds)} of {NUM_SEEDS}, interim)"
    yield f"**{STAGES[name]}**: seeds {', '.join(map(str, seeds))}{interim}."
    yield "\n".join(_rows(score, longer, costs(kept / name)))
    yield "\n".join(f"* {line}" for line in (*effects(score), *notes(kept, name, score)))


def trials(kept: Path) -> Iterator[str]:
    """Yield a table of the trials of learning rates for each optimizer, one seed each, scored on `tuning`."""
    for optimizer, prefix in TRIALS.items():
        found = {
            (run.arm, rate): number(run.scores[-1]["value"], True)
            for rate in RATES
            if (folder := kept / f"{prefix}{rate.replace('.', 'p')}").is_dir()
            for run in load_runs([folder]).finished
        }
        if found:
            arms = dict.fromkeys(arm for arm, _ in found)
            rows = [[arm, *(found.get((arm, rate), "") for rate in RATES)] for arm in arms]
            head = [f"{optimizer}: accuracy on tuning, seed 0", *RATES]
            lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
            yield "\n".join([lines[0], "|---|" + "---:|" * len(RATES), *lines[1:]])


def at_other_rates(kept: Path) -> Iterator[str]:
    """Yield a table of the arms whose best rate in the trials is not that of random, with six seeds each."""
    shared = compared(kept / "initializations")
    for rate in RATES:
        folder = kept / f"initializations-rate-{rate.replace('.', 'p')}"
        found: dict[str, dict[int, float]] = {}
        for run in load_runs([folder]).finished if folder.is_dir() else ():
            found.setdefault(run.arm, {})[run.seed] = run.scores[-1]["value"]
        if found:
            level = 1 - 0.05 / len(found)
            yield "\n".join(
                [
                    f"| at {rate} | accuracy ± s.e. | - random [simultaneous] | - the same start at the shared rate [simultaneous] |",
                    "|---|---:|---:|---:|",
                    *(
                        f"| {arm} | {' | '.join(_at(shared, arm, by_seed, level))} |"
                        for arm, by_seed in found.items()
                    ),
                ]
            )


def _at(shared: ScoreComparison, arm: str, by_seed: Mapping[int, float], level: float) -> list[str]:
    """Return the mean of an arm at another rate, and its differences from random and from the arm at the shared rate."""
    others = (shared.arm(name).by_seed for name in (BASELINE, arm))
    between = (estimate(list(differences(by_seed, other).values()), level) for other in others)
    return [_mean(estimate(list(by_seed.values()))), *map(_between, between)]


def compared(folder: Path) -> ScoreComparison:
    """Return the comparison of an experiment's records in the page's measure."""
    return next(score for score in compare(load_runs([folder])).scores if score.name == MEASURE)


def longer_scores(kept: Path) -> dict[int, float]:
    """Return the final score of random-longer by seed; empty without records."""
    folder = kept / f"initializations-{LONGER}"
    return dict(compared(folder).arm(BASELINE).by_seed) if folder.is_dir() else {}


def processor_seconds(folder: Path) -> dict[str, dict[int, float]]:
    """Return CPU seconds by arm and seed, summed over attempts."""
    found: dict[str, dict[int, float]] = {}
    with (folder / "processor.csv").open(newline="") as file:
        for arm, seed, seconds in csv.reader(file):
            by_seed = found.setdefault(arm, {})
            by_seed[int(seed)] = by_seed.get(int(seed), 0.0) + float(seconds)
    return found


def costs(folder: Path) -> dict[str, float]:
    """Return the CPU seconds of each start, a mean over seeds.

    They are the CPU seconds of the run times the share of these stages in its wall time. A difference from
    random's runs would vary with the load of the machine. A run that copied its stages has those of their source.
    """
    found: dict[str, list[float]] = {}
    for run in load_runs([folder]).finished:
        source, record = source_of(run.record), run.record
        experiment = folder.parent / source.split("/")[0] if source else folder
        if source:
            record = read_record(folder.parent / source / "record.json")
        spent = processor_seconds(experiment).get(record["arm"]["name"], {}).get(run.seed)
        if spent is not None:
            wall = record["wall_seconds"]
            stages = sum(value for stage, value in wall.items() if stage.startswith("init"))
            found.setdefault(run.arm, []).append(spent * stages / wall["total"])
    return {arm: estimate(values).mean for arm, values in found.items()}


def source_of(record: Mapping[str, Any]) -> str:
    """Return the run `EXPERIMENT/ARM/seedN` whose stages a run copied; empty if it has stages of its own."""
    return next((row["taken_from"] for row in record["init"] if "taken_from" in row), "")


def _rows(score: ScoreComparison, longer: Mapping[int, float], seconds: Mapping[str, float]) -> Iterator[str]:
    """Yield the rows of a stage's table; the column of random-longer requires its runs."""
    titles = ["start", "accuracy ± s.e.", "- random [simultaneous]"]
    titles += [f"- {LONGER} [simultaneous]"] if longer else []
    yield "| " + " | ".join([*titles, "CPU seconds", "additional images"]) + " |"
    yield "|---|" + "---:|" * (len(titles)) + "---|"
    against = against_longer(score, longer)
    for arm in score.arms:
        found = difference(score, arm.arm)
        cells = [arm.arm, _mean(arm.value), _between(found.value) if found else ""]
        cells += [_between(against[arm.arm]) if arm.arm in against else ""] if longer else []
        own = seconds.get(arm.arm)
        cells += ["" if own is None else f"{own:.0f}", ABOUT.get(arm.arm, ("", "none"))[1]]
        yield f"| {' | '.join(cells)} |"
    if longer:
        plain = estimate(list(differences(longer, score.arm(BASELINE).by_seed).values()))
        yield f"| {LONGER} | {_mean(estimate(list(longer.values())))} | {_between(plain)} | | | none |"


def against_longer(score: ScoreComparison, longer: Mapping[int, float]) -> dict[str, Estimate]:
    """Return each arm's difference from random-longer, with simultaneous intervals (Bonferroni)."""
    level = 1 - 0.05 / len(score.arms)
    paired = {arm.arm: list(differences(arm.by_seed, longer).values()) for arm in score.arms}
    return {arm: estimate(values, level) for arm, values in paired.items() if values}


def difference(score: ScoreComparison, arm: str) -> Difference | None:
    """Return the difference of an arm from random."""
    pair = (arm, BASELINE)
    return next((d for d in score.differences if (d.contrast.arm, d.contrast.reference) == pair), None)


def answer(score: ScoreComparison, arm: str) -> str:
    """Return whether a gain over random is seen, not seen (1 point or more is excluded) or undecided."""
    found = difference(score, arm)
    if found is None or found.value.high is None:
        return "undecided"
    outcome = verdict(score, found.contrast).outcome
    if outcome == "better":
        return "seen"
    return "not seen" if outcome in ("worse", "equivalent") or found.value.high < DELTA else "undecided"


def effects(score: ScoreComparison) -> Iterator[str]:
    """Yield a sentence on each published effect."""
    for arm in (arm.arm for arm in score.arms if ABOUT.get(arm.arm, ("", ""))[0]):
        found = difference(score, arm)
        if found:
            published = ABOUT[arm][0]
            is_smaller = arm in LEAST_PUBLISHED and (found.value.high or 1.0) < LEAST_PUBLISHED[arm]
            size = ", but smaller than published" if is_smaller else ""
            yield f"`{arm}` (published: {published}): {answer(score, arm)}{size}, {_between(found.value)}."


def notes(kept: Path, name: str, score: ScoreComparison) -> Iterator[str]:
    """Yield notes on the intervals and costs of a stage."""
    alone = [d.contrast.title for d in score.differences if d.contrast.num_family == 1]
    if 0 < len(alone) < len(score.differences):
        yield f"Interval of 95 %: {', '.join(alone)}. The others are simultaneous."
    yield "CPU seconds are those of the start's stages on one thread, without pretraining."
    sources = {source_of(run.record).split("/")[0] for run in load_runs([kept / name]).finished}
    if copied := sorted(sources - {""}):
        yield f"Stages were copied from the runs of {', '.join(copied)}. Their CPU seconds are those of these runs."
    teacher = kept / "initializations-teacher"
    if teacher.is_dir():
        spent = sum(processor_seconds(teacher)[BASELINE].values())
        yield f"The teacher of `distil` took another {spent:.0f} CPU seconds, once for all seeds."


def advice(kept: Path) -> str:
    """Return the recommendation: starts that beat random, or longer training if they cost time.

    The rule is that of the plan. It compares no start with another.
    """
    score, longer = compared(kept / "initializations"), longer_scores(kept)
    if len(score.arm(BASELINE).by_seed) < NUM_SEEDS or not longer:
        return f"**What to use at this size** is answered after {NUM_SEEDS} seeds."
    seconds, against = costs(kept / "initializations"), against_longer(score, longer)
    used, dearer = [], []
    for arm in (arm.arm for arm in score.arms if answer(score, arm.arm) == "seen"):
        low, own = (against[arm].low if arm in against else None), seconds.get(arm)
        is_free = own is not None and own < FREE
        (used if is_free or (low is not None and low > 0) else dearer).append(arm)
    text = "**What to use at this size.** "
    text += f"Use one of {_names(used)}. " if used else "Train longer: no start is shown to be better. "
    if dearer:
        text += f"{_names(dearer)}: better than random, but not than {LONGER}, so train longer instead. "
    return (
        text
        + "Starts are not compared with each other, and results of larger networks or longer runs may differ."
    )


def _names(arms: list[str]) -> str:
    return ", ".join(f"`{arm}`" for arm in arms)


def _mean(value: Estimate | None) -> str:
    if value is None:
        return ""
    return number(value.mean, True) + (f" ± {100 * value.stderr:.1f}" if value.stderr is not None else "")


def _between(value: Estimate) -> str:
    between = interval(value, True, between=", ")
    return signed(value.mean, True) + (f" [{between}]" if between else "")
