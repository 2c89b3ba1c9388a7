"""`perceptinit report`: a comparison as one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from perceptinit._version import __version__
from perceptinit.errors import PerceptInitError, UsageError
from perceptinit.files.atomic import atomic_path
from perceptinit.reports import account, columns, page
from perceptinit.reports.comparison import Comparison
from perceptinit.reports.contrasts import is_by_people
from perceptinit.reports.examples import RunModel, triplet_examples
from perceptinit.reports.figures import Figure, require_matplotlib
from perceptinit.reports.image_examples import found_images, named_images
from perceptinit.reports.numbers import signed
from perceptinit.reports.planning.text import plan_text
from perceptinit.reports.searches import tuning_section
from perceptinit.reports.stages import stage_one_figures, weight_figures
from perceptinit.reports.status import describe_run
from perceptinit.reports.tables import sets_lines
from perceptinit.reports.verdicts.headline import NOTHING, family_wise, headline_arms, summary
from perceptinit.reports.verdicts.yardsticks import yardsticks
from perceptinit.results.loading import read_recorded_recipe

GENERATOR = b'<meta name="generator" content="perceptinit'
HEAD_BYTES = 4096  # of a page, with its generator


def write_report(comparison: Comparison, out: Path, *, with_examples: bool = True) -> None:
    """Write the page of a comparison to `out` in one operation.

    with_examples: load models and data to show judgments, images and weights. The page lists examples that
    cannot be loaded, with the reason.

    Raises UsageError where `out` is not a page of perceptinit, MissingPackageError without the extra
    `report`.
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
    """Return the page's HTML; see `write_report`."""
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
        examples=_find_examples(comparison) if with_examples else _Examples(),
        to_json=json.dumps,
        describe_run=describe_run,
    )
    return html.lstrip()


@dataclass(slots=True)
class _Examples:
    """Examples from models and data; missing ones are None or empty, with the reasons in `notes`."""

    arm: str = ""
    seed: int = 0
    triplets: Any = None
    named: Any = None
    found: Any = None
    weights: Sequence[Figure] = ()
    notes: list[str] = field(default_factory=list)

    def attempt(self, what_for: str, make: Callable[[], Any]) -> Any:
        """Return the result of `make`; None, with a note, when weights or data are missing."""
        try:
            return make()
        except (PerceptInitError, OSError) as error:
            self.notes.append(f"Left out: {what_for}. {error}")
            return None


def _find_examples(comparison: Comparison) -> _Examples:
    """Return examples of the first arm of the headline and of the baseline, for the first seed of both."""
    shown = _Examples()
    runs = comparison.runs
    cells = {(run.arm, run.seed): run for run in runs.finished}
    wanted = dict.fromkeys([*headline_arms(comparison)[:1], runs.baseline])
    arms = [arm for arm in wanted if any(a == arm for a, _ in cells)]
    seeds = sorted(seed for arm, seed in cells if arm in arms[:1] and all((a, seed) in cells for a in arms))
    if not seeds:
        return shown
    shown.arm, shown.seed = arms[0], seeds[0]
    chosen = [cells[arm, shown.seed] for arm in arms]
    models = shown.attempt(
        "examples", lambda: [RunModel(run, read_recorded_recipe(run.record)) for run in chosen]
    )
    if models:
        if is_by_people(runs, shown.arm):
            shown.triplets = shown.attempt("example judgments", lambda: triplet_examples(models[0]))
        shown.named = shown.attempt("zero-shot examples", lambda: named_images(models))
        shown.found = shown.attempt("retrieval examples", lambda: found_images(models[0]))
    shown.weights = shown.attempt("weights", lambda: weight_figures(runs)) or ()
    return shown
