"""The page docs/results/few-pairs-peak.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/known_effects.py keep runs/few-pairs-peak    -> docs/results/few-pairs-peak/ARM/seedN/
    python benchmarks/studies/few_pairs_peak.py                            -> docs/results/few-pairs-peak.md and its image

Recipe and plan are in recipes/known_effects/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import from_records as records
import numpy as np
from beyond_labels import about, stage_1
from fewer_pairs import ARMS
from from_records import Answer, Difference, Run, Runs
from rebuilt_cells import level_of_looks

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "results"
PAGE = "few-pairs-peak"
PEAK, END = "top1/at-peak", "top1/aside"
REFERENCES = ("random", "shuffled", "pixels", "labels")  # of people, in the order of the plan
DELTA = 0.01
FIRST, LAST = 10, 24  # numbers of seeds at the first and the last look
HEAD = [
    "arm", "top-1 at the peak, %", "- random, points [98.6 %]", "top-1 at the end, %", "- random at the end, points [95 %]",
    "peak after samples", "2AFC before, after stage 1", "spread after", "seeds",
]  # fmt: skip
CONTRASTS = [
    "contrast",
    "at the peak, points [98.6 %]",
    "answer",
    "sign-flip p",
    "at the end, points [95 %]",
]

TITLE = "Does stage 1 help at the peak, before CLIP overfits 250 pairs?"
QUESTION = """[Few pairs](fewer-pairs.md) scored the end of training, after 70 passes over 250 pairs. There, people led random by 1.3
points at the end and by 2.6 at each run's best evaluation, as if overfitting destroyed a part of what stage 1 gives. So the planned
score came after a training that early stopping would have ended; the best evaluation was not planned, and the test images chose it. Here, 5,000 photographs in no other role (`tuning`) choose one of ten evaluations, as early stopping does, and
10,000 others are scored there. All else is as in few pairs, in fp32 and with fresh seeds: stage 1 on 21,000 triplets of 7,000
CIFAR-10 photographs, answered by labels of people (`people`), by class labels (`labels`), by pixels (`pixels`) or with shuffled votes
(`shuffled`), then CLIP on 250 pairs. Score: zero-shot top-1; chance is 10 %."""
CHANGE = "more seeds, up to 24; a larger network; photographs with sentences of people"
LIMITS = """* Random triplets with people's labels agree with class labels in 99.9 % of those that labels decide.
* `random` has no stage 1, so every other arm takes more computation than it and sees 7,000 photographs without captions.
* The network is a ViT of 0.8 million parameters on 32-pixel photographs, at one learning rate, chosen before on other photographs.
* The answers are computed from labels that people gave to single photographs, not from direct similarity judgments.
* Captions are templates with the name of the class, so pairs contain class labels.
* The rate of CLIP falls to 0 after 17,500 samples whatever the peak; a shorter schedule may give another peak.
* Power was computed over seeds alone, for half of the leads seen before: 10 seeds show people - random with 65 %, people - shuffled
  with 18 %, and the other two with at most 4 %; 24 seeds with 99, 57 and at most 9 %. Undecided contrasts were expected.
* While runs were going, the progress log showed scores of single runs, such as those of `shuffled` with seeds 160 and 161. No seed
  and no setting was changed after that."""
SECOND_RUNS = """Seed 160 of people and random ran a second time on the same machine: weights and scores are identical. On an AMD EPYC, where
seed 160 of all five arms ran on 2026-12-04, weights differ by rounding, and 9 of 10 scores at the peak and at the end are identical: at
the peak, pixels has 23.41 % there and 23.42 % here."""
RERUN = """```console
python recipes/known_effects/prepare.py FOLDER data/known_effects
python recipes/known_effects/prepare_fewer_pairs.py FOLDER data/known_effects
perceptinit run recipes/known_effects/few_pairs_peak.toml --jobs 2
python benchmarks/studies/known_effects.py keep runs/few-pairs-peak
perceptinit compare recipes/known_effects/few_pairs_peak.toml --out docs/results
python benchmarks/studies/few_pairs_peak.py
```"""


@cache
def level() -> float:
    """Return the level of each interval at the peak, so that those of all looks hold together with 95 %."""
    return level_of_looks(FIRST, LAST)


def contrast(runs: Runs, arm: str, reference: str, score: str = PEAK) -> Difference | None:
    """Return a difference of two arms, at the level of the looks at the peak and at 95 % at the end."""
    num_family = 0.05 / (1 - level()) if score == PEAK else 1
    return records.difference(records.paired(runs, arm, reference), score, num_family)


def outcome(found: Difference | None) -> str:
    """Return better, worse, equivalent or undecided; the sign-flip test counts at the level of the looks."""
    answer = records.answer(found, DELTA)
    is_shown = found is not None and (found.p is None or found.p <= 1 - level())
    return answer if is_shown or answer == "equivalent" else "undecided"


def tested(runs: Runs) -> dict[str, str]:
    """Return the outcomes of people against each reference; those after an undecided one are not tested."""
    found: dict[str, str] = {}
    for reference in REFERENCES:
        if "undecided" in found.values():
            break
        found[reference] = outcome(contrast(runs, "people", reference))
    return found


def page(runs: Runs) -> str:
    """Return the page."""
    seeds = records.seeds_of(runs)
    parts = [
        f"# {TITLE}",
        records.box(*box(runs)),
        QUESTION,
        f"![Points above random at the peak and at the end, by arm.](../images/{PAGE}.svg)",
        f"**{answer(runs)}**",
        "## Results",
        f"Seeds {', '.join(map(str, seeds))}; mean ± standard error over seeds. Intervals are over seeds and photographs. The plan looks "
        f"at {FIRST} seeds and at each further number up to {LAST}; this is the look at {len(seeds)}. At the peak, each interval has a level "
        f"of {100 * level():.1f} %, so that 95 % hold at every look. The end describes.",
        records.markdown(HEAD, (row(runs, arm) for arm in ARMS)),
        "In the order of the plan; a contrast after an undecided one is not tested:",
        records.markdown(CONTRASTS, contrasts(runs)),
        fading(runs),
        "## What this does not say",
        LIMITS,
        "## Rerun",
        RERUN,
        SECOND_RUNS,
        about(runs, PAGE),
    ]
    return "\n\n".join(parts) + "\n"


def box(runs: Runs) -> Iterator[Answer]:
    """Yield a row for each tested contrast."""
    questions = {
        "random": TITLE,
        "shuffled": "And more than with shuffled votes?",
        "pixels": "And more than answers by pixels?",
        "labels": "And more than class labels?",
    }
    for reference, found in tested(runs).items():
        number = records.number(contrast(runs, "people", reference), f"people - {reference}")
        yield Answer(questions[reference], records.word(found), f"{number}, at every look", CHANGE)


def answer(runs: Runs) -> str:
    """Return the answer by the plan, with the lead at the end beside that at the peak."""
    first, last = contrast(runs, "people", "random"), contrast(runs, "people", "random", END)
    if first is None or last is None:
        return "Not answered: fewer than two seeds."
    found = tested(runs)
    begin = {"better": "Yes", "worse": "No, it costs accuracy", "equivalent": "No"}.get(
        found["random"], "Undecided"
    )
    text = (
        f"{begin}: at the peak, people - random is {first.text(100, 1)} points of top-1, {first.num_seeds} seeds; at the end, "
        f"{last.text(100, 1)}."
    )
    if begin == "Undecided":
        return f"{text} The other contrasts are not tested."
    others = (
        f"people - {name} is {outcome}: {contrast(runs, 'people', name).text(100, 1)}"
        for name, outcome in found.items()
        if name != "random"
    )
    return f"{text} At the peak, {'; '.join(others)}."


def row(runs: Runs, arm: str) -> list[str]:
    """Return the cells of an arm."""
    at_peak, at_end = (contrast(runs, arm, "random", score) for score in (PEAK, END))
    is_fresh = arm == "random"
    learned = [stage_1(runs, arm, f"2afc_val_{moment}", 100, 1) for moment in ("before", "after")]
    chosen = [chosen_at(run) for run in runs.values() if run.arm == arm]
    return [
        arm,
        records.mean_text(records.values_of(runs, arm, PEAK), 100, 1),
        "" if is_fresh or at_peak is None else at_peak.text(100, 1),
        records.mean_text(records.values_of(runs, arm, END), 100, 1),
        "" if is_fresh or at_end is None else at_end.text(100, 1),
        f"{np.median(chosen):,.0f} ({min(chosen):,} to {max(chosen):,})",
        ", ".join(filter(None, learned)),
        stage_1(runs, arm, "spread_after"),
        str(len(chosen)),
    ]


def chosen_at(run: Run) -> int:
    """Return the samples seen at the evaluation that the photographs of `tuning` chose."""
    scores: list[Mapping] = run.record["scores"]  # type: ignore[assignment]
    return next(score["extra"]["chosen_at"] for score in reversed(scores) if score["name"] == PEAK)


def contrasts(runs: Runs) -> Iterator[list[str]]:
    """Yield the rows of people against each reference."""
    found = tested(runs)
    for reference in REFERENCES:
        at_peak, at_end = (contrast(runs, "people", reference, score) for score in (PEAK, END))
        if at_peak is None or at_end is None:
            continue
        p = "" if at_peak.p is None else f"{at_peak.p:.3f}"
        yield [
            f"people - {reference}",
            at_peak.text(100, 1),
            found.get(reference, "not tested"),
            p,
            at_end.text(100, 1),
        ]


def fading(runs: Runs) -> str:
    """Return how much larger the lead of people over random is at the peak than at the end."""
    pairs = records.paired(runs, "people", "random")
    by_seed = np.array([_faded(a.scores) - _faded(b.scores) for a, b in pairs])
    by_image = np.array([_faded(a.items) - _faded(b.items) for a, b in pairs])
    found = records.mean_of(by_seed, by_image)
    return (
        f"The lead of people over random is {found.text(100, 1)} points larger at the peak than at the end (95 %, over seeds and "
        f"photographs; it describes), {'as' if found.low > 0 else 'which does not show what'} the plan supposed."
    )


def _faded(values: Mapping):
    return values[PEAK] - values[END]


def write() -> None:
    """Write the page and its image."""
    runs = records.read_runs(KEPT / PAGE)
    rows = [
        (f"{arm}, {moment}", found)
        for moment, score in (("peak", PEAK), ("end", END))
        for arm in ARMS
        if arm != "random" and (found := contrast(runs, arm, "random", score))
    ]
    image = records.dot_plot(rows, "points of top-1 above random, 250 pairs", 100)
    (DOCS / "images" / f"{PAGE}.svg").write_text(image, encoding="utf-8")
    (KEPT / f"{PAGE}.md").write_text(page(runs), encoding="utf-8")


if __name__ == "__main__":
    write()
