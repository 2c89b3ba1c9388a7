"""Names of `perceptinit.plugin` for type checkers; plugin.py imports each when it is first used."""

from perceptinit.backbones.clip_tokenizer import clip_tokenizer as clip_tokenizer
from perceptinit.backbones.encoders import DualTower as DualTower, ImageTower as ImageTower
from perceptinit.backbones.text import TextTower as TextTower
from perceptinit.configs import (
    NEUTRAL as NEUTRAL,
    NonNegativeFloat as NonNegativeFloat,
    NonNegativeInt as NonNegativeInt,
    PositiveFloat as PositiveFloat,
    PositiveInt as PositiveInt,
    Share as Share,
)
from perceptinit.errors import (
    DataError as DataError,
    EmptySplitError as EmptySplitError,
    InitializerError as InitializerError,
    PerceptInitError as PerceptInitError,
    UsageError as UsageError,
)
from perceptinit.evaluators.judged import JudgedMeasure as JudgedMeasure
from perceptinit.evaluators.set_measure import (
    SetConfig as SetConfig,
    SetMeasure as SetMeasure,
    SuiteConfig as SuiteConfig,
)
from perceptinit.files.downloads import Download as Download, HasDownloads as HasDownloads
from perceptinit.hookspecs import hookimpl as hookimpl
from perceptinit.images.stimuli import StimulusImages as StimulusImages
from perceptinit.initializers.weights import reporting as reporting
from perceptinit.judgments.controls.wrappers import Wrapper as Wrapper
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut as HasOddOneOut, OddOneOut as OddOneOut
from perceptinit.judgments.forms.rdm import (
    Dissimilarities as Dissimilarities,
    HasDissimilarities as HasDissimilarities,
)
from perceptinit.judgments.forms.splits import (
    Conventions as Conventions,
    HasConventions as HasConventions,
    assign_splits as assign_splits,
)
from perceptinit.judgments.own.matrix_set import MatrixSet as MatrixSet
from perceptinit.judgments.own.own_table import OwnTable as OwnTable
from perceptinit.judgments.two_afc import embed as embed, measure as measure
from perceptinit.pairs.loader import PairBatch as PairBatch
from perceptinit.pretrainers.clip import Clip as Clip
from perceptinit.pretrainers.objective import Objective as Objective
from perceptinit.pretrainers.pair_loss import PairLoss as PairLoss
from perceptinit.pretrainers.pretraining import Pretraining as Pretraining
from perceptinit.pretrainers.training_config import TrainingConfig as TrainingConfig
from perceptinit.protocols import (
    Backbone as Backbone,
    DualEncoder as DualEncoder,
    Evaluator as Evaluator,
    HasClasses as HasClasses,
    HasDataSha256 as HasDataSha256,
    HasDescribe as HasDescribe,
    HasEvaluated as HasEvaluated,
    HasExpect as HasExpect,
    HasMisfits as HasMisfits,
    HasModel as HasModel,
    HasNeededPart as HasNeededPart,
    HasNeeds as HasNeeds,
    HasNoiseCeiling as HasNoiseCeiling,
    HasPeople as HasPeople,
    HasPlan as HasPlan,
    HasPreflight as HasPreflight,
    HasSmoke as HasSmoke,
    HasStandIn as HasStandIn,
    HasWarnings as HasWarnings,
    ImageEncoder as ImageEncoder,
    Initializer as Initializer,
    Judgments as Judgments,
    Pairs as Pairs,
    Pretrainer as Pretrainer,
    Tracker as Tracker,
)
from perceptinit.registry import Component as Component, unknown as unknown
from perceptinit.reports.sections import Section as Section, ShownRun as ShownRun
from perceptinit.seeding import generator as generator, torch_generator as torch_generator
from perceptinit.trackers.scalars import scalars as scalars
from perceptinit.types import (
    Classes as Classes,
    DataCard as DataCard,
    DataNeed as DataNeed,
    Event as Event,
    Fit as Fit,
    InitReport as InitReport,
    Items as Items,
    Pair as Pair,
    RunContext as RunContext,
    Score as Score,
    Split as Split,
    StagePlan as StagePlan,
    StepResult as StepResult,
    Stimuli as Stimuli,
    Triplets as Triplets,
)
