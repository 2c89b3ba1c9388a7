"""Names of `perceptinit.plugin`, which plugin.py reads at run time."""

from perceptinit.backbones.encoders import DualTower as DualTower, ImageTower as ImageTower
from perceptinit.backbones.text import TextTower as TextTower, clip_tokenizer as clip_tokenizer
from perceptinit.components.building import Spec as Spec, find_model_parts as find_model_parts
from perceptinit.compute.distributed import exchange as exchange, is_first as is_first
from perceptinit.compute.optim import (
    Precision as Precision,
    adamw as adamw,
    autocast as autocast,
    set_lr as set_lr,
    warmup_cosine as warmup_cosine,
)
from perceptinit.configs import (
    NonNegativeFloat as NonNegativeFloat,
    NonNegativeInt as NonNegativeInt,
    PositiveFloat as PositiveFloat,
    PositiveInt as PositiveInt,
    Share as Share,
    find_misfit as find_misfit,
    read_config as read_config,
)
from perceptinit.errors import (
    CheckpointError as CheckpointError,
    DataError as DataError,
    EmptySplitError as EmptySplitError,
    InitializerError as InitializerError,
    MissingPackageError as MissingPackageError,
    PerceptInitError as PerceptInitError,
    Problem as Problem,
    RecipeError as RecipeError,
    RemoteError as RemoteError,
    TrainingError as TrainingError,
    UsageError as UsageError,
    problems_of as problems_of,
    shown as shown,
    without_credentials as without_credentials,
    writing as writing,
)
from perceptinit.evaluators.classifier import zero_shot_classifier as zero_shot_classifier
from perceptinit.evaluators.features import HasEvaluateMany as HasEvaluateMany, Joint as Joint
from perceptinit.evaluators.judged import JudgedMeasure as JudgedMeasure
from perceptinit.evaluators.labelled import LabelledMeasure as LabelledMeasure
from perceptinit.evaluators.metrics import measure_images as measure_images
from perceptinit.evaluators.set_measure import (
    SetConfig as SetConfig,
    SetMeasure as SetMeasure,
    SuiteConfig as SuiteConfig,
)
from perceptinit.files.atomic import (
    atomic_path as atomic_path,
    final_path as final_path,
    remove_files as remove_files,
    temporaries as temporaries,
    write_json as write_json,
)
from perceptinit.files.checkpoints import load_strict as load_strict, load_weights as load_weights
from perceptinit.files.downloads import Download as Download, HasDownloads as HasDownloads
from perceptinit.files.mat_files import MatValue as MatValue, read_mat as read_mat
from perceptinit.files.reading import (
    content_sha256 as content_sha256,
    parse_rows as parse_rows,
    read_bytes as read_bytes,
    read_json as read_json,
    require_file as require_file,
    unseal as unseal,
)
from perceptinit.files.tables import read_table as read_table
from perceptinit.hookspecs import hookimpl as hookimpl
from perceptinit.images.background import transparent_share as transparent_share
from perceptinit.images.decoding import (
    decode as decode,
    decode_with_alpha as decode_with_alpha,
    load_batch as load_batch,
    load_square as load_square,
)
from perceptinit.images.stimuli import StimulusImages as StimulusImages
from perceptinit.initializers.imagenet import (
    TimmSource as TimmSource,
    load_trunk as load_trunk,
    read_timm_weights as read_timm_weights,
    timm_architecture as timm_architecture,
)
from perceptinit.initializers.report import reporting as reporting
from perceptinit.initializers.trainable import (
    num_fused_parts as num_fused_parts,
    only_training as only_training,
)
from perceptinit.judgments.ceilings import DerivedAnswers as DerivedAnswers
from perceptinit.judgments.controls.wrappers import Wrapper as Wrapper
from perceptinit.judgments.data_check import check_judgments as check_judgments
from perceptinit.judgments.forms.conventions import (
    Conventions as Conventions,
    HasConventions as HasConventions,
)
from perceptinit.judgments.forms.drawing import TripletDraw as TripletDraw, draw_triplets as draw_triplets
from perceptinit.judgments.forms.odd_one_out import (
    HasOddOneOut as HasOddOneOut,
    OddOneOut as OddOneOut,
    odd_one_out_agreement as odd_one_out_agreement,
    triple_codes as triple_codes,
)
from perceptinit.judgments.forms.rdm import (
    Dissimilarities as Dissimilarities,
    HasDissimilarities as HasDissimilarities,
    square as square,
)
from perceptinit.judgments.forms.same_pairs import HasSamePairs as HasSamePairs, SamePairs as SamePairs
from perceptinit.judgments.forms.splits import assign_splits as assign_splits
from perceptinit.judgments.image_files import (
    file_name as file_name,
    file_names as file_names,
    list_some as list_some,
    missing_files as missing_files,
)
from perceptinit.judgments.own.matrix_set import MatrixSet as MatrixSet, RdmSet as RdmSet
from perceptinit.judgments.own.odd_one_out_table import OddOneOutTable as OddOneOutTable
from perceptinit.judgments.own.own_table import OwnTable as OwnTable
from perceptinit.judgments.own.rating_table import (
    RatedImages as RatedImages,
    VoteRule as VoteRule,
    triplets_from_ratings as triplets_from_ratings,
)
from perceptinit.judgments.own.rdm_files import read_names as read_names
from perceptinit.judgments.own.table import Table as Table
from perceptinit.judgments.scoring import (
    cosine_distances as cosine_distances,
    two_afc_accuracy as two_afc_accuracy,
)
from perceptinit.judgments.two_afc import (
    embed as embed,
    embed_judged as embed_judged,
    measure as measure,
)
from perceptinit.pairs.augment import Augment as Augment
from perceptinit.pairs.csv_pairs import CsvTable as CsvTable
from perceptinit.pairs.loader import PairBatch as PairBatch, PairLoader as PairLoader
from perceptinit.pairs.parquet_pairs import read_classes as read_classes
from perceptinit.pairs.parquet_table import HeldBlocks as HeldBlocks, ParquetTable as ParquetTable
from perceptinit.pairs.paths import expand_braces as expand_braces
from perceptinit.pairs.sizes import JOURNAL as JOURNAL, SIZES as SIZES, journals as journals
from perceptinit.pairs.texts import captions_in as captions_in
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs as WebdatasetPairs
from perceptinit.pretrainers.clip import Clip as Clip
from perceptinit.pretrainers.objective import Objective as Objective
from perceptinit.pretrainers.pair_loss import PairLoss as PairLoss
from perceptinit.pretrainers.pretraining import Pretraining as Pretraining
from perceptinit.pretrainers.training_config import TrainingConfig as TrainingConfig
from perceptinit.progress import Bars as Bars
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
    HasSay as HasSay,
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
from perceptinit.recipe.plan import (
    ModelCost as ModelCost,
    model_cost as model_cost,
    stage_plan as stage_plan,
)
from perceptinit.recipe.reading import load_recipe as load_recipe
from perceptinit.recipe.recipe import Recipe as Recipe
from perceptinit.registry import Component as Component, nearest as nearest, unknown as unknown
from perceptinit.reports.account import ENERGY_FILE as ENERGY_FILE
from perceptinit.reports.figures import (
    Figure as Figure,
    add_legend as add_legend,
    arm_style as arm_style,
    drawing as drawing,
    finish as finish,
)
from perceptinit.reports.sections import Section as Section, ShownRun as ShownRun
from perceptinit.seeding import (
    derive_seed as derive_seed,
    generator as generator,
    named_torch_seed as named_torch_seed,
    torch_generator as torch_generator,
)
from perceptinit.test_sets.choice import HasChoice as HasChoice, SetChoice as SetChoice
from perceptinit.test_sets.sets import RetrievalSet as RetrievalSet, ZeroShotSet as ZeroShotSet
from perceptinit.trackers.scalars import Scalars as Scalars, flat as flat, scalars as scalars
from perceptinit.types import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
    WHITE as WHITE,
    Classes as Classes,
    Colour as Colour,
    DataCard as DataCard,
    DataNeed as DataNeed,
    Event as Event,
    Fit as Fit,
    ImageSource as ImageSource,
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
