"""The `judgments` argument of the library: a name, a table file, a recipe table, a component or Triplets."""

from __future__ import annotations

# N judgments
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptinit.components.building import preflight, read_spec
from perceptinit.errors import DataError, RecipeError, UsageError
from perceptinit.judgments.forms.splits import assign_splits
from perceptinit.protocols import Judgments
from perceptinit.registry import Registry
from perceptinit.types import DataCard, Split, Triplets

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
Source = (
    str | Path | tuple[str, Mapping[str, Any]] | Mapping[str, Any] | Judgments | Triplets | None
)
VAL_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class OpenJudgments:
    """Judgments that are ready to be loaded. table: as it would stand in a recipe, None where there is none."""

    component: Any
    table: dict[str, Any] | None


def open_judgments(source: Source, registry: Registry) -> OpenJudgments:
    """Return the judgments that `source` names; None looks for NIGHTS.

    Raises UsageError for an unknown name or wrong options, DataError when data are absent.
    """
    if isinstance(source, Triplets):
        return OpenJudgments(GivenTriplets(source), None)
    if hasattr(source, "load") and hasattr(source, "card"):
        return OpenJudgments(source, None)
    spec, problems = read_spec(registry, "judgments", as_table(source), "judgments")
    if spec is None:
        raise RecipeError(problems)
    component = spec.build()
    lacking = preflight(component)
    if lacking and source is None:
        raise DataError(
            f"judgments: NIGHTS was looked for (NIGHTS_ROOT, then data/nights): {lacking[0]}. Then set "
            'NIGHTS_ROOT; or try judgments="synthetic"'
        )
    if lacking:
        raise DataError(f"judgments: {'; '.join(lacking)}")
    return OpenJudgments(component, spec.table())


def as_table(source: Source) -> dict[str, Any]:
    """Return a recipe table; a string that ends in .csv, .tsv or .parquet is a path, others names."""
    if source is None or (isinstance(source, str) and source == "nights"):
        return {"use": "nights", "root": os.environ.get("NIGHTS_ROOT", "data/nights")}
    if isinstance(source, str) and not source.endswith(TABLE_SUFFIXES):
        return {"use": source}
    if isinstance(source, (str, Path)):
        return {"use": "table", "path": str(source)}
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Mapping):
        return {"use": source[0], **source[1]}
    if isinstance(source, Mapping):
        return dict(source)
    got = type(source).__name__
    if hasattr(source, "to_csv"):
        raise UsageError(
            f"judgments: expected a file, got a {got}: save it, and pass "
            '("table", {"path": "judgments.csv", "images": "photographs"})'
        )
    if hasattr(source, "__array__"):
        raise UsageError(
            "judgments: an array does not say which images its numbers mean: pass "
            "Triplets.build(Stimuli(ids, images), anchor, first, second, p_second), "
            "both of perceptinit.types"
        )
    raise UsageError(
        "judgments: expected a name, the path of a table, (name, options), a dict with 'use' or "
        f"Triplets, got {got}"
    )


class GivenTriplets:
    """Triplets from memory. A tenth of the groups is held out as `val`; there is no `test`."""

    name = "triplets"
    card = DataCard(title="Triplets given in Python", source_url="", licence="", citation="")

    def __init__(self, triplets: Triplets) -> None:
        self.triplets = triplets
        groups = triplets.group.tolist()
        self._splits = assign_splits(groups, 0, "judgments", "given", "split", val_share=VAL_SHARE)

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError when there are none."""
        chosen = self.triplets.select(self._splits == split)
        if not len(chosen):
            num_groups = len(set(self.triplets.group.tolist()))
            raise DataError(
                f"judgments: no triplets in split '{split}' ({len(self.triplets)} triplets of {num_groups} "
                f"groups; a share of {VAL_SHARE:g} of the groups is held out as 'val')"
            )
        return chosen
