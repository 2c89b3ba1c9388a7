"""Score rows of a table of runs, with shares in [0, 1]."""

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from perceptinit.errors import map_texts, printable, read_name, shown
from perceptinit.files.columns import Columns
from perceptinit.grouping import group
from perceptinit.results.directions import Direction, find_direction, is_share_by_name
from perceptinit.results.measures import is_diagnostic, is_share, measure_names
from perceptinit.results.record import score_row
from perceptinit.results.table_layouts import AXES, FIELDS
from perceptinit.types import Items, Score

PER_CENT = 100
MOST_FRACTION = 1.5  # a larger share beside values up to 1 is in percent
LEAST_GRID = 1e-8  # of the largest value; values with more digits are not rounded
FAR_APART = 20.0  # ratio between percent and fractions of similar shares
LEAST_SD = 0.05  # points; a smaller deviation beside means in percent is likely a fraction
MOST_SD = 0.5  # of shares in [0, 1], for many runs
UNLIKE_UNITS = "sd may be {0:g} or {1:g} points beside these means. Write means and sd as fractions"


class ScoreReader:
    """Reads the scores of a table with the fields of `table_layouts`.

    Args:
        rows: The table.
        direction: Which values of measures are better whose names do not state it; None if unknown.
    """

    def __init__(self, rows: Columns, direction: Direction | None = None) -> None:
        self.rows = rows
        self.measures = [name.replace("/", "_") for name in self._texts("measure")]
        data_sets = self._texts("data_set")
        parts = zip(self.measures, data_sets, strict=True)
        self.names = ["/".join(filter(None, pair)) for pair in parts]
        self.items = self._texts("item")
        self.values = self._numbers("value")
        self.chances = self._numbers("chance")
        self.sizes = self._numbers("num_items")
        self.deviations = self._numbers("sd")
        self.counts = self._numbers("n")
        if "sd" in rows:
            are_other_sets = np.array(data_sets) != data_sets[0]
            rows.refuse(are_other_sets, "the means of several data sets have no common spread. Keep one set")
            rows.refuse(~(self.deviations >= 0), "sd is not a standard deviation")
            rows.refuse(
                ~((self.counts >= 2) & (self.counts % 1 == 0)), "n is not a number of runs, at least 2"
            )
        axis = next((axis for axis in AXES if axis in rows), "")
        self.evaluations = np.nan_to_num(self._numbers(axis))
        rows.refuse(self.evaluations % 1 != 0, f"{axis} is not a whole number")
        self.directions = {measure: find_direction(measure) or direction for measure in self.measures}
        self.is_higher = np.array([self.directions[measure] != "lower" for measure in self.measures])
        if "higher_is_better" in rows:
            self.is_higher = rows.booleans("higher_is_better")
            self.directions = dict.fromkeys(self.directions, "higher")
        by_measure = group((measure, index) for index, measure in enumerate(self.measures))
        self.scales = {measure: self._find_scale(measure, found) for measure, found in by_measure.items()}
        if "sd" in rows:
            self._refuse_unlike_deviations()
        # a mean over the rows of items is not rounded
        of_rows = {} if "item" in rows else by_measure
        self.grids = {
            name: find_grid((self.scales[name] or 1) * self.values[i]) for name, i in of_rows.items()
        }

    def _texts(self, name: str) -> list[str]:
        return (
            self.rows.coded(name, read_name, fill="").texts() if name in self.rows else [""] * len(self.rows)
        )

    def _numbers(self, name: str) -> np.ndarray:
        """Return a column of numbers; NaN for empty cells and infinity, or without this column."""
        found = self.rows.any_numbers(name) if name in self.rows else np.full(len(self.rows), np.nan)
        return np.where(np.isfinite(found), found, np.nan)

    def _find_scale(self, measure: str, indices: Sequence[int]) -> float | None:
        """Return the factor that makes a share of a measure's values; None if they are not shares.

        Shares are in [0, 1], or in percent if the measure is known as a share or has a chance level.

        Raises:
            DataError: If fractions and percent are mixed, or a share is not in [0, 100].
        """
        numbers = np.concatenate([self.values[indices], self.chances[indices]])
        self._refuse_mixed_units(measure, np.array(indices))
        has_chance = bool(np.isfinite(self.chances[indices]).any())
        can_be = is_share(measure, 0.0) and not is_diagnostic(measure)
        if not can_be or not (has_chance or self.is_higher[indices[0]]) or (numbers < 0).any():
            return None
        if not (numbers > 1).any():
            return 1.0
        is_known = has_chance or measure in measure_names() or is_share_by_name(measure, False)
        is_percent = is_known and not (numbers > PER_CENT).any()
        return 1 / PER_CENT if is_percent else None

    def _refuse_mixed_units(self, measure: str, indices: np.ndarray) -> None:
        """Raise DataError if some values of a share are fractions and others are in percent."""
        values = self.values[indices]
        outside = (
            (values < 0)
            | (values > PER_CENT)
            | ((values > 1) & (values <= MOST_FRACTION) & (values <= 1).any())
        )
        if find_direction(measure) == "higher" and is_share_by_name(measure, False) and outside.any():
            raise self.rows.error(
                indices[outside], f"{measure} is a share, but is not in [0, 1]. Correct the cell"
            )
        are_large = (values > MOST_FRACTION) | (self.chances[indices] > MOST_FRACTION)
        are_fractions = values <= 1
        if not are_large.any() or not are_fractions.any():
            return
        ratio = np.median(values[are_large]) / max(np.median(np.abs(values[are_fractions])), 1e-12)
        if is_share_by_name(measure, bool(ratio > FAR_APART)):
            fewer = are_large if are_large.sum() <= are_fractions.sum() else are_fractions
            text = f"{measure} has values up to 1 beside values above {MOST_FRACTION:g}, so shares are mixed"
            raise self.rows.error(indices[fewer], f"{text} with percent. Use one unit")

    def _refuse_unlike_deviations(self) -> None:
        """Raise DataError for standard deviations of shares that may not be in the unit of the means."""
        scales = np.array([self.scales[measure] or np.nan for measure in self.measures])
        are_small = (scales < 1) & (self.deviations > 0) & (self.deviations < LEAST_SD)
        are_large = scales * self.deviations > MOST_SD * np.sqrt(self.counts / (self.counts - 1))
        points = PER_CENT * self.deviations
        self.rows.refuse(
            are_small | are_large, lambda row: UNLIKE_UNITS.format(self.deviations[row], points[row])
        )

    def read(self, indices: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, Items]]:
        """Return the score rows of a run, and the per-item values of its last evaluation by score name."""
        scores = []
        items = {}
        # a run without scores has a row without a measure
        by_key = group(((self.evaluations[i], self.names[i]), i) for i in indices if self.measures[i])
        for (evaluation, name), found in sorted(by_key.items(), key=lambda item: item[0][0]):
            details = read_details(self.rows, found[0])
            row = self._read_score(found)
            scores.append({**score_row(row, "", 0, int(evaluation)), **details.get("score", {})})
            measure = self.measures[found[0]]
            scores[-1]["is_share"] = self.scales[measure] is not None
            if "sd" in self.rows:
                scale = self.scales[measure] or 1.0
                scores[-1]["runs"] = float(scale * self.deviations[found[0]]), int(self.counts[found[0]])
            if self.grids.get(measure):
                scores[-1]["grid"] = self.grids[measure]
            if self.directions[measure] is None:
                scores[-1]["has_direction"] = False
            if own := details.get("items") or self._list_items(found):
                given = {
                    key: np.array(own[key])
                    for key in ("values", "images", "weights", "people")
                    if own.get(key)
                }
                models = {model: np.array(values) for model, values in own.get("baselines", {}).items()}
                items[name] = Items(**given, baselines=models)
        return scores, items

    def _read_score(self, indices: Sequence[int]) -> Score:
        """Return a score from one row, or from a row for each item."""
        first = indices[0]
        name = self.names[first]
        if len({self.items[index] for index in indices}) < len(indices):
            others = [c for c in self.rows.names if c not in FIELDS]
            found = [c for c in others if len({self.rows.cell(c, index) for index in indices}) > 1]
            differ = (
                f"They differ in {shown(', '.join(found))}: name what it is, or keep" if found else "Keep"
            )
            raise self.rows.error(
                np.array(indices), f"the run has more than one row for {name}. {differ} one"
            )
        scale = self.scales[self.measures[first]] or 1.0
        chance = float(self.chances[first])
        num_items = len(indices) if self.items[first] else 0
        return Score(
            name=name,
            value=scale * math.fsum(self.values[indices]) / len(indices),
            higher_is_better=bool(self.is_higher[first]),
            num_examples=num_items if math.isnan(self.sizes[first]) else int(self.sizes[first]),
            chance=None if math.isnan(chance) else scale * chance,
        )

    def _list_items(self, indices: Sequence[int]) -> dict[str, Any]:
        """Return the values of a row for each item, in the order of the items; empty for a single row."""
        if len(indices) == 1:
            return {}
        codes = self.rows.codes["item"][indices]
        order = codes.argsort()
        scale = self.scales[self.measures[indices[0]]] or 1.0
        return {
            "values": (scale * self.values[indices])[order].tolist(),
            "images": codes[order][:, None].tolist(),
        }


def find_grid(values: np.ndarray) -> float:
    """Return the largest power of ten, at most 1, of which all values are multiples; 0 if none is visible."""
    known = values[np.isfinite(values)].tolist()
    exponents = [Decimal(f"{value:.12g}").normalize().as_tuple().exponent for value in known]
    grid = 10.0 ** min(map(int, exponents), default=0)
    return min(grid, 1.0) if grid > LEAST_GRID * max(map(abs, known), default=0.0) else 0.0


def read_details(rows: Columns, index: int) -> dict[str, Any]:
    """Return what a table written from records contains beyond its other columns."""
    text = rows.cell("details", index) if "details" in rows else None
    try:
        return dict(map_texts(printable, json.loads(text or "{}")))
    except (TypeError, ValueError) as error:
        raise rows.error(index, f"details is not a JSON object ({shown(error)})") from None
