"""What each kind of component must give, and what it may. A class needs no base class, only these methods.

Every component has a nested `Config` dataclass and is made as `cls(config)`; parameters of
`__init__` named `judgments` or `pairs` receive the component of the nested table of that name.

What starts with `Has` is optional: the core asks for it with isinstance and does without it. Those
that speak of more than is known here stand beside what they give: `HasOddOneOut`, `HasSamePairs`,
`HasDissimilarities`, `HasConventions`, `HasDownloads` (judgments), `HasEvaluateMany`, `HasChoice`
(evaluators). `perceptinit.testing.OPTIONAL` lists all by kind, and the contract tests hold a component
to those it has.
"""

from perceptinit.protocols.optional import BlockUse as BlockUse
from perceptinit.protocols.optional import HasClasses as HasClasses
from perceptinit.protocols.optional import HasDataSha256 as HasDataSha256
from perceptinit.protocols.optional import HasDescribe as HasDescribe
from perceptinit.protocols.optional import HasEvaluated as HasEvaluated
from perceptinit.protocols.optional import HasExpect as HasExpect
from perceptinit.protocols.optional import HasLogImage as HasLogImage
from perceptinit.protocols.optional import HasMaxShuffleBlocks as HasMaxShuffleBlocks
from perceptinit.protocols.optional import HasMisfits as HasMisfits
from perceptinit.protocols.optional import HasModel as HasModel
from perceptinit.protocols.optional import HasNeededPart as HasNeededPart
from perceptinit.protocols.optional import HasNeeds as HasNeeds
from perceptinit.protocols.optional import HasNoiseCeiling as HasNoiseCeiling
from perceptinit.protocols.optional import HasPeople as HasPeople
from perceptinit.protocols.optional import HasPlan as HasPlan
from perceptinit.protocols.optional import HasPreflight as HasPreflight
from perceptinit.protocols.optional import HasPublishedNumPairs as HasPublishedNumPairs
from perceptinit.protocols.optional import HasReadAhead as HasReadAhead
from perceptinit.protocols.optional import HasSay as HasSay
from perceptinit.protocols.optional import HasSmoke as HasSmoke
from perceptinit.protocols.optional import HasStandIn as HasStandIn
from perceptinit.protocols.optional import HasWarnings as HasWarnings
from perceptinit.protocols.optional import Reached as Reached
from perceptinit.protocols.required import Backbone as Backbone
from perceptinit.protocols.required import DualEncoder as DualEncoder
from perceptinit.protocols.required import Evaluator as Evaluator
from perceptinit.protocols.required import ImageEncoder as ImageEncoder
from perceptinit.protocols.required import Initializer as Initializer
from perceptinit.protocols.required import Judgments as Judgments
from perceptinit.protocols.required import Pairs as Pairs
from perceptinit.protocols.required import Pretrainer as Pretrainer
from perceptinit.protocols.required import Tracker as Tracker
