"""Required and optional members of each kind of component. No base class is required.

Every component has a nested `Config` dataclass and is created as `cls(config)`. A parameter of `__init__`
named `judgments` or `pairs` receives the component of the nested table with that name.

Protocols named `Has...` are optional: the core checks for them with isinstance. Some are defined next to the
types that they use: `HasOddOneOut`, `HasSamePairs`, `HasDissimilarities`, `HasConventions`, `HasDownloads`
(judgments), `HasEvaluateMany` and `HasChoice` (evaluators). `perceptinit.testing.OPTIONAL` lists all of them
by kind, and the contract tests check the protocols that a component implements.
"""

from perceptinit.protocols.optional import (
    BlockUse as BlockUse,
    HasClasses as HasClasses,
    HasDataFiles as HasDataFiles,
    HasDataSha256 as HasDataSha256,
    HasDescribe as HasDescribe,
    HasEvaluated as HasEvaluated,
    HasEvaluatedImages as HasEvaluatedImages,
    HasExpect as HasExpect,
    HasFileNames as HasFileNames,
    HasMaxShuffleBlocks as HasMaxShuffleBlocks,
    HasMisfits as HasMisfits,
    HasModel as HasModel,
    HasNeededPart as HasNeededPart,
    HasNeeds as HasNeeds,
    HasNoiseCeiling as HasNoiseCeiling,
    HasPeople as HasPeople,
    HasPlan as HasPlan,
    HasPreflight as HasPreflight,
    HasPublishedNumPairs as HasPublishedNumPairs,
    HasReadAhead as HasReadAhead,
    HasSay as HasSay,
    HasSmoke as HasSmoke,
    HasStandIn as HasStandIn,
    HasWarnings as HasWarnings,
    Reached as Reached,
)
from perceptinit.protocols.required import (
    Backbone as Backbone,
    DualEncoder as DualEncoder,
    Evaluator as Evaluator,
    ImageEncoder as ImageEncoder,
    Initializer as Initializer,
    Judgments as Judgments,
    Pairs as Pairs,
    Pretrainer as Pretrainer,
    Tracker as Tracker,
)
