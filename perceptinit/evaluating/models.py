"""The models of `perceptinit eval`: runs, checkpoints, and models and embeddings of other libraries."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from perceptinit.components.building import Spec, preflight, read_spec
from perceptinit.errors import CheckpointError, UsageError, require_valid
from perceptinit.evaluating.other_models import (
    OPEN_CLIP,
    is_exported,
    load_exported,
    load_function,
    load_timm,
    read_about,
    read_embeddings,
    refuse_pickle,
)
from perceptinit.files.reading import check_sums
from perceptinit.recipe.recipe import Recipe
from perceptinit.registry import Registry
from perceptinit.results.loading import Undrawn, holds_image_tower, load_model, parts_of, read_recorded_recipe
from perceptinit.results.record import RECORD, judgments_of, read_record, recorded_sha256
from perceptinit.seeding import named_torch_seed

BACKBONES = ("open-clip", "timm")
SUFFIX = ".safetensors"
SNAPSHOTS = "samples-"
EMBEDDINGS = (".parquet", ".npy")
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
RANDOM = " (random weights)"


@dataclass(frozen=True, slots=True)
class SourceRun:
    """The run that a model is read from.

    samples_seen: Pairs seen in pretraining. moment: Name of the weights, unless their samples seen
    distinguish them from the others of the run.
    """

    folder: Path
    arm: str
    seed: int
    samples_seen: int
    recipe: Recipe
    moment: str = ""

    @property
    def title(self) -> str:
        return f"{self.arm} {self.moment}".strip()


@dataclass(frozen=True, slots=True)
class EvalModel:
    """A model to measure; `build` returns it in eval mode, on the CPU.

    parts: A subset of "image", "text" and "head" (a classifier); empty for embeddings of images.
    run: The run that the model is read from, if any.
    judgments: Recipe tables of the judgments that the model was trained on.
    """

    title: str
    build: Callable[[], Any]
    parts: frozenset[str] = frozenset({"image", "text"})
    run: SourceRun | None = None
    judgments: Sequence[Mapping[str, Any]] = ()


def find_models(
    sources: Sequence[str], registry: Registry, backbone: Spec | None, weights: str
) -> list[EvalModel]:
    """Return the models of the sources, with unique titles.

    sources: Folders of runs; folders of `perceptinit export` and of transformers; checkpoints of `backbone`
    (.safetensors) or folders of them; `open-clip:MODEL[:TAG or FILE]`; `timm:MODEL[:TAG or FILE]`;
    `package.module:function`; embeddings (.parquet, or .npy with a .txt of names).
    weights: Weights of a run to measure: `final`, `init`, `pretrain` or `all`.

    Raises UsageError for other sources.
    """
    found: dict[str, EvalModel] = {}
    for model in (m for source in sources for m in _find(source, registry, backbone, weights)):
        if found.setdefault(model.title, model) is not model:
            raise UsageError(f"{model.title}: two models have this name. Evaluate them separately")
    return list(found.values())


def _find(source: str, registry: Registry, backbone: Spec | None, weights: str) -> Iterator[EvalModel]:
    kind, _, rest = source.partition(":")
    if kind in BACKBONES and rest:
        yield _find_named(kind, rest, registry)
        return
    path = Path(source)
    if not path.exists() and FUNCTION.fullmatch(source):
        yield EvalModel(source, partial(load_function, source), frozenset({"image"}))
        return
    if not path.exists():
        raise UsageError(
            f"{source}: no such file or folder, and not open-clip:MODEL, timm:MODEL or "
            "package.module:function"
        )
    refuse_pickle(source)
    if path.suffix in EMBEDDINGS:
        yield EvalModel(source, partial(read_embeddings, path), frozenset())
        return
    check_sums(path if path.is_dir() else path.parent)
    if path.is_dir() and next(path.rglob(RECORD), None):
        yield from _find_in_runs(path, weights)
        return
    if is_exported(path):
        towers = ("image", "text") if (path / OPEN_CLIP).is_file() else ("image",)
        judgments = read_about(path).get("judgments", ())
        yield EvalModel(str(path), partial(load_exported, path), frozenset(towers), judgments=judgments)
        return
    files = [path] if path.is_file() else sorted(path.glob(f"*{SUFFIX}"))
    if not files:
        raise UsageError(
            f"{path}: contains no runs (record.json), no export and no checkpoints (*{SUFFIX}). Give a "
            "folder of runs or a model, such as timm:resnet50"
        )
    if backbone is None:
        raise UsageError(
            f"{files[0]}: unknown architecture. Set it with --backbone RECIPE or --backbone open-clip:MODEL; "
            "tables of judgments are given with --on"
        )
    for file in files:
        title = file.stem if path.is_dir() else str(file)
        parts = frozenset({"image"}) if holds_image_tower(_names(file)) else _parts(file)
        yield EvalModel(title, partial(_build_checkpoint, backbone, file), parts)


def _find_named(kind: str, rest: str, registry: Registry) -> EvalModel:
    model, _, weights = rest.partition(":")
    refuse_pickle(weights)
    title = f"{kind}:{model}" + (f":{Path(weights).stem}" if weights else RANDOM)
    spec = _read_backbone(kind, model, registry)
    for problem in preflight(spec.build()):
        raise UsageError(problem)
    if kind == "timm":
        return EvalModel(title, partial(load_timm, model, weights), frozenset({"image"}))
    from perceptinit.backbones.open_clip_backbone import find_published_fit

    fit = find_published_fit(model, weights)
    pretrained = replace(spec, config=replace(spec.config, pretrained=weights, fit=fit))
    for problem in preflight(pretrained.build()):
        raise UsageError(problem)
    return EvalModel(title, partial(_build, pretrained))


def _read_backbone(kind: str, model: str, registry: Registry) -> Spec:
    name, _, tag = model.partition(".")
    if kind == "timm" and tag:  # the backbone takes mean and std of the tag, and not its weights
        raise UsageError(f"timm:{model}: '{tag}' names weights. They follow a colon: timm:{name}:{tag}")
    return require_valid(read_spec(registry, "backbone", {"use": kind, "model": model}, "backbone"))


def find_backbone(text: str, registry: Registry) -> Spec:
    """Return the backbone for `--backbone`: a recipe file, `open-clip:MODEL` or `timm:MODEL`."""
    kind, _, model = text.partition(":")
    if kind in BACKBONES and model:
        return _read_backbone(kind, model, registry)
    from perceptinit.recipe.reading import load_recipe

    return load_recipe(text).backbone


def _build(spec: Spec) -> Any:
    # a backbone loads all weights, or draws them
    with named_torch_seed(0, "backbone"), Undrawn() if spec.config.pretrained else nullcontext():
        return spec.build().build().eval()


def _build_checkpoint(backbone: Spec, file: Path) -> Any:
    is_ours = any(name.startswith(("image.", "trunk.")) for name in _names(file))
    if backbone.name != "open-clip" or is_ours:
        return load_model(backbone, file)
    return _build(replace(backbone, config=replace(backbone.config, pretrained=str(file))))


def _parts(file: Path) -> frozenset[str]:
    return frozenset(parts_of(_names(file))) or frozenset({"image", "text"})  # files of other libraries


def _names(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: not a readable safetensors file ({error})") from error


def _find_in_runs(path: Path, which: str) -> Iterator[EvalModel]:
    """Yield a model for each weights file of the runs under a folder, in the order of their paths.

    which: `final`; `init` (the image tower before pretraining, with a rebuilt text tower); `pretrain` (before
    a post-hoc stage); `all`, including those saved by evaluator `keep-weights`.

    Raises UsageError when no run has such weights.
    """
    recipes: dict[Any, Recipe] = {}  # runs of one recipe are measured together
    for file in sorted(path.rglob(RECORD)):
        record = read_record(file)
        about = record["recipe"]
        key = (about["text"], tuple(about["overrides"]), about["smoke"])
        for weights in _files(file.parent / "weights", which):
            recipe = recipes[key] = recipes.get(key) or read_recorded_recipe(record)
            seen = _samples_seen(weights, record)
            # weights before post-hoc stages, or of a run without pretraining, saw as many samples as the last
            is_last = weights.stem in ("init", "pretrain") and seen == _samples_seen(file, record)
            own = weights.stem if is_last else ""
            run = SourceRun(file.parent, record["arm"]["name"], record["seed"], seen, recipe, own)
            moment = "" if weights.stem == "final" else f" {weights.stem}"
            build = partial(load_model, recipe.backbone, weights, run.seed, recorded_sha256(record, weights))
            title = f"{run.arm}/seed{run.seed}{moment}"
            yield EvalModel(title, build, _parts(weights), run, judgments_of(record))
    if not recipes:
        raise UsageError(f"{path}: no run has weights '{which}'. Check that the runs are finished")


def _files(folder: Path, which: str) -> list[Path]:
    names = [which]
    kept = []
    if which == "all":
        kept = sorted(folder.glob(f"{SNAPSHOTS}*{SUFFIX}"))
        # a snapshot before the first step is the same model as init.safetensors
        is_start_kept = any(_samples_seen(file, {}) == 0 for file in kept)
        names = [*([] if is_start_kept else ["init"]), "pretrain", "final"]
    ends = [folder / f"{name}{SUFFIX}" for name in names]
    return [*kept, *(file for file in ends if file.is_file())]


def _samples_seen(file: Path, record: dict[str, Any]) -> int:
    if file.stem.startswith(SNAPSHOTS):
        return int(file.stem.removeprefix(SNAPSHOTS))
    if file.stem == "init":
        return 0
    return max((row["samples_seen"] for row in record["scores"]), default=0)
