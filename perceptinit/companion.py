"""Names for the companion packages in `plugins/`, beyond `perceptinit.plugin`.

A companion supports one version of perceptinit, so these names come without a promise: they can change in
every release. Packages of other authors import `perceptinit.plugin` alone.
"""

from importlib import import_module
from typing import Any

# name -> module; companion.pyi has the same names for type checkers
_MODULES = {
    "ALONE": "perceptinit.evaluators.features",
    "DECODE_SECONDS": "perceptinit.recipe.cost",
    "DerivedAnswers": "perceptinit.judgments.forms.drawing",
    "ENERGY_FILE": "perceptinit.reports.account",
    "Encoding": "perceptinit.evaluators.features",
    "Figure": "perceptinit.reports.figures",
    "HasSamePairs": "perceptinit.judgments.forms.odd_one_out",
    "ImageSource": "perceptinit.types",
    "Joint": "perceptinit.evaluators.features",
    "LabeledMeasure": "perceptinit.evaluators.labelled",
    "MatValue": "perceptinit.files.mat_files",
    "OddOneOutTable": "perceptinit.judgments.own.choices",
    "Problem": "perceptinit.errors",
    "RatedPairs": "perceptinit.judgments.forms.drawing",
    "RdmSet": "perceptinit.judgments.own.matrix_set",
    "Recipe": "perceptinit.recipe.recipe",
    "RecipeError": "perceptinit.errors",
    "RetrievalSet": "perceptinit.test_sets.sets",
    "SamePairs": "perceptinit.judgments.forms.odd_one_out",
    "StageMemory": "perceptinit.running.memory",
    "Subjects": "perceptinit.evaluators.features",
    "Table": "perceptinit.judgments.own.table",
    "Tracer": "perceptinit.running.memory",
    "TripletDraw": "perceptinit.judgments.forms.drawing",
    "USABLE_SHARE": "perceptinit.recipe.cost",
    "VoteRule": "perceptinit.judgments.forms.drawing",
    "ZeroShotSet": "perceptinit.test_sets.sets",
    "add_legend": "perceptinit.reports.figures",
    "all_features": "perceptinit.evaluators.features",
    "arm_style": "perceptinit.reports.figures",
    "atomic_path": "perceptinit.files.atomic",
    "check_judgments": "perceptinit.judgments.data_check",
    "cosine_distances": "perceptinit.judgments.scoring",
    "derive_seed": "perceptinit.seeding",
    "draw_triplets": "perceptinit.judgments.forms.drawing",
    "drawing": "perceptinit.reports.figures",
    "embed_judged": "perceptinit.judgments.two_afc",
    "exchange": "perceptinit.compute.distributed",
    "file_names": "perceptinit.files.reading",
    "find_model_parts": "perceptinit.components.building",
    "finish": "perceptinit.reports.figures",
    "flat": "perceptinit.trackers.scalars",
    "is_first": "perceptinit.compute.distributed",
    "jackknife": "perceptinit.evaluators.metrics",
    "leave_out_groups": "perceptinit.evaluators.metrics",
    "list_some": "perceptinit.errors",
    "load_batch": "perceptinit.images.decoding",
    "load_recipe": "perceptinit.recipe.reading",
    "load_strict": "perceptinit.files.checkpoints",
    "load_weights": "perceptinit.files.checkpoints",
    "measure_images": "perceptinit.evaluators.metrics",
    "missing_files": "perceptinit.judgments.image_files",
    "odd_one_out_agreement": "perceptinit.judgments.forms.odd_one_out",
    "parse_toml": "perceptinit.recipe.tables",
    "problems_of": "perceptinit.errors",
    "raise_first": "perceptinit.types",
    "read_config": "perceptinit.configs",
    "read_json": "perceptinit.files.reading",
    "read_mat": "perceptinit.files.mat_files",
    "read_names": "perceptinit.judgments.own.rdm_files",
    "read_npy": "perceptinit.files.reading",
    "read_table": "perceptinit.files.tables",
    "read_text": "perceptinit.files.reading",
    "reading": "perceptinit.errors",
    "require_file": "perceptinit.files.reading",
    "resource_rows": "perceptinit.running.resources",
    "split_names": "perceptinit.judgments.forms.splits",
    "square": "perceptinit.judgments.forms.rdm",
    "stage_work": "perceptinit.recipe.cost",
    "suggest": "perceptinit.registry",
    "thumbnail": "perceptinit.images.thumbnails",
    "triple_codes": "perceptinit.judgments.forms.odd_one_out",
    "two_afc_accuracy": "perceptinit.judgments.scoring",
    "write_file": "perceptinit.files.atomic",
    "writing": "perceptinit.errors",
    "zero_shot_classifier": "perceptinit.evaluators.classifier",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'perceptinit.companion' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
