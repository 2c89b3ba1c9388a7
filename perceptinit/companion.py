"""Names for the companion packages in `plugins/`, beyond `perceptinit.plugin`.

A companion supports one version of perceptinit, so these names come without a promise: they can change in
every release. Packages of other authors import `perceptinit.plugin` alone.
"""

from importlib import import_module
from typing import Any

# name -> module; companion.pyi has the same names for type checkers
_MODULES = {
    "Color": "perceptinit.types",
    "DECODE_SECONDS": "perceptinit.recipe.plan",
    "DerivedAnswers": "perceptinit.judgments.forms.drawing",
    "ENERGY_FILE": "perceptinit.reports.account",
    "Figure": "perceptinit.reports.figures",
    "HasSamePairs": "perceptinit.judgments.forms.odd_one_out",
    "ImageSource": "perceptinit.types",
    "LabeledMeasure": "perceptinit.evaluators.labelled",
    "MatValue": "perceptinit.files.mat_files",
    "ModelCost": "perceptinit.recipe.plan",
    "OddOneOutTable": "perceptinit.judgments.own.choices",
    "Precision": "perceptinit.compute.optim",
    "Problem": "perceptinit.errors",
    "RatedPairs": "perceptinit.judgments.forms.drawing",
    "RdmSet": "perceptinit.judgments.own.matrix_set",
    "Recipe": "perceptinit.recipe.recipe",
    "RecipeError": "perceptinit.errors",
    "RetrievalSet": "perceptinit.test_sets.sets",
    "SamePairs": "perceptinit.judgments.forms.odd_one_out",
    "Spec": "perceptinit.components.building",
    "Table": "perceptinit.judgments.own.table",
    "TripletDraw": "perceptinit.judgments.forms.drawing",
    "USABLE_SHARE": "perceptinit.recipe.plan",
    "VoteRule": "perceptinit.judgments.forms.drawing",
    "WHITE": "perceptinit.types",
    "ZeroShotSet": "perceptinit.test_sets.sets",
    "add_legend": "perceptinit.reports.figures",
    "arm_style": "perceptinit.reports.figures",
    "atomic_path": "perceptinit.files.atomic",
    "autocast": "perceptinit.compute.optim",
    "check_judgments": "perceptinit.judgments.data_check",
    "cosine_distances": "perceptinit.judgments.scoring",
    "decode": "perceptinit.images.decoding",
    "derive_seed": "perceptinit.seeding",
    "draw_triplets": "perceptinit.judgments.forms.drawing",
    "drawing": "perceptinit.reports.figures",
    "embed_judged": "perceptinit.judgments.two_afc",
    "exchange": "perceptinit.compute.distributed",
    "file_names": "perceptinit.judgments.image_files",
    "find_model_parts": "perceptinit.components.building",
    "finish": "perceptinit.reports.figures",
    "flat": "perceptinit.trackers.scalars",
    "is_first": "perceptinit.compute.distributed",
    "list_some": "perceptinit.errors",
    "load_batch": "perceptinit.images.decoding",
    "load_recipe": "perceptinit.recipe.reading",
    "load_square": "perceptinit.images.decoding",
    "load_strict": "perceptinit.files.checkpoints",
    "load_weights": "perceptinit.files.checkpoints",
    "measure_images": "perceptinit.evaluators.metrics",
    "missing_files": "perceptinit.judgments.image_files",
    "model_cost": "perceptinit.recipe.plan",
    "odd_one_out_agreement": "perceptinit.judgments.forms.odd_one_out",
    "parse_toml": "perceptinit.recipe.tables",
    "problems_of": "perceptinit.errors",
    "read_config": "perceptinit.configs",
    "read_json": "perceptinit.files.reading",
    "read_mat": "perceptinit.files.mat_files",
    "read_names": "perceptinit.judgments.own.rdm_files",
    "read_table": "perceptinit.files.tables",
    "reading": "perceptinit.errors",
    "require_file": "perceptinit.files.reading",
    "split_names": "perceptinit.judgments.forms.splits",
    "square": "perceptinit.judgments.forms.rdm",
    "stage_plan": "perceptinit.recipe.plan",
    "suggest": "perceptinit.registry",
    "triple_codes": "perceptinit.judgments.forms.odd_one_out",
    "two_afc_accuracy": "perceptinit.judgments.scoring",
    "write_file": "perceptinit.files.atomic",
    "writing": "perceptinit.errors",
    "zero_shot_classifier": "perceptinit.evaluators.classifier",
}
# names that `perceptinit.plugin` had before 0.2 -> module, which can change at any time
_INTERNAL = {
    "Augment": "perceptinit.pairs.augment",
    "Bars": "perceptinit.progress",
    "CheckpointError": "perceptinit.errors",
    "CsvTable": "perceptinit.pairs.csv_pairs",
    "HasChoice": "perceptinit.test_sets.choice",
    "HasEvaluateMany": "perceptinit.evaluators.features",
    "HasMaxShuffleBlocks": "perceptinit.protocols",
    "HasPublishedNumPairs": "perceptinit.protocols",
    "HasSay": "perceptinit.protocols",
    "HeldBlocks": "perceptinit.pairs.parquet_table",
    "IMAGE_SUFFIXES": "perceptinit.types",
    "JOURNAL": "perceptinit.pairs.sizes",
    "Joint": "perceptinit.evaluators.features",
    "MissingPackageError": "perceptinit.errors",
    "PairLoader": "perceptinit.pairs.loader",
    "ParquetTable": "perceptinit.pairs.parquet_table",
    "RemoteError": "perceptinit.errors",
    "SIZES": "perceptinit.pairs.sizes",
    "Scalars": "perceptinit.trackers.scalars",
    "SetChoice": "perceptinit.test_sets.choice",
    "TimmSource": "perceptinit.initializers.imagenet",
    "TrainingError": "perceptinit.errors",
    "WebdatasetPairs": "perceptinit.pairs.webdataset_pairs",
    "adamw": "perceptinit.compute.optim",
    "captions_in": "perceptinit.pairs.texts",
    "content_sha256": "perceptinit.files.reading",
    "decode_with_alpha": "perceptinit.images.decoding",
    "expand_braces": "perceptinit.pairs.paths",
    "file_name": "perceptinit.judgments.image_files",
    "final_path": "perceptinit.files.atomic",
    "find_misfit": "perceptinit.configs",
    "journals": "perceptinit.pairs.sizes",
    "load_trunk": "perceptinit.initializers.imagenet",
    "named_torch_seed": "perceptinit.seeding",
    "nearest": "perceptinit.registry",
    "num_fused_parts": "perceptinit.initializers.weights",
    "only_training": "perceptinit.initializers.weights",
    "parse_rows": "perceptinit.files.reading",
    "read_bytes": "perceptinit.files.reading",
    "read_classes": "perceptinit.pairs.parquet_pairs",
    "read_timm_weights": "perceptinit.initializers.imagenet",
    "remove_files": "perceptinit.files.atomic",
    "set_lr": "perceptinit.compute.optim",
    "shown": "perceptinit.errors",
    "temporaries": "perceptinit.files.atomic",
    "timm_architecture": "perceptinit.initializers.imagenet",
    "transparent_share": "perceptinit.images.background",
    "unseal": "perceptinit.files.reading",
    "warmup_cosine": "perceptinit.compute.optim",
    "without_credentials": "perceptinit.errors",
    "write_json": "perceptinit.files.atomic",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'perceptinit.companion' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)


def find_moved(name: str) -> str:
    """Return where a name that left `perceptinit.plugin` is now, as the end of an error message."""
    if name in _MODULES:
        return ". It moved to perceptinit.companion, which only the packages in plugins/ may use"
    if name in _INTERNAL:
        return f". It is not public: {_INTERNAL[name]} has it, and can change at any time"
    return ""
