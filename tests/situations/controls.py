"""Situations of controls: how long they were trained, what they learned, and what is said while the arm is undecided."""

from __future__ import annotations

from situations.changes import absent, fewer_samples, in_turn, on_device, saw_in_stage_1, stage_1, tuned
from situations.made import Lead, Situation
from situations.patterns import (
    BETTER,
    EQUIVALENT,
    NOT_WORTH,
    RANDOM,
    SHUFFLED,
    STRUCTURE,
    UNDECIDED,
    WORTH,
    arms,
)

PATIENT = "eval_every = 1, patience = {}, "
PIXELS = 'judgments.through = ["pixel-triplets"]'
LABELS = 'judgments = { use = "class-triplets", root = "sets" }'
AS_GOOD = r"(pixels|labels) (does as well|is not shown to do worse|is better)"
STEPS = r"pixels has 300 steps and people 580"


def stages(people: str = "", shuffled: str = "", pixels: str = "") -> dict[str, str]:
    """Return the stages of arms in TOML, with further settings of each."""
    return {
        "people": f'[{{ like = "init", {people}lr = 3e-4 }}]',
        "shuffled": f'[{{ like = "init", {shuffled}lr = 3e-4, judgments.through = ["shuffled-votes"] }}]',
        "pixels": f'[{{ like = "init", {pixels}lr = 3e-4, {PIXELS} }}]',
    }


ALL_PATIENT = stages(*[PATIENT.format(3)] * 3)
# --- how long stage 1 was trained ------------------------------------------------------------------------------------
LENGTHS = {
    "early stopping ends pixels earlier": Situation(
        truth="all arms plan 580 steps and stop by the same rule, which ended pixels after 300",
        arms=arms(Lead(3), pixels=Lead(0)),
        init=ALL_PATIENT,
        change=stage_1("pixels", steps=300.0),
        must=(WORTH, STRUCTURE, STEPS),
        firm=True,
    ),
    "early stopping ends people earlier": Situation(
        truth="all arms plan 580 steps and stop by the same rule, which ended people after 200",
        arms=arms(Lead(3), pixels=Lead(0)),
        init=ALL_PATIENT,
        change=stage_1("people", steps=200.0),
        must=(WORTH, STRUCTURE, r"pixels has 580 steps and people 200"),
        firm=True,
    ),
    "early stopping ends shuffled in one seed": Situation(
        truth="the same rule of stopping ended shuffled votes after 100 steps in one seed",
        arms=arms(Lead(3)),
        init=ALL_PATIENT,
        change=stage_1("shuffled", seed=2, steps=100.0),
        must=(WORTH, STRUCTURE, r"shuffled has 500 steps and people 580"),
        firm=True,
    ),
    "only pixels can stop early": Situation(
        truth="pixels stops by a rule that people does not have",
        arms=arms(Lead(3), pixels=Lead(0)),
        init=stages(pixels=PATIENT.format(3)),
        change=stage_1("pixels", steps=300.0),
        must=(WORTH, r"pixels.*patience"),
        never=(STRUCTURE,),
    ),
    "pixels has less patience": Situation(
        truth="pixels stops after one evaluation without a rise, people after five",
        arms=arms(Lead(3), pixels=Lead(0)),
        init=stages(PATIENT.format(5), PATIENT.format(5), PATIENT.format(1)),
        change=stage_1("pixels", steps=300.0),
        must=(WORTH, r"pixels.*patience"),
        never=(STRUCTURE,),
    ),
    "early stopping and fewer planned epochs": Situation(
        truth="pixels plans 5 epochs and people 32; both stop by the same rule",
        arms=arms(Lead(3), pixels=Lead(0)),
        init=stages(PATIENT.format(3), PATIENT.format(3), "epochs = 5, " + PATIENT.format(3)),
        change=stage_1("pixels", steps=90.0),
        must=(WORTH, r"pixels.*epochs"),
        never=(STRUCTURE,),
    ),
    "early stopping and fewer judgments": Situation(
        truth="pixels has 5,000 of 13,900 judgments, so its planned steps are fewer, too",
        arms=arms(Lead(3), pixels=Lead(0)),
        init=ALL_PATIENT,
        change=stage_1("pixels", steps=210.0, triplets=5000.0),
        must=(WORTH, r"pixels has 5,000 judgments and people 13,900"),
        never=(STRUCTURE,),
    ),
    "early stopping, unknown steps": Situation(
        truth="all arms stop by the same rule; the records do not say when pixels stopped",
        arms=arms(Lead(3), pixels=Lead(0)),
        init=ALL_PATIENT,
        change=stage_1("pixels", steps=None),
        must=(WORTH, r"do not say how long pixels"),
        never=(STRUCTURE,),
    ),
    "more judgments in a control": Situation(
        truth="pixels was trained on twice as many judgments, so a smaller gain does not show a lack of training",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=stage_1("pixels", triplets=27_800.0),
        must=(WORTH, r"pixels has 27,800 judgments"),
        never=(STRUCTURE,),
    ),
    "steps of a control in one seed": Situation(
        truth="one of six runs of pixels was trained for half of the steps",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=stage_1("pixels", seed=1, steps=290.0),
        must=(WORTH, r"pixels has 532 steps"),
        never=(STRUCTURE,),
    ),
    "steps of a control are not recorded in one seed": Situation(
        truth="one of six records of pixels lacks its steps",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=stage_1("pixels", seed=1, steps=None),
        must=(WORTH, r"do not say how long pixels"),
        never=(STRUCTURE,),
    ),
}


def unlike(setting: str, arm: str = "pixels") -> Situation:
    """Return a situation in which a setting of a control differs."""
    name = setting.partition(" ")[0]
    others = {"pixels": PIXELS, "labels": LABELS}
    return Situation(
        truth=f"{arm} was trained with another {name}, so its lower score may be due to it",
        arms=arms(Lead(3), **{arm: Lead(0)}),
        init={arm: f'[{{ like = "init", {setting}, {others[arm]} }}]'},
        must=(WORTH, rf"{arm}.*{name}"),
        never=(STRUCTURE,),
    )


SETTINGS = {
    "a control with another batch size": unlike("batch_size = 512"),
    "a control with another margin": unlike("margin = 0.5"),
    "a control with another warm-up": unlike("warmup_steps = 50"),
    "labels with another weight decay": unlike("weight_decay = 0.3", "labels"),
    "a control with another objective": Situation(
        truth="pixels was trained with another loss",
        arms=arms(Lead(3), pixels=Lead(0)),
        init={
            "pixels": '[{ use = "triplet", loss = "logistic", judgments = { use = "pixel-triplets", judgments = '
            '{ use = "nights", root = "nights" } } }]'
        },
        must=(WORTH, r"pixels was trained with another method"),
        never=(STRUCTURE,),
    ),
}  # fmt: skip

# --- what the arm and its controls learned ---------------------------------------------------------------------------
RISES = {
    "shuffled votes lower 2AFC": Situation(
        truth="shuffled votes lowered 2AFC from 0.55 to 0.45; people raised it to 0.70",
        arms=arms(Lead(3)),
        change=stage_1("shuffled", two_afc=0.45),
        must=(WORTH, STRUCTURE),
        never=(r"shuffled votes teach some of it",),
        firm=True,
    ),
    "shuffled votes rise as far in half of the seeds": Situation(
        truth="shuffled votes raised 2AFC to 0.85 in three seeds, and lowered it in three: in the mean as far as people",
        arms=arms(Lead(3)),
        change=in_turn(*(stage_1("shuffled", seed, two_afc=0.85 if seed % 2 else 0.55) for seed in range(6))),
        must=(WORTH, r"shuffled is not shown to learn less"),
        never=(STRUCTURE,),
    ),
    "the rise of shuffled votes is known in one seed": Situation(
        truth="one of six records shows what shuffled votes taught",
        arms=arms(Lead(3)),
        change=in_turn(*(stage_1("shuffled", seed, two_afc=None) for seed in range(5))),
        must=(WORTH, r"do not say what shuffled learned"),
        never=(STRUCTURE,),
    ),
    "stage 1 learned in half of its seeds": Situation(
        truth="people ended at chance in three seeds, and at 0.70 in three",
        arms=arms(Lead(3)),
        change=in_turn(*(stage_1("people", seed, two_afc=0.5) for seed in (1, 3, 5))),
        must=(WORTH, r"not shown to raise 2AFC"),
        never=(STRUCTURE, r"which first learned"),
    ),
    "2AFC fell from a high level": Situation(
        truth="ImageNet weights agreed with 0.90 of the judgments before stage 1 and with 0.70 after it",
        arms=arms(Lead(3)),
        change=stage_1("people", two_afc_before=0.9),
        must=(WORTH, r"not shown to raise 2AFC.*0\.900 to 0\.700"),
        never=(STRUCTURE,),
    ),
    "stage 1 of a closed form learned nothing": Situation(
        truth="mimetic leads by 3 points without judgments, so no 2AFC is asked for",
        arms={"random": RANDOM, "mimetic": Lead(3)},
        must=(r"(?<![Ww]hether )mimetic is worth it",),
        never=(r"2AFC \d", r"learned its judgments"),
        firm=True,
    ),
}

# --- controls beside every kind of answer ----------------------------------------------------------------------------
ANSWERS = {
    "undecided, and pixels lead": Situation(
        truth="people is undecided, and pixels lead by 4 points",
        arms=arms(Lead(0.8, 2), pixels=Lead(4)),
        must=(UNDECIDED, r"[Oo]ther arms of the table score higher: pixels"),
        never=(WORTH, STRUCTURE, r"pixels does as well"),
    ),
    "no difference, and labels lead": Situation(
        truth="people equals random, and class labels lead by 4 points",
        arms=arms(Lead(0.1, 0.2), labels=Lead(4)),
        must=(EQUIVALENT, r"labels"),
        never=(WORTH, STRUCTURE),
        firm=True,
    ),
    "a loss, and pixels lose as much": Situation(
        truth="people and pixels cost 3 points",
        arms=arms(Lead(-3), pixels=Lead(-3, 0.2)),
        must=(NOT_WORTH,),
        never=(WORTH, STRUCTURE, AS_GOOD),
        firm=True,
    ),
    "pixels and labels as good": Situation(
        truth="pixels and class labels help as much as people",
        arms=arms(Lead(3), pixels=Lead(3, 0.2), labels=Lead(3.1, 0.2)),
        must=(WORTH, r"pixels", r"labels"),
        never=(STRUCTURE,),
        firm=True,
    ),
    "two controls worse, one better": Situation(
        truth="labels lead people by 2 points; pixels and spectrum do not",
        arms=arms(Lead(3), pixels=Lead(0), spectrum=Lead(0.2), labels=Lead(5)),
        must=(WORTH, r"labels is better"),
        never=(STRUCTURE,),
        firm=True,
    ),
    "a control as good, and a lost run of people": Situation(
        truth="one of six runs of people diverged, and pixels help as much",
        arms={**arms(Lead(3), pixels=Lead(3, 0.2)), "people": (*Lead(3).values(6, 1)[:5], None)},
        must=(BETTER, r"1 of 6", r"pixels"),
        never=(WORTH, STRUCTURE),
    ),
    "no delta, and pixels as good": Situation(
        truth="people and pixels lead by 3 points; nothing says what matters",
        arms=arms(Lead(3), pixels=Lead(3, 0.2)),
        verdict="",
        must=(BETTER, AS_GOOD),
        never=(WORTH, STRUCTURE),
    ),
    "a control of two seeds": Situation(
        truth="pixels has two of six seeds, 3 points below people",
        arms=arms(Lead(3), pixels=Lead(0)),
        after=absent(*(f"pixels/seed{k}" for k in range(2, 6))),
        must=(WORTH, r"pixels"),
        never=(STRUCTURE,),
    ),
    "a control by another device": Situation(
        truth="labels ran on another device",
        arms=arms(Lead(3), labels=Lead(0)),
        change=on_device("labels", "NVIDIA H100"),
        must=(WORTH, r"NVIDIA H100|device"),
        never=(STRUCTURE,),
    ),
    "a control on half of the pairs": Situation(
        truth="pixels was pretrained on half of the pairs",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=fewer_samples("pixels"),
        options=("--at", "end"),
        must=(r"equally trained",),
        never=(STRUCTURE,),
    ),
    "stage 1 of a control saw the images": Situation(
        truth="stage 1 of pixels saw a tenth of the evaluated images, which can only favor pixels",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=saw_in_stage_1(0.1, "pixels"),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "stage 1 of people and pixels saw the images": Situation(
        truth="stage 1 of people and pixels saw a tenth of the evaluated images",
        arms=arms(Lead(3), pixels=Lead(0)),
        change=saw_in_stage_1(0.1, "people", "pixels"),
        must=(r"seen",),
        never=(WORTH, STRUCTURE),
    ),
    "six more arms as controls": Situation(
        truth="people leads six controls by 3 points",
        arms=arms(Lead(4), pixels=Lead(0), labels=Lead(0.2), spectrum=Lead(0.1), mimetic=Lead(0.3), impulse=Lead(0.4)),
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
}  # fmt: skip

# --- tuned arms ------------------------------------------------------------------------------------------------------
TUNE = """[tune]
measure = "top1"
trials = 5
searches = 3
[tune.eval]
use = "zero-shot"
root = "sets"
datasets = ["validation"]
[tune.space]
"init.lr" = { low = 1e-5, high = 1e-2 }
"""


def search(*chosen: str):
    """Return a change to arms whose rate of stage 1 was found by the same search."""

    def find(record):
        if record["arm"]["name"] in chosen:
            for stage in record["arm"]["resolved"]["init"]:
                stage["lr"] = {"people": 1e-3, "pixels": 2e-3, "shuffled": 5e-4}[record["arm"]["name"]]

    return find


SEARCHED = {
    "rates by the same search": Situation(
        truth="each arm has the best rate of the same search; people leads pixels and shuffled votes by 3",
        arms=arms(Lead(3), pixels=Lead(0)),
        expect=TUNE,
        change=in_turn(*map(tuned, ("random", "people", "shuffled", "pixels")), search("people", "pixels", "shuffled")),
        must=(BETTER,),
        never=(r"another lr", r"another .*rate"),
    ),
    "a rate of pixels by a longer search": Situation(
        truth="pixels was searched twice as long as people",
        arms=arms(Lead(3), pixels=Lead(0)),
        expect=TUNE,
        change=in_turn(
            *map(tuned, ("random", "people", "shuffled")),
            tuned("pixels", trials=10),
            search("people", "shuffled", "pixels"),
        ),
        never=(WORTH, STRUCTURE),
    ),
}  # fmt: skip

# --- means over sets, and evaluations --------------------------------------------------------------------------------
TWO = {"dtd": arms(Lead(3), pixels=Lead(0))}
EARLY = {"top1/cifar10": arms(Lead(3), pixels=Lead(3, 0.2))}
WHERE = {
    "a control as good on one of two sets": Situation(
        truth="people leads pixels by 6 on one set, and is equal on the other",
        arms=arms(Lead(6), pixels=Lead(0)),
        sets={"dtd": arms(Lead(6), pixels=Lead(6, 0.2))},
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "two sets without items, a control beaten": Situation(
        truth="people leads on two sets; other images were not sampled",
        arms=arms(Lead(3), pixels=Lead(0)),
        sets=TWO,
        writes_items=False,
        must=(WORTH, r"on these 2 data sets"),
        never=(STRUCTURE,),
    ),
    "a control as good halfway": Situation(
        truth="pixels was as good after half of the pairs; at the end people leads by 3",
        arms=arms(Lead(3), pixels=Lead(0)),
        early=EARLY,
        must=(WORTH, STRUCTURE),
        firm=True,
    ),
    "a control better at the end": Situation(
        truth="people leads pixels after half of the pairs, and trails it at the end",
        arms=arms(Lead(3), pixels=Lead(7)),
        early={"top1/cifar10": arms(Lead(3), pixels=Lead(0))},
        options=("--at", "50000"),
        must=(WORTH, r"last evaluation"),
        never=(STRUCTURE,),
    ),
    "undecided halfway, better at the end": Situation(
        truth="people is undecided after half of the pairs, and leads by 3 at the end",
        arms=arms(Lead(3)),
        early={"top1/cifar10": arms(Lead(0.8, 2))},
        options=("--at", "50000"),
        must=(UNDECIDED,),
        never=(WORTH, STRUCTURE, EQUIVALENT),
    ),
    "the shuffled control is missing on a set": Situation(
        truth="shuffled has no score on the second set in one seed",
        arms=arms(Lead(3)),
        sets={"dtd": {**arms(Lead(3)), "shuffled": (*SHUFFLED.values(6, 2)[:5], None)}},
        must=(WORTH, r"1 of 6"),
        never=(STRUCTURE,),
    ),
}

SIMULATED = '{ use = "synthetic" }'
WORLDS = {
    "one arm of simulated observers": Situation(
        truth="people's judgments are real, and another arm's are simulated",
        arms={"random": RANDOM, "people": Lead(3), "shuffled": SHUFFLED, "more-people": Lead(0)},
        init={"more-people": f'[{{ use = "triplet-hinge", judgments = {SIMULATED} }}]'},
        must=(r"simulated",),
        never=(r"more-people.*judgments of people",),
    ),
    "simulated observers through a program": Situation(
        truth="the answers of simulated observers were changed by a program, and no person answered",
        arms={"random": RANDOM, "people": Lead(3)},
        init={"people": f'[{{ use = "triplet-hinge", judgments = {{ use = "pixel-triplets", judgments = {SIMULATED} }} }}]'},
        never=(STRUCTURE, r"judgments of people"),
    ),
}  # fmt: skip

CONTROLS: dict[str, Situation] = {
    **LENGTHS, **SETTINGS, **RISES, **ANSWERS, **SEARCHED, **WHERE, **WORLDS,
}  # fmt: skip
