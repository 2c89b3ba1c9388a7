"""Format a comparison as Markdown, LaTeX, CSV or JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.configs import pick
from perceptinit.files.markup import join_lines, to_latex, to_markdown
from perceptinit.reports.columns import (
    BESIDE,
    COLUMNS,
    baselines_in_words,
    cells,
    csv_text,
    difference_cell,
    each_arm,
    find_references,
    flat_rows,
    headings,
    mean_cell,
    title,
    trained_on,
)
from perceptinit.reports.stages import held_out_accuracy
from perceptinit.reports.tables import describe_rest, reading_aids, sets_lines
from perceptinit.results.preregistration import plan_sha256
from perceptinit.results.run_tables import COLUMNS as COLUMNS_OF_RUNS, list_rows
from perceptinit.results.runs import RunSet
from perceptinit.verdict.headline import Judged
from perceptinit.verdict.when import When, when_lines, when_rows

# paths of attributes in JSON; the last component of a path is the key
CONTRAST = ("contrast.arm", "contrast.reference")
OVER_SETS = ("measure", *CONTRAST, "wins", "ties", "losses")
ANSWER = ("outcome", "case", "sentence")


def markdown_table(judged: Judged, scores: Sequence[ScoreComparison]) -> str:
    """Return all sentences, the table in GitHub Markdown, and problems and notes as a list."""
    comparison = judged.comparison
    notes = [*sets_lines(comparison), *comparison.problems]
    notes += [f"{score.name}: {trained_on(score)}" for score in scores if score.taught]
    beside = {score.name: baselines_in_words(score) for score in scores}
    notes += [f"{BESIDE} in {name}: {line}" for name, line in beside.items() if line]
    notes += reading_aids(comparison)
    verdict = [f"* {to_markdown(sentence)}" for sentence in judged.sentences]
    return "\n".join([*verdict, "", _markdown_scores(comparison, scores, notes)])


def markdown_answer(judged: Judged, scores: Sequence[ScoreComparison], more: str) -> str:
    """Return the answer, the table of the given scores in GitHub Markdown, and what else there is.

    Args:
        judged: Comparison to show.
        scores: Scores to show, such as the primary one.
        more: How to see the rest.
    """
    notes = [*(title(judged.comparison, score) for score in scores), describe_rest(judged, scores, more)]
    return "\n\n".join([*judged.answer, _markdown_scores(judged.comparison, scores, notes)])


def _markdown_scores(comparison: Comparison, scores: Sequence[ScoreComparison], notes: Sequence[str]) -> str:
    """Return the table of scores in GitHub Markdown, with notes as a list."""
    titles = headings(comparison)
    rows = [[score.name, arm.arm, *cells(comparison, score, arm)] for score, arm in each_arm(scores)]
    lines = list(map(_markdown_row, (["score", "arm", *titles], *rows)))
    lines.insert(1, f"|---|---|{'---:|' * len(titles)}")
    return "\n".join([*lines, "", *(f"* {to_markdown(note)}" for note in notes)]) + "\n"


def _markdown_row(row: Sequence[str]) -> str:
    return f"| {' | '.join(map(to_markdown, row))} |"


def latex_table(judged: Judged, scores: Sequence[ScoreComparison]) -> str:
    """Return a `booktabs` table with a column per arm, a row of means per score, and rows of differences."""
    comparison = judged.comparison
    arms = comparison.runs.arms
    notes = [*judged.sentences, *comparison.problems]
    notes += [f"{s.name}: {trained_on(s)}" for s in scores if s.taught]
    rows = []
    for score in scores:
        means = [_latex(mean_cell(score, arm)) for arm in score.arms]
        rows.append([to_latex(score.name), *means])
        for reference in find_references(comparison):
            gaps = [_latex(difference_cell(score, arm, reference)) for arm in score.arms]
            if any(gaps):
                rows.append([rf"\quad vs {to_latex(reference)}", *gaps])
    lines = [
        *(f"% {join_lines(note)}" for note in [*notes, *reading_aids(comparison)]),
        rf"\begin{{tabular}}{{l{'r' * len(arms)}}}",
        r"\toprule",
        rf"{' & '.join(map(to_latex, ['score', *arms]))} \\",
        r"\midrule",
        *(rf"{' & '.join(row)} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(cell: str) -> str:
    if "%" in cell:  # a share of the human ceiling, in words
        return to_latex(cell)
    return f"${cell.replace('±', chr(92) + 'pm')}$" if cell[:1] in "+-0123456789" and cell else cell


def csv_table(judged: Judged, scores: Sequence[ScoreComparison]) -> str:
    """Return CSV with a row per score, arm and contrast; missing seeds are separated by spaces."""
    return csv_text(COLUMNS, flat_rows(scores))


def runs_table(runs: RunSet) -> str:
    """Return CSV with a row per run, score and evaluation, which `compare` reads as a table."""
    return csv_text(COLUMNS_OF_RUNS, list_rows(runs))


def json_table(
    judged: Judged, scores: Sequence[ScoreComparison], more: Mapping[str, Any] | None = None
) -> str:
    """Return strict JSON with sentences, problems, run states, rows and values by seed, and `more`."""
    comparison = judged.comparison
    runs = comparison.runs
    plan = runs.plan
    value = {
        **pick(runs, "name", "baseline"),
        "simulated": runs.is_simulated,
        "summary": judged.sentences,
        "problems": list(comparison.problems),
        "differences": runs.differences,
        "runs": [{**pick(r, "arm", "seed", "state"), "folder": str(r.folder)} for r in runs.runs],
        "scores": list(flat_rows(scores)),
        "trained_on": {s.name: sorted(s.taught) for s in scores if s.taught},
        "values": {s.name: {a.arm: dict(a.by_seed) for a in s.arms} for s in scores},
        "baselines": {
            s.name: {b.name: pick(b, "value", "stderr") for b in s.baselines} for s in scores if s.baselines
        },
        "held_out_2afc": held_out_accuracy(runs),
        "family_wise": judged.family_wise,
        "plan": {**pick(runs.rule, "delta", "max_seeds"), "sha256": plan_sha256(plan) if plan else None},
        "expected": [{**asdict(y.expected), **pick(y, *ANSWER)} for y in judged.published],
        "answers": [
            {
                **pick(answer, *CONTRAST),
                "question": str(answer.question),
                **pick(answer, *ANSWER),
                "conditions": [asdict(each) for each in answer.checked],
            }
            for answer in judged.answers
        ],
        "over_sets": [pick(row, *OVER_SETS) for row in comparison.over_sets],
        **(more or {}),
    }
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Judged, Sequence[ScoreComparison]], str]] = {
    "markdown": markdown_table,
    "latex": latex_table,
    "csv": csv_table,
    "json": json_table,
}


def when_text(found: Sequence[When], form: str) -> str:
    """Return when leads emerge, as "table" (a sentence per line), "markdown", "csv" or "json"."""
    rows = list(when_rows(found))
    if form == "json":
        return json.dumps(rows, indent=2, allow_nan=False) + "\n"
    if form == "csv":
        return csv_text(list(rows[0]), rows)
    if form == "markdown":
        return "".join(f"* {to_markdown(line)}\n" for line in when_lines(found))
    return "".join(f"{line}\n" for line in when_lines(found))
