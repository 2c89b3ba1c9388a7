"""What `eval --on` asks for: human judgments, test sets, or the evaluators of a recipe, with their keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from perceptinit.errors import MissingPackageError, Problem, RecipeError, UsageError
from perceptinit.files.remote.addresses import is_remote
from perceptinit.judgments.sources import as_table, is_judgments_file
from perceptinit.recipe.shipped import is_recipe
from perceptinit.recipe.tables import apply_overrides, split_keys
from perceptinit.registry import Registry, missing_companion, unknown
from perceptinit.test_sets.inventory import is_retrieval
from perceptinit.test_sets.sets import ROOT, find_set, is_set_folder, known_sets, locate, members, suite_names

COMMON = {"batch_size": 256, "precision": "fp32"}
Kind = Literal["judgments", "test set", "recipe"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A value of `--on`.

    Attributes:
        text: Text of the user, for messages and titles.
        name: Text without its keys.
        keys: `key=value` texts.
        kind: What the name refers to.
    """

    text: str
    name: str
    keys: tuple[str, ...]
    kind: Kind


def read_asked(texts: Sequence[str], registry: Registry) -> list[Asked]:
    """Return the values of `--on`.

    Raises:
        UsageError: If a name is unknown, or judgments are combined with other data.
        MissingPackageError: If a name is part of a companion that is not installed.
    """
    asked = []
    for text in dict.fromkeys(texts):
        name, keys = split_keys(text)
        asked.append(Asked(text, name, tuple(keys), _find_kind(name, keys, registry)))
    judgments = [each for each in asked if each.kind == "judgments"]
    others = [each for each in asked if each.kind != "judgments"]
    if judgments and others:
        raise UsageError(
            f"--on: {judgments[0].name} has human judgments, and {others[0].name} is a {others[0].kind}. "
            f"Run two commands: one with --on {judgments[0].text}, one with --on {others[0].text}"
        )
    return asked


def _find_kind(name: str, keys: Sequence[str], registry: Registry) -> Kind:
    """Return what a name refers to. Judgments precede a test set of the same name, such as synthetic."""
    if is_recipe(name):
        return "recipe"
    judgments = [entry.name for entry in registry.of_kind("judgments")]
    if name in judgments or is_judgments_file(name):
        return "judgments"
    has_root = any(key.startswith("root=") for key in keys)
    is_folder = is_set_folder(name) or Path(ROOT, name).is_dir()
    if has_root or is_folder or name in suite_names() or find_set(name) or is_remote(name):
        return "test set"
    if missing := missing_companion("judgments", name, registry.left_out):
        raise MissingPackageError(missing)
    raise UsageError(unknown("no data called", name, [*judgments, *suite_names(), *known_sets()]))


def set_tables(asked: Sequence[Asked]) -> Iterator[dict[str, Any]]:
    """Yield the recipe tables of evaluators on test sets. Sets with equal keys share a table.

    Raises:
        RecipeError: If a key is invalid.
        UsageError: If a set is requested twice, with different keys.
    """
    by_keys: dict[tuple[str, ...], dict[str, Any]] = {}
    owners: dict[str, Asked] = {}
    for each in asked:
        name, keys = read_set(each)
        group = by_keys.setdefault((keys["root"], *each.keys), {"datasets": [], **COMMON, **keys})
        for key in members(name):
            owner = owners.setdefault(key, each)
            if owner.keys != each.keys:
                raise UsageError(f"--on: {owner.text} and {each.text} evaluate {key} twice")
            if owner is each:
                group["datasets"].append(key)
    for table in by_keys.values():
        captioned = [name for name in table["datasets"] if is_retrieval(name, table["root"])]
        others = [name for name in table["datasets"] if name not in captioned]
        for use, chosen in (("zero-shot", others), ("retrieval", captioned)):
            if chosen:
                yield {"use": use, **table, "datasets": chosen}


def read_set(asked: Asked) -> tuple[str, dict[str, Any]]:
    """Return the name of a test set or suite, and its keys with `root`, by default `data/eval`.

    Raises:
        RecipeError: If a key is invalid.
    """
    name, root = locate(asked.name, "" if is_remote(asked.name) else ROOT)
    keys: dict[str, Any] = {"root": root}
    if problems := apply_overrides(keys, asked.keys, f"{asked.name},"):
        raise RecipeError(problems, asked.text)
    return name, keys


def judgments_table(asked: Asked, registry: Registry) -> tuple[dict[str, Any], str, list[Problem]]:
    """Return the recipe table of judgments, the split to measure (empty: the default), and problems."""
    given: dict[str, Any] = {}
    problems = apply_overrides(given, asked.keys, f"{asked.name},")
    split = given.pop("split", "")
    return as_table(asked.name, registry, given.pop("use", None)) | given, split, problems
