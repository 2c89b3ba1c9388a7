"""The top of the page: the verdict in a sentence, and each question with picture and number."""

from __future__ import annotations

from typing import Any

from perceptinit.reports.comparison import Comparison, Difference, ScoreComparison
from perceptinit.reports.numbers import magnitude, signed
from perceptinit.reports.verdicts.headline import NOTHING, summary
from perceptinit.reports.verdicts.verdict import Verdict, evidence

ANSWERS = {
    "better": "Better:",
    "worse": "Worse:",
    "equivalent": "No difference that matters:",
    "undecided": "Undecided:",
    "equal": "Equal in every seed:",
    "one seed": "Cannot be said from one seed:",
    "missing": "No seed in common.",
    "barred": "Cannot be said:",
}


def summary_values(comparison: Comparison) -> dict[str, Any]:
    """Return the top of the page: the verdict in a sentence or a few, the questions with pictures, the rest."""
    found, score = summary(comparison), comparison.primary
    if found is None or score is None:
        return {"verdict": (NOTHING,), "measured": "", "contrasts": [], "notes": (), "rule": ""}
    differences = [d for v in found.answers if (d := score.difference(v.contrast))]
    widest = max((abs(x) for d in differences for x in _ends(d)), default=0.0)
    return {
        "verdict": found.readings or tuple(v.sentence for v in found.answers),
        "measured": found.measured,
        "contrasts": [_card(v, score, widest) for v in found.answers],
        "notes": found.notes,
        "rule": rule_in_words(score),
    }


def rule_in_words(score: ScoreComparison) -> str:
    """Return when a difference counts as decided."""
    rule = score.rule
    text = "An interval on one side of 0 is better or worse"
    if rule.delta is None:
        text += "; no [verdict] delta was stated, so that nothing can be called equivalent"
    else:
        text += f", one within ±{magnitude(rule.delta, score.is_share)} (delta, stated in the recipe) is equivalent"
    text += "; any other is undecided."
    if rule.last is not None:
        text += (
            f" Seeds were added after looking, from {rule.first} up to at most {rule.last}: the intervals are wider, "
            f"{100 * rule.confidence:.1f} % each, so that 95 % hold at every look (repeated confidence intervals)."
        )
    return text


def _answer(verdict: Verdict) -> str:
    """Return a yes or a no where the question asks for one side, else the side."""
    is_asked = verdict.question.asks_for_better
    yes_or_no = {"better": "Yes:", "worse": "No, it is worse:"} if is_asked else {}
    return yes_or_no.get(verdict.outcome, ANSWERS[verdict.outcome])


def _ends(difference: Difference) -> list[float]:
    value = difference.value
    return [
        x
        for x in (value.low, value.mean, value.high, *difference.by_seed.values())
        if x is not None
    ]


def _card(verdict: Verdict, score: ScoreComparison, widest: float) -> dict[str, Any]:
    difference = score.difference(verdict.contrast)
    card = {
        "question": verdict.question,
        "title": verdict.contrast.title,
        "outcome": verdict.outcome,
        "answer": _answer(verdict),
        "sentence": verdict.sentence,
        "effect": "",
        "bar": "",
        "evidence": "",
    }
    if difference is None:
        return card
    return card | {
        "effect": signed(difference.value.mean, score.is_share),
        "bar": _bar(difference, widest, score.rule.delta or 0.0),
        "evidence": _evidence(verdict, difference, score),
    }


def _evidence(verdict: Verdict, difference: Difference, score: ScoreComparison) -> str:
    if verdict.outcome == "barred":
        return verdict.sentence
    return evidence(difference, score) if difference.value.num > 1 else ""


def _bar(difference: Difference, widest: float, delta: float) -> str:
    """Return the interval as a small picture: zero in the middle, seeds as dots; text says the same.

    Between -delta and delta, where a difference does not matter, the ground is darker.
    """
    scale = 95 / widest if widest else 0.0
    value = difference.value

    def x(v: float) -> str:
        return f"{100 + scale * v:.1f}"

    within = min(scale * delta, 100)
    parts = [
        f'<rect x="{100 - within:.1f}" y="5" width="{2 * within:.1f}" height="18" fill="var(--grid)" opacity=".6"/>',
        '<line x1="0" x2="200" y1="14" y2="14" stroke="var(--grid)"/>',
        '<line x1="100" x2="100" y1="4" y2="24" stroke="var(--ink)"/>',
        '<text x="100" y="35" text-anchor="middle" font-size="9">0</text>',
    ]
    if value.low is not None and value.high is not None:
        parts.append(
            f'<line x1="{x(value.low)}" x2="{x(value.high)}" y1="14" y2="14" '
            'stroke="var(--accent)" stroke-width="5" stroke-linecap="round" opacity=".45"/>'
        )
    parts += [
        f'<circle cx="{x(v)}" cy="14" r="2" fill="var(--accent)"/>'
        for v in difference.by_seed.values()
    ]
    parts.append(f'<circle cx="{x(value.mean)}" cy="14" r="5" fill="var(--accent)"/>')
    return (
        '<svg class="interval-bar" viewBox="0 0 200 38" aria-hidden="true" focusable="false">'
        f"{''.join(parts)}</svg>"
    )
