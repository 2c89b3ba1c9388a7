"""The API for plug-ins. Their tests also import `perceptinit.testing`.

    from perceptinit.plugin import Component, Pair, PositiveInt, RunContext, hookimpl

These names and their arguments are stable from 0.2. A removal is announced in the changelog, and using the
name issues a warning for at least one minor version. Other modules can change at any time.

A name is imported from its module when it is first used, so the module that lists components can import
from here at no cost. docs/hooks.md and docs/write-a-plugin.md explain every name.
"""

from importlib import import_module
from typing import Any

# name -> module; plugin.pyi has the same names for type checkers
_MODULES = {
    "Backbone": "perceptinit.protocols",
    "Classes": "perceptinit.types",
    "Clip": "perceptinit.pretrainers.clip",
    "Component": "perceptinit.registry",
    "Conventions": "perceptinit.judgments.forms.splits",
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
    "HasConventions": "perceptinit.judgments.forms.splits",
    "HasDataSha256": "perceptinit.protocols",
    "HasDescribe": "perceptinit.protocols",
    "HasDissimilarities": "perceptinit.judgments.forms.rdm",
    "HasDownloads": "perceptinit.files.downloads",
    "HasEvaluated": "perceptinit.protocols",
    "HasExpect": "perceptinit.protocols",
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
    "NEUTRAL": "perceptinit.configs",
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
    "clip_tokenizer": "perceptinit.backbones.clip_tokenizer",
    "embed": "perceptinit.judgments.two_afc",
    "generator": "perceptinit.seeding",
    "hookimpl": "perceptinit.hookspecs",
    "measure": "perceptinit.judgments.two_afc",
    "reporting": "perceptinit.initializers.weights",
    "scalars": "perceptinit.trackers.scalars",
    "torch_generator": "perceptinit.seeding",
    "unknown": "perceptinit.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        problem = f"module 'perceptinit.plugin' has no attribute '{name}'"
        if name in dir(import_module("perceptinit.companion")):
            problem += ". Only the packages in plugins/ may use it, from perceptinit.companion"
        raise AttributeError(problem)
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
