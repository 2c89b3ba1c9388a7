"""Rules that decide whether a sentence of a table or a page is true of an experiment whose truth is known.

The rules parse the text and do not use the package. A sentence about arms that no rule can parse counts as false.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

Kind = Literal["better", "worse", "equivalent", "worth", "not worth", "alike", "taught", "defect"]
Structure = Literal["", "people", "simulated people", "program"]
Pair = tuple[str, str]  # an arm and its reference


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about two arms, and the structure to which it attributes a lead.

    better, worse, equivalent: the arm compared with the reference. worth, not worth: the difference is beyond delta.
    alike: both have the same initialization. taught: the arm was trained on the task of the score. defect: equal arms differ beyond
    chance.
    """

    kind: Kind
    pair: Pair
    structure: Structure = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth about an experiment.

    between: Pair -> interval of the true difference, in points. worth: pairs -> the same with failed runs as
    worst, where it differs. structure: what explains a lead over shuffled votes; empty if anything else does.
    taught: the arm was trained on the task of the score. alike: pairs that have the same initialization.
    """

    between: Mapping[Pair, tuple[float, float]]
    worth: Mapping[Pair, tuple[float, float]] = field(default_factory=dict)
    structure: Structure = ""
    taught: bool = False
    alike: frozenset[Pair] = frozenset()


SHUFFLED = "shuffled"
QUESTIONS = (
    r"Is it worth it\?", r"Is it the human structure\?", r"Is it the structure of the simulated judgments\?",
    r"Is it the structure of these answers, which are not people's\?",
    r"Does it know the task that it was trained on\?", r"Do equal arms differ \(A/A\)\?",
    r"Do shuffled votes make a difference\?", r"Is it better than \S+\?",
    r"Against shuffled votes, with .+? other than here:",
)  # fmt: skip
ARMS = r"(?P<arm>\S+) {} (?P<ref>\S+)"
ANSWERS: dict[str, Kind | None] = {
    ARMS.format("is better than") + " by ": "better",
    ARMS.format("is worse than") + " by ": "worse",
    ARMS.format("and") + " differ by less than ": "equivalent",
    ARMS.format("against") + " is undecided": None,
    ARMS.format("equals") + " exactly in every seed": None,
    r"\S+ (is \S+ points (above|below)|scores exactly as) \S+ in the only common seed": None,
    ARMS.format("and") + " have no seed with scores of both": None,
}
# the reading of an arm: its worth, then the explanation
WORTHS: tuple[tuple[str, Kind], ...] = (
    (r"(?P<arm>\S+) is worth it\b", "worth"),
    (r"(?P<arm>\S+) is not worth it\b", "not worth"),
    (r"(?P<arm>\S+) is better than (?P<ref>\S+?)\b", "better"),
    (r"(?P<arm>\S+) is worse than (?P<ref>\S+?)\b", "worse"),
    (
        r"(?P<arm>\S+) makes no difference that matters(?: in seeds like these)?: it is equivalent to (?P<ref>\S+) within",
        "equivalent",
    ),
    (r"(?P<arm>\S+) and (?P<ref>\S+) differ by less than", "equivalent"),
    (r"(?P<arm>\S+) and (?P<ref>\S+) have the same initialization, but they differ with p", "defect"),
    (r"(?P<arm>\S+) and (?P<ref>\S+) have the same initialization", "alike"),
    (r"(?P<arm>\S+) was trained on this task", "taught"),
)
OPEN_WORTH = r"[Ww]hether (?P<arm>\S+) is worth it is undecided"
EXPLANATIONS: tuple[tuple[str, Kind | None], ...] = (
    (r"shuffled votes do as well", "equivalent"),
    (r"votes as given do better than shuffled ones$", "better"),
    (r"shuffled votes do better", "worse"),
)
OPEN_STRUCTURE = (
    r"so is whether votes as given do better than shuffled ones|whether .+? helps is (undecided|open)"
)
STRUCTURES: dict[str, Structure] = {
    "the human structure": "people",
    "the structure of the simulated judgments": "simulated people",
    "the structure of these answers, which are not people's,": "program",
}
# without one of these words, a sentence does not judge arms
JUDGING = re.compile(
    r"\b(exactly|better|worse|best|worth|helps?|structure|equivalent|undecided|alike|higher)\b"
)
NOTES = re.compile(
    r"^(Other arms of the table score higher|Stage 1 (collapsed|contracted)|Also not shown for|If the missing|Intervals of \d+ arms|Arms of one seed differ|"
    r"Zero-shot|Agreement|2AFC|In \S+, \S+ \(|\d+ of \d+ runs of|Each arm has its own settings|The people are simulated|"
    r"With the earlier|\S+(, first trained on .+,)? scores )"
)


def is_about_arms(sentence: str) -> bool:
    """Return whether a sentence judges arms; notes and limits do not."""
    return sentence.startswith("CARD ") or (bool(JUDGING.search(sentence)) and not NOTES.search(sentence))


def read(sentence: str, baseline: str) -> list[Claim] | None:
    """Return the claims of a sentence, None for a sentence that no rule can read."""
    text = re.sub(f"^({'|'.join(QUESTIONS)}) ", "", sentence)
    for phrase, kind in ANSWERS.items():
        if found := re.match(phrase, text):
            return [Claim(kind, (found["arm"], found["ref"]))] if kind else []
    if card := re.match(r"CARD (?P<arm>\S+) - (?P<ref>\S+): (?P<question>.+\?|.+:) (?P<word>.+)", sentence):
        return _read_card(card)
    return _read_reading(sentence, baseline)


def _read_card(card: re.Match[str]) -> list[Claim] | None:
    """Return the claims of a question of the page with its one-word answer."""
    pair, question = (card["arm"], card["ref"]), card["question"]
    structure = next(
        (of for words, of in STRUCTURES.items() if question == f"Is it {words.rstrip(',')}?"), ""
    )
    is_worth = question == "Is it worth it?"
    yes: Kind = "worth" if is_worth else "better"
    no: Kind = "not worth" if is_worth else "worse"
    known: dict[str, Claim] = {
        "Yes:": Claim(yes, pair, structure),
        "No, it is worse:": Claim(no, pair),
        "Better:": Claim("better", pair),
        "Worse:": Claim("worse", pair),
        "No difference that matters:": Claim("equivalent", pair),
    }
    is_open = card["word"] in (
        "Undecided:",
        "Equal in every seed:",
        "Unknown from one seed:",
        "No seed with scores of both.",
    )
    return [] if is_open else [known[card["word"]]] if card["word"] in known else None


def _read_reading(sentence: str, baseline: str) -> list[Claim] | None:
    """Return the claims of a reading, such as "pi is worth it, and it is the human structure that helps."."""
    text = re.sub(r"^In the simulated world ", "", sentence).rstrip(".")
    claims, arm = [], ""
    if found := re.match(OPEN_WORTH, text):
        arm = found["arm"]
    for phrase, kind in WORTHS:
        if not arm and (found := re.match(phrase, text)):
            arm = found["arm"]
            reference = found["ref"].rstrip(",") if "ref" in found.groupdict() else baseline
            claims.append(Claim(kind, (arm, reference)))
    if not arm:
        return None if is_about_arms(sentence) else []
    rest = re.sub(OPEN_STRUCTURE, "", text)
    claims += [
        Claim(kind, (arm, SHUFFLED)) for phrase, kind in EXPLANATIONS if kind and re.search(phrase, rest)
    ]
    for words, of in STRUCTURES.items():
        if f"it is {words} that helps" in rest:
            claims.append(Claim("better", (arm, SHUFFLED), of))
    return claims


def excess(claim: Claim, truth: Truth, delta: float | None) -> str:
    """Return the false part of a claim in a few words; empty if the claim is true. delta: points."""
    if claim.kind == "alike":
        return "" if claim.pair in truth.alike else "arms that do not have the same initialization"
    if claim.kind == "defect":
        return "a defect"
    if claim.kind == "taught":
        return "" if truth.taught else "a task that was not trained on"
    low, high = truth.between.get(claim.pair, (-inf, inf))  # no claim is true of an unknown difference
    if claim.kind in ("worth", "not worth"):
        low, high = truth.worth.get(claim.pair, (low, high))
        if truth.taught:
            return f"{claim.kind}, of a task that was trained on"
    limit = delta or 0.0
    is_true = {
        "better": low > 0,
        "worse": high < 0,
        "worth": low > limit,
        "not worth": high < -limit,
        "equivalent": delta is not None and -delta <= low and high <= delta,
    }[claim.kind]
    if not is_true:
        return claim.kind
    return "" if claim.structure in ("", truth.structure) else f"because of {claim.structure}"


def mark(sentence: str, baseline: str, truth: Truth, delta: float | None) -> str:
    """Return the false claim of a sentence; empty if it is true, "not read" if no rule can parse it."""
    claims = read(sentence, baseline)
    if claims is None:
        return "not read"
    return next((text for claim in claims if (text := excess(claim, truth, delta))), "")


def card(title: object, question: object, answer: str) -> str:
    """Return a card of a page in one line, as `read` expects it."""
    return f"CARD {title}: {question} {answer}"


def find_cards(page: str) -> list[str]:
    """Return the cards in the HTML of a page."""
    parts = r'<div class="faint">(.*?)</div>\s*<div class="question">(.*?)</div>.*?<span class="outcome">(.*?)</span>'
    found = re.findall(parts, page, re.DOTALL)
    return [
        card(*(" ".join(html.unescape(x).split()) for x in (title, question, answer)))
        for title, question, answer in found
    ]
