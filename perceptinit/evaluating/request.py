"""A request to `perceptinit eval`, and its scores as tables, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from perceptinit.evaluating.layers import Pooling
from perceptinit.evaluating.measure import Session
from perceptinit.results.record import environment, plain
from perceptinit.types import FitMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of the command line; see `perceptinit eval --help`."""

    models: Sequence[str]
    on: Sequence[str]
    fit: FitMode | None
    layer: Sequence[str]
    pooling: Pooling | None
    baseline: str
    html: str
    backbone: str
    weights: str
    workers: int | None
    at_once: int
    device: str
    no_cache: bool


class Table(NamedTuple):
    """A table of text. The first `num_texts` columns are left-aligned. Cells may have several lines."""

    headings: list[str]
    rows: list[list[str]]
    num_texts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores of models, with errors and skipped measures.

    fields: Columns of CSV. rows: Their values, unrounded, with shares in [0, 1]; JSON has all their keys.
    tables: The scores as text. notes: How to read them. means: Mean scores over sets, for JSON.
    """

    fields: Sequence[str]
    rows: Sequence[dict[str, Any]]
    tables: Sequence[Table]
    notes: Sequence[str]
    means: Sequence[Mapping[str, Any]] = ()
    session: Session

    def text(self, form: str) -> str:
        """Return the scores as `csv`, `json`, `markdown` or `latex`."""
        # imported here, because reports load scipy
        if form == "csv":
            from perceptinit.reports.columns import csv_text

            return csv_text(self.fields, self.rows)
        if form == "json":
            value = {
                "scores": self.rows,
                "means": self.means,
                "left_out": self.session.problems,
                "environment": environment(self.session.device),
            }
            return json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
        from perceptinit.reports.formats import latex_rows, markdown_rows

        write = markdown_rows if form == "markdown" else latex_rows
        tables = [write(*each, notes=[] if i else self.notes) for i, each in enumerate(self.tables)]
        return "\n".join(tables)
