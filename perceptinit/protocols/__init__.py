"""What each kind of component must give, and what it may. A class needs no base class, only these methods.

Every component has a nested `Config` dataclass and is made as `cls(config)`; parameters of
`__init__` named `judgments` or `pairs` receive the component of the nested table of that name.

What starts with `Has` is optional: the core asks for it with isinstance and does without it. Those
that speak of more than is known here stand beside what they give: `HasOddOneOut`, `HasSamePairs`,
`HasDissimilarities`, `HasConventions`, `HasDownloads` (judgments), `HasEvaluateMany`, `HasChoice`
(evaluators). `perceptinit.testing.OPTIONAL` lists all by kind, and the contract tests hold a component
to those it has.
"""

from perceptinit.protocols.optional import (
    BlockUse,
    HasClasses,
    HasDataSha256,
    HasDescribe,
    HasEvaluated,
    HasExpect,
    HasLogImage,
    HasMaxShuffleBlocks,
    HasMisfits,
    HasModel,
    HasNeededPart,
    HasNeeds,
    HasNoiseCeiling,
    HasPeople,
    HasPlan,
    HasPreflight,
    HasPublishedNumPairs,
    HasReadAhead,
    HasSay,
    HasSmoke,
    HasStandIn,
    HasWarnings,
    Reached,
)
from perceptinit.protocols.required import (
    Backbone,
    DualEncoder,
    Evaluator,
    ImageEncoder,
    Initializer,
    Judgments,
    Pairs,
    Pretrainer,
    Tracker,
)

__all__ = [
    "Backbone",
    "BlockUse",
    "DualEncoder",
    "Evaluator",
    "HasClasses",
    "HasDataSha256",
    "HasDescribe",
    "HasEvaluated",
    "HasExpect",
    "HasLogImage",
    "HasMaxShuffleBlocks",
    "HasMisfits",
    "HasModel",
    "HasNeededPart",
    "HasNeeds",
    "HasNoiseCeiling",
    "HasPeople",
    "HasPlan",
    "HasPreflight",
    "HasPublishedNumPairs",
    "HasReadAhead",
    "HasSay",
    "HasSmoke",
    "HasStandIn",
    "HasWarnings",
    "ImageEncoder",
    "Initializer",
    "Judgments",
    "Pairs",
    "Pretrainer",
    "Reached",
    "Tracker",
]
