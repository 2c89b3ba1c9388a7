"""Render a comparison as a self-contained HTML file, for `perceptinit report`."""

import json
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

from perceptinit._version import __version__
from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP
from perceptinit.analysis.questions import Outcome
from perceptinit.errors import DataError, UsageError
from perceptinit.files.atomic import atomic_path
from perceptinit.reports import account, columns, page
from perceptinit.reports.figures import require_matplotlib
from perceptinit.reports.plots import draw_answers, lead_figure
from perceptinit.reports.sections import plugin_sections, tuning_section
from perceptinit.reports.stages import stage_one_figures
from perceptinit.reports.status import describe_run
from perceptinit.reports.tables import pairing_in_words, sets_lines
from perceptinit.results.source import Fact
from perceptinit.verdict.headline import NOTHING, family_wise, summary
from perceptinit.verdict.plan_text import plan_text
from perceptinit.verdict.verdict import find_units
from perceptinit.verdict.when import when_lines
from perceptinit.verdict.yardsticks import yardsticks

# start and a part of every figure that this module writes, by suffix, and of every page
FIGURES = {".pdf": (b"%PDF", b"/Creator (perceptinit"), ".svg": (b"<?xml", b"<dc:title>perceptinit")}
PAGE = (b"<!doctype html>", b'<meta name="generator" content="perceptinit')


def write_report(comparison: Comparison, out: Path, *, with_examples: bool = True) -> None:
    """Write the page of a comparison to `out` atomically.

    Args:
        comparison: Comparison to show.
        out: HTML file.
        with_examples: Whether to include sections of plug-ins, which load models and data. The page states
            why a section is missing.

    Raises:
        UsageError: If `out` exists and is not a report of perceptinit.
        MissingPackageError: If the extra `report` is not installed.
    """
    _check_out(out, *PAGE)
    write_page(out, render(comparison, with_examples=with_examples))


def write_page(out: Path, html: str) -> None:
    """Write an HTML page atomically; UsageError if the file exists and is not a page of perceptinit."""
    _check_out(out, *PAGE)
    with atomic_path(out) as temporary:
        temporary.write_text(html, encoding="utf-8")


def write_figure(comparison: Comparison, out: Path) -> None:
    """Write a figure of the headline's differences in the primary score, for a paper.

    Args:
        comparison: Comparison to show.
        out: File to write, `.pdf` or `.svg`.

    Raises:
        UsageError: If `out` has another suffix, or exists and is not a figure of perceptinit.
        DataError: If no difference has been measured.
        MissingPackageError: If the extra `report` is not installed.
    """
    require_matplotlib()
    if out.suffix not in FIGURES:
        raise UsageError(f"{out}: expected a file name that ends with {' or '.join(FIGURES)}")
    _check_out(out, *FIGURES[out.suffix])
    score, found = _main_differences(comparison)
    top = summary(comparison)
    shown = {answer.contrast for answer in top.answers if answer.is_firm} if top else set()
    with atomic_path(out) as temporary:
        draw_answers(score, found, shown, comparison.runs.arms, temporary, out.suffix[1:])


def write_methods(comparison: Comparison) -> str:
    """Return a description of the experiment and its analysis for the methods section of a paper.

    It contains only what the records and the plan contain.

    Raises:
        DataError: If no score can be compared.
        MissingPackageError: If the extra `report` is not installed.
    """
    require_matplotlib()
    score, found = _main_differences(comparison)
    text = _render(
        "methods.md",
        comparison,
        rows={label: value for label, value, _ in account.shared_rows(comparison)},
        pairing=pairing_in_words(comparison),
        differences=found,
        units=dict.fromkeys(chain(*(find_units(difference, score) for difference in found))),
        min_sign_flip=MIN_SEEDS_SIGN_FLIP,
    )
    return " ".join(text.split())


def _main_differences(comparison: Comparison) -> tuple[ScoreComparison, list[Difference]]:
    """Return the primary score and the differences of the headline; DataError if there are none."""
    score = comparison.primary
    found = summary(comparison)
    if score is None or found is None:
        raise DataError(NOTHING)
    differences = score.find_differences(
        answer.contrast for answer in found.answers if answer.outcome != Outcome.BARRED
    )
    if not differences:
        raise DataError("no two compared arms have a seed in common in the primary score")
    return score, differences


def _check_out(out: Path, start: bytes, mark: bytes) -> None:
    """Raise UsageError if the file exists and this module did not write it."""
    data = out.read_bytes() if out.is_file() else b""
    if out.exists() and not (data.startswith(start) and mark in data):
        raise UsageError(f"{out}: not a report of perceptinit, so it is not overwritten. Choose another file")


def render(comparison: Comparison, *, with_examples: bool = True) -> str:
    """Return the HTML of the page. See `write_report`."""
    require_matplotlib()
    runs = comparison.runs
    sections, notes = plugin_sections(comparison) if with_examples else ([], [])
    html = _render(
        "report.html",
        comparison,
        arms=list(runs.arms),
        columns=columns,
        nothing=NOTHING,
        leads=page.find_leads(comparison),
        lead_figure=lead_figure,
        when_lines=when_lines,
        yardsticks=yardsticks(comparison),
        plan=plan_text(runs.plan) if runs.plan else "",
        sets_lines=list(sets_lines(comparison)),
        pairing_in_words=pairing_in_words,
        family_wise=family_wise(comparison),
        stage_one=stage_one_figures(runs),
        tuning=tuning_section(comparison),
        sections=sections,
        notes=notes,
        to_json=json.dumps,
        describe_run=describe_run,
    )
    return html.lstrip()


def _render(template: str, comparison: Comparison, **more: Any) -> str:
    """Return a template with the comparison and `more`; values are escaped in HTML."""
    return render_template(
        template,
        comparison=comparison,
        runs=comparison.runs,
        score=comparison.primary,
        summary=summary(comparison),
        account=account,
        page=page,
        shows_settings=Fact.SETTINGS in comparison.runs.source.shows,
        **more,
    )


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
    environment.filters |= {"paragraphs": page.split_paragraphs, "thousands": "{:,}".format}
    style = resources.files("perceptinit.reports").joinpath("templates/report.css")
    css = style.read_text("utf-8")
    return environment.get_template(template).render(version=__version__, css=css, **values)
