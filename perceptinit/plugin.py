"""All that a plug-in imports from perceptinit; its tests also import `perceptinit.testing`.

    from perceptinit.plugin import Component, Pair, PositiveInt, RunContext, hookimpl

From 0.2 on the names that stand here and their arguments are stable: what is to go first warns for a minor
version at least, and the changelog names it. Other modules may change at any time.
Nothing heavy is imported before a name that needs it is asked for, so a plug-in may import from here in
the module that lists its components.
"""

# ruff: noqa: I001  (by subject)
from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

# the one list: for type checkers, and for __getattr__, which reads it from the source
if TYPE_CHECKING:
    # what a plug-in offers
    from perceptinit.hookspecs import hookimpl as hookimpl
    from perceptinit.registry import Component as Component

    # errors that users see without a traceback
    from perceptinit.errors import CheckpointError as CheckpointError
    from perceptinit.errors import DataError as DataError
    from perceptinit.errors import EmptySplitError as EmptySplitError
    from perceptinit.errors import InitializerError as InitializerError
    from perceptinit.errors import MissingPackageError as MissingPackageError
    from perceptinit.errors import PerceptInitError as PerceptInitError
    from perceptinit.errors import TrainingError as TrainingError
    from perceptinit.errors import UsageError as UsageError
    from perceptinit.registry import unknown as unknown

    # bounds of keys
    from perceptinit.configs import NonNegativeFloat as NonNegativeFloat
    from perceptinit.configs import NonNegativeInt as NonNegativeInt
    from perceptinit.configs import PositiveFloat as PositiveFloat
    from perceptinit.configs import PositiveInt as PositiveInt
    from perceptinit.configs import Share as Share

    # what is handed in and out
    from perceptinit.types import Classes as Classes
    from perceptinit.types import DataCard as DataCard
    from perceptinit.types import DataNeed as DataNeed
    from perceptinit.types import Event as Event
    from perceptinit.types import ImageSource as ImageSource
    from perceptinit.types import InitReport as InitReport
    from perceptinit.types import Pair as Pair
    from perceptinit.types import RunContext as RunContext
    from perceptinit.types import Score as Score
    from perceptinit.types import Split as Split
    from perceptinit.types import StagePlan as StagePlan
    from perceptinit.types import StepResult as StepResult
    from perceptinit.types import Stimuli as Stimuli
    from perceptinit.types import Triplets as Triplets

    # what the kinds must give, and may
    from perceptinit.protocols import Backbone as Backbone
    from perceptinit.protocols import DualEncoder as DualEncoder
    from perceptinit.protocols import Evaluator as Evaluator
    from perceptinit.protocols import HasClasses as HasClasses
    from perceptinit.protocols import HasDataSha256 as HasDataSha256
    from perceptinit.protocols import HasDescribe as HasDescribe
    from perceptinit.protocols import HasEvaluated as HasEvaluated
    from perceptinit.protocols import HasExpect as HasExpect
    from perceptinit.protocols import HasLogImage as HasLogImage
    from perceptinit.protocols import HasMaxShuffleBlocks as HasMaxShuffleBlocks
    from perceptinit.protocols import HasMisfits as HasMisfits
    from perceptinit.protocols import HasModel as HasModel
    from perceptinit.protocols import HasNeededPart as HasNeededPart
    from perceptinit.protocols import HasNeeds as HasNeeds
    from perceptinit.protocols import HasNoiseCeiling as HasNoiseCeiling
    from perceptinit.protocols import HasPeople as HasPeople
    from perceptinit.protocols import HasPlan as HasPlan
    from perceptinit.protocols import HasPreflight as HasPreflight
    from perceptinit.protocols import HasPublishedNumPairs as HasPublishedNumPairs
    from perceptinit.protocols import HasSay as HasSay
    from perceptinit.protocols import HasSmoke as HasSmoke
    from perceptinit.protocols import HasStandIn as HasStandIn
    from perceptinit.protocols import HasWarnings as HasWarnings
    from perceptinit.protocols import ImageEncoder as ImageEncoder
    from perceptinit.protocols import Initializer as Initializer
    from perceptinit.protocols import Judgments as Judgments
    from perceptinit.protocols import Pairs as Pairs
    from perceptinit.protocols import Pretrainer as Pretrainer
    from perceptinit.protocols import Tracker as Tracker
    from perceptinit.evaluators.features import HasEvaluateMany as HasEvaluateMany
    from perceptinit.evaluators.features import Joint as Joint
    from perceptinit.test_sets.choice import HasChoice as HasChoice
    from perceptinit.test_sets.choice import SetChoice as SetChoice
    from perceptinit.judgments.forms.conventions import Conventions as Conventions
    from perceptinit.judgments.forms.conventions import HasConventions as HasConventions
    from perceptinit.judgments.forms.odd_one_out import HasOddOneOut as HasOddOneOut
    from perceptinit.judgments.forms.odd_one_out import OddOneOut as OddOneOut
    from perceptinit.judgments.forms.rdm import Dissimilarities as Dissimilarities
    from perceptinit.judgments.forms.rdm import HasDissimilarities as HasDissimilarities
    from perceptinit.judgments.forms.same_pairs import HasSamePairs as HasSamePairs
    from perceptinit.judgments.forms.same_pairs import SamePairs as SamePairs
    from perceptinit.files.transfer import Download as Download
    from perceptinit.files.transfer import HasDownloads as HasDownloads

    # named draws
    from perceptinit.seeding import derive_seed as derive_seed
    from perceptinit.seeding import generator as generator
    from perceptinit.seeding import named_torch_seed as named_torch_seed
    from perceptinit.seeding import torch_generator as torch_generator

    # initializers
    from perceptinit.initializers.report import reporting as reporting
    from perceptinit.initializers.trainable import only_training as only_training

    # backbones
    from perceptinit.backbones.encoders import DualTower as DualTower
    from perceptinit.backbones.encoders import ImageTower as ImageTower
    from perceptinit.backbones.text import TextTower as TextTower
    from perceptinit.backbones.text import clip_tokenizer as clip_tokenizer

    # pretrainers
    from perceptinit.pretrainers.clip import Clip as Clip
    from perceptinit.pretrainers.objective import Objective as Objective
    from perceptinit.pretrainers.pair_loss import PairLoss as PairLoss
    from perceptinit.pretrainers.pretraining import Pretraining as Pretraining
    from perceptinit.pretrainers.training_config import TrainingConfig as TrainingConfig
    from perceptinit.pairs.augment import Augment as Augment
    from perceptinit.pairs.loader import PairBatch as PairBatch
    from perceptinit.pairs.loader import PairLoader as PairLoader
    from perceptinit.compute.optim import Precision as Precision
    from perceptinit.compute.optim import adamw as adamw
    from perceptinit.compute.optim import autocast as autocast
    from perceptinit.compute.optim import set_lr as set_lr
    from perceptinit.compute.optim import warmup_cosine as warmup_cosine

    # judgments
    from perceptinit.judgments.own.own_table import OwnTable as OwnTable
    from perceptinit.judgments.own.matrix_set import MatrixSet as MatrixSet
    from perceptinit.judgments.controls.wrapper import Wrapper as Wrapper
    from perceptinit.judgments.forms.rdm import square as square
    from perceptinit.judgments.reading.rdm_files import read_names as read_names
    from perceptinit.judgments.forms.splits import assign_splits as assign_splits

    # evaluators
    from perceptinit.evaluators.judged import JudgedMeasure as JudgedMeasure
    from perceptinit.evaluators.set_measure import SetConfig as SetConfig
    from perceptinit.evaluators.set_measure import SetMeasure as SetMeasure
    from perceptinit.evaluators.set_measure import SuiteConfig as SuiteConfig
    from perceptinit.images.stimuli import StimulusImages as StimulusImages
    from perceptinit.judgments.two_afc import embed as embed
    from perceptinit.judgments.two_afc import measure as measure
    from perceptinit.judgments.scoring import two_afc_accuracy as two_afc_accuracy

    # trackers
    from perceptinit.reports.account import ENERGY_FILE as ENERGY_FILE
    from perceptinit.trackers.scalars import Scalars as Scalars
    from perceptinit.trackers.scalars import flat as flat
    from perceptinit.trackers.scalars import scalars as scalars


def __getattr__(name: str) -> Any:
    home = None if name.startswith("__") else _homes().get(name)
    if home is None:
        raise AttributeError(f"module 'perceptinit.plugin' has no attribute '{name}'")
    module, _, attribute = home.rpartition(".")
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(_homes())


@cache
def _homes() -> dict[str, str]:
    """Return where each name comes from, as a dotted path."""
    from perceptinit.components.class_source import open_module

    file = open_module(__name__)
    assert file is not None, "the source of this module is installed with it"
    return {name: path for name, path in file.imports().items() if path.startswith("perceptinit.")}
