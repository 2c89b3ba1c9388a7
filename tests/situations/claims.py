"""Situations of stage 1, its controls, earlier evaluations and means, for claims about human judgments."""

from __future__ import annotations

from situations.changes import in_turn, saw_in_stage_1, stage_1, summarized_as
from situations.conditions import THREE
from situations.made import Lead, Situation
from situations.patterns import BETTER, EQUIVALENT, NOT_WORTH, STRUCTURE, WORTH, arms

TRIVIAL = "trivial_2afc/pixels 16 x 16"
LEARNED = r"2AFC"
UNLIKE = r"pixels (has|was trained)"
OF_THREE_SETS = r"on these 3 data sets"
AS_GOOD = r"pixels (does as well|is not shown to do worse)"


def before(*seeds: int, value: float = 0.75):
    """Return a change to people's 2AFC before stage 1 in some seeds; it is 0.70 after stage 1."""
    return in_turn(*(stage_1("people", seed, two_afc_before=value) for seed in seeds))


LEARNING = {
    "stage 1 lowered 2AFC in every seed": Situation(
        truth="people leads by 3, but agreed less with held-out judgments after stage 1, though above chance",
        arms=arms(Lead(3)),
        change=before(0, 1, 2, 3, 4, 5),
        must=(WORTH, LEARNED),
        never=(STRUCTURE,),
    ),
    "stage 1 lowered 2AFC in half of the seeds": Situation(
        truth="stage 1 raised 2AFC in three seeds and lowered it in three",
        arms=arms(Lead(3)),
        change=before(0, 2, 4),
        must=(WORTH, LEARNED),
        never=(STRUCTURE,),
    ),
    "stage 1 lowered 2AFC in one seed": Situation(
        truth="stage 1 raised 2AFC in five seeds and lowered it in one",
        arms=arms(Lead(3)),
        change=before(3, value=0.72),
        must=(WORTH, LEARNED),
        never=(STRUCTURE,),
    ),
    "stage 1 raised 2AFC by less than its error in one seed": Situation(
        truth="stage 1 raised 2AFC in all seeds, in one of them by less than its error",
        arms=arms(Lead(3)),
        change=before(3, value=0.69),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "stage 1 raised 2AFC by less than its error": Situation(
        truth="stage 1 raised 2AFC from 0.69 to 0.70 in each seed, with an error of 0.01",
        arms=arms(Lead(3)),
        change=before(0, 1, 2, 3, 4, 5, value=0.69),
        must=(WORTH, LEARNED),
        never=(STRUCTURE,),
    ),
    "stage 1 ends below a trivial model": Situation(
        truth="images of 16 x 16 pixels predict more held-out judgments than people's network",
        arms=arms(Lead(3)),
        change=stage_1("people", **{TRIVIAL: 0.72}),
        must=(WORTH, r"trivial model"),
        never=(STRUCTURE,),
    ),
    "stage 1 ends at a trivial model": Situation(
        truth="the lead of people's network over a trivial model is within its error",
        arms=arms(Lead(3)),
        change=stage_1("people", **{TRIVIAL: 0.69}),
        must=(WORTH, r"trivial model"),
        never=(STRUCTURE,),
    ),
    "the trivial models of stage 1 are not recorded": Situation(
        truth="the records do not contain the 2AFC of trivial models",
        arms=arms(Lead(3)),
        change=stage_1("people", **{TRIVIAL: None}),
        must=(WORTH, r"trivial"),
        never=(STRUCTURE,),
    ),
    "2AFC before stage 1 is not recorded": Situation(
        truth="the records do not show whether stage 1 raised 2AFC",
        arms=arms(Lead(3)),
        change=stage_1("people", two_afc_before=None),
        must=(WORTH, r"do not say"),
        never=(STRUCTURE,),
    ),
}
SHUFFLED = {
    "shuffled votes raise 2AFC as far": Situation(
        truth="stage 1 raised 2AFC from 0.55 to 0.70 with shuffled votes, too",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", two_afc=0.7),
        must=(WORTH, r"shuffled.*0\.550 to 0\.700"),
        never=(STRUCTURE,),
    ),
    "shuffled votes raise 2AFC further": Situation(
        truth="stage 1 raised 2AFC further with shuffled votes",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", two_afc=0.74),
        must=(WORTH, r"shuffled.*2AFC|2AFC.*shuffled"),
        never=(STRUCTURE,),
    ),
    "shuffled votes raise 2AFC less": Situation(
        truth="shuffled votes raised 2AFC from 0.55 to 0.60, people from 0.55 to 0.70",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", two_afc=0.6),
        must=(WORTH, STRUCTURE, r"shuffled.*0\.550 to 0\.600"),
        firm=True,
    ),
    "shuffled votes are not shown to raise 2AFC less": Situation(
        truth="shuffled votes raised 2AFC by 0.13, people by 0.15, with errors of 0.014",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", two_afc=0.68),
        must=(WORTH, r"0\.550 to 0\.680"),
        never=(STRUCTURE,),
    ),
    "2AFC of shuffled votes is not recorded": Situation(
        truth="the records do not show what shuffled votes taught",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", two_afc=None),
        must=(WORTH, r"do not say.*shuffled"),
        never=(STRUCTURE,),
    ),
}
UNLIKE_CONTROLS = {
    "a control with fewer judgments": Situation(
        truth="pixels was trained on 5,000 judgments, people on 13,900",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=stage_1("pixels", triplets=5000.0),
        must=(WORTH, UNLIKE),
        never=(STRUCTURE,),
    ),
    "a control with fewer steps": Situation(
        truth="pixels was trained for 300 steps, people for 580",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=stage_1("pixels", steps=300.0),
        must=(WORTH, UNLIKE),
        never=(STRUCTURE,),
    ),
    "a control with another rate": Situation(
        truth="pixels was trained with a hundredth of the learning rate of people",
        arms=arms(Lead(3), pixels=Lead(0)),
        init={"pixels": '[{ like = "init", lr = 1e-6, judgments.through = ["pixel-triplets"] }]'},
        must=(WORTH, r"pixels.*lr"),
        never=(STRUCTURE,),
    ),
    "a control with fewer epochs": Situation(
        truth="labels was trained for one epoch",
        arms=arms(Lead(3), labels=Lead(0)),
        init={
            "labels": '[{ like = "init", epochs = 1, judgments = { use = "class-triplets", root = "sets" } }]'
        },
        must=(WORTH, r"labels.*epochs"),
        never=(STRUCTURE,),
    ),
    "a control with another network part": Situation(
        truth="pixels trained the last two blocks alone",
        arms=arms(Lead(3), pixels=Lead(0)),
        init={"pixels": '[{ like = "init", last_blocks = 2, judgments.through = ["pixel-triplets"] }]'},
        must=(WORTH, r"pixels.*last_blocks"),
        never=(STRUCTURE,),
    ),
    "the steps of a control are not recorded": Situation(
        truth="the records do not show how long pixels was trained",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=stage_1("pixels", steps=None),
        must=(WORTH, r"do not say.*pixels"),
        never=(STRUCTURE,),
    ),
    "a control with a few judgments less": Situation(
        truth="pixels has 13,850 of 13,900 judgments, because 50 were ties",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=stage_1("pixels", triplets=13_850.0),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "a closed form has no judgments to compare": Situation(
        truth="mimetic is not trained, so it has no steps",
        arms=arms(Lead(3), mimetic=Lead(0)),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
}
READ = {
    "controls as good, the size is open": Situation(
        truth="people leads by 1.2 with an interval that includes delta; pixels leads by as much",
        arms=arms(Lead(1.2, 0.7), pixels=Lead(1.2, 0.7)),
        must=(BETTER, AS_GOOD),
        never=(WORTH, STRUCTURE),
    ),
    "controls as good, what stage 1 saw is not recorded": Situation(
        truth="people leads by 3, and pixels by as much; the records do not show what stage 1 has seen",
        arms=arms(Lead(3), pixels=Lead(3, 0.3)),
        change=saw_in_stage_1(None, "people"),
        must=(BETTER, AS_GOOD),
        never=(WORTH, STRUCTURE),
    ),
    "controls as good, no shuffled arm": Situation(
        truth="people leads by 3, and pixels by as much",
        arms={"random": Lead(0, 0), "people": Lead(3), "pixels": Lead(3)},
        must=(WORTH, AS_GOOD),
        never=(STRUCTURE,),
    ),
    "controls worse, no shuffled arm": Situation(
        truth="people leads by 3, pixels and labels by none",
        arms={"random": Lead(0, 0), "people": Lead(3), "pixels": Lead(0), "labels": Lead(0)},
        must=(WORTH,),
        never=(STRUCTURE, r"(pixels|labels) (does as well|is not shown|is better)"),
        firm=True,
    ),
    "controls as good, without values by image": Situation(
        truth="people leads by 1.2 with an interval that includes delta, and pixels by 3; there are no items",
        arms=arms(Lead(1.2, 0.7), pixels=Lead(3)),
        writes_items=False,
        must=(BETTER, r"pixels is better"),
        never=(WORTH, STRUCTURE),
    ),
}
EARLIER = {"top1/cifar10": arms(Lead(3))}
ENDS = {
    "the end has no difference": Situation(
        truth="people leads by 3 after half of the pairs; at the end it equals random",
        arms=arms(Lead(0.1, 0.2)),
        early=EARLIER,
        options=("--at", "50000"),
        must=(r"last evaluation",),
        never=(WORTH, STRUCTURE),
    ),
    "the end is undecided": Situation(
        truth="people leads by 3 after half of the pairs; at the end it is undecided",
        arms=arms(Lead(0.5, 2)),
        early=EARLIER,
        options=("--at", "50000"),
        must=(r"last evaluation",),
        never=(WORTH, STRUCTURE),
    ),
    "the end confirms a lead": Situation(
        truth="people leads by 3 after half of the pairs and at the end",
        arms=arms(Lead(3)),
        early=EARLIER,
        options=("--at", "50000"),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "no difference after half of the pairs": Situation(
        truth="people equals random after half of the pairs, and leads by 3 at the end",
        arms=arms(Lead(3)),
        early={"top1/cifar10": arms(Lead(0.1, 0.2))},
        options=("--at", "50000"),
        must=(r"last evaluation",),
        never=(EQUIVALENT, WORTH, STRUCTURE),
    ),
    "the end confirms a loss": Situation(
        truth="people trails by 3 after half of the pairs and at the end",
        arms=arms(Lead(-3)),
        early={"top1/cifar10": arms(Lead(-3))},
        options=("--at", "50000"),
        must=(NOT_WORTH,),
        never=(WORTH, STRUCTURE),
        firm=True,
    ),
}
SETS = {
    "a mean over sets without items": Situation(
        truth="people leads by 3 on three sets; other images were not sampled",
        arms=arms(Lead(3)),
        sets=THREE,
        writes_items=False,
        must=(WORTH, OF_THREE_SETS),
        never=(STRUCTURE,),
        firm=True,
    ),
    "a loss in a mean over sets without items": Situation(
        truth="people trails by 3 on three sets; other images were not sampled",
        arms=arms(Lead(-3)),
        sets={name: arms(Lead(-3)) for name in THREE},
        writes_items=False,
        must=(NOT_WORTH, OF_THREE_SETS),
        never=(WORTH,),
        firm=True,
    ),
    "a mean over sets with items": Situation(
        truth="people leads by 3 on three sets",
        arms=arms(Lead(3)),
        sets=THREE,
        must=(WORTH, STRUCTURE),
        never=(OF_THREE_SETS,),
        firm=True,
    ),
}
SHARED = {
    "stage 1 saw one of 10,000 images": Situation(
        truth="stage 1 of people saw one test image, which cannot change the answer",
        arms=arms(Lead(3)),
        change=saw_in_stage_1(0.0001, "people"),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "stage 1 saw ten of 10,000 images, and the lead is at delta": Situation(
        truth="people leads by 1.06 or more; without the ten images it could be by less than 1",
        arms=arms(Lead(1.27, 0.2)),
        writes_items=False,
        change=saw_in_stage_1(0.001, "people"),
        must=(BETTER, r"seen"),
        never=(WORTH, STRUCTURE),
    ),
    "stage 1 saw one of 10,000 images, within delta": Situation(
        truth="people equals random, and stage 1 saw one test image",
        arms=arms(Lead(0.1, 0.2)),
        change=saw_in_stage_1(0.0001, "people"),
        must=(EQUIVALENT,),
        never=(WORTH, STRUCTURE),
        firm=True,
    ),
    "stage 1 saw one of 50 images": Situation(
        truth="people leads by 30 on 50 images, of which stage 1 saw one",
        arms=arms(Lead(30, 2)),
        num_examples=50,
        change=saw_in_stage_1(0.02, "people"),
        must=(r"seen",),
        never=(WORTH, STRUCTURE),
    ),
}
OBSERVERS = '{ use = "table", path = "answers.csv", simulated = true }'
WORLD = {
    "answers of simulated observers in a table": Situation(
        truth="the table of judgments was written by a program that simulates people",
        arms=arms(Lead(3)),
        init={
            "people": f'[{{ like = "init", judgments = {OBSERVERS} }}]',
            "shuffled": f'[{{ like = "init", judgments = {{ use = "shuffled-votes", judgments = {OBSERVERS} }} }}]',
        },
        must=(r"simulated observers",),
        never=(r"judgments of people", STRUCTURE),
    ),
    "a simulated world in records that do not state it": Situation(
        truth="older records state the simulated world in the summary of the recipe alone",
        arms=arms(Lead(3)),
        change=summarized_as("an experiment in a simulated world"),
        must=(r"simulated observers", r"simulated world"),
        never=(r"judgments of people", STRUCTURE, r"^people is worth it"),
    ),
}
CLAIMS: dict[str, Situation] = {
    **LEARNING, **SHUFFLED, **UNLIKE_CONTROLS, **READ, **ENDS, **SETS, **SHARED, **WORLD,
}  # fmt: skip
