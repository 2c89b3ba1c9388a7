"""Names of `perceptinit.companion` for type checkers; companion.py imports each when it is first used."""

from perceptinit.components.building import find_model_parts as find_model_parts
from perceptinit.compute.distributed import exchange as exchange, is_first as is_first
from perceptinit.configs import read_config as read_config
from perceptinit.errors import (
    Problem as Problem,
    RecipeError as RecipeError,
    list_some as list_some,
    problems_of as problems_of,
    reading as reading,
    writing as writing,
)
from perceptinit.evaluators.classifier import zero_shot_classifier as zero_shot_classifier
from perceptinit.evaluators.features import (
    ALONE as ALONE,
    Encoding as Encoding,
    Joint as Joint,
    Subjects as Subjects,
    all_features as all_features,
)
from perceptinit.evaluators.labelled import LabeledMeasure as LabeledMeasure
from perceptinit.evaluators.metrics import (
    jackknife as jackknife,
    leave_out_groups as leave_out_groups,
    measure_images as measure_images,
)
from perceptinit.files.atomic import atomic_path as atomic_path, write_file as write_file
from perceptinit.files.checkpoints import load_strict as load_strict, load_weights as load_weights
from perceptinit.files.mat_files import MatValue as MatValue, read_mat as read_mat
from perceptinit.files.reading import (
    file_names as file_names,
    read_json as read_json,
    read_npy as read_npy,
    read_text as read_text,
    require_file as require_file,
)
from perceptinit.files.tables import read_table as read_table
from perceptinit.images.decoding import load_batch as load_batch
from perceptinit.images.thumbnails import thumbnail as thumbnail
from perceptinit.judgments.data_check import check_judgments as check_judgments
from perceptinit.judgments.forms.drawing import (
    DerivedAnswers as DerivedAnswers,
    RatedPairs as RatedPairs,
    TripletDraw as TripletDraw,
    VoteRule as VoteRule,
    draw_triplets as draw_triplets,
)
from perceptinit.judgments.forms.odd_one_out import (
    HasSamePairs as HasSamePairs,
    SamePairs as SamePairs,
    odd_one_out_agreement as odd_one_out_agreement,
    triple_codes as triple_codes,
)
from perceptinit.judgments.forms.rdm import square as square
from perceptinit.judgments.forms.splits import split_names as split_names
from perceptinit.judgments.image_files import missing_files as missing_files
from perceptinit.judgments.own.choices import OddOneOutTable as OddOneOutTable
from perceptinit.judgments.own.matrix_set import RdmSet as RdmSet
from perceptinit.judgments.own.rdm_files import read_names as read_names
from perceptinit.judgments.own.table import Table as Table
from perceptinit.judgments.scoring import (
    cosine_distances as cosine_distances,
    two_afc_accuracy as two_afc_accuracy,
)
from perceptinit.judgments.two_afc import embed_judged as embed_judged
from perceptinit.recipe.cost import (
    DECODE_SECONDS as DECODE_SECONDS,
    USABLE_SHARE as USABLE_SHARE,
    stage_work as stage_work,
)
from perceptinit.recipe.reading import load_recipe as load_recipe
from perceptinit.recipe.recipe import Recipe as Recipe
from perceptinit.recipe.tables import parse_toml as parse_toml
from perceptinit.registry import suggest as suggest
from perceptinit.reports.account import ENERGY_FILE as ENERGY_FILE
from perceptinit.reports.figures import (
    Figure as Figure,
    add_legend as add_legend,
    arm_style as arm_style,
    drawing as drawing,
    finish as finish,
)
from perceptinit.running.memory import StageMemory as StageMemory, Tracer as Tracer
from perceptinit.running.resources import resource_rows as resource_rows
from perceptinit.seeding import derive_seed as derive_seed
from perceptinit.test_sets.sets import RetrievalSet as RetrievalSet, ZeroShotSet as ZeroShotSet
from perceptinit.trackers.scalars import flat as flat
from perceptinit.types import ImageSource as ImageSource, raise_first as raise_first
