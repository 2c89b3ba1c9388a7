"""Score rows of a table of runs, with shares in [0, 1]."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from perceptinit.errors import shown
from perceptinit.files.columns import Columns
from perceptinit.results.measures import is_diagnostic, is_share, measure_names
from perceptinit.results.record import score_row
from perceptinit.results.table_layouts import AXES
from perceptinit.types import Items, Score

PER_CENT = 100
# words in the names of measures for which a lower value is better
LOWER_IS_BETTER = {
    *("loss", "error", "err", "perplexity", "ppl", "mse", "rmse", "mae", "nll"),
    *("fid", "wer", "cer", "bpb"),
}


class ScoreReader:
    """Reads the scores of a table with the fields of `table_layouts`."""

    def __init__(self, rows: Columns) -> None:
        self.rows = rows
        self.measures = [name.replace("/", "_") for name in self._texts("measure")]
        self.data_sets = self._texts("data_set")
        self.items = self._texts("item")
        self.values = self._numbers("value")
        self.chances = self._numbers("chance")
        self.sizes = self._numbers("num_items")
        axis = next((axis for axis in AXES if axis in rows), "")
        self.evaluations = np.nan_to_num(self._numbers(axis))
        rows.refuse(self.evaluations % 1 != 0, f"{axis} is not a whole number")
        self.is_higher = ~np.array(list(map(is_lower_better, self.measures)))
        if "higher_is_better" in rows:
            self.is_higher = rows.booleans("higher_is_better")
        by_measure: dict[str, list[int]] = {}
        for index, measure in enumerate(self.measures):
            by_measure.setdefault(measure, []).append(index)
        self.scales = {measure: self._find_scale(measure, found) for measure, found in by_measure.items()}

    def _texts(self, name: str) -> list[str]:
        return self.rows.coded(name, fill="").texts() if name in self.rows else [""] * len(self.rows)

    def _numbers(self, name: str) -> np.ndarray:
        """Return a column of numbers; NaN for empty cells and infinity, or without this column."""
        found = self.rows.any_numbers(name) if name in self.rows else np.full(len(self.rows), np.nan)
        return np.where(np.isfinite(found), found, np.nan)

    def _find_scale(self, measure: str, indices: Sequence[int]) -> float | None:
        """Return the factor that makes a share of a measure's values; None if they are not shares.

        Shares are in [0, 1], or in percent if the measure is known as a share or has a chance level.
        """
        numbers = np.concatenate([self.values[indices], self.chances[indices]])
        has_chance = bool(np.isfinite(self.chances[indices]).any())
        can_be = is_share(measure, 0.0) and not is_diagnostic(measure)
        if not can_be or not (has_chance or self.is_higher[indices[0]]) or (numbers < 0).any():
            return None
        if not (numbers > 1).any():
            return 1.0
        is_percent = (has_chance or measure in measure_names()) and not (numbers > PER_CENT).any()
        return 1 / PER_CENT if is_percent else None

    def read(self, indices: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, Items]]:
        """Return the score rows of a run, and the per-item values of its last evaluation by score name."""
        scores = []
        items = {}
        by_key: dict[tuple[float, str], list[int]] = {}
        for index in indices:
            if self.measures[index]:  # a run without scores has a row without a measure
                name = "/".join(filter(None, [self.measures[index], self.data_sets[index]]))
                by_key.setdefault((self.evaluations[index], name), []).append(index)
        for (evaluation, name), found in sorted(by_key.items(), key=lambda item: item[0][0]):
            details = read_details(self.rows, found[0])
            row = self._read_score(name, found)
            scores.append({**score_row(row, "", 0, int(evaluation)), **details.get("score", {})})
            scores[-1]["is_share"] = self.scales[self.measures[found[0]]] is not None
            if own := details.get("items") or self._list_items(found):
                given = {
                    key: np.array(own[key])
                    for key in ("values", "images", "weights", "people")
                    if own.get(key)
                }
                models = {model: np.array(values) for model, values in own.get("baselines", {}).items()}
                items[name] = Items(**given, baselines=models)
        return scores, items

    def _read_score(self, name: str, indices: Sequence[int]) -> Score:
        """Return a score from one row, or from a row for each item."""
        first = indices[0]
        if len({self.items[index] for index in indices}) < len(indices):
            raise self.rows.error(np.array(indices), f"the run has more than one row for {name}")
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


def read_details(rows: Columns, index: int) -> dict[str, Any]:
    """Return what a table written from records contains beyond its other columns."""
    text = rows.cell("details", index) if "details" in rows else None
    try:
        return dict(json.loads(text or "{}"))
    except (TypeError, ValueError) as error:
        raise rows.error(index, f"details is not a JSON object ({shown(error)})") from None


def is_lower_better(measure: str) -> bool:
    """Return whether a lower value of a measure is better, by a word of its name, such as `loss`."""
    return not LOWER_IS_BETTER.isdisjoint(re.split(r"[\W_]+", measure.lower()))
