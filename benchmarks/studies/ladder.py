"""The page docs/results/ladder.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/known_effects.py keep runs/ladder     -> docs/results/ladder/ARM/seedN/
    python benchmarks/studies/ladder.py                             -> docs/results/ladder.md and its image

Recipe and plan are in recipes/known_effects/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import from_records as records
import numpy as np
from beyond_labels import about
from from_records import Answer, Difference, Run, Runs

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "results"
NAME = "ladder"
SCORE = "accuracy/few-labels"
AS_TRAINED = "accuracy/few-labels-as-trained"
DELTA = 0.01
BASELINE = "imagenet"
ARMS = (
    "random",
    "people",
    "imagenet",
    "imagenet-people",
    "imagenet-shuffled",
    "imagenet-pixels",
)
# contrasts beside those with the baseline
BESIDES = (
    ("people", "random"),
    ("imagenet-people", "imagenet-shuffled"),
    ("imagenet-people", "imagenet-pixels"),
)
HEAD = [
    "arm",
    "accuracy, %",
    "- imagenet, points [95 %]",
    "accuracy with the model's statistics, %",
    "held-out 2AFC, %",
    "spread after stage 1",
]

TITLE = "Does stage 1 help a network with ImageNet weights?"
CHANGE = "statistics of batch normalization that stay, as in [the next experiment](ladder-frozen.md)"

QUESTION = """Does stage 1 on human judgments help a network with ImageNet weights? EfficientNet-Lite0 (4.7 million
parameters, 128 pixels) starts from weights of ImageNet-1k or from fresh ones. Stage 1 is 60 steps of InfoNCE on judgments
of 60 materials (Lagunas et al. 2019), split by photograph, so that the 30 photographs of the test split are unseen.
Score: accuracy on 2,000 photographs of CIFAR-10 of a ridge classifier on frozen embeddings of 10 labeled photographs of
each class; chance is 10 %. Held-out 2AFC describes what stage 1 learned, and does not decide."""

WRONG = """**This experiment does not answer its question.** Stage 1 replaced the statistics of batch normalization by those of 60
materials, and the planned score used those of 1,000 enlarged photographs, which alone costs the weights of ImageNet more than
20 points. [With statistics that stay](ladder-frozen.md), the question is asked again. Plan, records and numbers of this page
are unchanged."""

LIMITS = """* The score is about categories; judgments of materials may help other tasks.
* Stage 1 leaves the statistics of batch normalization at those of the materials. In a trial, this alone cost 18 points
  (one seed, 100 photographs). The score therefore has statistics of 1,000 training photographs of CIFAR-10, without labels,
  in all arms; the accuracy with the statistics of the model is in its own column. Held-out 2AFC has those of the model.
* One small network, one set of judgments and one number of labels."""

RERUN = """```console
python recipes/known_effects/prepare.py FOLDER data/known_effects
python recipes/known_effects/prepare_materials.py MATERIALS data/known_effects
export KNOWN_EFFECTS=$PWD/data/known_effects      # paths of the recipe's plug-in are relative to the recipe
perceptinit run recipes/known_effects/ladder.toml --jobs 2
python benchmarks/studies/known_effects.py keep runs/ladder
perceptinit compare recipes/known_effects/ladder.toml --out docs/results
python benchmarks/studies/ladder.py
```

A [few lines](../recipes.md#weights-of-imagenet-and-of-a-run) make the file of weights."""


def page(runs: Runs) -> str:
    """Return the page."""
    seeds = ", ".join(map(str, records.seeds_of(runs)))
    parts = [
        f"# {TITLE}",
        records.box(Answer(TITLE, "not answered", number(runs), CHANGE)),
        WRONG,
        QUESTION,
        f"![Differences in accuracy from the arm imagenet, by arm.](../images/{NAME}.svg)",
        f"**{answer(runs)}**",
        "## Results",
        f"Seeds {seeds}. Differences are in points, with intervals over seeds and images.",
        records.markdown(HEAD, (row(runs, arm) for arm in ARMS)),
        "\n".join(besides(runs)),
        trivial(runs),
        "## What this does not say",
        f"{statistics(runs)}\n{LIMITS}",
        "## Rerun",
        RERUN,
        about(runs, NAME),
    ]
    return "\n\n".join(parts) + "\n"


def contrast(
    runs: Runs, arm: str, reference: str, num_family: int = 1, score: str = SCORE
) -> Difference | None:
    return records.difference(records.paired(runs, arm, reference), score, num_family)


def against_baseline(runs: Runs, arm: str) -> Difference | None:
    """Return an arm minus imagenet; all but the first contrast of the plan are simultaneous."""
    if arm == BASELINE:
        return None
    return contrast(runs, arm, BASELINE, 1 if arm == "imagenet-people" else len(ARMS) - 2)


def number(runs: Runs) -> str:
    """Return the number of the box."""
    return records.number(against_baseline(runs, "imagenet-people"), f"imagenet-people - {BASELINE}")


def answer(runs: Runs) -> str:
    """Return the answer to the first question of the plan, in a sentence or two."""
    found = against_baseline(runs, "imagenet-people")
    if found is None:
        return "Not answered: fewer than two seeds."
    text = f"{found.text(100, 1)} points, {found.num_seeds} seeds"
    outcome = records.answer(found, DELTA)
    if outcome == "undecided":
        half = 100 * (found.high - found.low) / 2
        return f"Undecided: stage 1 on people's judgments changes the accuracy of ImageNet weights by {text} (half-width {half:.1f})."
    changes = {
        "better": "Yes: stage 1 on people's judgments raises the accuracy of ImageNet weights",
        "worse": "No: stage 1 on people's judgments lowers the accuracy of ImageNet weights",
        "equivalent": "No: stage 1 on people's judgments changes the accuracy of ImageNet weights by less than 1 point",
    }
    return f"{changes[outcome]} ({text})."


def row(runs: Runs, arm: str) -> list[str]:
    """Return the cells of an arm."""
    found = against_baseline(runs, arm)
    spreads = [run.stage_1["spread_after"] for run in of_arm(runs, arm) if "spread_after" in run.stage_1]
    return [
        arm,
        records.mean_text(records.values_of(runs, arm, SCORE), 100, 1),
        found.text(100, 1) if found else "",
        records.mean_text(records.values_of(runs, arm, AS_TRAINED), 100, 1),
        records.mean_text(records.values_of(runs, arm, "2afc/materials"), 100, 1),
        records.mean_text(spreads),
    ]


def of_arm(runs: Runs, arm: str) -> list[Run]:
    return [run for run in runs.values() if run.arm == arm]


def besides(runs: Runs) -> Iterator[str]:
    """Yield the other contrasts of the plan."""
    for arm, reference in BESIDES:
        if found := contrast(runs, arm, reference, len(BESIDES)):
            yield f"* {arm} - {reference}: {found.text(100, 1)}, {records.answer(found, DELTA)} (simultaneous over {len(BESIDES)})"


def statistics(runs: Runs) -> str:
    """Return sentences on the statistics of batch normalization, which the plan does not test."""
    own = records.mean_text(records.values_of(runs, BASELINE, AS_TRAINED), 100, 1)
    found = {
        arm: contrast(runs, arm, BASELINE, score=AS_TRAINED) for arm in ARMS if arm.startswith("imagenet-")
    }
    people, shuffled, pixels = (each.text(100, 1) if each else "unknown" for each in found.values())
    planned = [run.scores[SCORE] - run.scores[AS_TRAINED] for run in of_arm(runs, BASELINE)]
    price = records.mean_of(np.array(planned)).text(100, 1) if len(planned) > 1 else "unknown"
    return (
        f"* With their own statistics of batch normalization, the weights of ImageNet reach {own} %. Stage 1 changes this by\n"
        f"  {people} points with people's judgments, {shuffled} with shuffled votes and {pixels}\n"
        "  with pixels. This is the price of the statistics of 60 materials, and says nothing about judgments. Intervals are over\n"
        "  seeds, because the values of images of this score were not saved. Not in the plan, and uncorrected.\n"
        f"* The planned score has a price, too: its statistics change the accuracy of the weights of ImageNet by\n"
        f"  {price} points. It compares the arms with each other, and is not the accuracy that these weights can reach."
    )


def trivial_scores(runs: Runs) -> dict[str, float]:
    """Return 2AFC of the trivial models on the held-out judgments, which all runs share."""
    record = next(iter(runs.values())).record
    extra = next(row["extra"] for row in record["scores"] if row["name"] == "2afc/materials")
    return {name: each["value"] for name, each in extra["baselines"].items()}


def trivial(runs: Runs) -> str:
    """Return a sentence on the trivial models of the held-out judgments, which all runs share."""
    values = {name: 100 * value for name, value in trivial_scores(runs).items()}
    models = ", ".join(f"{name} {value:.1f}" for name, value in values.items())
    best = max(values, key=lambda name: values[name])
    own = records.values_of(runs, "imagenet-people", "2afc/materials")
    lead = records.mean_of(100 * np.array(own) - values[best]) if len(own) > 1 else None
    above = "is" if lead is not None and lead.low > 0 else "is not"
    sentence = f"imagenet-people ({records.mean_text(own, 100, 1)}) {above} above the best of them, {best}."
    return f"Trivial models on the held-out judgments, 2AFC in %: {models}. {sentence}"


def write() -> None:
    """Write the page and its image."""
    runs = records.read_runs(KEPT / NAME)
    rows = [(arm, found) for arm in ARMS if (found := against_baseline(runs, arm)) and arm != BASELINE]
    image = records.dot_plot(rows, "accuracy minus imagenet, points", 100)
    (DOCS / "images" / f"{NAME}.svg").write_text(image, encoding="utf-8")
    (KEPT / f"{NAME}.md").write_text(page(runs), encoding="utf-8")


if __name__ == "__main__":
    write()
