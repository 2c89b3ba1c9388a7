"""The page docs/results/simulated-share.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/known_effects.py keep runs/simulated-*     -> docs/results/simulated-*/ARM/seedN/
    python benchmarks/studies/simulated_share.py                         -> docs/results/simulated-share.md and its image

The world and the recipe are in recipes/known_effects/.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import from_records as records
import numpy as np
from beyond_labels import about
from from_records import Difference, Runs
from scipy import stats

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "results"
PAGE = "simulated-share"
SCORE = "cross-entropy/shares"
DELTA = 0.01  # nats
SHARES = (0, 5, 20, 50)  # per cent
NUM_SEEDS = 7  # of beyond_labels.toml
HEAD = [
    "planted share", "people", "classes", "people - classes [95 %]", "answer", "found with 7 seeds",
    "2AFC of people before, after stage 1", "2AFC of classes after stage 1",
]  # fmt: skip

QUESTION = """What share of information that only people have would [beyond-labels](../../recipes/known_effects/README.md) find? In a
simulated world, images show an object in one of eight colors, its class, with a shape. People give the class with 60 %
and a second class with 40 %. A planted share of the second classes depends on the shape, and the rest on the class
alone. Class labels do not contain the second class, and a table of classes contains it on average over shapes. `people`
and `classes` have the design of that experiment: 21,000 triplets that class labels do not answer, then a classifier of 248
labeled images. Score: cross-entropy with people's label shares on 2,000 other images, in nats; lower is better."""

LIMITS = """* It is a simulation with its own network (0.4 million parameters, 24 pixels) and less computation than
  beyond-labels, so it bounds what this design finds, and not what people's judgments contain.
* "Found with 7 seeds" is the power of Student's t test over seeds for the observed difference and deviation.
* The design with few pairs (fewer_pairs) is not simulated."""

RERUN = """```console
cd recipes/known_effects
python prepare_simulated.py 20 ../../data/simulated-20
cd ../..
KNOWN_EFFECTS=data/simulated-20 perceptinit run recipes/known_effects/simulated.toml --set 'name="simulated-20"'
python benchmarks/studies/known_effects.py keep runs/simulated-20
python benchmarks/studies/simulated_share.py
```

The other shares are 0, 5 and 50."""


def load() -> dict[int, Runs]:
    """Return the runs of each share that has records."""
    found = {share: records.read_runs(KEPT / f"simulated-{share}", SCORE) for share in SHARES}
    return {share: runs for share, runs in found.items() if contrast(runs)}


def contrast(runs: Runs) -> Difference | None:
    return records.difference(records.paired(runs, "people", "classes"), SCORE)


def page(found: Mapping[int, Runs]) -> str:
    """Return the page."""
    parts = [
        "# What share of information would the experiment beyond labels find?",
        QUESTION,
        f"![Differences in cross-entropy between people and classes, by planted share.](../images/{PAGE}.svg)",
        f"**{answer(found)}**",
        "## Results",
        records.markdown(HEAD, (row(share, runs) for share, runs in found.items())),
        "## What this does not say",
        LIMITS,
        "## Rerun",
        RERUN,
        about(dict(enumerate(run for runs in found.values() for run in runs.values())), "simulated"),
    ]
    return "\n\n".join(parts) + "\n"


def answer(found: Mapping[int, Runs]) -> str:
    """Return the planted shares that the design finds, in a sentence or two."""
    outcomes = {
        share: records.answer(contrast(runs), DELTA, lower_is_better=True) for share, runs in found.items()
    }
    better = [f"{share} %" for share, outcome in outcomes.items() if outcome == "better" and share]
    others = [f"{share} % {outcome}" for share, outcome in outcomes.items() if outcome != "better"]
    first = (
        f"The design finds a planted share of {', '.join(better)}."
        if better
        else "The design finds no share."
    )
    rest = f" Other shares: {', '.join(others)}." if others else ""
    false = " It calls people better with a share of 0 %, too." if outcomes.get(0) == "better" else ""
    return first + rest + false


def power(runs: Runs) -> float:
    """Return the probability that seven seeds show that people are better, with the observed mean and deviation."""
    pairs = records.paired(runs, "people", "classes")
    values = np.array([b.scores[SCORE] - a.scores[SCORE] for a, b in pairs])
    shift = values.mean() / values.std(ddof=1) * NUM_SEEDS**0.5
    return float(stats.nct.sf(stats.t.ppf(0.975, NUM_SEEDS - 1), NUM_SEEDS - 1, shift))


def row(share: int, runs: Runs) -> list[str]:
    """Return the cells of a planted share."""
    found = contrast(runs)
    assert found is not None
    before, after, of_classes = (
        records.mean_text([run.stage_1[name] for run in runs.values() if run.arm == arm], 100, 1)
        for arm, name in (
            ("people", "2afc_val_before"),
            ("people", "2afc_val_after"),
            ("classes", "2afc_val_after"),
        )
    )
    return [
        f"{share} %",
        records.mean_text(records.values_of(runs, "people", SCORE)),
        records.mean_text(records.values_of(runs, "classes", SCORE)),
        found.text(),
        records.answer(found, DELTA, lower_is_better=True),
        f"{100 * power(runs):.0f} %",
        f"{before}, {after}",
        of_classes,
    ]


def write() -> None:
    """Write the page and its image."""
    found = load()
    rows = [(f"{share} %", each) for share, runs in found.items() if (each := contrast(runs))]
    image = records.dot_plot(
        rows, "cross-entropy of people minus classes, nats (left is better), by planted share"
    )
    (DOCS / "images" / f"{PAGE}.svg").write_text(image, encoding="utf-8")
    (KEPT / f"{PAGE}.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    write()
