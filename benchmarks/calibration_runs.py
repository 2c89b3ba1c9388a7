"""The half of docs/calibration.md that comes from runs: real equal arms, and sentences that say more than is true."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from known_kinds import KINDS
from scipy import stats

from perceptinit.reports.statistics import estimate
from perceptinit.reports.verdicts.decisions import Rule

KEPT = Path(__file__).parent / "results/false_sentences.json"
TOTAL = "all"

PAGE = """\
## Real runs

Tiny models, trained and compared by commands (`perceptinit run`, `compare`, `report`): a ViT of one block, images of 8 x 8 pixels, up to
12 steps of stage 1 and 4 of CLIP (12 for zero-shot accuracy), 3 seeds (effects: 5), delta {delta:g} points. {num_each} experiments, with
the package at each commit:

```console
{commands}
```

on {machine}.

### Real A/A comparisons

Arms that differ only in the draw of their first weights, 3 seeds each. Mean, deviation and skewness are those of the differences of
single seeds. Better and worse: without a delta, nominal 2.5 % each. Equivalent: with a delta of one deviation; false: of the same
differences shifted by it, nominal at most 2.5 %.

{equal_arms}

### Overstated sentences

Rules (`benchmarks/sentence_rules.py`) mark every sentence about arms in a table's headline or a report's summary. A sentence is false if
it says "better", "worse" or "equivalent" wrongly, says "worth it" of a task that was trained on, or names a wrong cause. The truth is
known by construction, or from the seeds of all experiments of a kind. Experiments are independent; sentences of one experiment are not.
Target: an upper limit of 5 % false, and at least 80 % of the large effect found.

{totals}

Experiments with at least one false sentence:

{kinds}

{found}

False statements by kind: {excess}.

True differences, points (99 % intervals over the seeds of all experiments of a kind): {truth}.
"""


def section(kept: Mapping[str, Any]) -> str:
    """Return the section of what `false_sentences.py sum` keeps."""
    commits = kept["commits"]
    return PAGE.format(
        num_each=" and ".join(
            f"{n:,}" for n in dict.fromkeys(total(kinds, "experiments") for kinds in commits.values())
        ),
        commands=COMMANDS,
        machine=kept["machine"],
        delta=kept["delta"],
        equal_arms=table(EQUAL, equal_rows(kept)),
        totals=table(TOTALS, total_rows(commits)),
        kinds=table(["kind", "what is known", *commits], kind_rows(commits)),
        found=found_in_words(commits),
        excess="; ".join(f"{commit}: {excess_in_words(kinds)}" for commit, kinds in commits.items()),
        truth=truth_in_words(kept["truth"]),
    )


COMMANDS = """\
git worktree add ../old 58d8151
python benchmarks/false_sentences.py run --checkout . --checkout ../old --work /tmp/false-sentences
python benchmarks/false_sentences.py sum --work /tmp/false-sentences --out benchmarks/results/false_sentences.json"""
EQUAL = ("arms", "score", "comparisons", "mean ± s.e., points", "deviation", "skewness", "false better", "false worse",
         "coverage", "called equivalent", "false equivalent")  # fmt: skip
TOTALS = ("commit", "experiments", "with a false sentence", "sentences", "false sentences")


def share(count: int, num: int) -> str:
    """Return a rate in per cent with its 95 % interval (Clopper and Pearson); empty without experiments."""
    if not num:
        return ""
    between = stats.binomtest(count, num).proportion_ci(0.95)
    return f"{100 * count / num:.2f} [{100 * between.low:.2f}, {100 * between.high:.2f}]"


def table(headings: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def equal_rows(kept: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield what equal arms are called, for each sort of them and together."""
    every: list[tuple[bool, ...]] = []
    for name, experiments in kept["equal_arms"].items():
        spread = np.concatenate(experiments)
        deviation = float(spread.std(ddof=1))
        answers = [_answers(differences, deviation) for differences in experiments]
        every += answers
        mean = f"{spread.mean():+.2f} ± {stats.sem(spread):.2f}"
        shape = mean, f"{deviation:.1f}", f"{stats.skew(spread):+.2f}"
        yield name, kept["scores"][name], str(len(answers)), *shape, *_shares(answers)
    yield TOTAL, "", str(len(every)), "", "", "", *_shares(every)


def _answers(differences: Sequence[float], delta: float) -> tuple[bool, ...]:
    """Return what is said of equal arms in the order of the table; the last where they differ by delta."""
    value, moved = estimate(differences), estimate([d + delta for d in differences])
    plain, rule = Rule().decide(value), Rule(delta)
    return (
        plain == "above",
        plain == "below",
        value.low <= 0 <= value.high,
        rule.decide(value) == "equivalent",
        rule.decide(moved) == "equivalent",
    )


def _shares(answers: Sequence[tuple[bool, ...]]) -> list[str]:
    return [share(sum(column), len(answers)) for column in zip(*answers, strict=True)]


def total(kinds: Mapping[str, Mapping[str, Any]], what: str) -> int:
    return sum(counts[what] for counts in kinds.values())


def total_rows(commits: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the one number: how often too much is said."""
    for commit, kinds in commits.items():
        experiments, sentences = total(kinds, "experiments"), total(kinds, "sentences")
        yield (
            commit,
            f"{experiments:,}",
            share(total(kinds, "with_false"), experiments),
            f"{sentences:,}",
            share(total(kinds, "false"), sentences),
        )


def kind_rows(commits: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield, for each kind, what is known and the experiments of each commit with a sentence that says too much."""
    for kind in KINDS:
        counts = [kinds[kind.name] for kinds in commits.values()]
        shares = [
            f"{c['with_false']} of {c['experiments']}: {share(c['with_false'], c['experiments'])}"
            for c in counts
        ]
        yield kind.name, kind.known, *shares


def found_in_words(commits: Mapping[str, Any]) -> str:
    """Return which share of the real effects was called better, and put down to what people said."""
    parts = []
    for commit, kinds in commits.items():
        small, large = kinds["small effect"], kinds["large effect"]
        parts.append(
            f"{commit} calls the small effect better in {share(small['called_better'], small['experiments'])} %, the large one in "
            f"{share(large['called_better'], large['experiments'])} %, and attributes the large one to what people said in "
            f"{share(large['called_structure'], large['experiments'])} %."
        )
    return "Real effects found: " + " ".join(parts)


def excess_in_words(kinds: Mapping[str, Any]) -> str:
    """Return what the sentences said too much, the most frequent first."""
    sums: dict[str, int] = {}
    for counts in kinds.values():
        for text, num in counts["excess"].items():
            sums[text] = sums.get(text, 0) + num
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return ", ".join(f"{text} ({num})" for text, num in ordered) or "nothing"


def truth_in_words(truths: Mapping[str, Any]) -> str:
    """Return the interval of every true difference that is not 0 by construction."""
    parts = []
    for kind, pairs in truths.items():
        shown = [f"{pair} {low:+.1f} to {high:+.1f}" for pair, (low, high) in pairs.items() if low or high]
        parts += [f"{kind}: {', '.join(shown)}"] if shown else []
    return "; ".join(parts)


def kept() -> dict[str, Any]:
    """Return what is kept of the last runs."""
    return json.loads(KEPT.read_text(encoding="utf-8"))
