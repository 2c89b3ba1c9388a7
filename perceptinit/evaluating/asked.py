"""What `eval --on` asks for: human judgments, test sets, or the evaluators of a recipe, with their keys."""

from collections import Counter
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
    found = {each.kind == "judgments": each for each in asked}
    if len(found) == 2:
        raise UsageError(
            f"--on: human judgments and a {found[False].kind} are measured by two commands. Run one with "
            f"--on {found[True].text}, and one with --on {found[False].text}"
        )
    return asked


def _find_kind(name: str, keys: Sequence[str], registry: Registry) -> Kind:
    """Return what a name refers to. Judgments precede a test set of the same name, such as synthetic."""
    if is_recipe(name):
        return "recipe"
    judgments = [entry.name for entry in registry.of_kind("judgments")]
    if name in judgments or is_judgments_file(name):
        return "judgments"
    if missing := missing_companion("judgments", name, registry.left_out):
        raise MissingPackageError(missing)
    has_root = any(key.startswith("root=") for key in keys)
    is_folder = is_set_folder(name) or Path(ROOT, name).is_dir()
    if has_root or is_folder or name in suite_names() or find_set(name) or is_remote(name):
        return "test set"
    raise UsageError(unknown("no data called", name, [*judgments, *suite_names(), *known_sets()]))


def set_tables(asked: Sequence[Asked]) -> Iterator[dict[str, Any]]:
    """Yield the recipe tables of evaluators on test sets. Sets with equal keys share a table.

    Raises:
        RecipeError: If a key is invalid.
        UsageError: If a set is requested twice.
    """
    groups: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for each in asked:
        name, keys = read_set(each)
        groups.setdefault(str(keys), (keys, []))[1].extend(members(name))
    counts = Counter(name for _, names in groups.values() for name in names)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UsageError(f"--on: requested twice: {', '.join(twice)}")
    for keys, names in groups.values():
        captioned = [name for name in names if is_retrieval(name, keys["root"])]
        others = [name for name in names if name not in captioned]
        for use, chosen in (("zero-shot", others), ("retrieval", captioned)):
            if chosen:
                yield {"use": use, "datasets": chosen, **COMMON, **keys}


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
    table = as_table(asked.name, registry, given.pop("use", None), given.get("columns"))
    return table | given, split, problems
