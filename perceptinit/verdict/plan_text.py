"""A plan as Markdown, and the departures of a comparison from it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from perceptinit.analysis.comparison import Comparison
from perceptinit.analysis.contrasts import find_differences
from perceptinit.analysis.environments import find_other_versions, find_unlike
from perceptinit.analysis.numbers import counts
from perceptinit.analysis.pooling import LEAST_P
from perceptinit.analysis.questions import planned_questions
from perceptinit.grouping import group
from perceptinit.recipe.old_keys import restore_plan
from perceptinit.results.preregistration import EDITED, is_edited, plan_sha256, planned_settings
from perceptinit.results.runs import RunSet
from perceptinit.verdict.verdict import Verdict, describe_answer, describe_answer_of, find_earlier_answers

SHORT = 12  # displayed digits of a hash
DEPARTED = "Not as planned"
SPREADS = {
    None: "",
    "own": "that of each difference",
    "pooled": f"pooled over arms, unless a test of equal spread has p below {LEAST_P:g}",
}
Cell = tuple[str, int]  # arm, seed
NOT_KNOWN = "unknown: [verdict] states no noise with its delta, and there are no pilot runs (--pilot)"


def plan_text(plan: Mapping[str, Any], escape: Callable[[str], str] = str) -> str:
    """Return a plan without the settings of arms, as text, or as Markdown if `escape` is `to_markdown`."""
    recipe = plan["recipe"]
    version = plan["versions"]["packages"].get("perceptinit", "")
    lines = [f"# Plan of {escape(recipe['name'])}"]
    if recipe["summary"]:
        lines += ["", escape(recipe["summary"])]
    written = escape(f"Written {plan['written']} by perceptinit {version}.")
    lines += ["", written, f"SHA-256 {plan_sha256(plan)}"]
    for title, found in _sections(plan).items():
        if found:
            heading = ["", f"## {title}", ""] if title else [""]
            lines += [*heading, *(f"* {escape(line)}" for line in found)]
    return "\n".join(lines) + "\n"


def _sections(plan: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the list in each section of a plan, by title."""
    delta = plan["verdict"]["delta"]
    earlier = plan["verdict"].get("spread_from")
    facts = {
        "Expected": plan["hypothesis"],
        "Delta": "not stated, so arms cannot be called equivalent" if delta is None else points(delta),
        "Measured by": ", ".join(str(table.get("use")) for table in plan["shared"]["eval"]),
        "Primary score": plan["measures"],
        "Spread over seeds": SPREADS[plan["verdict"].get("spread")],
        "Target of the primary score": str(plan["verdict"].get("target", "")),
        "Spread of single runs": f"that of {earlier}" if earlier else "",
        "Seeds": ", ".join(map(str, plan["seeds"])),
        "Stopping": plan["stopping"],
        "Family": plan.get("family", ""),
        "Excluded": plan["exclusions"],
    }  # fmt: skip
    questions = planned_questions(plan).items()
    existing = [
        f"{row['arm']}, seed {row['seed']}: {row['status']}, started {row['started']}, "
        f"SHA-256 {row['sha256'][:SHORT]}"
        for row in plan["records"]
    ]
    return {
        "": [f"{name}: {text}" for name, text in facts.items() if text],
        "Comparisons": [f"{arm} - {other}: {question}" for (arm, other), question in questions],
        "Arms": [_describe_arm(arm, plan["baseline"]) for arm in plan["arms"]],
        "Tuning": list(_describe_tuning(restore_plan(plan)["tune"])) if "tune" in plan else [],
        "Set on the command line": [f"--set {text}" for text in plan["recipe"]["overrides"]],
        "Power of these seeds": plan["prospects"] or [NOT_KNOWN],
        "Existing runs": existing or ["none"],
    }


def _describe_arm(arm: Mapping[str, Any], baseline: str) -> str:
    notes = [
        f"fingerprint {arm['fingerprint']}" if arm["fingerprint"] else "",
        "baseline" if arm["name"] == baseline else "",
    ]
    text = ", ".join(filter(None, notes))
    return f"{arm['difference']} ({text})" if text else str(arm["difference"])


def _describe_tuning(tune: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"all arms equally: {tune['trials']} trials in each of {tune['searches']} searches, by "
        f"{tune['measure']} of {tune['eval']['use']} on validation data"
    )
    for key, r in tune["space"].items():
        yield f"{key} from {r['low']:g} to {r['high']:g} ({r['scale']})"


def points(delta: float) -> str:
    """Return a number of points as text, such as `1 point` or `0.5 points`."""
    return f"{delta:g} point{'s' if delta != 1 else ''}"


def plan_name(plan: Mapping[str, Any]) -> str:
    """Return the name of a plan for use in sentences, with its date and the first digits of its hash."""
    return f"plan of {plan['written'][:10]}, {plan_sha256(plan)[:SHORT]}"


def describe_departures(comparison: Comparison) -> Iterator[str]:
    """Yield each departure from the plan; nothing without a plan."""
    runs = comparison.runs
    plan = runs.plan
    where = f" ({plan_name(plan)})" if plan else ""
    lost = sorted({str(record["plan"])[:SHORT] for record in runs.records if record.get("plan")})
    if lost and not plan and not runs.departures and not any(map(runs.is_shared, runs.runs)):
        yield f"{DEPARTED}: the plan that the runs name ({', '.join(lost)}) is missing. Restore plan.json."
    for text in (*runs.departures, *_find_departures(comparison)):
        yield f"{DEPARTED}{where}: {text}"
    yield from _describe_effect(comparison)
    for other in comparison.replaced:
        found = [
            (c.title, describe_answer_of(other, c), describe_answer_of(comparison, c))
            for c in other.contrasts
        ]
        changed = [f"{title} {before} instead of {now}" for title, before, now in found if before != now]
        effect = "; ".join(changed) or "the same answers"
        yield f"{DEPARTED}{where}: it replaced the {plan_name(other.runs.plan)}. With that plan: {effect}."


def _describe_effect(comparison: Comparison) -> Iterator[str]:
    """Yield what a change of `[verdict]` since the plan or the first run changed in the answers."""
    answers = find_earlier_answers(comparison)
    if answers and (score := comparison.primary):
        pairs = [(c.title, before, describe_answer(score, c)) for c, before in answers.items()]
        changed = [f"{title} {before} instead of {now}" for title, before, now in pairs if before != now]
        yield f"With the earlier [verdict]: {'; '.join(changed) or 'the same answers'}."


def confirm_plan(runs: RunSet, answers: Sequence[Verdict]) -> str:
    """Return a confirmation that the runs follow their plan.

    Args:
        runs: Runs without departures from the plan.
        answers: Verdicts of the headline. They can be undecided under a stopping rule.
    """
    max_seeds = runs.plan["verdict"]["max_seeds"]
    num = len({run.seed for run in runs.runs})
    so_far = ""
    if runs.unfinished:
        so_far = f" so far, with {len(runs.finished)} of {len(runs.runs)} runs finished"
    elif max_seeds and num < max_seeds and not all(v.is_decided for v in answers):
        so_far = f" so far, with {num} of at most {max_seeds} seeds and not yet decided"
    return f"As planned{so_far} ({plan_name(runs.plan)})."


def _find_departures(comparison: Comparison) -> Iterator[str]:
    runs = comparison.runs
    plan = runs.plan
    if not plan:
        return
    if is_edited(plan):
        yield f"{EDITED}, when its hash was {plan['sha256'][:SHORT]}."
    yield from _find_other_plans(runs, plan)
    yield from _find_other_runs(runs, plan)
    yield from _find_other_settings(runs, plan)
    if versions := "; ".join(find_other_versions(runs, plan)):
        yield f"other versions: {versions}."
    if unlike := "; ".join(find_unlike(runs)):
        yield f"the arms differ in more than {runs.source.words.cause}: {unlike}."
    yield from _find_other_contrasts(comparison, plan)
    yield from _find_other_score(comparison)


def _find_other_plans(runs: RunSet, plan: Mapping[str, Any]) -> list[str]:
    """Return runs that existed before the plan, and runs that started under another plan or none."""
    existing = {(row["arm"], row["seed"]) for row in plan["records"]}
    recorded = [run for run in runs.runs if run.record]
    sha256 = plan_sha256(plan)
    early: list[Cell] = []
    without: list[Cell] = []
    changed: dict[Cell, str] = {}
    for run in recorded:
        cell = (run.arm, run.seed)
        is_before = run.record["started"] < plan["written"]
        # a run that records the hash of the plan started after it, even if clocks differ
        named = str(run.record.get("plan", ""))
        if runs.is_shared(run):  # the record of a reused run names the plan of the recipe that made it
            named = "" if is_before else sha256
        if named not in ("", sha256):
            changed[cell] = named[:SHORT]
        elif cell in existing or (is_before and not named):
            early.append(cell)
        elif not named:
            without.append(cell)
    old = " and ".join(sorted(set(changed.values())))
    texts = {
        f"{len(early)} of {len(recorded)} runs existed before it: {_list_cells(early)}.": early,
        f"it was changed after runs had started, when its hash was {old}: {_list_cells(changed)}.": changed,
        f"these runs started without it: {_list_cells(without)}.": without,
    }
    return [text for text, cells in texts.items() if cells]


def _find_other_runs(runs: RunSet, plan: Mapping[str, Any]) -> list[str]:
    own = [run for run in runs.runs if not runs.is_shared(run)]
    roots = sorted({str(run.folder.resolve().parent.parent) for run in own})
    planned = set(product((arm["name"] for arm in plan["arms"]), plan["seeds"]))
    present = {(run.arm, run.seed) for run in runs.runs}
    # the stopping rule can add seeds
    first = max(plan["seeds"], default=-1) + 1
    more = range(first, first + (plan["verdict"]["max_seeds"] or 0) - len(set(plan["seeds"])))
    added = present - planned - set(product((arm["name"] for arm in plan["arms"]), more))
    dropped = planned - present
    texts = {
        f"runs of several folders are compared: {', '.join(roots)}.": len(roots) > 1,
        f"added: {_list_cells(added)}.": added,
        f"planned but missing: {_list_cells(dropped)}.": dropped,
        f"the baseline was {plan['baseline']}, and is {runs.baseline} here.": runs.baseline
        != plan["baseline"],
    }
    return [text for text, holds in texts.items() if holds]


def _find_other_settings(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield settings that differ from the plan, with their arms."""
    planned = {arm["name"]: arm for arm in plan["arms"]}
    changed: dict[tuple[str, ...], dict[str, None]] = {}
    for run in runs.runs:
        arm = planned.get(run.arm)
        if run.record and arm and run.record["fingerprint"] != arm["fingerprint"]:
            differences = find_differences(planned_settings(plan, arm), run.record["arm"]["resolved"])
            keys = tuple(dict.fromkeys(differences))
            if not (keys == ("name",) and runs.is_shared(run)):
                changed.setdefault(keys, {})[run.arm] = None
    for keys, arms in changed.items():
        yield f"other settings of {', '.join(arms)}: {', '.join(keys) or 'those of another version'}."


def _find_other_contrasts(comparison: Comparison, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield contrasts of planned arms that were added, dropped, or ask another question."""
    arms = {arm["name"] for arm in plan["arms"]} & set(comparison.runs.arms)
    planned = planned_questions(plan)
    found = {(c.arm, c.reference): c.question for c in comparison.contrasts}
    for pair in dict.fromkeys((*planned, *found)):
        old = planned.get(pair)
        new = found.get(pair)
        if arms.issuperset(pair) and old != new:
            title = " - ".join(pair)
            yield (
                f"{title} is compared." if old is None
                else f"{title} is not compared." if new is None
                else f'{title} was planned to ask "{old}", but asks "{new}".'
            )  # fmt: skip


def _find_other_score(comparison: Comparison) -> Iterator[str]:
    """Yield a departure if the primary score differs or is not measured at the end of the runs."""
    score = comparison.primary
    stated = comparison.runs.rule.primary
    if score is None:
        return
    if stated and not comparison.is_stated_primary(score):
        yield f"the primary score {stated} was not measured, and {score.name} replaces it."
    ends = {(run.arm, run.samples_seen) for run in comparison.runs.finished}
    if not ends >= score.samples_seen.items():
        seen = counts(score.samples_seen.values(), " and ")
        yield f"the runs are compared after {seen} pairs instead of at their end."


def _list_cells(cells: Iterable[Cell]) -> str:
    """Return runs as text: `pi, seeds 0, 1; random, seed 0`."""
    by_seeds = group((tuple(seeds), arm) for arm, seeds in group(sorted(set(cells))).items())
    return "; ".join(
        f"{', '.join(arms)}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for seeds, arms in by_seeds.items()
    )
