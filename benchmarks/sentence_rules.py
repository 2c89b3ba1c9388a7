"""Whether a sentence of a table or a page says more than is true, by rules that read its words.

Independent of the package: sentences of any version are read, and those that cannot be are counted as such.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

Kind = Literal["better", "worse", "equivalent", "alike", "taught"]
Cause = Literal["", "worth", "people", "simulated people", "program", "votes"]
Pair = tuple[str, str]  # an arm, and what it is compared with


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sentence says of two arms, and what it puts that down to.

    better, worse, equivalent: of the arm. alike: the arms start alike. taught: the score asks what the arm was trained on.
    """

    kind: Kind
    pair: Pair
    cause: Cause = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of an experiment before it runs, and of its differences from many seeds.

    between: arm and reference -> an interval of the true difference, points; (0, 0) when it is nothing by construction.
    cause: what a lead over shuffled votes may be put down to, nothing when it comes from elsewhere. taught: the score asks
    what the arm was trained on. alike: pairs of arms that both start from fresh weights.
    """

    between: Mapping[Pair, tuple[float, float]]
    cause: Literal["", "people", "program"] = ""
    taught: bool = False
    alike: frozenset[Pair] = field(default_factory=frozenset)


QUESTIONS: dict[str, Cause] = {
    r"Is it worth it\?": "worth",
    r"Is it the human structure\?": "people",
    r"Is it the structure of the simulated judgments\?": "simulated people",
    r"Is it the structure of these answers, which are not people's\?": "program",
    r"Does it know the task that it was trained on\?": "",
    r"Do equal arms differ \(A/A\)\?": "",
    r"Do votes dealt at random make a difference\?": "",
    r"Is it better than \S+\?": "",
    r"Against shuffled votes, with .+? other than here:": "",
}
STRUCTURES: dict[str, Cause] = {
    "the human structure": "people",
    "the structure of the simulated judgments": "simulated people",
    "the structure of these answers, which are not people's,": "program",
}
# answers about two named arms; those without a kind decide nothing
ANSWERS: dict[str, Kind | None] = {
    r"(?P<arm>\S+) is better than (?P<ref>\S+) by ": "better",
    r"(?P<arm>\S+) is worse than (?P<ref>\S+) by ": "worse",
    r"(?P<arm>\S+) is equivalent to (?P<ref>\S+) within ": "equivalent",
    r"(?P<arm>\S+) against (?P<ref>\S+) is undecided": None,
    r"(?P<arm>\S+) is not shown to differ from (?P<ref>\S+):": None,
    r"(?P<arm>\S+) equals (?P<ref>\S+) exactly in every seed": None,
}
# how answers read together: what is open is taken out first
OPEN = (
    r"[Ww]hether \S+ is worth it is undecided|whether it is .+? that helps is undecided|so is whether votes as given .+? ones"
    r"|not whether the start is worth it|that it is worth it is not shown|a lead over the baseline is not shown|are not shown to do worse"
    r"|that the human structure helps is not shown|These runs do not settle it"
)
BASELINE, SHUFFLED = "baseline", "shuffled"
READINGS: tuple[tuple[str, Kind, str, Cause], ...] = (
    (r"\bis worth it\b", "better", BASELINE, "worth"),
    (
        r"is not worth it|the baseline (does|and shuffled votes both do) better",
        "worse",
        BASELINE,
        "",
    ),
    (r"it is equivalent to \S+ within", "equivalent", BASELINE, ""),
    (r"\b[Hh]uman votes do better than shuffled ones", "better", SHUFFLED, "people"),
    (r"votes as given do better than shuffled ones", "better", SHUFFLED, "votes"),
    (r"shuffled votes (both )?do better|[Hh]uman votes do worse", "worse", SHUFFLED, ""),
    (r"shuffled votes do as well", "equivalent", SHUFFLED, ""),
    (r"start alike", "alike", BASELINE, ""),
    (r"was trained on this task", "taught", BASELINE, ""),
)
# a sentence with none of them says nothing about which arm does better, and why
JUDGING = re.compile(r"\b(exactly|better|worse|best|worth|helps?|structure|equivalent|undecided|alike)\b")
NOT_OF_ARMS = re.compile(
    r"^The arms are not equally trained|^With seeds that vary|^With this variance|\(delta\) do not matter\.$"
)


def is_about_arms(sentence: str) -> bool:
    """Say whether a sentence of the headline answers something about arms, and is no note on how to read it."""
    return bool(JUDGING.search(sentence)) and not NOT_OF_ARMS.search(sentence)


def read(sentence: str, arm: str, baseline: str) -> list[Claim] | None:
    """Return what a sentence of the headline claims; None when it judges in words that no rule knows.

    arm, baseline: those that a reading means which names no arms.
    """
    for question, cause in QUESTIONS.items():
        if start := re.match(question, sentence):
            return _answer(sentence[start.end() :].strip(), cause)
    answered = _answer(sentence, "")
    if answered is not None:
        return answered
    rest, claims = re.sub(OPEN, "", sentence), []
    for phrase, kind, reference, of in READINGS:
        if re.search(phrase, rest):
            claims.append(Claim(kind, (arm, baseline if reference == BASELINE else SHUFFLED), of))
    for words, of in STRUCTURES.items():
        if f"it is {words} that helps" in rest:
            claims.append(Claim("better", (arm, SHUFFLED), of))
    return claims if claims or rest != sentence or not is_about_arms(rest) else None


def _answer(text: str, cause: Cause) -> list[Claim] | None:
    """Return the claim of an answer; a lead alone is put down to what was asked for."""
    for phrase, kind in ANSWERS.items():
        if found := re.match(phrase, text):
            because = cause if kind == "better" else ""
            return [Claim(kind, (found["arm"], found["ref"]), because)] if kind else []
    return None


def excess(claim: Claim, truth: Truth, delta: float | None) -> str:
    """Return in a few words what a claim says beyond the truth; empty when it is true. delta: points."""
    if claim.kind == "alike":
        return "" if claim.pair in truth.alike else "arms that do not start alike"
    if claim.kind == "taught":
        return "" if truth.taught else "a task that was not trained on"
    low, high = truth.between.get(claim.pair, (-inf, inf))  # of what is not known, no claim is true
    is_true = {
        "better": low > 0,
        "worse": high < 0,
        "equivalent": delta is not None and -delta <= low and high <= delta,
    }[claim.kind]
    if not is_true:
        return claim.kind
    if claim.cause == "worth":
        return "worth, of a task that was trained on" if truth.taught else ""
    causes = {"": ("", "people", "program"), "votes": ("people", "program")}
    allowed = causes.get(claim.cause, (claim.cause,))
    return "" if truth.cause in allowed else f"because of {claim.cause}"


def mark(sentence: str, arm: str, baseline: str, truth: Truth, delta: float | None) -> str:
    """Return what a sentence says beyond the truth: empty when true, `not read` when no rule knows its words."""
    claims = read(sentence, arm, baseline)
    if claims is None:
        return "not read"
    return next((text for claim in claims if (text := excess(claim, truth, delta))), "")


def page_sentences(page: str) -> list[str]:
    """Return the sentences of a page's summary, each once: paragraphs, list items and the answered questions."""
    summary = page.partition('<section aria-label="Summary">')[2].partition("</section>")[0]
    texts = re.findall(r"<(?:p|li)(?: [^>]*)?>(.*?)</(?:p|li)>", summary, re.DOTALL)
    return list(dict.fromkeys([*map(_text, texts), *_cards(summary)]))


def _cards(summary: str) -> Iterable[str]:
    """Yield every question with its answer in the words of the table, of which the card has only the parts."""
    card = r'class="card contrast (\w+)[^"]*">\s*<div class="question">(.*?)</div>\s*<div class="faint">(.*?)</div>'
    for outcome, question, title in re.findall(card, summary, re.DOTALL):
        arm, _, reference = _text(title).partition(" - ")
        answer = {
            "better": f"{arm} is better than {reference} by the picture.",
            "worse": f"{arm} is worse than {reference} by the picture.",
            "equivalent": f"{arm} is equivalent to {reference} within delta, by the picture.",
        }.get(outcome, f"{arm} against {reference} is undecided, by the picture.")
        yield f"{_text(question)} {answer}"


def _text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", markup)).split())
