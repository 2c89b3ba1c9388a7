"""The catalogue: experiments with a known truth, and patterns that reports of them must or must not contain.

A match of a pattern of `never` is a false or unsupported sentence; a missing match of `must` is an omission.
"""

from __future__ import annotations

from perceptinit.judgments.baselines import STRONG
from situations.changes import (
    by_hand_edited,
    by_package,
    collapsed,
    fewer_samples,
    in_turn,
    lost_plan,
    on_device,
    other_batches,
    other_processor,
    simulated_judgments,
    tuned,
    with_items,
    with_trials,
)
from situations.claims import CLAIMS
from situations.conditions import CONDITIONS
from situations.controls import CONTROLS as MORE_CONTROLS
from situations.made import Lead, Situation
from situations.patterns import (
    ANY_SIDE,
    AS_PLANNED,
    BETTER,
    EQUIVALENT,
    NOT_BY_DELTA,
    NOT_WORTH,
    NOTHING_ELSE,
    RANDOM,
    SHUFFLED,
    STRUCTURE,
    UNDECIDED,
    WORSE,
    WORTH,
    arms,
)  # fmt: skip

# --- three arms without complications -------------------------------------------------------------------
PLAIN = {
    "large lead over both": Situation(
        truth="people leads by 3 points, shuffled by none",
        arms=arms(Lead(3)),
        must=(WORTH, STRUCTURE),
        never=(UNDECIDED, EQUIVALENT, NOT_WORTH),
        firm=True,
    ),
    "large lead over both, ten seeds": Situation(
        truth="people leads by 3 points with a wide spread, shuffled by none",
        arms=arms(Lead(3, 1.5)),
        num_seeds=10,
        must=(WORTH, STRUCTURE),
        never=(UNDECIDED, NOT_WORTH),
        firm=True,
    ),
    "large lead, three seeds": Situation(
        truth="people leads by 3 points; three seeds cannot check the distribution",
        arms=arms(Lead(3, 0.2)),
        num_seeds=3,
        must=(WORTH, r"(normal|6 seeds|six seeds)"),
        never=(UNDECIDED, NOT_WORTH),
        firm=True,
    ),
    "large loss": Situation(
        truth="people is 3 points below random",
        arms=arms(Lead(-3)),
        must=(NOT_WORTH,),
        never=(WORTH, STRUCTURE, UNDECIDED),
        firm=True,
    ),
    "within delta": Situation(
        truth="people equals random to 0.1 points",
        arms=arms(Lead(0.1, 0.2)),
        must=(EQUIVALENT,),
        never=(WORTH, NOT_WORTH, STRUCTURE),
        firm=True,
    ),
    "within delta, ten seeds": Situation(
        truth="people is 0.3 points above random, which does not matter",
        arms=arms(Lead(0.3, 0.3)),
        num_seeds=10,
        must=(EQUIVALENT,),
        never=(WORTH, NOT_WORTH, STRUCTURE),
        firm=True,
    ),
    "undecided": Situation(
        truth="people is 0.8 points above random with a wide spread",
        arms=arms(Lead(0.8, 2)),
        must=(UNDECIDED,),
        never=(*ANY_SIDE, STRUCTURE),
    ),
    "undecided below": Situation(
        truth="people is 0.8 points below random with a wide spread",
        arms=arms(Lead(-0.8, 2)),
        must=(UNDECIDED,),
        never=(*ANY_SIDE, STRUCTURE),
    ),
    "no delta stated, a lead": Situation(
        truth="people leads by 3 points; nothing says what matters",
        arms=arms(Lead(3)),
        verdict="",
        must=(BETTER,),
        never=(EQUIVALENT, NOT_WORTH),
        firm=True,
    ),
    "no delta stated, no lead": Situation(
        truth="people equals random; without delta equivalence cannot be claimed",
        arms=arms(Lead(0.05, 0.3)),
        verdict="",
        never=(*ANY_SIDE, STRUCTURE),
    ),
    "one seed": Situation(
        truth="one seed shows nothing of the spread",
        arms=arms(Lead(3)),
        num_seeds=1,
        never=(*ANY_SIDE, STRUCTURE, BETTER),
    ),
    "no common seed": Situation(
        truth="the arms share no seed",
        arms={"random": (40.0, 40.5, None, None), "people": (None, None, 43.0, 43.5)},
        never=(*ANY_SIDE, BETTER),
    ),
    "equal in every seed": Situation(
        truth="people scores exactly as random",
        arms={"random": RANDOM, "people": Lead(0, 0)},
        never=(WORTH, NOT_WORTH, STRUCTURE),
    ),
    "A/A, no difference": Situation(
        truth="two draws of fresh weights",
        arms={"random": RANDOM, "redrawn": Lead(0.05)},
        must=(r"their difference is undecided",),
        never=(r"is worth it",),
        firm=True,
    ),
    "A/A, a difference by chance": Situation(
        truth="two draws of fresh weights, p about 0.03",
        arms={"random": RANDOM, "redrawn": Lead(0.33, 0.28)},
        verdict="",
        must=(r"one (of|in) 20|1 in 20",),
        never=(r"is worth it", r"suspect a defect"),
    ),
    "A/A beyond chance": Situation(
        truth="equal arms that differ with p = 0.0001: something else differs",
        arms={"random": RANDOM, "redrawn": Lead(2, 0.4)},
        must=(r"suspect a defect",),
        never=(r"is worth it", r"one of 20"),
        firm=True,
    ),
    "shuffled costs, people cost nothing": Situation(
        truth="shuffled votes cost 5 points; people equal random",
        arms={"random": RANDOM, "people": Lead(0.05, 0.2), "shuffled": Lead(-5)},
        must=(EQUIVALENT,),
        never=(WORTH, STRUCTURE),
        firm=True,
    ),
    "both worse": Situation(
        truth="people costs 3 points, shuffled 6",
        arms={"random": RANDOM, "people": Lead(-3), "shuffled": Lead(-6)},
        must=(NOT_WORTH,),
        never=(WORTH, STRUCTURE),
        firm=True,
    ),
    "no shuffled arm": Situation(
        truth="people leads by 3; nothing separates the votes from the training",
        arms={"random": RANDOM, "people": Lead(3)},
        must=(WORTH,),
        never=(STRUCTURE, UNDECIDED),
        firm=True,
    ),
    "structured start without people": Situation(
        truth="mimetic leads by 3",
        arms={"random": RANDOM, "mimetic": Lead(3)},
        must=(r"(?<![Ww]hether )mimetic is worth it",),
        never=(r"human structure that helps", UNDECIDED),
        firm=True,
    ),
    "structured start costs": Situation(
        truth="mimetic costs 3",
        arms={"random": RANDOM, "mimetic": Lead(-3)},
        must=(r"mimetic is not worth it",),
        never=(r"(?<![Ww]hether )mimetic is worth it", r"human (?!ceiling)"),
        firm=True,
    ),
    "structured start equals": Situation(
        truth="mimetic equals random",
        arms={"random": RANDOM, "mimetic": Lead(0.05, 0.2)},
        must=(r"mimetic (makes no difference that matters|is equivalent)",),
        never=(r"(?<![Ww]hether )mimetic is worth it",),
        firm=True,
    ),
}

# --- other arms in the table -----------------------------------------------------------------------------------
CONTROLS = {
    "pixels equally good": Situation(
        truth="answers by pixels help as much as people's",
        arms=arms(Lead(3), pixels=Lead(3)),
        must=(WORTH, r"pixels"),
        never=(STRUCTURE,),
    ),
    "pixels better, shuffled collapses": Situation(
        truth="pixels lead people by 1, shuffled is 5 below random",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": Lead(-5), "pixels": Lead(4, 0.2)},
        must=(r"pixels",),
        never=(STRUCTURE,),
    ),
    "spectrum equally good": Situation(
        truth="the spectra of people's weights help as much, with random directions",
        arms=arms(Lead(3), spectrum=Lead(3)),
        must=(r"spectrum",),
        never=(STRUCTURE,),
    ),
    "fresh norms equally good": Situation(
        truth="the directions of people's weights help as much at the norms of random weights",
        arms=arms(Lead(3), norms=Lead(3.1)),
        must=(WORTH, STRUCTURE),
        never=(UNDECIDED,),
        firm=True,
    ),
    "class labels equally good": Situation(
        truth="answers from class labels help as much as people's",
        arms=arms(Lead(3), labels=Lead(3)),
        must=(r"labels",),
        never=(STRUCTURE,),
    ),
    "mimetic equally good": Situation(
        truth="a closed form without people helps as much",
        arms=arms(Lead(3), mimetic=Lead(3)),
        must=(r"mimetic",),
        never=(STRUCTURE,),
    ),
    "mimetic better": Situation(
        truth="a closed form without people is 2 points better",
        arms=arms(Lead(3), mimetic=Lead(5)),
        must=(r"mimetic",),
        never=(STRUCTURE,),
    ),
    "imagenet four points better": Situation(
        truth="another start is 4 points better than people",
        arms=arms(Lead(3), imagenet=Lead(7)),
        must=(r"imagenet",),
        never=(STRUCTURE,),
    ),
    "pixels undecided": Situation(
        truth="whether pixels do as well is not settled",
        arms=arms(Lead(3), pixels=Lead(2.5, 2.0)),
        must=(WORTH, r"pixels"),
        never=(STRUCTURE,),
    ),
    "every control beaten": Situation(
        truth="people leads all controls by 3 points",
        arms=arms(Lead(4), pixels=Lead(0.5), spectrum=Lead(0.4), norms=Lead(0.2), mimetic=Lead(0.6)),
        must=(WORTH, STRUCTURE),
        never=(UNDECIDED,),
        firm=True,
    ),
    "two controls beaten": Situation(
        truth="people leads pixels and labels by 3 points",
        arms=arms(Lead(4), pixels=Lead(1), labels=Lead(1)),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "one of three controls as good": Situation(
        truth="spectrum does as well, pixels and labels do not",
        arms=arms(Lead(4), pixels=Lead(1), labels=Lead(1), spectrum=Lead(4)),
        must=(r"spectrum",),
        never=(STRUCTURE,),
    ),
    "shuffled collapsed": Situation(
        truth="stage 1 of shuffled collapsed, so its score says nothing about votes",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": Lead(-8)},
        change=collapsed("shuffled"),
        must=(WORTH, r"shuffled.{0,60}collapse|collapse.{0,60}shuffled"),
        never=(STRUCTURE,),
    ),
    "people collapsed": Situation(
        truth="stage 1 of people collapsed",
        arms={"random": RANDOM, "people": Lead(-3), "shuffled": Lead(-3)},
        change=collapsed("people"),
        must=(r"people.{0,60}collapse|collapse.{0,60}people",),
        never=(WORTH, STRUCTURE),
    ),
    "shuffled does as well": Situation(
        truth="random votes help as much",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": Lead(3, 0.2)},
        must=(r"shuffled",),
        never=(STRUCTURE,),
        firm=True,
    ),
    "shuffled does better": Situation(
        truth="random votes help more",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": Lead(5)},
        must=(r"shuffled",),
        never=(STRUCTURE,),
        firm=True,
    ),
    "shuffled undecided": Situation(
        truth="whether shuffled votes do as well is not settled",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": Lead(2, 2.5)},
        must=(WORTH,),
        never=(STRUCTURE,),
    ),
    "shuffled of other settings": Situation(
        truth="the shuffled arm was trained longer, so it is not a control",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": Lead(0)},
        init={"shuffled": '[{ like = "init", epochs = 64, judgments.through = ["shuffled-votes"] }]'},
        must=(WORTH, r"epochs"),
        never=(STRUCTURE,),
        firm=True,
    ),
    "simulated observers": Situation(
        truth="the people are simulated",
        arms=arms(Lead(3)),
        init=simulated_judgments(),
        must=(r"simulated",),
        never=(STRUCTURE, r"^people is worth it"),
    ),
    "answers by a program": Situation(
        truth="no person answered",
        arms={"random": RANDOM, "pixels": Lead(3), "labels": Lead(1)},
        never=(r"human structure",),
    ),
    "another arm from people is better": Situation(
        truth="a longer stage 1 is 2 points better than the arm of the headline",
        arms={"random": RANDOM, "people": Lead(3), "more-people": Lead(5), "shuffled": SHUFFLED},
        must=(r"more-people",),
        never=(UNDECIDED,),
    ),
    "an arm from people without a shuffled control": Situation(
        truth="only people has a shuffled control",
        arms={"random": RANDOM, "people": Lead(3), "more-people": Lead(3.2), "shuffled": SHUFFLED},
        never=(r"more-people is worth it, and it is the human structure",),
    ),
}

# --- delta and the size of an effect -----------------------------------------------------------------------------
SIZES = {
    "better, within delta": Situation(
        truth="people leads by 0.6, delta is 1",
        arms=arms(Lead(0.6, 0.2)),
        never=(WORTH, STRUCTURE),
        must=(EQUIVALENT,),
        firm=True,
    ),
    "better, interval includes delta": Situation(
        truth="people leads by 1.2 with an interval from 0.5 to 1.9, delta is 1",
        arms=arms(Lead(1.2, 0.7)),
        must=(BETTER, NOT_BY_DELTA),
        never=(WORTH,),
    ),
    "better, mean beyond delta, interval not": Situation(
        truth="people leads by 2 with an interval from 0.8 to 3.2, delta is 1",
        arms=arms(Lead(2, 1.15)),
        must=(BETTER, NOT_BY_DELTA),
        never=(WORTH,),
    ),
    "worse, interval includes delta": Situation(
        truth="people is 1.2 below with an interval from -1.9 to -0.5, delta is 1",
        arms=arms(Lead(-1.2, 0.7)),
        must=(WORSE, r"not shown to be (worse )?by more than"),
        never=(NOT_WORTH, WORTH),
    ),
    "better beyond a large delta": Situation(
        truth="people leads by 8, delta is 3",
        arms=arms(Lead(8, 0.8)),
        verdict="delta = 3.0",
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "two seeds, equal differences": Situation(
        truth="two seeds at +0.5 each, on 5,000 images",
        arms={"random": (40.0, 40.4), "people": (40.5, 40.9)},
        num_examples=5000,
        never=(WORTH, r"\+0\.5 to \+0\.5"),
    ),
    "two seeds, one image each": Situation(
        truth="one image of 5,000 more in each seed",
        arms={"random": (40.0, 40.4), "people": (40.02, 40.42)},
        num_examples=5000,
        never=(WORTH, BETTER, r"\+0\.0 to \+0\.0"),
    ),
    "three seeds, one image of fifty": Situation(
        truth="one image of 50 more in each of three seeds",
        arms={"random": (40.0, 42.0, 44.0), "people": (42.0, 44.0, 46.0)},
        num_examples=50,
        writes_items=False,
        must=(r"these 50 (photographs|images|examples)",),
        never=(WORTH, r"\+2\.0 to \+2\.0", r">0\.99"),
    ),
    "small set of images": Situation(
        truth="people leads by 6 on 85 images; other images were not sampled",
        arms=arms(Lead(6, 1.5)),
        num_examples=85,
        writes_items=False,
        must=(r"these 85 (photographs|images|examples)",),
        never=(r"^people is worth it, and it is the human structure that helps\.$",),
    ),
    "few judgments": Situation(
        truth="2AFC on 30 judgments",
        arms={"random": RANDOM, "people": Lead(5, 1)},
        measure="2afc",
        set_name="nights",
        num_examples=30,
        chance=0.5,
        must=(r"(these )?30 (judgments|examples)",),
        never=(STRUCTURE,),
    ),
    "large set of images": Situation(
        truth="people leads by 3 on 50,000 images",
        arms=arms(Lead(3)),
        num_examples=50_000,
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "six seeds, one outlier": Situation(
        truth="five seeds lead by 2, one loses 6: Student's t and the sign-flip test part",
        arms={
            "random": (40.0, 40.5, 39.5, 40.2, 39.9, 40.1),
            "people": (42.0, 42.6, 41.4, 42.3, 41.8, 34.1),
        },
        never=(WORTH, NOT_WORTH, EQUIVALENT),
        must=(UNDECIDED,),
    ),
    "ten seeds, one lost badly": Situation(
        truth="nine seeds lead by 0.3, one loses 8: the arm sometimes fails",
        arms={
            "random": (40.0,) * 10,
            "people": (40.3, 40.2, 40.4, 40.3, 40.25, 40.35, 40.3, 40.2, 40.4, 32.0),
        },
        never=(WORTH, EQUIVALENT),
    ),
}

# --- other machines, versions and batches ------------------------------------------------------------------------
ENVIRONMENTS = {
    "another torch and device in one arm": Situation(
        truth="people ran with torch 1.0 on another device",
        arms=arms(Lead(3)),
        change=by_package("people", torch="1.0"),
        must=(r"torch",),
        never=(NOTHING_ELSE,),
    ),
    "another device in one arm": Situation(
        truth="people ran on an H100, the others on a CPU",
        arms=arms(Lead(3)),
        change=on_device("people", "NVIDIA H100"),
        must=(r"(NVIDIA H100|device)",),
        never=(NOTHING_ELSE,),
    ),
    "another processor in one arm": Situation(
        truth="people ran on another processor",
        arms=arms(Lead(3)),
        change=other_processor("people"),
        must=(r"processor",),
        never=(NOTHING_ELSE,),
    ),
    "another device in one seed of all arms": Situation(
        truth="seed 0 ran on an H100 in every arm: pairs are alike",
        arms=arms(Lead(3)),
        change=on_device("", "NVIDIA H100", seed=0),
        must=(WORTH,),
        firm=True,
    ),
    "other batches in one arm": Situation(
        truth="people saw other batches",
        arms=arms(Lead(3)),
        change=other_batches("people"),
        must=(r"batches|data order",),
        never=(NOTHING_ELSE,),
    ),
    "a plan, another torch in one arm": Situation(
        truth="as planned but for torch in one arm",
        arms=arms(Lead(3)),
        planned=True,
        change=by_package("people", torch="1.0"),
        must=(r"torch",),
        never=(AS_PLANNED,),
    ),
    "a plan, another perceptinit than planned": Situation(
        truth="all runs by another version than the plan's",
        arms=arms(Lead(3)),
        planned=True,
        change=by_package("", perceptinit="0.0.1"),
        must=(r"0\.0\.1|version",),
        never=(AS_PLANNED,),
    ),
    "all runs alike": Situation(
        truth="one machine, one version",
        arms=arms(Lead(3)),
        must=(WORTH, STRUCTURE),
        never=(r"differ in (version|torch|device|processor)",),
        firm=True,
    ),
    "unequal training": Situation(
        truth="random saw half of the pairs",
        arms=arms(Lead(3)),
        change=fewer_samples("random"),
        options=("--at", "end"),
        must=(r"[Nn]ot equally trained",),
        never=(WORTH, STRUCTURE),
    ),
}

# --- lost runs -----------------------------------------------------------------------------------------------------
N = None
LOST = {
    "two of five people lost": Situation(
        truth="two of five runs of people diverged",
        arms={
            "random": (40.0, 40.5, 39.5, 40.2, 39.9),
            "people": (43.0, 43.6, 42.4, N, N),
            "shuffled": (40.1, 40.2, 39.8, 40.0, 40.1),
        },
        must=(r"2 of 5|two of five", r"(diverged|lost|failed)"),
        never=(WORTH, STRUCTURE),
    ),
    "one of five people lost": Situation(
        truth="one of five runs of people diverged",
        arms={
            "random": (40.0, 40.5, 39.5, 40.2, 39.9),
            "people": (43.0, 43.6, 42.4, 43.2, N),
            "shuffled": (40.1, 40.2, 39.8, 40.0, 40.1),
        },
        must=(r"1 of 5|one of five", r"(diverged|lost|failed)"),
        never=(WORTH, STRUCTURE),
    ),
    "one of ten people lost": Situation(
        truth="one of ten runs of people diverged",
        arms={"random": (40.0,) * 10, "people": (*Lead(3).values(9, 1), N)},
        num_seeds=10,
        must=(r"1 of 10|one of ten", r"(diverged|lost|failed)"),
        never=(WORTH,),
    ),
    "a baseline run lost": Situation(
        truth="one run of random diverged; whether its score is low or high is unknown",
        arms={
            "random": (*Lead(0, 0).values(5, 0), N),
            "people": Lead(3),
            "shuffled": Lead(0),
        },
        must=(r"1 of 6|one of six",),
        never=(WORTH, STRUCTURE),
    ),
    "every run of people lost": Situation(
        truth="people never finished",
        arms={"random": (40.0, 40.5, 39.5), "people": (N, N, N)},
        must=(r"(diverged|lost|failed)",),
        never=(*ANY_SIDE, BETTER),
    ),
    "none lost of ten": Situation(
        truth="ten runs finished; a failure rate of 26 % cannot be excluded",
        arms=arms(Lead(3)),
        num_seeds=10,
        must=(WORTH, r"26 %"),
        firm=True,
    ),
}

# --- several sets --------------------------------------------------------------------------------------------------
_NAMES = ("a", "b", "c", "d", "e", "f", "g")


def over_sets(*leads: float, spread: float = 0.2) -> dict[str, dict[str, Lead]]:
    """Return seven more sets, each with its lead of people."""
    return {
        name: {"random": RANDOM, "people": Lead(points, spread), "shuffled": SHUFFLED}
        for name, points in zip(_NAMES, leads, strict=False)
    }


SETS = {
    "all sets better": Situation(
        truth="people leads by 3 on each of eight sets",
        arms=arms(Lead(3)),
        sets=over_sets(3, 3, 2.5, 3.5, 3, 2.8, 3.2),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "one set carries the mean": Situation(
        truth="one set at +20, seven sets at -0.7",
        arms=arms(Lead(20)),
        sets=over_sets(-0.7, -0.7, -0.7, -0.7, -0.7, -0.7, -0.7),
        must=(r"7 of 8|seven of eight|most (data )?sets",),
        never=(WORTH, STRUCTURE),
    ),
    "interquartile mean points the other way": Situation(
        truth="two sets at +9, six at -1",
        arms=arms(Lead(9)),
        sets=over_sets(9, -1, -1, -1, -1, -1, -1),
        must=(r"6 of 8|six of eight|most (data )?sets|interquartile",),
        never=(WORTH, STRUCTURE),
    ),
    "sets share their runs": Situation(
        truth="no lead; the noise of a run is common to its eight sets",
        arms=arms(Lead(0.3, 0.3)),
        sets={n: arms(Lead(0.3, 0.3)) for n in _NAMES},
        never=(WORTH, r"sign test 0\.00", r"signed-rank test 0\.00"),
    ),
    "sets disagree": Situation(
        truth="four sets at +4, four at -4",
        arms=arms(Lead(4)),
        sets=over_sets(4, 4, 4, -4, -4, -4, -4),
        never=(WORTH, NOT_WORTH, STRUCTURE),
    ),
    "all sets worse": Situation(
        truth="people costs 3 on each of eight sets",
        arms=arms(Lead(-3)),
        sets=over_sets(-3, -3, -2.5, -3.5, -3, -2.8, -3.2),
        must=(NOT_WORTH,),
        never=(WORTH,),
        firm=True,
    ),
}

# --- many arms -----------------------------------------------------------------------------------------------------
_TEN = ("mimetic", "impulse", "scheme", "imagenet", "redrawn", "labels", "pixels", "spectrum", "norms")
MANY = {
    "ten null arms, one by chance": Situation(
        truth="no arm differs from random; the best of ten has p = 0.02",
        arms={"random": RANDOM} | {n: Lead(1.2 if n == "scheme" else 0.1, 0.95) for n in _TEN},
        verdict="",
        must=(r"simultaneous|family|for all of them together",),
        never=(r"(?<![Ww]hether )scheme is worth it", r"scheme is better than random by"),
    ),
    "ten arms, one large": Situation(
        truth="mimetic leads by 6, the others by none",
        arms={"random": RANDOM} | {n: Lead(6 if n == "mimetic" else 0.1, 0.3) for n in _TEN},
        must=(r"(?<![Ww]hether )mimetic is worth it", r"simultaneous|family|for all of them together"),
        firm=True,
    ),
    "four arms, all large": Situation(
        truth="four starts lead by 4",
        arms={"random": RANDOM} | {n: Lead(4 + i, 0.3) for i, n in enumerate(_TEN[:4])},
        must=(r"(?<![Ww]hether )mimetic is worth it", r"(?<![Ww]hether )impulse is worth it"),
        firm=True,
    ),
}

# --- looks, plans and edits ----------------------------------------------------------------------------------------
PLANS = {
    "as planned": Situation(
        truth="planned, run, nothing else",
        arms=arms(Lead(3)),
        planned=True,
        must=(AS_PLANNED, WORTH),
        firm=True,
    ),
    "seeds added by hand": Situation(
        truth="three seeds, a look, then seven; no stopping rule",
        arms=arms(Lead(1.6, 0.62)),
        num_seeds=7,
        looks=(3, 7),
        must=(BETTER, r"seeds? (was|were) added|added after|3 seeds first"),
        never=(WORTH,),
    ),
    "seeds added by hand, a large lead": Situation(
        truth="three seeds, a look, then seven; the lead is beyond doubt",
        arms=arms(Lead(5, 0.3)),
        num_seeds=7,
        looks=(3, 7),
        must=(WORTH, r"added"),
        firm=True,
    ),
    "until decided": Situation(
        truth="looks were planned, up to ten seeds",
        arms=arms(Lead(3)),
        verdict="delta = 1.0\nmax_seeds = 10",
        looks=(3, 6),
        must=(WORTH,),
        never=(r"added by hand",),
        firm=True,
    ),
    "plan removed": Situation(
        truth="records name a plan that is not there",
        arms=arms(Lead(3)),
        planned=True,
        after=lost_plan,
        must=(r"plan.{0,80}(missing|not there|absent|not found|removed)",),
        never=(AS_PLANNED,),
    ),
    "score edited": Situation(
        truth="one digit of a record was edited",
        arms=arms(Lead(3)),
        after=by_hand_edited("people/seed0"),
        must=(r"(edited|changed|does not match)",),
        never=(NOTHING_ELSE,),
    ),
    "planned delta was another": Situation(
        truth="the plan says delta = 0.2, the runs say 1",
        arms=arms(Lead(3)),
        planned=True,
        plan={"verdict": {"delta": 0.2, "max_seeds": None, "primary": ""}},
        never=(AS_PLANNED,),
    ),
    "fewer seeds than planned": Situation(
        truth="six seeds planned, four run",
        arms={n: (*lead.values(4, i),) for i, (n, lead) in enumerate(arms(Lead(3)).items())},
        num_seeds=4,
        looks=(6,),
        planned=True,
        never=(AS_PLANNED,),
    ),
}

# --- published scores ------------------------------------------------------------------------------------------------
EXPECT = """[[expect]]
arm = "random"
measure = "top1"
data_set = "cifar10"
value = {value}
tolerance = {tolerance}
source = "a published table"
"""
YARDSTICKS = {
    "the baseline is far below": Situation(
        truth="random is 20 points below the published score",
        arms=arms(Lead(3)),
        expect=EXPECT.format(value=60.7, tolerance=1.0),
        must=(r"worse by 20.*weak evidence", r"the baseline is worse than its published score"),
        never=(WORTH, STRUCTURE),
    ),
    "the baseline at the edge": Situation(
        truth="random is 0.95 off with an interval to 1.5, tolerance 1",
        arms={"random": Lead(-0.95, 0.6), "people": Lead(3)},
        expect=EXPECT.format(value=40.0, tolerance=1.0),
        must=(r"undecided, the interval is partly outside",),
        never=(r"published \(.*equivalent",),
    ),
    "the baseline reproduces": Situation(
        truth="random is at the published score",
        arms=arms(Lead(3)),
        expect=EXPECT.format(value=40.0, tolerance=1.5),
        must=(WORTH, r"equivalent, within 1\.5 points"),
        never=(r"not reproduced",),
        firm=True,
    ),
    "the baseline is above": Situation(
        truth="random is 20 points above the published score",
        arms=arms(Lead(3)),
        expect=EXPECT.format(value=20.0, tolerance=1.0),
        must=(r"better by 20",),
        never=(r"published \(.*equivalent",),
    ),
    "the mean within the tolerance, the interval not": Situation(
        truth="random is 0.7 off with an interval to 1.2, tolerance 1",
        arms={"random": Lead(-0.7, 0.6), "people": Lead(3)},
        expect=EXPECT.format(value=40.0, tolerance=1.0),
        must=(r"undecided, the interval is partly outside",),
        never=(r"published \(.*equivalent",),
    ),
    "one seed of the baseline": Situation(
        truth="one seed at the published score shows nothing of its spread",
        arms={"random": (40.0,), "people": (43.0,)},
        expect=EXPECT.format(value=40.0, tolerance=1.0),
        must=(r"undecided, one seed has no interval",),
        never=(r"published \(.*equivalent",),
    ),
    "among re-runs that are all below": Situation(
        truth="the published score is 43, re-runs are 39 to 41, random is 40",
        arms=arms(Lead(3)),
        expect=EXPECT.format(value=43.0, tolerance=4.0) + "reruns_are_below = true\n",
        must=(r"equivalent, at most 4\.0 points below", r"not reproduced by others", WORTH),
        firm=True,
    ),
    "above a score that no one reproduced": Situation(
        truth="the published score is 38, re-runs are below it, random is 40",
        arms=arms(Lead(3)),
        expect=EXPECT.format(value=38.0, tolerance=3.0) + "reruns_are_below = true\n",
        must=(r"better by 2\.", r"not reproduced by others"),
        never=(r"published \(.*equivalent", WORTH),
    ),
}

# --- judgments as the score ------------------------------------------------------------------------------------------
PIXELS = {"pixels 32 x 32": {"value": 0.57, "stderr": 0.01}, "mean colour": {"value": 0.55, "stderr": 0.01}}
PIXELS |= {key: {"value": 0.55, "stderr": 0.01} for key in STRONG}
JUDGED = {
    "stage 1 alone, above pixels": Situation(
        truth="stage 1 learns the judgments: 66 against pixels' 57",
        arms={"random": Lead(0, 0, 52), "people": Lead(14, 0.5, 52)},
        measure="2afc",
        set_name="nights",
        pretrain="",
        num_examples=1720,
        chance=0.5,
        extra={"baselines": PIXELS, "weighting": "votes"},
        must=(r"pixels.{0,20} 57",),
        never=(WORTH, STRUCTURE),
    ),
    "stage 1 alone, no better than pixels": Situation(
        truth="stage 1 learns no more than pixels know",
        arms={"random": Lead(0, 0, 52), "people": Lead(5, 0.5, 52)},
        measure="2afc",
        set_name="nights",
        pretrain="",
        num_examples=1720,
        chance=0.5,
        extra={"baselines": PIXELS, "weighting": "votes"},
        must=(r"pixels.{0,20} 57",),
        never=(WORTH, STRUCTURE),
    ),
    "stage 1 alone, right where pixels are and beyond": Situation(
        truth="58.5 against pixels' 57, on the same judgments and 1.5 % more: beyond chance",
        arms={"random": Lead(0, 0.1, 52), "people": Lead(6.5, 0.1, 52)},
        measure="2afc",
        set_name="nights",
        pretrain="",
        num_examples=1720,
        chance=0.5,
        extra={"baselines": PIXELS, "weighting": "votes"},
        after=with_items(is_alike=True),
        must=(r"It learns the judgments: 58\.5 %, pixels 32 x 32 57\.0 % \(\+1\.5 points",),
        never=(WORTH, STRUCTURE, r"not shown to be above"),
        firm=True,
    ),
    "stage 1 alone, right on other judgments than pixels": Situation(
        truth="60 against pixels' 57 on 1,720 judgments, independently: other judgments may show the reverse",
        arms={"random": Lead(0, 0.1, 52), "people": Lead(8, 0.1, 52)},
        measure="2afc",
        set_name="nights",
        pretrain="",
        num_examples=1720,
        chance=0.5,
        extra={"baselines": PIXELS, "weighting": "votes"},
        after=with_items(is_alike=False),
        must=(r"not shown to learn more of the judgments",),
        never=(WORTH, STRUCTURE, r"It learns the judgments"),
    ),
    "judgments after pretraining, trained on": Situation(
        truth="the score asks what people was trained on",
        arms=arms(Lead(5)),
        measure="2afc",
        set_name="nights",
        chance=0.5,
        must=(r"trained on",),
        never=(WORTH, STRUCTURE),
    ),
    "judgments under another name": Situation(
        truth="the task of the score is the trained one under another name",
        arms=arms(Lead(5)),
        measure="2afc",
        set_name="nights-again",
        chance=0.5,
        extra={"seen_in_stage_1": 1.0, "baselines": PIXELS},
        must=(r"(trained on|has seen)",),
        never=(WORTH, STRUCTURE),
    ),
    "other judgments, better than random and pixels": Situation(
        truth="judgments that no arm was trained on; people beats pixels",
        arms=arms(Lead(6, 0.4)),
        measure="2afc",
        set_name="bapps",
        num_examples=5000,
        chance=0.5,
        extra={"baselines": {"pixels 32 x 32": {"value": 0.35, "stderr": 0.007}}},
        must=(BETTER, r"pixels"),
        firm=True,
    ),
    "other judgments, pixels as good": Situation(
        truth="judgments that no arm was trained on; pixels score the same",
        arms=arms(Lead(6, 0.4)),
        measure="2afc",
        set_name="bapps",
        num_examples=5000,
        chance=0.5,
        extra={"baselines": {"pixels 32 x 32": {"value": 0.46, "stderr": 0.007}}},
        must=(r"pixels",),
        never=(STRUCTURE, r"^people is worth it, and it is the human structure that helps\.$"),
    ),
}

# --- tuned arms --------------------------------------------------------------------------------------------------
TUNE = """[tune]
measure = "top1"
trials = 5
searches = 3
[tune.eval]
use = "zero-shot"
root = "sets"
datasets = ["validation"]
[tune.space]
"pretrain.lr" = { low = 1e-4, high = 1e-2 }
"""
PROCEDURES = r"Each arm has its own settings"
TUNED = {
    "tuned alike": Situation(
        truth="both arms at the best of as many trials; people leads by 3",
        arms={"random": RANDOM, "people": Lead(3)},
        expect=TUNE,
        change=in_turn(tuned("random"), tuned("people", lr=2e-3)),
        must=(BETTER, r"settings as fixed"),
        never=(WORTH, r"edge"),
        firm=True,
    ),
    "best at the edge of the space": Situation(
        truth="the optimum of people lies beyond the space; it takes 0.0098 of 0.01",
        arms={"random": RANDOM, "people": Lead(-1.5)},
        expect=TUNE,
        change=in_turn(tuned("random"), tuned("people", lr=9.8e-3)),
        must=(r"edge",),
        never=(NOT_WORTH,),
    ),
    "best at the low edge of a linear space": Situation(
        truth="people takes 0.0002 of 0.0001 to 0.01, spread evenly: at the edge, though not on a log scale",
        arms={"random": RANDOM, "people": Lead(-1.5)},
        expect=TUNE,
        change=in_turn(tuned("random"), tuned("people", lr=2e-4)),
        must=(r"edge",),
        never=(NOT_WORTH,),
    ),
    "five searches that agree": Situation(
        truth="people leads by 3; other searches would find settings as good",
        arms={"random": RANDOM, "people": Lead(3)},
        expect=TUNE,
        change=in_turn(tuned("random", 1e-3, 2, 5), tuned("people", 2e-3, 2, 5)),
        after=with_trials(random=(40.2, 40.0, 40.3, 39.9, 40.1), people=(43.1, 43.3, 42.9, 43.0, 43.2)),
        must=(BETTER, r"over seeds( and images)? and searches", r"searches are resampled"),
        never=(WORTH, r"as fixed", UNDECIDED),
        firm=True,
    ),
    "five searches that disagree": Situation(
        truth="people leads by 3 at these settings; another search may as well find some that lose 3",
        arms={"random": RANDOM, "people": Lead(3)},
        expect=TUNE,
        change=in_turn(tuned("random", 1e-3, 2, 5), tuned("people", 2e-3, 2, 5)),
        after=with_trials(random=(40, 44, 35, 38, 43), people=(43, 37, 45, 41, 48)),
        must=(UNDECIDED, r"over seeds( and images)? and searches", r"more seeds alone may not decide"),
        never=(BETTER, WORTH, r"as fixed"),
    ),
    "five searches without their trials": Situation(
        truth="the trials are gone, so nothing shows what other searches would find",
        arms={"random": RANDOM, "people": Lead(3)},
        expect=TUNE,
        change=in_turn(tuned("random", 1e-3, 2, 5), tuned("people", 2e-3, 2, 5)),
        must=(BETTER, r"as fixed"),
        never=(WORTH, r"resampled"),
    ),
    "a tuned arm beside an untuned one": Situation(
        truth="only people was tuned",
        arms={"random": RANDOM, "people": Lead(3)},
        expect=TUNE,
        change=tuned("people"),
        must=(r"neither is called better",),
        never=(PROCEDURES, BETTER),
    ),
    "tuned with unequal trials": Situation(
        truth="people had 30 trials, random 15",
        arms={"random": RANDOM, "people": Lead(3)},
        expect=TUNE,
        change=in_turn(tuned("random"), tuned("people", trials=10)),
        must=(r"neither is called better",),
        never=(PROCEDURES, BETTER),
    ),
    "shared settings that suit one arm": Situation(
        truth="not tuned: the shared learning rate suits random, tuned they are equal",
        arms={"random": RANDOM, "people": Lead(-4)},
        expect=TUNE,
        must=(r"at the same settings",),
        never=(r"said of how they start",),
    ),
}

SITUATIONS: dict[str, Situation] = {
    **PLAIN, **CONTROLS, **SIZES, **ENVIRONMENTS, **LOST, **SETS, **MANY, **PLANS, **YARDSTICKS, **JUDGED, **TUNED,
    **CONDITIONS, **CLAIMS, **MORE_CONTROLS,
}  # fmt: skip
