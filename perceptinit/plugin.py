"""The API for plug-ins. Their tests also import `perceptinit.testing`.

    from perceptinit.plugin import Component, Pair, PositiveInt, RunContext, hookimpl

These names and their arguments are stable from 0.2. A removal is announced in the changelog, and using the
name issues a warning for at least one minor version. Other modules can change at any time.

A name is imported from its module when it is first used, so the module that lists components can import
from here at no cost. docs/hooks.md and docs/write-a-plugin.md explain every name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# name -> module; type checkers read the imports below
_MODULES = {
    "Backbone": "perceptinit.protocols",
    "Classes": "perceptinit.types",
    "Clip": "perceptinit.pretrainers.clip",
    "Component": "perceptinit.registry",
    "Conventions": "perceptinit.judgments.forms.conventions",
    "DataCard": "perceptinit.types",
    "DataError": "perceptinit.errors",
    "DataNeed": "perceptinit.types",
    "Dissimilarities": "perceptinit.judgments.forms.rdm",
    "Download": "perceptinit.files.downloads",
    "DualEncoder": "perceptinit.protocols",
    "DualTower": "perceptinit.backbones.encoders",
    "EmptySplitError": "perceptinit.errors",
    "Evaluator": "perceptinit.protocols",
    "Event": "perceptinit.types",
    "Fit": "perceptinit.types",
    "HasClasses": "perceptinit.protocols",
    "HasConventions": "perceptinit.judgments.forms.conventions",
    "HasDataSha256": "perceptinit.protocols",
    "HasDescribe": "perceptinit.protocols",
    "HasDissimilarities": "perceptinit.judgments.forms.rdm",
    "HasDownloads": "perceptinit.files.downloads",
    "HasEvaluated": "perceptinit.protocols",
    "HasExpect": "perceptinit.protocols",
    "HasLogImage": "perceptinit.protocols",
    "HasMisfits": "perceptinit.protocols",
    "HasModel": "perceptinit.protocols",
    "HasNeededPart": "perceptinit.protocols",
    "HasNeeds": "perceptinit.protocols",
    "HasNoiseCeiling": "perceptinit.protocols",
    "HasOddOneOut": "perceptinit.judgments.forms.odd_one_out",
    "HasPeople": "perceptinit.protocols",
    "HasPlan": "perceptinit.protocols",
    "HasPreflight": "perceptinit.protocols",
    "HasSmoke": "perceptinit.protocols",
    "HasStandIn": "perceptinit.protocols",
    "HasWarnings": "perceptinit.protocols",
    "ImageEncoder": "perceptinit.protocols",
    "ImageTower": "perceptinit.backbones.encoders",
    "InitReport": "perceptinit.types",
    "Initializer": "perceptinit.protocols",
    "InitializerError": "perceptinit.errors",
    "Items": "perceptinit.types",
    "JudgedMeasure": "perceptinit.evaluators.judged",
    "Judgments": "perceptinit.protocols",
    "MatrixSet": "perceptinit.judgments.own.matrix_set",
    "NonNegativeFloat": "perceptinit.configs",
    "NonNegativeInt": "perceptinit.configs",
    "Objective": "perceptinit.pretrainers.objective",
    "OddOneOut": "perceptinit.judgments.forms.odd_one_out",
    "OwnTable": "perceptinit.judgments.own.own_table",
    "Pair": "perceptinit.types",
    "PairBatch": "perceptinit.pairs.loader",
    "PairLoss": "perceptinit.pretrainers.pair_loss",
    "Pairs": "perceptinit.protocols",
    "PerceptInitError": "perceptinit.errors",
    "PositiveFloat": "perceptinit.configs",
    "PositiveInt": "perceptinit.configs",
    "Pretrainer": "perceptinit.protocols",
    "Pretraining": "perceptinit.pretrainers.pretraining",
    "RunContext": "perceptinit.types",
    "Score": "perceptinit.types",
    "Section": "perceptinit.reports.sections",
    "SetConfig": "perceptinit.evaluators.set_measure",
    "SetMeasure": "perceptinit.evaluators.set_measure",
    "Share": "perceptinit.configs",
    "ShownRun": "perceptinit.reports.sections",
    "Split": "perceptinit.types",
    "StagePlan": "perceptinit.types",
    "StepResult": "perceptinit.types",
    "Stimuli": "perceptinit.types",
    "StimulusImages": "perceptinit.images.stimuli",
    "SuiteConfig": "perceptinit.evaluators.set_measure",
    "TextTower": "perceptinit.backbones.text",
    "Tracker": "perceptinit.protocols",
    "TrainingConfig": "perceptinit.pretrainers.training_config",
    "Triplets": "perceptinit.types",
    "UsageError": "perceptinit.errors",
    "Wrapper": "perceptinit.judgments.controls.wrappers",
    "assign_splits": "perceptinit.judgments.forms.splits",
    "clip_tokenizer": "perceptinit.backbones.text",
    "embed": "perceptinit.judgments.two_afc",
    "generator": "perceptinit.seeding",
    "hookimpl": "perceptinit.hookspecs",
    "measure": "perceptinit.judgments.two_afc",
    "reporting": "perceptinit.initializers.report",
    "scalars": "perceptinit.trackers.scalars",
    "torch_generator": "perceptinit.seeding",
    "unknown": "perceptinit.registry",
}

if TYPE_CHECKING:
    from perceptinit.backbones.encoders import DualTower as DualTower, ImageTower as ImageTower
    from perceptinit.backbones.text import TextTower as TextTower, clip_tokenizer as clip_tokenizer
    from perceptinit.configs import (
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
    from perceptinit.initializers.report import reporting as reporting
    from perceptinit.judgments.controls.wrappers import Wrapper as Wrapper
    from perceptinit.judgments.forms.conventions import (
        Conventions as Conventions,
        HasConventions as HasConventions,
    )
    from perceptinit.judgments.forms.odd_one_out import HasOddOneOut as HasOddOneOut, OddOneOut as OddOneOut
    from perceptinit.judgments.forms.rdm import (
        Dissimilarities as Dissimilarities,
        HasDissimilarities as HasDissimilarities,
    )
    from perceptinit.judgments.forms.splits import assign_splits as assign_splits
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
        HasLogImage as HasLogImage,
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
else:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            moved = import_module("perceptinit.companion").find_moved(name)
            raise AttributeError(f"module 'perceptinit.plugin' has no attribute '{name}'{moved}")
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
