"""The page docs/results/simulated-share.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/known_effects.py keep runs/simulated-*     -> docs/results/simulated-*/ARM/seedN/
    python benchmarks/studies/simulated_share.py                         -> docs/results/simulated-share.md and its image

The world and the recipe are in recipes/known_effects/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import from_records as records
from beyond_labels import about
from from_records import Answer, Difference, Runs

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "results"
PAGE = "simulated-share"
SCORE = "cross-entropy/shares"
DELTA = 0.01  # nats
SHARES = (0, 5, 20, 50)  # percent
NUM_SEEDS = 7  # of beyond_labels.toml
NUM_SIMULATED = 5  # seeds of simulated.toml
CONTROLS = ("classes", "table")  # the first is that of beyond_labels.toml
ARMS = ("people", *CONTROLS)
HEAD = [
    "planted share", *ARMS, *(f"people - {arm} [95 %]" for arm in CONTROLS), "answers", "shown with 7 seeds",
    "2AFC of people before, after stage 1", *(f"of {arm} after" for arm in CONTROLS),
]  # fmt: skip

TITLE = "What share of information would the experiment beyond labels find?"
CHANGE = "more seeds and images, a smaller delta, a larger network"

QUESTION = """What share of information that only people have would [beyond-labels](beyond-labels.md) find? In a
simulated world, images show an object in one of eight colors, its class, with a shape. People give the class with 60 %
and a second class with 40 %. A planted share of the second classes depends on the shape, and the rest on the class
alone. Class labels do not contain the second class, and a table of classes contains it on average over shapes. `people`
and `classes` have the design of that experiment: 21,000 triplets that class labels do not answer, or as many of random
classes answered by the table; then a classifier of 248 labeled images. `table` is another control: the triplets of people,
answered by the table. Score: cross-entropy with people's label shares on 2,000 other images, in nats; lower is better."""

LIMITS = """* It is a simulation with its own network (0.4 million parameters, 24 pixels) and less computation than
  beyond-labels, so it bounds what this design finds, and not what people's judgments contain.
* `classes` has triplets of random classes, and those of people differ by more than 0.1. A lead over `classes` alone can
  therefore come from better triplets; `table` has the same ones.
* "Shown with 7 seeds" is the power of Student's t test over seeds for the observed difference and deviation,
  and a rate of false answers where nothing is planted.
* The design with few pairs is simulated on [its page](fewer-pairs.md#what-would-this-design-find)."""

RERUN = """With the environment variable `KNOWN_EFFECTS` set to `$PWD/data/simulated-20`:

```console
python recipes/known_effects/prepare_simulated.py 20 data/simulated-20
perceptinit run recipes/known_effects/simulated.toml --set 'name="simulated-20"'
python benchmarks/studies/known_effects.py keep runs/simulated-20
python benchmarks/studies/simulated_share.py
```

The other shares are 0, 5 and 50."""


def load() -> dict[int, Runs]:
    """Return the runs of each share that has records."""
    found = {share: records.read_runs(KEPT / f"simulated-{share}") for share in SHARES}
    return {share: runs for share, runs in found.items() if any(contrast(runs, arm) for arm in CONTROLS)}


def contrast(runs: Runs, control: str) -> Difference | None:
    return records.difference(records.paired(runs, "people", control), SCORE)


def page(found: Mapping[int, Runs]) -> str:
    """Return the page."""
    parts = [
        f"# {TITLE}",
        records.box(box(found)),
        QUESTION,
        f"![Differences in cross-entropy between people and each control, by planted share.](../images/{PAGE}.svg)",
        f"**{answer(found)}**",
        "## Results",
        records.markdown(HEAD, (row(share, runs) for share, runs in found.items())),
        *missing(found),
        "## What this does not say",
        LIMITS,
        "## Rerun",
        RERUN,
        about(dict(enumerate(run for runs in found.values() for run in runs.values())), "simulated"),
    ]
    return "\n\n".join(parts) + "\n"


def missing(found: Mapping[int, Runs]) -> Iterator[str]:
    """Yield a sentence on the runs that have not finished; nothing if all have."""
    lost = []
    for share in SHARES:
        for arm in ARMS:
            num = len(records.values_of(found.get(share, {}), arm, SCORE))
            if num < NUM_SIMULATED:
                lost.append(f"{arm} at {share} % ({num} of {NUM_SIMULATED})")
    if lost:
        yield f"Not finished: {', '.join(lost)}."


def box(found: Mapping[int, Runs]) -> Answer:
    """Return the box, with the share at which people are best against the control with their triplets."""
    control = CONTROLS[-1]
    leads = {share: lead for share, runs in found.items() if (lead := contrast(runs, control))}
    shown = [f"{share} %" for share in leads if outcome(found[share], control) == "better"]
    best = min(leads, key=lambda share: leads[share].high)
    number = records.number(leads[best], f"people - {control}", in_nats=True)
    return Answer(TITLE, ", ".join(shown) or "none", f"{number}, with {best} % planted", CHANGE)


def answer(found: Mapping[int, Runs]) -> str:
    """Return the planted shares in which people are better than each control."""
    return " ".join(answer_against(found, control) for control in CONTROLS)


def answer_against(found: Mapping[int, Runs], control: str) -> str:
    """Return the planted shares in which people are better than a control, in a sentence."""
    outcomes = {share: outcome(runs, control) for share, runs in found.items() if contrast(runs, control)}
    better = [f"{share} %" for share in outcomes if outcomes[share] == "better"]
    others = [f"{share} % {outcomes[share]}" for share in outcomes if outcomes[share] != "better"]
    slightly = [f"{share} %" for share, runs in found.items() if is_slightly_better(runs, control)]
    first = (
        "better with planted shares of " + ", ".join(better)
        if better
        else "not shown to be better with any share"
    )
    if slightly:
        first = f"better with {', '.join([*better, *slightly])}, there by less than {DELTA} nats"
        others = [text for text in others if text.rpartition(" ")[0] not in slightly]
    rest = f" ({', '.join(others)})" if others else ""
    false = ", although nothing is planted with 0 %" if outcomes.get(0) == "better" else ""
    return f"People - {control}: {first}{rest}{false}."


def is_slightly_better(runs: Runs, control: str) -> bool:
    """Return whether people are shown to be better than a control, but by less than delta."""
    lead = contrast(runs, control)
    return outcome(runs, control) == "equivalent" and lead is not None and lead.is_decided and lead.mean < 0


def outcome(runs: Runs, control: str) -> str:
    return records.answer(contrast(runs, control), DELTA, lower_is_better=True)


def power(runs: Runs, control: str) -> float:
    """Return the probability that seven seeds show that people are better, with the observed mean and deviation."""
    leads = [b.scores[SCORE] - a.scores[SCORE] for a, b in records.paired(runs, "people", control)]
    return records.power(leads, NUM_SEEDS)


def row(share: int, runs: Runs) -> list[str]:
    """Return the cells of a planted share."""
    found = [contrast(runs, control) for control in CONTROLS]
    known = [control for control, each in zip(CONTROLS, found, strict=True) if each]
    note = f" (better by less than {DELTA})"
    before = held_out(runs, "people", "before")
    after, *of_controls = (held_out(runs, arm, "after") for arm in ARMS)
    return [
        f"{share} %",
        *(records.mean_text(records.values_of(runs, arm, SCORE)) for arm in ARMS),
        *(each.text() if each else "" for each in found),
        ", ".join(outcome(runs, control) + note * is_slightly_better(runs, control) for control in known),
        ", ".join(f"{100 * power(runs, control):.0f} %" for control in known),
        f"{before}, {after}",
        *of_controls,
    ]


def held_out(runs: Runs, arm: str, when: str) -> str:
    """Return the mean held-out 2AFC of stage 1 in percent."""
    return records.mean_text(
        [run.stage_1[f"2afc_val_{when}"] for run in runs.values() if run.arm == arm], 100, 1
    )


def write() -> None:
    """Write the page and its image."""
    found = load()
    rows = [
        (f"{share} %, people - {control}", each)
        for control in CONTROLS
        for share, runs in found.items()
        if (each := contrast(runs, control))
    ]
    image = records.dot_plot(rows, "difference in cross-entropy, nats (left is better), by planted share")
    (DOCS / "images" / f"{PAGE}.svg").write_text(image, encoding="utf-8")
    (KEPT / f"{PAGE}.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    write()
