"""Sections of the report: choices on human judgments, predictions on test images, and weights."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from perceptinit.plugin import PerceptInitError, Section, ShownRun
from perceptinit_representations.images import found_images, named_images
from perceptinit_representations.judged import triplet_examples
from perceptinit_representations.weights import weight_figures


def make_sections(runs: Sequence[ShownRun]) -> Iterator[Section]:
    """Yield the report sections for an arm, the baseline and other arms.

    If weights or data are missing, an error message is shown in place of the examples.
    """
    arm = runs[0]
    judged = _attempt("example judgments", lambda: _judged(arm))
    if judged:
        yield Section("Choices on human judgments", judged)
    parts = [
        _attempt("zero-shot examples", lambda: _show("named", arm, named_images(runs[:2]))),
        _attempt("retrieval examples", lambda: _show("found", arm, found_images(arm))),
    ]
    if any(parts):
        yield Section("Examples at the end of the runs", "\n".join(parts))
    weights = _attempt("weights", lambda: _show("weights", arm, list(weight_figures(runs)) or None))
    if weights:
        yield Section("Weights", weights)


def _attempt(title: str, make: Callable[[], str]) -> str:
    try:
        return make()
    except (PerceptInitError, OSError) as error:
        return f'<p class="note">Left out: {title}. {escape(str(error))}</p>'


def _judged(run: ShownRun) -> str:
    judgments = run.judgments()
    if judgments is None or not judgments.card.by_people:
        return ""
    return _show("judged", run, triplet_examples(run, judgments))


def _show(template: str, run: ShownRun, found: Any) -> str:
    """Render a template as HTML; an empty string without examples."""
    if found is None:
        return ""
    environment = Environment(
        loader=PackageLoader("perceptinit_representations"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{template}.html").render(run=run, found=found)
