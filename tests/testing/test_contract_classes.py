"""The contract classes: built-ins pass, and failures of a broken component state what to change."""

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from typing_extensions import get_protocol_members

from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.backbones.timm_backbone import Timm
from perceptinit.configs import to_table
from perceptinit.errors import DataError
from perceptinit.evaluators.features import ALONE
from perceptinit.evaluators.labelled import KNN, ClassificationAccuracy
from perceptinit.evaluators.two_afc import TwoAFC
from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.initializers.random import Random
from perceptinit.initializers.triplet_hinge import TripletHinge
from perceptinit.initializers.weights import reporting
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.judgments.controls.wrappers import ShuffledVotes, Subset
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.pretrainers.clip import Clip
from perceptinit.pretrainers.supervised import Supervised
from perceptinit.testing import CONTRACTS, OPTIONAL, tiny_judgments, tiny_pairs
from perceptinit.trackers.console import Console
from perceptinit.trackers.jsonl import Jsonl
from perceptinit.types import Pair, Score, StepResult

PRETRAIN = {"epochs": 2, "batch_size": 16, "warmup_steps": 1}
BUILT_INS = [
    ("initializer", Random, {}),
    ("initializer", TripletHinge, {"epochs": 2, "batch_size": 16}),
    ("backbone", Timm, to_table(Timm.Config().smoke())),
    ("backbone", OpenClip, to_table(OpenClip.Config().smoke())),
    ("pretrainer", Clip, PRETRAIN),
    ("pretrainer", Supervised, {**PRETRAIN, "mixup": 0.8, "cutmix": 1.0}),
    ("judgments", SyntheticJudgments, {"num_train": 8, "num_val": 8}),
    ("judgments", ShuffledVotes, {}),
    ("judgments", Subset, {"fraction": 0.5}),
    ("pairs", SyntheticPairs, {"num_pairs": 16}),
    ("evaluator", TwoAFC, {}),
    ("evaluator", ZeroShot, {"datasets": ["synthetic"], "synthetic_num_images": 32}),
    (
        "evaluator",
        ClassificationAccuracy,
        {"datasets": ["synthetic"], "synthetic_num_images": 32},
    ),
    ("evaluator", KNN, {"datasets": ["synthetic"], "synthetic_num_images": 32}),
    ("tracker", Jsonl, {}),
    ("tracker", Console, {}),
]


def contract_of(kind, component, options=None):
    members = {"component": component, "options": lambda self, tmp_path: options or {}}
    return type(f"Test{component.__name__}", (CONTRACTS[kind],), members)()


def checks_of(contract):
    return [f for name, f in inspect.getmembers(contract, inspect.ismethod) if name.startswith("test_")]


def run_check(check, tmp_path):
    check(tmp_path) if "tmp_path" in inspect.signature(check).parameters else check()


def complaints(kind, component, tmp_path, options=None):
    """Return the failure messages of all checks."""
    found = []
    for check in checks_of(contract_of(kind, component, options)):
        try:
            run_check(check, tmp_path)
        except AssertionError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize(
    ("kind", "component", "options"), BUILT_INS, ids=lambda v: getattr(v, "__name__", "")
)
def test_built_ins_pass_the_contract_of_their_kind(kind, component, options, tmp_path):
    for check in checks_of(contract_of(kind, component, options)):
        run_check(check, tmp_path)


class Base:
    """A component without methods and with a documented Config."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        strength: float = 1.0
        """How much of it, as a factor without unit."""

    def __init__(self, config):
        self.config = config


def test_a_mutable_config_is_reported(tmp_path):
    class Loose(Random):
        """Draws weights and has a mutable config."""

        @dataclass
        class Config:
            pass

    said = complaints("initializer", Loose, tmp_path)
    assert said == [
        "initializer Loose: decorate Config with @dataclass(frozen=True, slots=True, kw_only=True)"
    ]


def test_an_undocumented_key_is_reported(tmp_path):
    class Silent(Random):
        """Draws weights and has an undocumented key."""

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Config:
            strength: float = 1.0

    (said,) = complaints("initializer", Silent, tmp_path)
    assert "Config.strength needs a string under it" in said


def test_a_short_docstring_is_not_called_missing(tmp_path):
    class Brief(Random):
        """Draws."""

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Config:
            pass

    (said,) = complaints("initializer", Brief, tmp_path)
    assert "its docstring is too short: 'Draws.'. State what the component does" in said


def test_a_method_with_wrong_arguments_is_reported(tmp_path):
    class Other(Base):
        """Takes other arguments."""

        def initialize(self, model, seed):
            return None

    said = complaints("initializer", Other, tmp_path)
    assert "initializer Other: initialize(self, model, seed) must be initialize(self, model, ctx)" in said


def test_an_initializer_that_uses_the_global_generator_is_reported(tmp_path):
    class Global(Base):
        """Adds noise from the global generator of torch."""

        def initialize(self, model, ctx):
            with reporting("x/global", model) as report:
                weight = next(model.parameters()).data
                weight += torch.randn(weight.shape)
            return report.result

    text = "\n".join(complaints("initializer", Global, tmp_path))
    assert "two calls with the same seed give different weights: draw from ctx.rng('name')" in text
    assert "advanced torch's global generator" in text


def test_an_initializer_with_an_incomplete_state_is_reported(tmp_path):
    class Forgetful(Base):
        """Accelerates with each step, but does not save its speed."""

        def initialize(self, model, ctx):
            speed = 0.0  # is not in the state
            with reporting("forgetful", model) as report:
                if ctx.resumed:
                    report.resume(ctx.resumed["report"])
                for step in range(ctx.resumed["step"] + 1 if ctx.resumed else 0, 4):
                    speed += 1.0
                    with torch.no_grad():
                        model.projection.weight.add_(speed)
                    state = {"step": step, "report": report.state()}
                    ctx.offer(step, lambda state=state: state)
            return report.result

    said = complaints("initializer", Forgetful, tmp_path)
    assert said == [
        "initializer Forgetful: resuming after call 1 of 4 to offer() gives different weights: save everything that "
        "later steps depend on in the state, and resume from ctx.resumed"
    ]


def test_an_initializer_without_a_report_or_a_change_is_reported(tmp_path):
    class Nothing(Base):
        """Changes and reports nothing."""

        def initialize(self, model, ctx):
            model.train()

    text = "\n".join(complaints("initializer", Nothing, tmp_path))
    assert "must return perceptinit.plugin.InitReport, got None; wrap the work in" in text
    assert "the tower was left in training mode" in text


def test_a_backbone_that_is_not_a_dual_encoder_is_reported(tmp_path):
    class Half(Base):
        """A single convolution."""

        def build(self):
            return torch.nn.Conv2d(3, 4, 3)

    text = complaints_until_crash("backbone", Half, tmp_path)
    assert "build() lacks context_length, embed_dim, encode_image" in text


def complaints_until_crash(kind, component, tmp_path):
    """Return the joined failure messages; a component with severe errors also crashes in later checks."""
    found = []
    for check in checks_of(contract_of(kind, component)):
        try:
            run_check(check, tmp_path)
        except AssertionError as error:
            found.append(str(error))
        except AttributeError:
            continue
    return "\n".join(found)


def test_a_pretrainer_that_does_not_restore_its_state_is_reported(tmp_path):
    class Forgetful(Clip):
        """CLIP that restarts its step count."""

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Config(Clip.Config):
            pass

        def load_state_dict(self, state):
            pass

    options = {"epochs": 1, "batch_size": 16, "warmup_steps": 1}
    text = "\n".join(complaints("pretrainer", Forgetful, tmp_path, options))
    assert "resuming with load_state_dict() in a new object changes" in text
    assert "save the optimizer and all counters" in text


def test_steps_that_count_from_zero_are_reported(tmp_path):
    class FromZero(Base):
        """Steps without training."""

        def steps(self, model, ctx):
            for i in range(4):
                yield StepResult(step=i, samples_seen=i, epoch=1, end_of_epoch=i == 3, metrics={"loss": 0.0})

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    text = "\n".join(complaints("pretrainer", FromZero, tmp_path))
    assert "step must count 1, 2, 3, ..., got [0, 1, 2, 3]" in text


def test_judgments_that_leak_between_splits_are_reported(tmp_path):
    class Leaky(Base):
        """The same rows in each split."""

        name = "leaky"
        card = tiny_judgments().card

        def load(self, split):
            return tiny_judgments().load("train")

    text = "\n".join(complaints("judgments", Leaky, tmp_path))
    assert "is in both 'train' and 'val', so judgments leak: assign whole groups to splits" in text


def test_judgments_without_a_split_are_reported(tmp_path):
    class OnlyTrain(Base):
        """One split."""

        name = "only-train"
        card = tiny_judgments().card

        def load(self, split):
            if split != "train":
                raise DataError("no rows")
            return tiny_judgments().load(split)

    text = "\n".join(complaints("judgments", OnlyTrain, tmp_path))
    assert (
        "load('val') raised DataError: no rows. Give rows of that split in options(), or set `splits`" in text
    )


def test_pairs_with_wrong_counts_or_repeated_keys_are_reported(tmp_path):
    class Miscount(Base):
        """States four pairs but blocks of three."""

        num_pairs = 4
        block_sizes = (3,)

        def pair(self, index):
            return Pair("same", np.zeros((4, 4, 3), np.uint8), "text")

    text = "\n".join(complaints("pairs", Miscount, tmp_path))
    assert "block_sizes sum to 3, num_pairs is 4" in text
    assert "several pairs have the key 'same'" in text


def test_pairs_that_are_not_reproducible_are_reported(tmp_path):
    class Popping(Base):
        """Returns pairs in the order of requests."""

        num_pairs = 8
        block_sizes = (8,)
        count = 0

        def pair(self, index):
            Popping.count += 1
            return Pair(f"{Popping.count}", tiny_pairs().pair(index).image, "text")

    text = "\n".join(complaints("pairs", Popping, tmp_path))
    assert "pair(index) returned different pairs in threads" in text


def test_an_evaluator_that_changes_the_model_is_reported(tmp_path):
    class Meddling(Base):
        """Changes the model that it evaluates."""

        def evaluate(self, model, ctx):
            model.train()
            next(model.parameters()).data += 1
            yield Score(name="accuracy", value=float("nan"))

    text = "\n".join(complaints("evaluator", Meddling, tmp_path))
    assert "score 'accuracy' must be named measure/set, such as top1/cifar10" in text
    assert "evaluate() changed the model's weights" in text


def test_a_tracker_that_does_not_support_all_events_is_reported(tmp_path):
    class Picky(Base):
        """Supports step events only."""

        def start(self, ctx):
            pass

        def log(self, event):
            {"step": print, "scores": print, "warning": print}[event.kind]

        def close(self):
            pass

    text = "\n".join(complaints("tracker", Picky, tmp_path))
    assert "log() of an event of kind 'run-start' raised KeyError: 'run-start';" in text
    assert "a tracker must ignore events of an unknown kind" in text


def test_an_optional_method_with_wrong_arguments_is_reported():
    class Deaf(Jsonl):
        def describe(self, ctx, recipe):
            pass

    with pytest.raises(AssertionError) as error:
        contract_of("tracker", Deaf).test_methods_take_the_arguments_of_the_protocol()
    assert str(error.value) == (
        "tracker Deaf: describe(self, ctx, recipe) must be describe(self, ctx, text, settings)"
    )


def test_additional_arguments_with_defaults_are_accepted(tmp_path):
    class Loud(Jsonl):
        """A tracker with a method whose optional argument has a default."""

        def say(self, text, style="plain"):
            pass

    assert complaints("tracker", Loud, tmp_path) == []


def test_averaged_weights_that_stay_in_the_model_are_reported(tmp_path):
    class Swapped(Clip):
        """Keeps the averaged weights after evaluation."""

        @contextmanager
        def evaluated(self):
            yield
            with torch.no_grad():
                self._whole.logit_scale.add_(1)

    (said,) = complaints("pretrainer", Swapped, tmp_path, PRETRAIN)
    assert "`with evaluated()` does not restore the weights" in said


def test_a_constant_fingerprint_of_batches_is_reported(tmp_path):
    class Fixed(Clip):
        """Returns the same fingerprint for all batches."""

        data_sha256 = "0"

    (said,) = complaints("pretrainer", Fixed, tmp_path, PRETRAIN)
    assert "data_sha256 must be equal if and only if batches are equal" in said


def test_wrong_scores_of_jointly_evaluated_models_are_reported(tmp_path):
    class Mixed(ZeroShot):
        """Returns the scores of the first model for each model."""

        def evaluate_many(self, models, ctx, joint=ALONE):
            return [super(Mixed, self).evaluate_many([models[0]], ctx, joint)[0] for _ in models]

    options = {"datasets": ["synthetic"], "synthetic_num_images": 32}
    (said,) = complaints("evaluator", Mixed, tmp_path, options)
    assert said.startswith("evaluator Mixed: evaluate_many() gives")


def test_a_reversed_noise_ceiling_is_reported(tmp_path):
    class Upside(SyntheticJudgments):
        """Judgments whose noise ceiling is reversed."""

        def noise_ceiling(self, split):
            return 0.9, 0.1

    (said,) = complaints("judgments", Upside, tmp_path, {"num_train": 8, "num_val": 8})
    assert said.endswith("must be None or (lower, upper) in [0, 1], got (0.9, 0.1)")


def test_a_shuffle_limit_that_is_not_a_number_is_reported(tmp_path):
    class Unlimited(SyntheticPairs):
        """Pairs without a limit of blocks."""

        max_shuffle_blocks = None

    (said,) = complaints("pairs", Unlimited, tmp_path, {"num_pairs": 16})
    assert said.endswith("max_shuffle_blocks must be an int > 0, got None")


@pytest.mark.parametrize("kind", OPTIONAL)
def test_optional_methods_are_documented(kind):
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
    missing = [name for p in OPTIONAL[kind] for name in get_protocol_members(p) if f"`{name}" not in page]
    assert missing == []
