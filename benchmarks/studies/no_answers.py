"""The page docs/results/no-answers.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/known_effects.py keep runs/no-answers   -> docs/results/no-answers/ARM/seedN/
    python benchmarks/studies/no_answers.py                           -> docs/results/no-answers.md and its image

Recipe and plan are in recipes/known_effects/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import from_records as records
import numpy as np
from beyond_labels import DELTA, SCORE, about, contrast, stage_1
from from_records import Answer, Runs
from scipy import stats

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "results"
PAGE = "no-answers"
CONTROLS = ("shuffled", "views", "pixels")
ARMS = ("people", *CONTROLS, "random")
LEVEL = 1 - 0.05 / len(CONTROLS)  # of each share, so that three hold together with 95 %
HEAD = [
    "arm", "cross-entropy", "- random [95 %]", "share of people's gain [98.3 %]", "top-1, %",
    "2AFC before, after stage 1, %", "spread after", "seeds",
]  # fmt: skip

TITLE = "How much of stage 1's gain remains without people's answers?"
QUESTION = """In [beyond-labels](beyond-labels.md), stage 1 on shuffled votes kept half of the gain of people's answers over fresh
weights. No experiment was planned to measure it; this one is. Stage 1 is that of beyond-labels: 336 steps on 21,000 ties of 7,000
photographs. `people` has people's answers, `shuffled` the same triplets with shuffled votes, `pixels` the same triplets answered by
gray pixels, and `views` no triplets: SimCLR learns two augmented views of each of 690 of the 7,000 photographs a step, as many
images in as many steps at the same rate. Then 250 labeled photographs train a classifier. Score: cross-entropy with people's label shares
on 2,000 photographs that neither stage sees, in nats; lower is better. A share is the gain of an arm over `random`, divided by
that of `people`."""
CHANGE = "more or other triplets, a larger network, another loss of stage 1, other augmentations"
LIMITS = """* `shuffled` keeps which three photographs are in a triplet together, and InfoNCE uses the other photographs of a batch as
  negatives; `views` keeps neither. Neither of them is "images alone" in every sense.
* A share below 100 % of `pixels` can come from people's answers or from pixels' answers being harder to learn.
* `views` has another loss (two views, temperature 0.5) and a rate that was not tuned; another contrastive method may keep more.
* The answers are computed from labels that people gave to single photographs, not from direct similarity judgments.
* The network is a ViT of 0.8 million parameters on 32-pixel photographs; the gain is that of a classifier with 250 labels.
* Intervals of shares are over seeds alone; the triplets, the photographs and the test set are the same in all of them.
* While runs were going, the progress log showed scores of single runs, such as that of `pixels` with seed 145. No seed and no setting
  was changed after that."""
RERUN = """```console
pip install plugins/perceptinit-simclr
python recipes/known_effects/prepare_ties.py FOLDER data/known_effects
export KNOWN_EFFECTS=$PWD/data/known_effects      # paths of the recipe's plug-in are relative to the recipe
perceptinit run recipes/known_effects/no_answers.toml --jobs 2
python benchmarks/studies/known_effects.py keep runs/no-answers
perceptinit compare recipes/known_effects/no_answers.toml --out docs/results
python benchmarks/studies/no_answers.py
```"""
SECOND_RUNS = """Seed 140 of people and random ran a second time on the same kind of machine: weights and scores are identical. Seed 140 of the other arms
ran a second time on an AMD EPYC on 2026-12-04, where weights differ by rounding: cross-entropy is 1.976 for shuffled and 1.938 for pixels
(differences below 1e-7), and 1.858 instead of 1.868 for views. The training of views amplifies rounding: on that processor, its losses
differ by 2e-4 after 20 steps with AVX2 instead of AVX-512 instructions."""


@dataclass(frozen=True, slots=True)
class Share:
    """A ratio of two mean gains with Fieller's limits, which are infinite if the denominator may be 0."""

    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """Return the share in percent, such as `51 % [38, 63]`."""
        if not np.isfinite(self.low):
            return f"{100 * self.value:.0f} % [unbounded]"
        return f"{100 * self.value:.0f} % [{100 * self.low:.0f}, {100 * self.high:.0f}]"


def fieller(parts: np.ndarray, wholes: np.ndarray, level: float = LEVEL) -> Share:
    """Return the ratio of the means of paired values (S,) with Fieller's interval.

    Source: Fieller 1954. The limits are the roots of the quadratic in which Student's t of part - ratio * whole is critical.
    """
    num = len(parts)
    covariance = np.cov(parts, wholes) / num
    squared = stats.t.ppf(0.5 + level / 2, num - 1) ** 2
    part, whole = parts.mean(), wholes.mean()
    a = whole**2 - squared * covariance[1, 1]
    b = part * whole - squared * covariance[0, 1]
    c = part**2 - squared * covariance[0, 0]
    if a <= 0:
        return Share(part / whole, -np.inf, np.inf)
    reach = np.sqrt(max(b**2 - a * c, 0.0)) / a
    return Share(part / whole, b / a - reach, b / a + reach)


def gain(runs: Runs, arm: str, reference: str = "random") -> np.ndarray:
    """Return by how much the cross-entropy of an arm is lower than that of a reference, by seed (S,)."""
    seeds = [seed for seed in records.seeds_of(runs) if all((each, seed) in runs for each in ARMS)]
    return np.array([runs[reference, seed].scores[SCORE] - runs[arm, seed].scores[SCORE] for seed in seeds])


def share(runs: Runs, arm: str, reference: str = "random") -> Share:
    """Return the gain of an arm over a reference as a share of the gain of people over random."""
    return fieller(gain(runs, arm, reference), gain(runs, "people"))


def is_answered(runs: Runs) -> bool:
    """Return whether people are better than random, which the plan asks first."""
    return records.answer(contrast(runs, "people", "random"), DELTA, lower_is_better=True) == "better"


def page(runs: Runs) -> str:
    """Return the page."""
    seeds = ", ".join(map(str, records.seeds_of(runs)))
    parts = [
        f"# {TITLE}",
        records.box(*box(runs)),
        QUESTION,
        f"![Cross-entropy minus that of random, by arm.](../images/{PAGE}.svg)",
        f"**{answer(runs)}**",
        "## Results",
        f"Seeds {seeds}; mean ± standard error over seeds. Differences are in nats, over seeds and photographs. Shares have Fieller's "
        "intervals over seeds; those of the three controls hold together with 95 %.",
        records.markdown(HEAD, (row(runs, arm) for arm in ARMS)),
        *origins(runs),
        "## What this does not say",
        LIMITS,
        "## Rerun",
        RERUN,
        SECOND_RUNS,
        about(runs, PAGE),
    ]
    return "\n\n".join(parts) + "\n"


def box(runs: Runs) -> Iterator[Answer]:
    """Yield a row for each control, or one row if people's gain is not shown."""
    first = contrast(runs, "people", "random")
    if not is_answered(runs):
        yield Answer(TITLE, "undecided", records.number(first, "people - random", in_nats=True), CHANGE)
        return
    questions = {
        "shuffled": "How much of stage 1's gain do shuffled votes keep?",
        "views": "And two views of the same photographs, without answers?",
        "pixels": "And answers by pixels?",
    }
    for arm, question in questions.items():
        found = share(runs, arm)
        number = f"{found.text} of people's gain, {len(gain(runs, arm))} seeds"
        yield Answer(question, word(found), number, CHANGE)


def word(found: Share) -> str:
    """Return whether a control keeps none, a part or all of the gain, as far as its interval shows."""
    if found.low <= 0:
        return "undecided" if found.high >= 0 else "none, it costs"
    if found.low > 1:
        return "more than all"
    return "a part" if found.high < 1 else "a part or all"


def answer(runs: Runs) -> str:
    """Return the answer by the plan."""
    first = contrast(runs, "people", "random")
    if first is None:
        return "Not answered: fewer than two seeds."
    lead = f"people - random is {first.text()} nats, {first.num_seeds} seeds"
    if not is_answered(runs):
        return f"Undecided: people are not shown to be better than fresh weights ({lead}), so the shares are not read."
    shares = {arm: share(runs, arm).text for arm in CONTROLS}
    return (
        f"Stage 1 on people's answers helps ({lead}). Of this gain, shuffled votes keep {shares['shuffled']}, two views of the "
        f"same photographs {shares['views']}, and answers by pixels {shares['pixels']}."
    )


def origins(runs: Runs) -> Iterator[str]:
    """Yield what comes from images, from consistent answers and from people, if people's gain is shown."""
    if is_answered(runs):
        alone = f"{share(runs, 'views').text} without triplets, {share(runs, 'shuffled').text} with triplets whose votes are shuffled"
        yield (
            f"From the images: {alone}. From consistent answers, whoever gives them (pixels - shuffled): "
            f"{share(runs, 'pixels', 'shuffled').text}. From people's answers (people - pixels): "
            f"{share(runs, 'people', 'pixels').text}. Each interval is at 98.3 %."
        )


def row(runs: Runs, arm: str) -> list[str]:
    """Return the cells of an arm."""
    against = contrast(runs, arm, "random") if arm != "random" else None
    learned = [stage_1(runs, arm, f"2afc_val_{when}", 100, 1) for when in ("before", "after")]
    return [
        arm,
        records.mean_text(records.values_of(runs, arm, SCORE)),
        against.text() if against else "",
        share(runs, arm).text if arm in CONTROLS and is_answered(runs) else "",
        records.mean_text(records.values_of(runs, arm, "accuracy/shares"), 100, 1),
        ", ".join(filter(None, learned)),
        stage_1(runs, arm, "spread_after"),
        str(len(records.values_of(runs, arm, SCORE))),
    ]


def write() -> None:
    """Write the page and its image."""
    runs = records.read_runs(KEPT / PAGE)
    rows = [(arm, each) for arm in ARMS[:-1] if (each := contrast(runs, arm, "random"))]
    image = records.dot_plot(rows, "cross-entropy minus that of random, nats (left is better), 250 labels")
    (DOCS / "images" / f"{PAGE}.svg").write_text(image, encoding="utf-8")
    (KEPT / f"{PAGE}.md").write_text(page(runs), encoding="utf-8")


if __name__ == "__main__":
    write()
