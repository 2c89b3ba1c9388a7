"""Render a comparison as a self-contained HTML file, for `perceptinit report`."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from perceptinit._version import __version__
from perceptinit.errors import UsageError
from perceptinit.files.atomic import atomic_path
from perceptinit.reports import account, columns, page
from perceptinit.reports.comparison import Comparison
from perceptinit.reports.figures import require_matplotlib
from perceptinit.reports.numbers import signed
from perceptinit.reports.planning.text import plan_text
from perceptinit.reports.searches import tuning_section
from perceptinit.reports.sections import plugin_sections
from perceptinit.reports.stages import stage_one_figures
from perceptinit.reports.status import describe_run
from perceptinit.reports.tables import sets_lines
from perceptinit.reports.verdicts.headline import NOTHING, family_wise, summary
from perceptinit.reports.verdicts.yardsticks import yardsticks

GENERATOR = b'<meta name="generator" content="perceptinit'
HEAD_BYTES = 4096  # number of leading bytes of a page that contain the generator tag


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
    require_matplotlib()
    if out.exists() and not _is_page(out):
        raise UsageError(
            f"{out}: not a report of perceptinit, so it is not overwritten. Choose another file with --out"
        )
    html = render(comparison, with_examples=with_examples)
    with atomic_path(out) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return GENERATOR in file.read(HEAD_BYTES)


def render(comparison: Comparison, *, with_examples: bool = True) -> str:
    """Return the HTML of the page. See `write_report`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("perceptinit.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["paragraphs"] = page.split_paragraphs
    style = resources.files("perceptinit.reports").joinpath("templates/report.css")
    runs = comparison.runs
    sections, notes = plugin_sections(comparison) if with_examples else ([], [])
    html = environment.get_template("report.html").render(
        version=__version__,
        css=style.read_text("utf-8"),
        comparison=comparison,
        runs=runs,
        arms=list(runs.arms),
        account=account,
        columns=columns,
        page=page,
        score=comparison.primary,
        summary=summary(comparison),
        nothing=NOTHING,
        signed=signed,
        yardsticks=yardsticks(comparison),
        plan=plan_text(runs.preregistered) if runs.preregistered else "",
        sets_lines=list(sets_lines(comparison)),
        family_wise=family_wise(comparison),
        curves=page.curve_figures(comparison),
        stage_one=stage_one_figures(runs),
        tuning=tuning_section(comparison),
        breakdowns=list(page.find_breakdowns(comparison)),
        sections=sections,
        notes=notes,
        to_json=json.dumps,
        describe_run=describe_run,
    )
    return html.lstrip()
