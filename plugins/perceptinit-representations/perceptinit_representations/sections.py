"""Sections of the report: choices on human judgments, predictions on test images, and weights."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from perceptinit.companion import Figure, add_legend, arm_style, drawing, finish
from perceptinit.plugin import PerceptInitError, Section, ShownRun
from perceptinit_representations.examples import found_images, named_images, triplet_examples

_BLOCK = re.compile(r"^(.*?(?:blocks|resblocks|layers|layer|stages)\.?\d+)(?:\.|$)")

Weights = Mapping[str, torch.Tensor]
Change = dict[str, float]


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


def weight_figures(runs: Sequence[ShownRun]) -> Iterator[Figure]:
    """Yield figures of the relative weight change per block in stage 1 and in pretraining.

    Each arm is a line. Changes in stage 1 are relative to the weights of an arm without initializers. Recipes
    without pretraining have no second figure.
    """
    runs = sorted(runs, key=lambda run: run.place)
    first = [_image_tower(run.load("init")) for run in runs]
    is_started = [bool(run.record["arm"]["resolved"]["init"]) for run in runs]
    if any(is_started) and not all(is_started):
        fresh = first[is_started.index(False)]
        changes = [
            (run, relative_change(fresh, own))
            for run, own, started in zip(runs, first, is_started, strict=True)
            if started
        ]
        yield _figure("Change in stage 1", "change / size of random weights", changes)
    if runs[0].recipe.pretrain:
        changes = [
            (run, relative_change(own, _image_tower(run.load("final"))))
            for run, own in zip(runs, first, strict=True)
        ]
        yield _figure("Change in pretraining", "change / size after stage 1", changes)


def _image_tower(model: Any) -> Weights:
    return {k: v.float() for k, v in model.image.state_dict().items() if v.is_floating_point()}


def group_by_block(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the weight names of a tower by block, in order: `stem`, `block 0`, ..., `head`."""
    groups: dict[str, list[str]] = {}
    names = list(names)
    other = "stem" if any(map(_BLOCK.match, names)) else "head"
    for name in names:
        match = _BLOCK.match(name)
        if match:
            other = "head"
            block = "block " + re.sub(r"\D+", ".", match[1].lstrip(".")).strip(".")
        groups.setdefault(block if match else other, []).append(name)
    return groups


def relative_change(before: Weights, after: Weights) -> Change:
    """Return |after - before| / |before| (Frobenius norm) per block; 0 for blocks of zeros."""
    changes = {}
    for block, names in group_by_block(before).items():
        moved = sum(float((after[n] - before[n]).square().sum()) for n in names)
        size = sum(float(before[n].square().sum()) for n in names)
        changes[block] = (moved / size) ** 0.5 if size else 0.0
    return changes


def _figure(title: str, label: str, changes: Sequence[tuple[ShownRun, Change]]) -> Figure:
    title = f"{title}, block by block"
    note = f"Seed {changes[0][0].seed}. Frobenius norms over all parameters of a block."
    blocks = list(changes[0][1])
    with drawing(height=3.4) as ax:
        for run, change in changes:
            ax.plot(range(len(blocks)), list(change.values()), label=run.arm, **arm_style(run.place))
        add_legend(ax)
        ax.set_xticks(range(len(blocks)), blocks, rotation=45, ha="right")
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
        values = {run.arm: ", ".join(f"{b} {v:.2f}" for b, v in of.items()) for run, of in changes}
        alt = "; ".join(f"{arm}: {text}" for arm, text in values.items())
        return finish(ax, title, f"{title}. {alt}.", note)
