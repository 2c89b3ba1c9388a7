"""The contract of all components, the optional protocols of each kind, and a tiny model and data."""

import dataclasses
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from perceptinit import protocols as p
from perceptinit.backbones.encoders import DualTower
from perceptinit.backbones.image_models import ImageClassifier
from perceptinit.backbones.timm_backbone import Timm
from perceptinit.components.building import find_parts, preflight
from perceptinit.components.describe import class_nodes, fields_of
from perceptinit.configs import read_config
from perceptinit.evaluators.features import HasEvaluateMany
from perceptinit.files.downloads import HasDownloads
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut, HasSamePairs
from perceptinit.judgments.forms.rdm import HasDissimilarities
from perceptinit.judgments.forms.splits import HasConventions
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.pretrainers.supervised import Supervised
from perceptinit.seeding import named_torch_seed
from perceptinit.test_sets.choice import HasChoice
from perceptinit.types import RunContext, StagePlan

REQUIRED: dict[str, type] = {
    "initializer": p.Initializer,
    "backbone": p.Backbone,
    "pretrainer": p.Pretrainer,
    "judgments": p.Judgments,
    "pairs": p.Pairs,
    "evaluator": p.Evaluator,
    "tracker": p.Tracker,
}
ANY_KIND: tuple[type, ...] = (p.HasPreflight, p.HasWarnings, p.HasNeeds, p.HasPlan, p.HasStandIn)
OPTIONAL: dict[str, tuple[type, ...]] = {
    "initializer": ANY_KIND,
    "backbone": ANY_KIND,
    "pretrainer": (*ANY_KIND, p.HasModel, p.HasEvaluated, p.HasDataSha256, p.HasDataFiles),
    "judgments": (
        *ANY_KIND,
        p.HasNoiseCeiling,
        p.HasPeople,
        HasOddOneOut,
        HasSamePairs,
        HasDissimilarities,
        HasConventions,
        HasDownloads,
    ),
    "pairs": (
        *ANY_KIND,
        p.HasFileNames,
        p.HasMaxShuffleBlocks,
        p.HasReadAhead,
        p.HasPublishedNumPairs,
        p.HasClasses,
    ),
    "evaluator": (*ANY_KIND, p.HasNeededPart, p.HasMisfits, p.HasEvaluatedImages, HasEvaluateMany, HasChoice),
    "tracker": (*ANY_KIND, p.HasExpect, p.HasDescribe, p.HasSay),
}


def tiny_model(seed: int = 0) -> DualTower:
    """Return a dual encoder for images of 32 x 32 pixels: a ViT and a text transformer, one block each."""
    with named_torch_seed(seed, "tiny-model"):
        return Timm(Timm.Config().smoke()).build()


def tiny_classifier(seed: int = 0) -> ImageClassifier:
    """Return the image tower of `tiny_model` with a classifier for the classes of `tiny_pairs`."""
    return ImageClassifier(tiny_model(seed).image, tiny_pairs().read_classes().names, seed)


def tiny_judgments() -> SyntheticJudgments:
    """Return simulated judgments, a few dozen in each split."""
    return SyntheticJudgments(SyntheticJudgments.Config().smoke())


def tiny_pairs() -> SyntheticPairs:
    """Return a few dozen rendered images with captions."""
    return SyntheticPairs(SyntheticPairs.Config().smoke())


def tiny_pretrainer() -> Supervised:
    """Return a pretrainer that learns the classes of `tiny_pairs` in a few steps."""
    pairs: Any = tiny_pairs()
    return Supervised(Supervised.Config().smoke(), pairs)


PARTS = {
    "judgments": tiny_judgments,
    "also_on": tiny_judgments,
    "pairs": tiny_pairs,
    "pretrain": tiny_pretrainer,
}


class Contract:
    """Base class of the contract tests. Subclasses set `component`, and `options` for required keys."""

    component: type
    kind: ClassVar[str]

    def options(self, tmp_path: Path) -> dict[str, Any]:
        """Return recipe keys for the component. Override it, and write required files to `tmp_path`."""
        return {}

    def parts(self) -> dict[str, Any]:
        """Return simulated components for the parameters of `__init__`."""
        return {name: PARTS[name]() for name in find_parts(self.component)}

    @property
    def label(self) -> str:
        return f"{self.kind} {self.component.__name__}"

    def must(self, holds: object, sentence: str) -> None:
        """Fail unless `holds`. The sentence states the error and the required change."""
        __tracebackhide__ = True  # pytest: show the line of the contract, not this one
        if not holds:
            raise AssertionError(f"{self.label}: {sentence}")

    def must_be(self, value: object, kind: type, what: str, advice: str = "") -> None:
        """Fail unless `value`, which `what` returned, is an instance of `kind`."""
        __tracebackhide__ = True
        where = "perceptinit.plugin." if kind.__module__.startswith("perceptinit.types") else ""
        sentence = f"{what} must return {where}{kind.__name__}, got {value!r:.60}{advice}"
        self.must(isinstance(value, kind), sentence)

    @contextmanager
    def must_not_raise(self, errors: type[Exception], what: str, advice: str = "") -> Iterator[None]:
        """Fail if the block raises one of the errors."""
        __tracebackhide__ = True
        try:
            yield
        except errors as error:
            raise AssertionError(
                f"{self.label}: {what} raised {type(error).__name__}: {error}{advice}"
            ) from error

    def config(self, tmp_path: Path) -> Any:
        """Return the config of `options`, validated like a recipe."""
        kind: Any = self.component.Config  # type: ignore[attr-defined]
        config, problems = read_config(kind, self.options(tmp_path), self.kind)
        self.must(not problems, f"options() returned an invalid config: {'; '.join(map(str, problems))}")
        return config

    def build(self, tmp_path: Path, config: Any = None) -> Any:
        """Return a new component. With `config`, `options` is not called again."""
        return self.component(config or self.config(tmp_path), **self.parts())

    def context(self, tmp_path: Path, seed: int = 0) -> RunContext:
        """Return the context of a run on the CPU, with a folder in `tmp_path`."""
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        return RunContext(seed=seed, stage="contract", folder=folder, num_workers=0)

    def test_config_is_a_frozen_dataclass_of_keyword_fields(self) -> None:
        config: Any = getattr(self.component, "Config", None)
        self.must(dataclasses.is_dataclass(config), "it needs a nested dataclass Config, even without keys")
        is_strict = config.__dataclass_params__.frozen and all(f.kw_only for f in dataclasses.fields(config))
        self.must(is_strict, "decorate Config with @dataclass(frozen=True, slots=True, kw_only=True)")

    def test_every_key_and_the_class_are_documented(self) -> None:
        doc = inspect.getdoc(self.component) or ""
        self.must(bool(doc), "it needs a docstring, which `perceptinit show` prints")
        self.must(len(doc) >= 10, f"its docstring is too short: {doc!r}. State what the component does")
        for field in fields_of(class_nodes(self.component.Config)):  # type: ignore[attr-defined]
            self.must(bool(field.doc), f"Config.{field.name} needs a string under it: effect and unit")
            short = f"the string under Config.{field.name} is too short: {field.doc!r}. State effect and unit"
            self.must(len(field.doc) >= 10, short)

    def test_methods_take_the_arguments_of_the_protocol(self) -> None:
        required = REQUIRED[self.kind]
        for name, method in _methods(required):
            self.must(hasattr(self.component, name), f"it lacks {name}{inspect.signature(method)}")
        for protocol in (required, *OPTIONAL[self.kind]):
            for difference in wrong_arguments(self.component, protocol):
                self.must(False, difference)

    def test_component_builds_and_passes_preflight(self, tmp_path: Path) -> None:
        lacking = preflight(self.build(tmp_path))
        self.must(not lacking, f"preflight() reports problems: {'; '.join(lacking)}")

    def test_plan_and_smoke_return_valid_objects(self, tmp_path: Path) -> None:
        component = self.build(tmp_path)
        if isinstance(component, p.HasPlan):
            self.must_be(component.plan(), StagePlan, "plan()")
        config = self.config(tmp_path)
        if isinstance(config, p.HasSmoke):
            self.must_be(config.smoke(), type(config), "Config.smoke()")


def name_few(names: Iterable[str]) -> list[str]:
    """Return the first three names, for a message."""
    return sorted(names)[:3]


def wrong_arguments(component: type, protocol: type) -> Iterator[str]:
    """Yield differences between the parameters of methods and those of a protocol.

    Methods can have further parameters with defaults.
    """
    for name, method in _methods(protocol):
        own: Any = getattr(component, name, None)
        if not callable(own):
            continue
        wanted = list(inspect.signature(method).parameters.values())
        found = list(inspect.signature(own).parameters.values())
        more = found[len(wanted) :]
        names = [v.name for v in found]
        wanted_names = [v.name for v in wanted]
        if names[: len(wanted)] != wanted_names or any(v.default is v.empty for v in more):
            yield f"{name}({', '.join(names)}) must be {name}({', '.join(wanted_names)})"


def _methods(protocol: type) -> list[tuple[str, Any]]:
    return [m for m in inspect.getmembers(protocol, inspect.isfunction) if not m[0].startswith("_")]
