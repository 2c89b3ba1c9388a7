"""Render a comparison as a self-contained HTML file, for `perceptinit report`."""

from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

from perceptinit._version import __version__
from perceptinit.analysis.comparison import Difference, ScoreComparison
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP
from perceptinit.analysis.questions import Case
from perceptinit.errors import DataError, UsageError
from perceptinit.files.atomic import write_file
from perceptinit.reports.account import (
    compared_sentence,
    give_account,
    people_in_words,
    shared_rows,
)
from perceptinit.reports.columns import STATISTICS, ScoreTable, list_statistics
from perceptinit.reports.figures import require_matplotlib
from perceptinit.reports.forest import draw_sets, model_figures
from perceptinit.reports.page import (
    curve_figures,
    difference_figures,
    find_breakdowns,
    find_examples,
    find_leads,
    find_scale,
    list_cards,
    rule_in_words,
    split_paragraphs,
)
from perceptinit.reports.plots import draw_answers, lead_figure
from perceptinit.reports.sections import plugin_sections
from perceptinit.reports.stages import stage_one_figures, stage_reports
from perceptinit.reports.status import describe_run
from perceptinit.reports.tables import find_pairing, sets_lines
from perceptinit.reports.tuning import tuning_section
from perceptinit.results.table_reading import write_seeds
from perceptinit.verdict.headline import NOTHING, Judged
from perceptinit.verdict.plan_text import plan_text
from perceptinit.verdict.verdict import find_units
from perceptinit.verdict.when import when_lines

# start and a part of every figure that this module writes, by suffix, and of every page
FIGURES = {".pdf": (b"%PDF", b"/Creator (perceptinit"), ".svg": (b"<?xml", b"<dc:title>perceptinit")}
PAGE = (b"<!doctype html>", b'<meta name="generator" content="perceptinit')


def write_report(judged: Judged, out: Path, *, with_examples: bool = True) -> None:
    """Write the page of a comparison to `out` atomically.

    Args:
        judged: Comparison to show.
        out: HTML file.
        with_examples: Whether to include examples of judgments, and sections of plug-ins, which load models
            and data. The page states why a section is missing.

    Raises:
        UsageError: If `out` exists and is not a report of perceptinit.
        MissingPackageError: If the extra `report` is not installed.
    """
    _check_out(out, *PAGE)
    html = render(judged, with_examples=with_examples)
    write_file(out, html.encode())


def write_figure(judged: Judged, out: Path) -> None:
    """Write a figure for a paper: the headline's differences in the primary score, or the scores of models.

    Args:
        judged: Comparison to show.
        out: File to write, `.pdf` or `.svg`.

    Raises:
        UsageError: If `out` exists and is not a figure of perceptinit.
        DataError: If no difference has been measured.
        MissingPackageError: If the extra `report` is not installed.
    """
    require_matplotlib()
    _check_out(out, *FIGURES[out.suffix])
    if judged.comparison.runs.source.one_run_decides:
        write_file(out, draw_sets(judged.comparison, out.suffix[1:]))
        return
    score, found = _main_differences(judged)
    shown = {answer.contrast for answer in judged.answers if answer.is_firm}
    write_file(out, draw_answers(score, found, shown, judged.comparison.runs.arms, out.suffix[1:]))


def write_methods(judged: Judged) -> str:
    """Return a description of the experiment and its analysis for the methods section of a paper.

    It contains only what the records and the plan contain.

    Raises:
        DataError: If no score can be compared.
        MissingPackageError: If the extra `report` is not installed.
    """
    require_matplotlib()
    score, found = _main_differences(judged)
    comparison = judged.comparison
    text = render_template(
        "methods.md",
        judged=judged,
        runs=comparison.runs,
        score=score,
        account=give_account(comparison.runs),
        people=people_in_words(comparison),
        rule=rule_in_words(score),
        rows={label: value for label, value, _ in shared_rows(comparison)},
        pairing=find_pairing(comparison),
        differences=found,
        units=dict.fromkeys(chain(*(find_units(difference, score) for difference in found))),
        min_sign_flip=MIN_SEEDS_SIGN_FLIP,
    )
    return " ".join(text.split())


def _main_differences(judged: Judged) -> tuple[ScoreComparison, list[Difference]]:
    """Return the primary score and the differences of the headline; DataError if there are none."""
    score = judged.comparison.primary
    if score is None:
        raise DataError(NOTHING)
    differences = score.find_differences(
        answer.contrast for answer in judged.answers if answer.case is not Case.BARRED
    )
    if not differences:
        raise DataError("no two compared arms have a seed in common in the primary score")
    return score, differences


def _check_out(out: Path, start: bytes, mark: bytes) -> None:
    """Raise UsageError if the file exists and this module did not write it."""
    data = out.read_bytes() if out.is_file() else b""
    if out.exists() and not (data.startswith(start) and mark in data):
        raise UsageError(f"{out}: not a report of perceptinit, so it is not overwritten. Choose another file")


def render(judged: Judged, *, with_examples: bool = True) -> str:
    """Return the HTML of the page. See `write_report`."""
    require_matplotlib()
    comparison = judged.comparison
    runs = comparison.runs
    sections, notes = plugin_sections(comparison) if with_examples else ([], [])
    cards = list(list_cards(judged))
    leads = find_leads(comparison)
    tuning = tuning_section(comparison)
    html = render_template(
        "report.html",
        judged=judged,
        nothing=NOTHING,
        cards=cards,
        scale=find_scale(cards),
        plan=plan_text(runs.plan) if runs.plan else "",
        compared=compared_sentence(runs),
        shared=shared_rows(comparison),
        account=give_account(runs),
        rule=rule_in_words(comparison.primary) if comparison.primary else "",
        pairing=find_pairing(comparison),
        table=ScoreTable.of(comparison),
        headings=STATISTICS,
        statistics=list(list_statistics(comparison)),
        sets=list(sets_lines(comparison)),
        differences=[*model_figures(comparison), *difference_figures(comparison)],
        tuning=tuning,
        tuned_table=ScoreTable.of(tuning.best.comparison) if tuning and tuning.best else None,
        curves=curve_figures(comparison),
        when=when_lines(leads) if leads else [],
        leads=lead_figure(comparison, leads) if leads else None,
        stage_one=list(stage_one_figures(runs)),
        stage_reports=stage_reports(runs),
        breakdowns=list(find_breakdowns(comparison)),
        examples=find_examples(comparison) if with_examples else {},
        sections=sections,
        notes=notes,
        states=[(run, describe_run(run)) for run in runs.runs],
    )
    return html.lstrip()


def render_template(template: str, **values: Any) -> str:
    """Return a template of the package with values, which are escaped in HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("perceptinit.reports"),
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"paragraphs": split_paragraphs, "seeds": write_seeds, "thousands": "{:,}".format}
    style = resources.files("perceptinit.reports").joinpath("templates/report.css")
    css = style.read_text("utf-8")
    return environment.get_template(template).render(version=__version__, css=css, **values)
