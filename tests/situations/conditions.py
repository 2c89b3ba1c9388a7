"""Situations that refute or hide one condition of a firm sentence, and firm ones that just fulfil it."""

from __future__ import annotations

from situations.changes import (
    absent,
    by_hand_edited,
    by_package,
    collapsed,
    copied,
    fewer_samples,
    in_turn,
    lower_is_better,
    not_finite,
    saw_in_stage_1,
    stage_1,
    truncated,
    with_equal_items,
    without_arm,
)
from situations.made import Lead, Situation
from situations.patterns import (
    AS_PLANNED,
    BETTER,
    EQUIVALENT,
    NOT_WORTH,
    RANDOM,
    SHUFFLED,
    STRUCTURE,
    WORTH,
    arms,
)

N = None
NO_DIFFERENCE = r"makes no difference that matters"
PUBLISHED = r"equivalent, within"
UNHEDGED = (
    r"^people is worth it\.$",
    r"^people is worth it, and it is the human structure that helps\.$",
)
ONE_OF_SIX = r"1 of 6|[Oo]ne of (the )?six"
UNKNOWN = r"not recorded|no record|unknown|older|not known|(do|does) not (show|record|say|contain)"
MIMETIC_WORTH = r"(?<![Ww]hether )mimetic is worth it"

# --- a run without a score -----------------------------------------------------------------------------------------
FIVE = (*Lead(0, 0).values(6, 0)[:5], N)
EXPECT = """[[expect]]
arm = "random"
measure = "top1"
data_set = "cifar10"
value = 40.0
tolerance = 1.5
source = "a published table"
"""
RUNS = {
    "a run of people is not finite": Situation(
        truth="one of six runs of people ended with NaN",
        arms=arms(Lead(3)),
        change=not_finite("people", 3),
        must=(ONE_OF_SIX, r"missing|lowest|anywhere|no score"),
        never=(WORTH, STRUCTURE, r"No run failed"),
    ),
    "a run of people is unreadable": Situation(
        truth="one of six records of people is cut in half",
        arms=arms(Lead(3)),
        after=truncated("people/seed2"),
        must=(ONE_OF_SIX,),
        never=(WORTH, STRUCTURE, r"No run failed"),
    ),
    "a run of people was edited": Situation(
        truth="one of six records of people was edited",
        arms=arms(Lead(3)),
        after=by_hand_edited("people/seed2"),
        must=(ONE_OF_SIX,),
        never=(WORTH, STRUCTURE, r"No run failed"),
    ),
    "a run of people is absent": Situation(
        truth="one of six runs of people has no folder, the other arms have all runs",
        arms=arms(Lead(3)),
        after=absent("people/seed2"),
        must=(r"1 of 6|5 of 6|so far",),
        never=(*UNHEDGED, r"No run failed"),
    ),
    "a run of random is not finite": Situation(
        truth="one of six runs of random ended with NaN",
        arms=arms(Lead(3)),
        change=not_finite("random", 3),
        must=(ONE_OF_SIX,),
        never=(WORTH, STRUCTURE),
    ),
    "a run of random is unreadable": Situation(
        truth="one of six records of random is cut in half",
        arms=arms(Lead(3)),
        after=truncated("random/seed2"),
        must=(ONE_OF_SIX,),
        never=(WORTH, STRUCTURE),
    ),
    "a run of random is absent": Situation(
        truth="one of six runs of random has no folder, the other arms have all runs",
        arms=arms(Lead(3)),
        after=absent("random/seed2"),
        must=(r"1 of 6|5 of 6|so far",),
        never=UNHEDGED,
    ),
    "a loss, and a run of random failed": Situation(
        truth="people is 3 points below random, of which one of six runs diverged",
        arms={"random": FIVE, "people": Lead(-3), "shuffled": SHUFFLED},
        must=(ONE_OF_SIX,),
        never=(NOT_WORTH,),
    ),
    "a run of shuffled failed": Situation(
        truth="people leads by 3; one of six runs of the control diverged",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": FIVE},
        must=(WORTH, ONE_OF_SIX),
        never=(STRUCTURE,),
    ),
    "a run of shuffled is not finite": Situation(
        truth="people leads by 3; one of six runs of the control ended with NaN",
        arms=arms(Lead(3)),
        change=not_finite("shuffled", 1),
        must=(WORTH, ONE_OF_SIX),
        never=(STRUCTURE,),
    ),
    "within delta, a run of people failed": Situation(
        truth="five runs of people equal random, the sixth diverged",
        arms={"random": RANDOM, "people": (*Lead(0.1, 0.2).values(6, 1)[:5], N), "shuffled": SHUFFLED},
        must=(ONE_OF_SIX,),
        never=(NO_DIFFERENCE,),
    ),
    "within delta, a run of random is not finite": Situation(
        truth="people equals random, of which one of six runs ended with NaN",
        arms=arms(Lead(0.1, 0.2)),
        change=not_finite("random", 0),
        must=(ONE_OF_SIX,),
        never=(NO_DIFFERENCE,),
    ),
    "at the published score, a run failed": Situation(
        truth="five runs of random are at the published score, the sixth diverged",
        arms={"random": FIVE, "people": Lead(3)},
        expect=EXPECT,
        must=(ONE_OF_SIX,),
        never=(PUBLISHED,),
    ),
    "at the published score, a run of another arm failed": Situation(
        truth="six runs of random are at the published score; one of six runs of people diverged",
        arms={"random": RANDOM, "people": (*Lead(3).values(6, 1)[:5], N)},
        expect=EXPECT,
        must=(PUBLISHED, ONE_OF_SIX),
        never=(WORTH,),
        firm=True,
    ),
    "two seeds are not started": Situation(
        truth="two of six seeds are not started in any arm",
        arms=arms(Lead(3)),
        after=absent(*(f"{arm}/seed{k}" for arm in ("random", "people", "shuffled") for k in (4, 5))),
        must=(r"so far|4 of 6|2 of 6",),
        never=(*UNHEDGED, r"No run failed"),
    ),
    "a descriptive measure of a run is not finite": Situation(
        truth="people leads by 3; the spread of the embeddings of one run is NaN, which ranks no arm",
        arms=arms(Lead(3)),
        also={"embedding_spread/cifar10": {"random": RANDOM, "people": RANDOM, "shuffled": RANDOM}},
        change=not_finite("people", 0, "embedding_spread"),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "a run of equal starts failed": Situation(
        truth="people leads by 3; a run of the second draw of random weights diverged, and it is not a control",
        arms={**arms(Lead(3)), "redrawn": FIVE},
        must=(WORTH, STRUCTURE, ONE_OF_SIX),
        firm=True,
    ),
}

# --- controls and stage 1 ------------------------------------------------------------------------------------------
COLLAPSED = r"(?<!No control )collapsed"
PIXELS_COLLAPSED = r"pixels.{0,80}collapse|collapse.{0,80}pixels"
CONTROLS = {
    "pixels has one seed, 5 points above": Situation(
        truth="the one run of pixels is 5 points above people",
        arms=arms(Lead(3), pixels=Lead(8)),
        after=absent(*(f"pixels/seed{k}" for k in range(1, 6))),
        must=(WORTH, r"pixels"),
        never=(STRUCTURE,),
    ),
    "pixels 5 points above": Situation(
        truth="pixels are 5 points above people",
        arms=arms(Lead(3), pixels=Lead(8)),
        must=(WORTH, r"pixels"),
        never=(STRUCTURE,),
        firm=True,
    ),
    "every run of pixels failed": Situation(
        truth="no run of pixels finished",
        arms={**arms(Lead(3)), "pixels": (N,) * 6},
        must=(WORTH, r"pixels"),
        never=(STRUCTURE,),
    ),
    "one run of pixels failed": Situation(
        truth="one of six runs of pixels diverged",
        arms={**arms(Lead(3)), "pixels": FIVE},
        must=(WORTH, r"pixels", ONE_OF_SIX),
        never=(STRUCTURE,),
    ),
    "pixels is not started": Situation(
        truth="the recipe lists pixels, and no run of it has started",
        arms=arms(Lead(3), pixels=Lead(0)),
        after=absent("pixels"),
        must=(r"pixels",),
        never=(STRUCTURE,),
    ),
    "pixels collapsed": Situation(
        truth="stage 1 of pixels collapsed, so its score says nothing about the judgments",
        arms=arms(Lead(3), pixels=Lead(-5)),
        change=collapsed("pixels"),
        must=(WORTH, PIXELS_COLLAPSED),
        never=(STRUCTURE,),
    ),
    "the shuffled control is absent": Situation(
        truth="plan and recipe list shuffled, which has no run",
        arms=arms(Lead(3)),
        planned=True,
        after=absent("shuffled"),
        must=(r"shuffled",),
        never=(STRUCTURE, r"^As planned \("),
    ),
    "people collapsed, better": Situation(
        truth="people leads by 3, but its embeddings of different images are equal after stage 1",
        arms=arms(Lead(3)),
        change=stage_1("people", spread_after=0.0004),
        must=(r"people.{0,80}collapse|collapse.{0,80}people",),
        never=(STRUCTURE,),
    ),
    "people contracted and at chance": Situation(
        truth="stage 1 of people shrank the distances to a twentieth and learned nothing",
        arms=arms(Lead(3)),
        change=stage_1("people", spread_after=0.03, two_afc=0.5),
        must=(r"people.{0,80}collapse|collapse.{0,80}people",),
        never=(STRUCTURE, r"which first learned"),
    ),
    "people did not learn": Situation(
        truth="stage 1 of people predicts held-out judgments at chance",
        arms=arms(Lead(3)),
        change=stage_1("people", two_afc=0.5),
        must=(r"chance|did not learn|not learned",),
        never=(STRUCTURE, r"which first learned"),
    ),
    "people hardly learned": Situation(
        truth="held-out agreement after stage 1 is 51 %, one standard error above chance",
        arms=arms(Lead(3)),
        change=stage_1("people", two_afc=0.51),
        must=(r"chance|did not learn|not learned|not shown to",),
        never=(STRUCTURE, r"which first learned"),
    ),
    "people learned a little": Situation(
        truth="held-out agreement after stage 1 is 54 %, four standard errors above chance",
        arms=arms(Lead(3)),
        change=stage_1("people", two_afc=0.54, two_afc_before=0.49, **{"trivial_2afc/pixels 16 x 16": 0.51}),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "stage 1 is not recorded": Situation(
        truth="the records are older than spread and held-out agreement of stage 1",
        arms=arms(Lead(3)),
        change=stage_1(
            "people", two_afc=None, two_afc_before=None, stderr=None, spread_before=None, spread_after=None
        ),
        must=(UNKNOWN,),
        never=(STRUCTURE,),
    ),
    "people contracted, learned": Situation(
        truth="stage 1 of people shrank the distances to a fifteenth, but learned the judgments",
        arms=arms(Lead(3)),
        change=stage_1("people", spread_after=0.044),
        must=(WORTH, STRUCTURE, r"contracted", r"0\.66.{0,80}0\.044|0\.044.{0,80}0\.66"),
        never=(COLLAPSED,),
        firm=True,
    ),
    "shuffled contracted more than people": Situation(
        truth="shuffled votes shrank the distances to a twentieth, votes of people did not",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", spread_after=0.033),
        must=(WORTH, STRUCTURE, r"shuffled.{0,80}contracted|contracted.{0,80}shuffled"),
        never=(COLLAPSED,),
        firm=True,
    ),
    "pixels contracted more than people": Situation(
        truth="pixels shrank the distances to a twentieth, and learned; people beats them by 4",
        arms=arms(Lead(4), pixels=Lead(0)),
        change=in_turn(stage_1("pixels", spread_after=0.033), stage_1("people", spread_after=0.06)),
        must=(WORTH, STRUCTURE, r"pixels.{0,80}contracted|contracted.{0,80}pixels"),
        never=(COLLAPSED,),
        firm=True,
    ),
    "pixels complete and beaten": Situation(
        truth="people leads pixels and shuffled by 3 in all six seeds, and no stage 1 shrank",
        arms=arms(Lead(3), pixels=Lead(0)),
        must=(WORTH, STRUCTURE),
        never=(COLLAPSED, r"contracted"),
        firm=True,
    ),
}

# --- few images ----------------------------------------------------------------------------------------------------
FEW_IMAGES = {
    "two of a hundred images": Situation(
        truth="people is right on the same 2 of 100 images more in each seed",
        arms=arms(Lead(2, 0)),
        num_examples=100,
        after=with_equal_items,
        must=(r"100 images|seeds and images",),
        never=(WORTH, STRUCTURE),
    ),
    "pixels beaten over seeds, not over images": Situation(
        truth="people leads random by 25, and pixels by the same 2 of 100 images in each seed",
        arms=arms(Lead(25, 0), pixels=Lead(23, 0)),
        num_examples=100,
        after=with_equal_items,
        must=(r"pixels",),
        never=(STRUCTURE,),
    ),
    "a large lead over images, too": Situation(
        truth="people leads by 8 on 2,000 images",
        arms=arms(Lead(8), pixels=Lead(0)),
        num_examples=2000,
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "no scores per image": Situation(
        truth="people leads by 3 on 10,000 images, whose separate scores are missing",
        arms=arms(Lead(3)),
        writes_items=False,
        must=(BETTER, r"these 10,000 images|other images|per.image|over images"),
        never=(STRUCTURE,),
    ),
    "a trivial model beaten over seeds, not over judgments": Situation(
        truth="people is right on 60 of 100 judgments in each seed, pixels on 57",
        arms={"random": Lead(0, 0, 52), "people": Lead(8, 0.1, 52)},
        measure="2afc",
        set_name="nights",
        pretrain="",
        num_examples=100,
        chance=0.5,
        extra={"baselines": {"pixels 32 x 32": {"value": 0.57, "stderr": 0.05}}},
        must=(r"not shown to",),
        never=(WORTH, STRUCTURE, r"It learns the judgments"),
    ),
}

# --- equal starts and copies ---------------------------------------------------------------------------------------
COPIES = [f"{arm}/seed{k}" for arm in ("random", "people", "shuffled") for k in range(1, 6)]
COPIED = r"cop(y|ies)|same (weights|final|run|score)|equal (weights|final|scores)|identical"
ALIKE = {
    "equal starts differ beside a lead": Situation(
        truth="two draws of random weights differ by 2 points, p < 0.001: something else differs",
        arms=arms(Lead(3), redrawn=Lead(2)),
        must=(r"redrawn",),
        never=(WORTH, STRUCTURE),
    ),
    "equal starts, undecided, beside a lead": Situation(
        truth="whether two draws of random weights differ is undecided, as equality cannot be proved",
        arms=arms(Lead(3), redrawn=Lead(0.4, 1.5)),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "equal starts, p = 0.03, beside a lead": Situation(
        truth="two draws of random weights differ with p = 0.03, as one in 20 does",
        arms=arms(Lead(3), redrawn=Lead(0.33, 0.28)),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "six copies of one run": Situation(
        truth="the runs of each arm are copies of one run",
        arms=arms(Lead(3)),
        after=copied(*COPIES),
        must=(COPIED,),
        never=(WORTH, STRUCTURE),
    ),
    "six copies of one run of random": Situation(
        truth="the runs of random are copies of one run",
        arms=arms(Lead(3)),
        after=copied(*COPIES[:5]),
        must=(COPIED,),
        never=(WORTH, STRUCTURE),
    ),
    "two copies among six runs of people": Situation(
        truth="two runs of people are copies of a third",
        arms=arms(Lead(3)),
        after=copied("people/seed1", "people/seed2"),
        must=(COPIED,),
        never=(WORTH, STRUCTURE),
    ),
    "equal scores of different runs": Situation(
        truth="two runs of random have equal scores by chance, and different weights",
        arms={**arms(Lead(3)), "random": (40.2, 40.2, 40.5, 39.8, 40.1, 39.7)},
        must=(WORTH, STRUCTURE),
        never=(COPIED,),
        firm=True,
    ),
}

# --- a baseline near the ends of the scale -------------------------------------------------------------------------
AT_THE_TOP = (99.7, 99.65, 99.75, 99.7, 99.72, 99.68)


def near(base: float) -> dict[str, Lead]:
    """Return arms that equal each other at this level."""
    return {"random": Lead(0, 0, base), "people": Lead(0.1, 0.2, base), "shuffled": Lead(0, 0.2, base)}


ENDS = {
    "baseline at chance, a lead": Situation(
        truth="random did not learn (10 %, chance 10 %); people leads by 4",
        arms={"random": Lead(0, 0, 10), "people": Lead(4, 0.3, 10), "shuffled": Lead(0, 0.3, 10)},
        must=(WORTH, r"random.{0,40}(did not learn|chance)"),
        firm=True,
    ),
    "baseline at chance, no difference": Situation(
        truth="no arm learned, so their equality says nothing",
        arms=near(10),
        must=(r"chance",),
        never=(NO_DIFFERENCE,),
    ),
    "baseline within delta of chance": Situation(
        truth="random is 0.8 points above chance, delta is 1",
        arms=near(10.8),
        must=(r"chance",),
        never=(NO_DIFFERENCE,),
    ),
    "baseline at the upper end": Situation(
        truth="random is at 99.7 %, so no arm can lead by delta",
        arms={"random": AT_THE_TOP, "people": AT_THE_TOP[::-1], "shuffled": AT_THE_TOP[1:] + AT_THE_TOP[:1]},
        must=(r"99\.7|upper end|100 %|ceiling",),
        never=(NO_DIFFERENCE,),
    ),
    "delta larger than what was learned": Situation(
        truth="random is 30 points above chance, delta is 35",
        arms=arms(Lead(0.1, 0.2)),
        verdict="delta = 35.0",
        must=(r"chance|delta",),
        never=(NO_DIFFERENCE,),
    ),
    "baseline three deltas above chance": Situation(
        truth="random is 3 points above chance, delta is 1",
        arms=near(13),
        must=(EQUIVALENT,),
        firm=True,
    ),
    "baseline two deltas below the upper end": Situation(
        truth="random is at 97.5 %, delta is 1",
        arms=near(97.5),
        must=(EQUIVALENT,),
        firm=True,
    ),
}

# --- evaluated images in stage 1 -----------------------------------------------------------------------------------
SEEN = r"seen|saw|stage 1 (trained|learned)"
LEAKS = {
    "stage 1 saw every evaluated image": Situation(
        truth="the judgments are of the evaluated images",
        arms=arms(Lead(3)),
        change=saw_in_stage_1(1.0, "people", "shuffled"),
        must=(SEEN,),
        never=(WORTH, STRUCTURE),
    ),
    "stage 1 saw a few evaluated images": Situation(
        truth="3 % of the evaluated images are among those of the judgments",
        arms=arms(Lead(3)),
        change=saw_in_stage_1(0.03, "people", "shuffled"),
        must=(SEEN, r"3(\.0)? %"),
        never=(WORTH, STRUCTURE),
    ),
    "no record of what stage 1 saw": Situation(
        truth="the records are older than the check of the images of stage 1",
        arms=arms(Lead(3)),
        change=saw_in_stage_1(None, "random", "people", "shuffled"),
        must=(UNKNOWN,),
        never=(WORTH, STRUCTURE),
    ),
    "no stage 1, and no record of what it saw": Situation(
        truth="mimetic leads by 3; the start sees no images, so an old record is enough",
        arms={"random": RANDOM, "mimetic": Lead(3)},
        change=saw_in_stage_1(None, "random", "mimetic"),
        must=(MIMETIC_WORTH,),
        firm=True,
    ),
}

# --- other measures, sets and evaluations --------------------------------------------------------------------------
PER_CLASS = "mean_per_class_recall/cifar10"
THREE = {"dtd": arms(Lead(3)), "svhn": arms(Lead(3))}
ALL_SETS = r"cifar10\W.{0,40}dtd\W.{0,40}svhn"
SIX_OF_DTD = Lead(3).values(6, 1)
OTHERS = {
    "another measure of the set is worse": Situation(
        truth="top-1 is 3 better, mean per-class recall 3 worse",
        arms=arms(Lead(3)),
        also={PER_CLASS: arms(Lead(-3))},
        must=(r"mean.per.class",),
        never=(WORTH, STRUCTURE),
    ),
    "another measure of the set is undecided": Situation(
        truth="top-1 is 3 better, mean per-class recall 3 better with a wide spread",
        arms=arms(Lead(3)),
        also={PER_CLASS: arms(Lead(1.0, 2.0))},
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "one set of three is worse": Situation(
        truth="two sets at +6, one at -3",
        arms=arms(Lead(6)),
        sets={"dtd": arms(Lead(6)), "svhn": arms(Lead(-3))},
        must=(r"svhn",),
        never=(WORTH, STRUCTURE),
    ),
    "all of three sets are better": Situation(
        truth="people leads by 3 on each of three sets",
        arms=arms(Lead(3)),
        sets=THREE,
        must=(WORTH, STRUCTURE, ALL_SETS),
        firm=True,
    ),
    "all of three sets are worse": Situation(
        truth="people costs 3 on each of three sets",
        arms=arms(Lead(-3)),
        sets={"dtd": arms(Lead(-3)), "svhn": arms(Lead(-3))},
        must=(NOT_WORTH,),
        firm=True,
    ),
    "three sets within delta": Situation(
        truth="people equals random on each of three sets",
        arms=arms(Lead(0.1, 0.2)),
        sets={"dtd": arms(Lead(0.2, 0.2)), "svhn": arms(Lead(0, 0.2))},
        must=(EQUIVALENT,),
        never=(WORTH, NOT_WORTH),
        firm=True,
    ),
    "a set of people is missing in four seeds": Situation(
        truth="four of six runs of people lack the scores of one set",
        arms=arms(Lead(3)),
        sets=THREE | {"dtd": {**arms(Lead(3)), "people": (*SIX_OF_DTD[:2], N, N, N, N)}},
        must=(r"4 of 6|dtd",),
        never=(WORTH, STRUCTURE),
    ),
    "a set of random is missing in one seed": Situation(
        truth="one of six runs of random lacks the scores of one set",
        arms=arms(Lead(3)),
        sets=THREE | {"dtd": {**arms(Lead(3)), "random": FIVE}},
        must=(r"1 of 6|dtd",),
        never=(WORTH, STRUCTURE),
    ),
    "the end points the other way": Situation(
        truth="people leads by 3 after half of the pairs, and trails by 3 at the end",
        arms=arms(Lead(-3)),
        early={"top1/cifar10": arms(Lead(3))},
        options=("--at", "50000"),
        must=(r"\b(end|last|final|100,000)\b",),
        never=(WORTH, STRUCTURE),
    ),
    "the first evaluation points the other way": Situation(
        truth="people trails by 3 after half of the pairs, and leads by 3 at the end, which was asked",
        arms=arms(Lead(3)),
        early={"top1/cifar10": arms(Lead(-3))},
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
}

# --- ceilings, scales and plans ------------------------------------------------------------------------------------
BAPPS = {
    "measure": "2afc",
    "set_name": "bapps",
    "num_examples": 5000,
    "chance": 0.5,
    "ceiling": 0.62,
    "extra": {"baselines": {"pixels 32 x 32": {"value": 0.52, "stderr": 0.007}}},
}
LOWER = {"measure": "cross_entropy", "chance": None, "higher_is_better": False, "verdict": "delta = 10.0"}
PLANNED_DELTA = {"max_seeds": None, "primary": ""}
SCALES = {
    "a score above the ceiling": Situation(
        truth="people scores 66 %, and the votes of all people predict one person in 62 %",
        arms={"random": Lead(0, 0, 55), "people": Lead(11, 0.3, 55)},
        must=(r"ceiling",),
        never=(WORTH, STRUCTURE),
        **BAPPS,
    ),
    "a score at the ceiling": Situation(
        truth="people scores 62.3 %, half a standard error above the ceiling of 62 %",
        arms={"random": Lead(0, 0, 55), "people": Lead(7.3, 0.3, 55)},
        must=(WORTH,),
        firm=True,
        **BAPPS,
    ),
    "lower is better, lower": Situation(
        truth="cross-entropy of people is 0.300 lower",
        arms={"random": Lead(0, 0, 150), "people": Lead(-30, 1.3, 150)},
        must=(WORTH, r"better.{0,80}0\.300", r"\+?0\.2\d\d to \+?0\.3\d\d"),
        never=(NOT_WORTH, r"-0\.3\d\d to -0\.2\d\d", r"-0\.2\d\d to -0\.3\d\d"),
        firm=True,
        **LOWER,
    ),
    "lower is better, higher": Situation(
        truth="cross-entropy of people is 0.300 higher",
        arms={"random": Lead(0, 0, 150), "people": Lead(30, 1.3, 150)},
        must=(NOT_WORTH, r"worse.{0,80}0\.300"),
        never=(WORTH,),
        firm=True,
        **LOWER,
    ),
    "lower is better, within delta": Situation(
        truth="cross-entropy of people differs by 0.010, delta is 0.100; the scale has no chance level and no end",
        arms={"random": Lead(0, 0, 150), "people": Lead(-1, 1.3, 150)},
        must=(EQUIVALENT,),
        never=(WORTH, NOT_WORTH),
        firm=True,
        **LOWER,
    ),
    "a changed delta changes the answer": Situation(
        truth="the plan says delta = 5, within which people makes no difference; the recipe says 1",
        arms=arms(Lead(3)),
        planned=True,
        plan={"verdict": {**PLANNED_DELTA, "delta": 5.0}},
        must=(r"delta was 5", r"[Aa]nswer|would|equivalent|no difference"),
        never=(AS_PLANNED, *UNHEDGED),
    ),
    "a changed delta leaves the answer": Situation(
        truth="the plan says delta = 0.5, the recipe says 1; people is worth it by both",
        arms=arms(Lead(3)),
        planned=True,
        plan={"verdict": {**PLANNED_DELTA, "delta": 0.5}},
        must=(r"delta was 0\.5", r"same (answer|verdict|reading)|(not|un|nothing).{0,20}change|(answer|reading).{0,20}(same|holds)"),
        never=(AS_PLANNED,),
    ),
}  # fmt: skip


# --- what holds of the arm must hold of its controls, and of each run -----------------------------------------------
def crossed(points: float) -> dict[str, Lead]:
    """Return cross-entropies of which people's differs by this number of points; shuffled is far worse."""
    return {"random": Lead(0, 0, 150), "people": Lead(points, 1.3, 150), "shuffled": Lead(60, 1.3, 150)}


EACH = {
    "six copies of one run of shuffled": Situation(
        truth="the runs of the control are copies of one run",
        arms=arms(Lead(3)),
        after=copied(*COPIES[10:]),
        must=(WORTH, COPIED),
        never=(STRUCTURE,),
    ),
    "the spread of shuffled is not recorded": Situation(
        truth="nothing shows whether stage 1 of the control collapsed",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", spread_before=None, spread_after=None),
        must=(WORTH, rf"shuffled.*({UNKNOWN})|({UNKNOWN}).*shuffled"),
        never=(STRUCTURE,),
    ),
    "the spread of one run of people is not recorded": Situation(
        truth="nothing shows whether stage 1 of one of six runs collapsed",
        arms=arms(Lead(3)),
        change=stage_1("people", seed=2, spread_before=None, spread_after=None),
        must=(UNKNOWN,),
        never=(STRUCTURE,),
    ),
    "the standard error of the agreement is not recorded": Situation(
        truth="held-out agreement is 51 % of an unknown number of judgments",
        arms=arms(Lead(3)),
        change=stage_1("people", two_afc=0.51, stderr=None),
        must=(r"51|0\.510|learned",),
        never=(STRUCTURE,),
    ),
    "one run of people collapsed": Situation(
        truth="stage 1 of one of six runs collapsed",
        arms=arms(Lead(3)),
        change=stage_1("people", seed=2, spread_after=0.0004),
        must=(r"people.{0,80}collapse|collapse.{0,80}people",),
        never=(STRUCTURE,),
    ),
    "shuffled saw half of the pairs": Situation(
        truth="the control was pretrained on half of the pairs",
        arms=arms(Lead(3)),
        change=fewer_samples("shuffled"),
        options=("--at", "end"),
        must=(r"equally trained|half|50,000",),
        never=(STRUCTURE,),
    ),
    "pixels by another torch": Situation(
        truth="the control ran with another version of torch",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=by_package("pixels", torch="1.0"),
        must=(r"torch",),
        never=(STRUCTURE,),
    ),
    "equal starts by another torch": Situation(
        truth="a second draw of random weights, which is not a control, ran with another version of torch",
        arms=arms(Lead(3), redrawn=Lead(0, 0.5)),
        change=by_package("redrawn", torch="1.0"),
        must=(WORTH, STRUCTURE, r"torch"),
        firm=True,
    ),
    "shuffled is better in another measure": Situation(
        truth="people leads shuffled by 3 in top-1, and trails it by 3 in mean per-class recall",
        arms=arms(Lead(3)),
        also={PER_CLASS: {"random": RANDOM, "people": Lead(3), "shuffled": Lead(6)}},
        must=(WORTH, r"mean.per.class"),
        never=(STRUCTURE,),
    ),
    "shuffled is undecided in another measure": Situation(
        truth="people leads shuffled by 3 in top-1; in mean per-class recall it is undecided",
        arms=arms(Lead(3)),
        also={PER_CLASS: {"random": RANDOM, "people": Lead(3), "shuffled": Lead(2, 2.5)}},
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "shuffled is better on one set of three": Situation(
        truth="people leads shuffled by 6 on two sets, and trails it by 4 on the third",
        arms=arms(Lead(3), shuffled=Lead(-3)),
        sets={"dtd": arms(Lead(3), shuffled=Lead(-3)), "svhn": arms(Lead(3), shuffled=Lead(7))},
        must=(r"svhn",),
        never=(STRUCTURE,),
    ),
    "pixels is better in another measure": Situation(
        truth="people leads pixels by 3 in top-1, and trails it by 3 in mean per-class recall",
        arms=arms(Lead(3), pixels=Lead(0)),
        also={PER_CLASS: arms(Lead(3), pixels=Lead(6))},
        must=(WORTH, r"mean.per.class"),
        never=(STRUCTURE,),
    ),
    "pixels is better on one set of three": Situation(
        truth="people leads pixels by 6 on two sets, and trails it by 4 on the third",
        arms=arms(Lead(3), pixels=Lead(-3)),
        sets={"dtd": arms(Lead(3), pixels=Lead(-3)), "svhn": arms(Lead(3), pixels=Lead(7))},
        must=(r"svhn",),
        never=(STRUCTURE,),
    ),
    "cross-entropy is higher": Situation(
        truth="people leads by 3 in top-1, and its cross-entropy is 0.300 higher, which is worse",
        arms=arms(Lead(3)),
        also={"cross_entropy/cifar10": crossed(30)},
        change=lower_is_better("cross_entropy"),
        must=(r"cross.entropy",),
        never=(WORTH, STRUCTURE),
    ),
    "cross-entropy is lower": Situation(
        truth="people leads by 3 in top-1, and its cross-entropy is 0.300 lower, which is better",
        arms=arms(Lead(3)),
        also={"cross_entropy/cifar10": crossed(-30)},
        change=lower_is_better("cross_entropy"),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "within delta, cross-entropy is higher": Situation(
        truth="people equals random in top-1, and its cross-entropy is 0.300 higher",
        arms=arms(Lead(0.1, 0.2)),
        also={"cross_entropy/cifar10": crossed(30)},
        change=lower_is_better("cross_entropy"),
        never=(WORTH, NOT_WORTH, STRUCTURE),
    ),
    "pixels is undecided on one set of three": Situation(
        truth="people leads pixels by 3 on two sets; on the third it is undecided",
        arms=arms(Lead(4), pixels=Lead(0)),
        sets={"dtd": arms(Lead(4), pixels=Lead(0)), "svhn": arms(Lead(4), pixels=Lead(3.5, 1.5))},
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "pixels has a larger spread": Situation(
        truth="people leads pixels by 3; its embeddings spread less, which ranks no arm",
        arms=arms(Lead(3), pixels=Lead(0)),
        also={"embedding_spread/cifar10": arms(Lead(0), pixels=Lead(20))},
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "all runs by an older torch": Situation(
        truth="all arms and controls ran with one older version of torch",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=by_package("", torch="1.0"),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "one run of people contracted": Situation(
        truth="stage 1 of one of six runs shrank the distances to a fifteenth, and learned the judgments",
        arms=arms(Lead(3)),
        change=stage_1("people", seed=2, spread_after=0.044),
        must=(WORTH, STRUCTURE, r"contracted"),
        never=(COLLAPSED,),
        firm=True,
    ),
    "cross-entropy is undecided": Situation(
        truth="people leads by 3 in top-1; whether its cross-entropy is higher is undecided",
        arms=arms(Lead(3)),
        also={"cross_entropy/cifar10": crossed(1) | {"people": Lead(1, 5, 150)}},
        change=lower_is_better("cross_entropy"),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "another measure over three sets is worse": Situation(
        truth="top-1 is 3 better on three sets, mean per-class recall 3 worse on each",
        arms=arms(Lead(3)),
        sets=THREE,
        also={f"mean_per_class_recall/{name}": arms(Lead(-3)) for name in ("cifar10", "dtd", "svhn")},
        must=(r"mean.per.class",),
        never=(WORTH, STRUCTURE),
    ),
    "another measure over three sets is better": Situation(
        truth="top-1 and mean per-class recall are 3 better on three sets",
        arms=arms(Lead(3)),
        sets=THREE,
        also={f"mean_per_class_recall/{name}": arms(Lead(3)) for name in ("cifar10", "dtd", "svhn")},
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "a listed set is in no run": Situation(
        truth="the recipe lists dtd, and no run has its scores",
        arms=arms(Lead(3)),
        sets={"dtd": {}},
        must=(r"dtd",),
        never=UNHEDGED,
    ),
    "a planned control is not in the recipe": Situation(
        truth="the plan lists pixels; the recipe of the runs does not",
        arms=arms(Lead(3), pixels=Lead(0)),
        planned=True,
        change=without_arm("pixels"),
        after=absent("pixels"),
        must=(r"pixels",),
        never=(STRUCTURE, r"^As planned \("),
    ),
    "one run saw an evaluated image": Situation(
        truth="stage 1 of one of six runs was trained on 1 % of the evaluated images",
        arms=arms(Lead(3)),
        change=saw_in_stage_1(0.01, "people", seed=3),
        must=(SEEN,),
        never=(WORTH, STRUCTURE),
    ),
}

CONDITIONS: dict[str, Situation] = {
    **RUNS, **CONTROLS, **FEW_IMAGES, **ALIKE, **ENDS, **LEAKS, **OTHERS, **SCALES, **EACH,
}  # fmt: skip
