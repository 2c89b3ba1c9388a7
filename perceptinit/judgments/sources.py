"""Open judgments from a name, a file, a recipe table, a component or Triplets; list the published sets."""

# N judgments
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.components.building import Spec, preflight, read_spec
from perceptinit.configs import address_of
from perceptinit.errors import (
    DataError,
    MissingPackageError,
    PerceptInitError,
    Problem,
    UsageError,
    require_valid,
)
from perceptinit.files.downloads import Download, HasDownloads, default_files
from perceptinit.files.remote.addresses import is_remote, remote_file
from perceptinit.files.remote.copies import local_copy
from perceptinit.files.tables import TABLE_SUFFIXES, read_table
from perceptinit.judgments.forms.splits import assign_splits, list_conventions
from perceptinit.judgments.own.layouts import component_for
from perceptinit.judgments.own.rdm_files import (
    EXPORT,
    EXPORT_SUFFIXES,
    MATRIX_SUFFIXES,
    is_psiz,
    is_square_csv,
)
from perceptinit.protocols import Judgments
from perceptinit.registry import Entry, Registry, unknown
from perceptinit.types import DataCard, Split, Triplets

KIND = "judgments"
DEFAULT = "nights"
Options = Mapping[str, Any]
Source = str | Path | tuple[str | Path, Options] | Options | Judgments | Triplets | None
VAL_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class OpenJudgments:
    """A judgments component that is ready to load, and its recipe table, if any."""

    component: Any
    table: dict[str, Any] | None


def open_judgments(source: Source, registry: Registry) -> OpenJudgments:
    """Return the judgments for a source: a component, Triplets, or any source that `as_table` accepts.

    Raises:
        UsageError: If a name is unknown or options are invalid.
        DataError: If data are missing.
    """
    if isinstance(source, Triplets):
        return OpenJudgments(GivenTriplets(source), None)
    if hasattr(source, "load") and hasattr(source, "card"):
        return OpenJudgments(source, None)
    spec = require_valid(read_spec(registry, KIND, as_table(source, registry), KIND))
    component = spec.build()
    if lacking := preflight(component):
        raise DataError(f"judgments: {'; '.join(lacking)}{_explain_folder(source, spec)}")
    return OpenJudgments(component, spec.table())


def _explain_folder(source: Source, spec: Spec) -> str:
    """Return a hint about the default folder, if the caller did not state a folder."""
    options = source[1] if isinstance(source, tuple) else source
    is_given = isinstance(options, Mapping) and "root" in options
    if is_given or getattr(spec.config, "root", None) != default_folder(spec.name):
        return ""
    example = ', or try judgments="synthetic"' if source is None else ""
    return f". Set {root_variable(spec.name)} to the data folder (default: data/{spec.name}){example}"


def build_judgments(table: Mapping[str, Any], registry: Registry, problems: Sequence[Problem] = ()) -> Any:
    """Return the component of a recipe table, without checking its data.

    Raises:
        RecipeError: If the table is invalid, or `problems` is not empty.
    """
    return require_valid(read_spec(registry, KIND, table, KIND), problems).build()


def is_judgments_file(target: str) -> bool:
    """Return whether a path or an address has the suffix of a table or matrix."""
    name = remote_file(target).name if is_remote(target) else target
    return name.endswith((*TABLE_SUFFIXES, *MATRIX_SUFFIXES))


def as_table(
    source: Source, registry: Registry, use: str | None = None, columns: str | None = None
) -> dict[str, Any]:
    """Return the recipe table for a source of judgments.

    Args:
        source: A component name, a path or address of a table or matrix, a pair (name or path, options), a
            recipe table, or None for NIGHTS. A missing `root` is set to the default folder.
        registry: The registered components.
        use: The component that reads a file. Default: chosen by suffix and columns.
        columns: Names of the columns, as in the keys of `table`.

    Raises:
        UsageError: If `source` has another type, or `use` is combined with a name.
    """
    if isinstance(source, Mapping):
        return _add_root(dict(source), registry)
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Mapping):
        return {**as_table(source[0], registry, use, source[1].get("columns")), **source[1]}
    if isinstance(source, Path) or (isinstance(source, str) and is_judgments_file(source)):
        path = address_of(source) or str(source)
        names = columns if isinstance(columns, str) else None  # other types are reported with the table
        return {"use": use or _choose_reader(local_copy(path), names), "path": path}
    if not isinstance(source, str | None):
        raise UsageError(_explain_type(source))
    name = source or DEFAULT
    if use:
        raise UsageError(f"use = '{use}' requires a file, but '{name}' is the name of a component")
    return _add_root({"use": name}, registry)


def _choose_reader(path: Path, names: str | None) -> str:
    """Return the component that reads a file, chosen by its suffix and columns."""
    if is_psiz(path):
        return "multi-select"
    if path.suffix in MATRIX_SUFFIXES:
        return EXPORT if path.suffix in EXPORT_SUFFIXES else "rdm"
    try:
        columns = read_table(path, names)
    except DataError:  # raised again by the component
        return "rdm" if is_square_csv(path) else "table"
    use = component_for(columns)
    is_matrix = use == "table" and "anchor" not in columns and is_square_csv(path)
    return "rdm" if is_matrix else use


def _add_root(table: dict[str, Any], registry: Registry) -> dict[str, Any]:
    name = table.get("use")
    if "root" in table or not isinstance(name, str):
        return table
    try:
        config = registry.get(KIND, name).load().Config  # type: ignore[attr-defined]
    except PerceptInitError:  # raised again when the table is read
        return table
    has_root = "root" in config.__dataclass_fields__
    return {**table, "root": str(default_folder(name))} if has_root else table


def _explain_type(source: object) -> str:
    """Return the error for an object of the wrong type."""
    got = type(source).__name__
    if hasattr(source, "to_csv"):
        return (
            f"judgments: expected a file, got a {got}. Save it as CSV, and pass "
            '("table", {"path": "judgments.csv", "images": "photographs"})'
        )
    if hasattr(source, "__array__"):
        return (
            "judgments: an array does not name its images. Pass Triplets.build(Stimuli(ids, images), anchor, "
            "first, second, p_second), both from perceptinit.types"
        )
    return (
        "judgments: expected a name, the path of a table, (name, options), a dict with 'use' or "
        f"Triplets, got {got}"
    )


def root_variable(name: str) -> str:
    """Return the environment variable of a published set's folder: `<NAME>_ROOT`."""
    return f"{name.upper().replace('-', '_').replace('/', '_')}_ROOT"


def default_folder(name: str) -> Path:
    """Return the default folder of a published set: `$<NAME>_ROOT`, else `data/<name>`."""
    return Path(os.environ.get(root_variable(name), f"data/{name}"))


class GivenTriplets:
    """Triplets in memory. A tenth of the groups is held out as `val`; `test` is empty."""

    name = "triplets"
    card = DataCard(title="Triplets passed in Python", source_url="", license="", citation="")

    def __init__(self, triplets: Triplets) -> None:
        self.triplets = triplets
        groups = triplets.group.tolist()
        self._splits = assign_splits(groups, 0, "judgments", "given", "split", val_share=VAL_SHARE)

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError if there are none."""
        chosen = self.triplets.select(self._splits == split)
        if not len(chosen):
            num_groups = len(np.unique(self.triplets.group))
            raise DataError(
                f"judgments: no triplets in split '{split}' ({len(self.triplets)} triplets in {num_groups} "
                f"groups; a share of {VAL_SHARE:g} of the groups is held out as 'val')"
            )
        return chosen


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """A published data set of judgments."""

    name: str
    card: DataCard
    downloads: tuple[Download, ...]
    conventions: dict[str, str]

    @property
    def parts(self) -> list[str]:
        """Return the names of the downloadable parts, in the order of the files."""
        return list(dict.fromkeys(part for d in self.downloads for part in d.parts))

    def choose(self, parts: Sequence[str]) -> list[Download]:
        """Return the files of `parts`; by default those of the part "data", or all files if there is none.

        Raises:
            UsageError: If a part is unknown, or the set has no downloads.
        """
        if not self.downloads:
            raise UsageError(f"judgments '{self.name}' have no downloads. Source: {self.card.source_url}")
        for part in parts:
            if part not in self.parts:
                raise UsageError(unknown(f"judgments '{self.name}' have no part", part, self.parts))
        if not parts:
            return default_files(self.downloads)
        return [d for d in self.downloads if set(parts).intersection(d.parts)]


def published_sets(registry: Registry) -> list[PublishedSet]:
    """Return the published sets, sorted by name, except those of plug-ins with missing packages."""
    found = []
    for entry in registry.of_kind(KIND):
        with suppress(MissingPackageError):
            found.append(_find_published(entry))
    return [published for published in found if published]


def published_set(registry: Registry, name: str) -> PublishedSet:
    """Return a published set by name; UsageError if the judgments are not a published set."""
    published = _find_published(registry.get(KIND, name))
    if published is None:
        known = ", ".join(found.name for found in published_sets(registry))
        raise UsageError(f"judgments '{name}' are not a published data set. Known: {known}")
    return published


def _find_published(entry: Entry) -> PublishedSet | None:
    """Return the set if its class has a card and either downloads or a number of judgments."""
    cls = entry.load()
    card = getattr(cls, "card", None)
    downloads = tuple(cls.downloads) if isinstance(cls, HasDownloads) else ()
    if not isinstance(card, DataCard) or (card.num_judgments is None and not downloads):
        return None
    return PublishedSet(entry.name, card, downloads, list_conventions(cls))
