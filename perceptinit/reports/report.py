"""`perceptinit report`: a comparison as one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from perceptinit._version import __version__
from perceptinit.errors import PerceptInitError
from perceptinit.files.atomic import atomic_path
from perceptinit.reports import account, page, stage_one
from perceptinit.reports.agreement import agreement_figure, agreement_table, breakdowns
from perceptinit.reports.cards import summary_values
from perceptinit.reports.comparison import Comparison
from perceptinit.reports.contrasts import by_people
from perceptinit.reports.examples import found_images, named_images, triplet_examples
from perceptinit.reports.figures import Figure, require_matplotlib
from perceptinit.reports.models import RunModel
from perceptinit.reports.planning.text import plan_text
from perceptinit.reports.plots import block_figure, loss_figure, stage_one_figure
from perceptinit.reports.searches import tuning_section
from perceptinit.reports.space import learned_space
from perceptinit.reports.status import what
from perceptinit.reports.tables import headings, sets_lines
from perceptinit.reports.verdicts.family import family_wise
from perceptinit.reports.verdicts.yardsticks import yardsticks
from perceptinit.reports.weights import weight_change


def write_report(comparison: Comparison, out: Path, *, with_examples: bool = True) -> None:
    """Write the page of a comparison to `out`, whole or not at all.

    with_examples: load models and data to show judgments, images and weights; what cannot be loaded
    here is left out, and the page says why.

    Raises MissingPackageError without the packages of the extra `report`.
    """
    require_matplotlib()
    html = render(comparison, with_examples=with_examples)
    with atomic_path(out) as temporary:
        temporary.write_text(html, encoding="utf-8")


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
    style = (
        resources.files("perceptinit.reports").joinpath("templates/report.css").read_text("utf-8")
    )
    shown = _examples(comparison) if with_examples else _Examples()
    values = _values(comparison) | shown.values()
    return environment.get_template("report.html").render(css=style, **values).lstrip()


def _values(comparison: Comparison) -> dict[str, Any]:
    """Return what the records and event files alone tell."""
    runs = comparison.runs
    records = runs.records
    return {
        "version": __version__,
        "name": runs.name,
        "summary": runs.summary,
        "simulated": runs.is_simulated,
        "samples": runs.samples,
        "smoke": any(record["recipe"]["smoke"] for record in records),
        "num_finished": len(runs.finished),
        "num_runs": len(runs.runs),
        "date": max((r.get("finished") or r["started"] for r in records), default="")[:10],
        "yardsticks": yardsticks(comparison),
        **summary_values(comparison),
        "problems": comparison.problems,
        "plan": plan_text(runs.preregistered) if runs.preregistered else "",
        "compared": account.compared_sentence(runs),
        "arms": list(runs.arms),
        "arm_rows": account.arm_rows(runs),
        "any_posthoc": any(runs.resolved(arm).get("posthoc") for arm in runs.arms),
        "shared": account.shared_rows(comparison),
        "fairness": account.fairness(comparison),
        "headings": headings(comparison),
        "scores": page.score_rows(comparison),
        "sets_lines": list(sets_lines(comparison)),
        "family_wise": family_wise(comparison),
        "statistics": page.statistics_rows(comparison),
        "differences": page.difference_figures(comparison),
        "curves": page.curve_figures(comparison),
        "primary": comparison.primary.name if comparison.primary else "",
        "crossings": page.crossing_rows(comparison),
        "crossings_left_out": page.crossings_left_out(comparison),
        "power_laws": page.power_law_rows(comparison),
        "stage_one": _stage_one(comparison),
        "tuning": tuning_section(comparison),
        "agreement": [
            {
                "title": found.title,
                "figure": agreement_figure(found, runs.arms),
                **agreement_table(found),
            }
            for found in breakdowns(comparison)
        ],
        **account.cost(runs),
        "experiments": account.experiments(runs),
        "resolved": [
            (arm, json.dumps(runs.resolved(arm), indent=1))
            for arm in runs.arms
            if runs.resolved(arm)
        ],
        "environment": account.environment_rows(runs),
        "run_rows": [
            {
                "title": run.title,
                "state": run.state,
                "what": what(run),
                "weights": account.short_hash(run.record, "final", "model"),
                "batches": account.short_hash(run.record, "pretrain_data"),
            }
            for run in runs.runs
        ],
        "warnings": [
            f"{r['arm']['name']}, seed {r['seed']} ({w['stage']}): {w['message']}"
            for r in records
            for w in r["warnings"]
        ],
    }


def _stage_one(comparison: Comparison) -> list[Figure]:
    runs = comparison.runs
    figures = [
        stage_one_figure(stage_one.accuracy_curves(runs), runs.arms, stage_one.ceiling(runs)),
        loss_figure(stage_one.loss_curves(runs), runs.arms),
    ]
    return [figure for figure in figures if figure]


@dataclass(slots=True)
class _Examples:
    """What needs models and data: None or empty where it is left out, with the reasons in `notes`."""

    arm: str = ""
    seed: int = 0
    triplets: Any = None
    space: Any = None
    named: Any = None
    found: Any = None
    weights: Sequence[Figure] = ()
    notes: list[str] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        return {
            "example_arm": self.arm,
            "example_seed": self.seed,
            "triplets": self.triplets,
            "space": self.space,
            "named": self.named,
            "found": self.found,
            "weights": self.weights,
            "example_notes": self.notes,
        }

    def attempt(self, what_for: str, make: Callable[[], Any]) -> Any:
        """Return what `make` gives; None, with a note, when weights or data are not to be had here."""
        try:
            return make()
        except (PerceptInitError, OSError) as error:
            self.notes.append(f"Left out: {what_for}. {error}")
            return None


def _examples(comparison: Comparison) -> _Examples:
    shown = _Examples()
    runs = comparison.runs
    cells = {(run.arm, run.seed): run for run in runs.finished}
    arms = [arm for arm in page.arms_for_examples(comparison) if any(a == arm for a, _ in cells)]
    seeds = [
        seed
        for _, seed in sorted(cells, key=lambda c: c[1])
        if all((a, seed) in cells for a in arms)
    ]
    if not arms or not seeds:
        return shown
    shown.arm, shown.seed = arms[0], seeds[0]
    models = shown.attempt(
        "examples", lambda: [RunModel.of(cells[arm, shown.seed]) for arm in dict.fromkeys(arms)]
    )
    if models:
        if by_people(runs, shown.arm):
            shown.triplets = shown.attempt("example judgments", lambda: triplet_examples(models[0]))
            shown.space = shown.attempt("the learned space", lambda: learned_space(models[0]))
        shown.named = shown.attempt("zero-shot examples", lambda: named_images(models))
        shown.found = shown.attempt("retrieval examples", lambda: found_images(models[0]))
    shown.weights = shown.attempt("weights", lambda: _weights(comparison)) or ()
    return shown


def _weights(comparison: Comparison) -> list[Figure]:
    runs = comparison.runs
    change = weight_change(runs)
    if change is None:
        return []
    note = f"Seed {change.seed}; Frobenius norms, all parameters of a block together."
    figures = [
        block_figure(
            "What stage 1 changed, block by block",
            "change / size of weights as drawn",
            change.blocks,
            change.stage_one,
            runs.arms,
            note,
        ),
        block_figure(
            "What pretraining changed, block by block",
            "change / size after stage 1",
            change.blocks,
            change.pretraining,
            runs.arms,
            note,
        ),
        *(
            block_figure(
                f"Spectra {moment} pretraining: effective rank",
                "share of full rank",
                change.blocks,
                ranks,
                runs.arms,
                f"Seed {change.seed}; exp(entropy of the singular values), mean over a block's matrices "
                "(Roy and Vetterli 2007).",
                from_zero=False,
            )
            for moment, ranks in (("before", change.first_rank), ("after", change.last_rank))
        ),
    ]
    return [figure for figure in figures if figure]
