"""The API for plug-ins. Their tests also import `perceptinit.testing`.

    from perceptinit.plugin import Component, Pair, PositiveInt, RunContext, hookimpl

These names and their arguments are stable from 0.2. The changelog announces a removal, which warns for at
least one minor version. Other modules can change at any time. A name is imported from its module when it is
first used, so the module that lists components can import from here at no cost.

A new name is added to `_NAMES` and, for type checkers, to `plugin.pyi`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# module -> the names that it provides
_NAMES = {
    # what a plug-in offers
    "hookspecs": "hookimpl",
    "registry": "Component nearest unknown",
    # errors that users see without a traceback
    "errors": (
        "CheckpointError DataError EmptySplitError InitializerError MissingPackageError "
        "PerceptInitError Problem RecipeError TrainingError UsageError shown writing"
    ),
    # bounds of Config fields
    "configs": "NonNegativeFloat NonNegativeInt PositiveFloat PositiveInt Share find_misfit read_config",
    # arguments and return values
    "types": (
        "IMAGE_SUFFIXES Classes DataCard DataNeed Event ImageSource InitReport Pair RunContext Score Split "
        "StagePlan StepResult Stimuli Triplets"
    ),
    # required and optional members of each kind
    "protocols": (
        "Backbone DualEncoder Evaluator HasClasses HasDataSha256 HasDescribe HasEvaluated "
        "HasExpect HasLogImage HasMaxShuffleBlocks HasMisfits HasModel HasNeededPart HasNeeds "
        "HasNoiseCeiling HasPeople HasPlan HasPreflight HasPublishedNumPairs HasSay HasSmoke "
        "HasStandIn HasWarnings ImageEncoder Initializer Judgments Pairs Pretrainer Tracker"
    ),
    "evaluators.features": "HasEvaluateMany Joint",
    "test_sets.choice": "HasChoice SetChoice",
    "judgments.forms.conventions": "Conventions HasConventions",
    "judgments.forms.odd_one_out": "HasOddOneOut OddOneOut odd_one_out_agreement triple_codes",
    "judgments.forms.rdm": "Dissimilarities HasDissimilarities square",
    "judgments.forms.same_pairs": "HasSamePairs SamePairs",
    "files.downloads": "Download HasDownloads",
    # files
    "files.atomic": "atomic_path final_path remove_files temporaries write_json",
    "files.mat_files": "MatValue read_mat",
    "files.reading": "parse_rows read_bytes read_json require_file",
    "files.tables": "read_table",
    # random numbers by name
    "seeding": "derive_seed generator named_torch_seed torch_generator",
    # initializers
    "initializers.report": "reporting",
    "initializers.trainable": "only_training",
    # backbones
    "backbones.encoders": "DualTower ImageTower",
    "backbones.text": "TextTower clip_tokenizer",
    # pretrainers
    "pretrainers.clip": "Clip",
    "pretrainers.objective": "Objective",
    "pretrainers.pair_loss": "PairLoss",
    "pretrainers.pretraining": "Pretraining",
    "pretrainers.training_config": "TrainingConfig",
    "pairs.augment": "Augment",
    "pairs.loader": "PairBatch PairLoader",
    "compute.optim": "Precision adamw autocast set_lr warmup_cosine",
    # progress of long work
    "progress": "Bars",
    # shards, tables and images
    "images.background": "transparent_share",
    "images.decoding": "decode_with_alpha",
    "pairs.classes": "read_classes",
    "pairs.sizes": "JOURNAL SIZES journals",
    "pairs.csv_pairs": "CsvTable",
    "pairs.parquet_table": "ParquetTable",
    "pairs.webdataset_pairs": "WebdatasetPairs",
    # judgments
    "judgments.own.own_table": "OwnTable",
    "judgments.own.matrix_set": "MatrixSet",
    "judgments.ceilings": "DerivedAnswers",
    "judgments.forms.drawing": "TripletDraw",
    "judgments.forms.ratings": "RatedImages VoteRule triplets_from_ratings",
    "judgments.controls.wrappers": "Wrapper",
    "judgments.image_files": "file_name file_names list_some missing_files",
    "judgments.data_check": "check_judgments",
    "judgments.own.odd_one_out_table": "OddOneOutTable",
    "judgments.own.rdm_set": "RdmSet",
    "judgments.own.table": "Table",
    "judgments.own.rdm_files": "read_names",
    "judgments.forms.splits": "assign_splits",
    # evaluators
    "evaluators.judged": "JudgedMeasure",
    "evaluators.set_measure": "SetConfig SetMeasure SuiteConfig",
    "images.stimuli": "StimulusImages",
    "judgments.two_afc": "embed measure",
    "judgments.scoring": "cosine_distances two_afc_accuracy",
    # trackers
    "reports.account": "ENERGY_FILE",
    "trackers.scalars": "Scalars flat scalars",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'perceptinit.plugin' has no attribute '{name}'")
    module = import_module(f"perceptinit.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
