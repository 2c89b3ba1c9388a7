"""A comparison as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from perceptinit.reports.comparison import ArmScore, Comparison, ScoreComparison
from perceptinit.reports.tables import (
    BESIDE,
    baselines_in_words,
    cells,
    headings,
    mean_cell,
    reading_aids,
    references,
    sets_lines,
    trainings,
)
from perceptinit.reports.verdicts.family import family_wise
from perceptinit.reports.verdicts.headline import headline, summary
from perceptinit.reports.verdicts.yardsticks import yardsticks
from perceptinit.results.preregistration import plan_sha256

ROW_KEYS = (
    "score", "measure", "data_set", "family", "num_sets", "samples_seen", "arm", "num_seeds",
    "missing_seeds", "mean", "stderr", "chance", "lower_ceiling", "ceiling", "reference", "num_paired", "difference",
    "low", "high", "bootstrap_low", "bootstrap_high", "relative", "p_value", "q_value",
    "detectable_difference", "incomplete",
)  # fmt: skip


def markdown_table(comparison: Comparison, scores: Sequence[ScoreComparison]) -> str:
    """Return the table as GitHub Markdown, with the verdict and what is left out as a list."""
    lines = [
        f"| {' | '.join(['score', 'arm', *headings(comparison)])} |",
        f"|{'---|' * 2}{'---:|' * len(headings(comparison))}",
    ]
    for score in scores:
        for arm in score.arms:
            row = [score.name, arm.arm, *cells(comparison, score, arm)]
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
    notes = [*headline(comparison), *sets_lines(comparison), *comparison.problems]
    beside = [(s.name, baselines_in_words(s)) for s in scores]
    notes += [
        *trainings(scores),
        *(f"{BESIDE} in {name}: {line}" for name, line in beside if line),
    ]
    notes += reading_aids(comparison)
    return "\n".join([*lines, "", *(f"* {note}" for note in notes)]) + "\n"


def latex_table(comparison: Comparison, scores: Sequence[ScoreComparison]) -> str:
    """Return a `booktabs` table: a score per row, an arm per column, differences under the means."""
    runs = comparison.runs
    notes = [*headline(comparison), *comparison.problems, *trainings(scores)]
    notes += reading_aids(comparison)
    lines = [f"% {note}" for note in notes]
    lines += [
        rf"\begin{{tabular}}{{l{'r' * len(runs.arms)}}}",
        r"\toprule",
        rf"score & {' & '.join(map(_escape, runs.arms))} \\",
        r"\midrule",
    ]
    for score in scores:
        means = [_latex(mean_cell(arm, score.is_share)) for arm in score.arms]
        lines.append(rf"{_escape(score.name)} & {' & '.join(means)} \\")
        for reference in references(comparison):
            gaps = [
                _latex(cells(comparison, score, a)[1:-1][references(comparison).index(reference)])
                for a in score.arms
            ]
            if any(gaps):
                lines.append(rf"\quad vs {_escape(reference)} & {' & '.join(gaps)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _escape(text: str) -> str:
    for character in ("\\", "&", "%", "$", "#", "_", "{", "}"):
        text = text.replace(
            character, r"\textbackslash " if character == "\\" else f"\\{character}"
        )
    return text


def _latex(cell: str) -> str:
    return f"${cell.replace('±', chr(92) + 'pm')}$" if cell[:1] in "+-0123456789" and cell else cell


def rows(comparison: Comparison, scores: Sequence[ScoreComparison]) -> list[dict[str, Any]]:
    """Return one flat row per score, arm and contrast, unrounded; shares in 0..1."""
    return [row for score in scores for arm in score.arms for row in _arm_rows(score, arm)]


def _arm_rows(score: ScoreComparison, arm: ArmScore) -> Iterable[dict[str, Any]]:
    value = arm.value
    common = {
        "score": score.name,
        "measure": score.measure,
        "data_set": score.data_set,
        "family": score.family,
        "num_sets": score.num_sets,
        "samples_seen": score.samples_seen.get(arm.arm),
        "arm": arm.arm,
        "num_seeds": len(arm.by_seed),
        "missing_seeds": list(arm.missing),
        "mean": value.mean if value else None,
        "stderr": value.stderr if value else None,
        "chance": score.chance,
        "lower_ceiling": score.lower_ceiling,
        "ceiling": score.ceiling,
        "incomplete": score.incomplete,
    }
    own = [d for d in score.differences if d.contrast.arm == arm.arm]
    if not own:
        yield {**dict.fromkeys(ROW_KEYS), **common}
    for d in own:
        low, high = d.bootstrap or (None, None)
        yield {
            **common,
            "reference": d.contrast.reference,
            "num_paired": d.value.num,
            "difference": d.value.mean,
            "low": d.value.low,
            "high": d.value.high,
            "bootstrap_low": low,
            "bootstrap_high": high,
            "relative": d.relative,
            "p_value": d.p_value,
            "q_value": d.q_value,
            "detectable_difference": d.detectable,
        }


def csv_table(comparison: Comparison, scores: Sequence[ScoreComparison]) -> str:
    """Return `rows` as CSV; missing seeds joined by spaces."""
    file = io.StringIO()
    writer = csv.DictWriter(file, ROW_KEYS, lineterminator="\n")
    writer.writeheader()
    for row in rows(comparison, scores):
        writer.writerow({**row, "missing_seeds": " ".join(map(str, row["missing_seeds"]))})
    return file.getvalue()


def json_table(comparison: Comparison, scores: Sequence[ScoreComparison]) -> str:
    """Return everything as strict JSON: sentences, problems, states of runs, rows, values by seed."""
    runs, found = comparison.runs, summary(comparison)
    value: Mapping[str, Any] = {
        "name": runs.name,
        "baseline": runs.baseline,
        "simulated": runs.is_simulated,
        "summary": headline(comparison),
        "problems": list(comparison.problems),
        "differences": runs.differences,
        "runs": [
            {"arm": r.arm, "seed": r.seed, "state": r.state, "folder": str(r.folder)}
            for r in runs.runs
        ],
        "scores": rows(comparison, scores),
        "trained_on": {s.name: sorted(s.taught) for s in scores if s.taught},
        "values": {s.name: {a.arm: dict(a.by_seed) for a in s.arms} for s in scores},
        "baselines": {
            s.name: {b.name: {"value": b.value, "stderr": b.stderr} for b in s.baselines}
            for s in scores
            if s.baselines
        },
        "family_wise": family_wise(comparison),
        "plan": {
            "delta": runs.plan.delta,
            "max_seeds": runs.plan.max_seeds,
            "sha256": plan_sha256(runs.preregistered) if runs.preregistered else None,
        },
        "expected": [
            {**asdict(y.expected), "outcome": y.outcome, "sentence": y.sentence}
            for y in yardsticks(comparison)
        ],
        "answers": [
            {
                "arm": v.contrast.arm,
                "reference": v.contrast.reference,
                "question": v.question,
                "outcome": v.outcome,
                "sentence": v.sentence,
            }
            for v in (found.answers if found else ())
        ],
        "interquartile_means": [
            {
                "measure": mean.measure,
                "arm": mean.arm,
                "num_sets": mean.num_sets,
                "num_seeds": mean.num_seeds,
                "mean": mean.value.value,
                "low": mean.value.low,
                "high": mean.value.high,
            }
            for mean in comparison.middle_means
        ],
        "over_sets": [
            {
                "measure": row.measure,
                "arm": row.contrast.arm,
                "reference": row.contrast.reference,
                "wins": row.test.wins,
                "ties": row.test.ties,
                "losses": row.test.losses,
                "p_sign": row.test.p_sign,
                "p_wilcoxon": row.test.p_wilcoxon,
                "q_sign": row.q_sign,
                "q_wilcoxon": row.q_wilcoxon,
            }
            for row in comparison.over_sets
        ],
    }
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
