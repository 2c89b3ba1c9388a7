"""The page docs/results/drawings.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/known_effects.py keep runs/drawings     -> docs/results/drawings/ARM/seedN/
    python benchmarks/studies/drawings.py                             -> docs/results/drawings.md

recipes/show_drawings.py draws the image of the page from the model of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import from_records as records
import numpy as np
from beyond_labels import about
from from_records import Answer, Runs

KEPT = Path(__file__).parents[2] / "docs" / "results"
NAME = "drawings"
AGAIN = {  # the same recipe with precision = "auto" on two processors, and what was measured of its time
    "drawings-auto": "two at a time beside other work, and 30 minutes of processor time in sum",
    "drawings-fp32": "two at a time on a quiet machine with two cores; the command took 26 minutes, and 46 minutes of processor time",
}
SCORE = "image_recall_10/titles"
DELTA = 0.02
BASELINE, ARM = ARMS = ("random", "topics")
COLUMNS = {  # of the table, and their scores
    "drawing in the first 10 for its title, %": SCORE,
    "first, %": "image_recall_1/titles",
    "title in the first 10 for its drawing, %": "text_recall_10/titles",
    "zero-shot topic, top-1, %": "top1/topics",
}

TITLE = "Can CLIP find a drawing by its title after minutes of training?"

QUESTION = """Can a small CLIP model, trained from fresh weights on drawings with their titles, find an unseen drawing by its title?
Does it help to learn the topics of the drawings first? The drawings are Debian's package `openclipart-svg` (public domain):
4,575 to train on and 500 held out, whose titles occur once. Topics are the folders that people sorted the drawings
into; stage 1 is one epoch of 20,000 triplets of topics. Then both arms see the training drawings eight times (timm's resnet10t, 48 pixels)."""

LIMITS = """* Topics are labels and not similarity judgments, so this is not a test of PI.
* Drawings of one series, such as flags, have different titles and are in both splits, as in most sets of web images.
* Many titles cannot be guessed from a drawing ("SILVIA"), so recall cannot reach 100 %.
* Chance of zero-shot topics is 1 / 12; the largest topic has more drawings than the others.
* Two trial runs of seed 0 of `random`, scored on the same held-out drawings, chose the size of the images and the number
  of epochs."""

RERUN = """```console
apt-get install openclipart-svg
pip install resvg-py
python recipes/prepare_drawings.py /usr/share/openclipart/svg data/drawings
perceptinit run recipes/drawings.toml --jobs 2
python benchmarks/studies/known_effects.py keep runs/drawings
python benchmarks/studies/drawings.py
```

[show_drawings.py](../../recipes/show_drawings.py) draws the image from a run [exported](../export.md) to open_clip."""


def page(runs: Runs, again: Mapping[str, Runs]) -> str:
    """Return the page from the published runs and, by name, those that chose their precision."""
    parts = [
        f"# {TITLE}",
        records.box(*box(runs)),
        QUESTION,
        f"![Held-out titles with the drawings that random finds, nearest first.](../images/{NAME}.png)",
        "Rows are titles drawn at random, with the nearest of the 500 held-out drawings. A frame marks the drawing of the title.",
        f"**{answer(runs)}**",
        "## Results",
        f"Seeds {', '.join(map(str, records.seeds_of(runs)))}; mean ± standard error over seeds.",
        records.markdown(["arm", *COLUMNS], table(runs)),
        learned(runs),
        "## What this does not say",
        LIMITS,
        "## Rerun",
        RERUN,
        about(runs, NAME),
        *(
            text
            for name, each in again.items()
            for text in (repeated(runs, each, AGAIN[name]), about(each, name))
        ),
    ]
    return "\n\n".join(parts) + "\n"


def box(runs: Runs) -> list[Answer]:
    """Return the rows of the box: fresh weights against chance, then topics against fresh weights."""
    chance = next(row["chance"] for row in next(iter(runs.values())).record["scores"] if row["name"] == SCORE)
    values = np.array(records.values_of(runs, BASELINE, SCORE))
    above = records.mean_of(values - chance) if len(values) > 1 else None
    lead = records.difference(records.paired(runs, ARM, BASELINE), SCORE)
    return [
        Answer(
            TITLE,
            records.word(records.answer(above, DELTA)),
            records.number(above, f"{BASELINE} - chance"),
            "titles that do not name what a drawing shows",
        ),
        Answer(
            "Does stage 1 on topics help it?",
            records.word(records.answer(lead, DELTA)),
            records.number(lead, f"{ARM} - {BASELINE}"),
            "more seeds; judgments of similarity instead of topics",
        ),
    ]


def repeated(runs: Runs, again: Runs, took: str) -> str:
    """Return what came out with `precision = "auto"`, and whether final weights are those of the first runs."""
    equal = sum(
        runs[cell].record["hashes"]["final"] == again[cell].record["hashes"]["final"] for cell in again
    )
    same = f"{equal} of {len(again)} runs have the final weights of the first"
    chosen = next(iter(again.values())).record["environment"]["auto_precision"]
    spent = sum(run.record["wall_seconds"]["total"] for run in again.values()) / 60
    answered = "The answer is the same." if answer(again) == answer(runs) else answer(again)
    return (
        f'With `precision = "auto"`, which chose {chosen} on this processor, {same}. {answered} '
        f"They took {spent:.0f} minutes in sum, {took}."
    )


def table(runs: Runs) -> list[list[str]]:
    """Return a row for each arm and one for chance."""
    rows = [
        [arm, *(records.mean_text(records.values_of(runs, arm, name), 100, 1) for name in COLUMNS.values())]
        for arm in ARMS
    ]
    scores = next(iter(runs.values())).record["scores"]
    chances = {score["name"]: 100 * score["chance"] for score in scores}
    return [*rows, ["chance", *(f"{chances[name]:.1f}" for name in COLUMNS.values())]]


def learned(runs: Runs) -> str:
    """Return a sentence on what stage 1 learned."""
    stages = [run.stage_1 for run in runs.values() if run.arm == ARM]
    before, after = (
        records.mean_text([stage[f"2afc_val_{when}"] for stage in stages], 100, 1)
        for when in ("before", "after")
    )
    return f"Stage 1 raised 2AFC on held-out triplets of topics from {before} to {after} %."


def answer(runs: Runs) -> str:
    """Return the answers to both questions."""
    found = records.difference(records.paired(runs, ARM, BASELINE), SCORE)
    level = records.mean_text(records.values_of(runs, BASELINE, SCORE), 100, 1)
    first = f"With fresh weights, {level} % of the drawings are among the first 10 of 500 for their title; chance is 2 %."
    if found is None:
        return first
    outcome = records.answer(found, DELTA)
    second = f"topics - random is {found.text(100, 1)} points, {found.num_seeds} seeds"
    if outcome == "undecided":
        return f"{first} Whether topics first help is undecided: {second} (half-width {50 * (found.high - found.low):.1f})."
    return f"{first} Topics first are {outcome}: {second}."


def write() -> None:
    """Write the page."""
    again = {name: records.read_runs(KEPT / name) for name in AGAIN}
    (KEPT / f"{NAME}.md").write_text(page(records.read_runs(KEPT / NAME), again), encoding="utf-8")


if __name__ == "__main__":
    write()
