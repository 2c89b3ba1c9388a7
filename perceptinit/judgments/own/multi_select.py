"""Rank-m-of-n judgments (`multi-select`): which m of n images are most like the query, perhaps in order?"""

from __future__ import annotations

# R rows of the table; a row gives several answers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.questions import add_up, draw_sides
from perceptinit.judgments.forms.triplet_names import NamedTriplets
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.columns import Columns, read_columns
from perceptinit.judgments.reading.image_columns import no_image
from perceptinit.judgments.reading.image_files import missing_files, normal_name
from perceptinit.judgments.reading.split_column import rows_in
from perceptinit.types import Split, Triplets


def answers_of(
    chosen: Sequence[str], others: Sequence[str], is_ranked: bool
) -> list[tuple[str, str]]:
    """Return the answers (closer, farther) that one row gives.

    Every chosen image is closer to the query than every image left; if ranked, also than those
    chosen after it. So 2 of 8 in order give 7 + 6 = 13 answers, without order 2 x 6 = 12.
    Source: as cblearn's `triplets_from_multiselect`.
    """
    answers = [(c, other) for c in chosen for other in others]
    if is_ranked:
        answers += [(c, later) for i, c in enumerate(chosen) for later in chosen[i + 1 :]]
    return answers


class MultiSelect(OwnTable):
    """A table with a query and n images of which people chose m, made into triplets.

    Columns `anchor` (the query), `chosen_1`, `chosen_2`, ... and `other_1`, `other_2`, ...; cells
    may be empty where rows differ in length. `split` is optional. Splits are by query. The same
    question in several rows is added up.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction="chosen images are closer to the query; in order, if ranked",
        ties="none: images that were not chosen, or chosen without order, are not compared",
        winner_first="yes, undone by drawing sides",
    )

    what = "Rank-m-of-n judgments"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        is_ranked: bool
        """Whether `chosen_1` was chosen before `chosen_2`, as the most similar. No default: sources differ."""

    config: Config

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for a wrong row or image, or an empty split."""
        named, splits = self._judgments
        rows = rows_in(splits, split, self.config.path)
        return named.select(rows).triplets(self.stimuli, named.group)

    @cached_property
    def _judgments(self) -> tuple[NamedTriplets, np.ndarray]:
        """Return all judgments and their splits (N,)."""
        c = self.config
        columns = read_columns(c.path)
        anchors, chosen, others = _read_rows(columns, self.folder)
        row_splits = self.deal(columns, anchors, "anchor", "multi-select")
        answers = [answers_of(a, b, c.is_ranked) for a, b in zip(chosen, others, strict=True)]
        counts = [len(row) for row in answers]
        closer, farther = zip(*(answer for row in answers for answer in row), strict=True)
        anchor = [name for name, count in zip(anchors, counts, strict=True) for _ in range(count)]
        total = len(anchor)
        named = NamedTriplets(
            anchor, closer, farther, np.zeros(total), np.ones(total, dtype=np.int64), anchor
        )
        return add_up(draw_sides(named, c.seed), np.repeat(row_splits, counts))


def _read_rows(
    columns: Columns, folder: Path
) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Return the query, the chosen images in order and the others, of each row."""
    columns.require(["anchor", "chosen_1", "other_1"])
    if not folder.is_dir():
        raise DataError(f'images = "{folder}": no such folder')
    anchors, chosen, others = [], [], []
    for index in range(len(columns)):
        anchor = _names(columns, index, ["anchor"])
        picked = _names(columns, index, _numbered(columns, "chosen"))
        left = _names(columns, index, _numbered(columns, "other"))
        names = [*anchor, *picked, *left]
        for what, cells in (("anchor", anchor), ("chosen_1", picked), ("other_1", left)):
            if not cells:
                raise columns.error(index, f"{what} is empty")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise columns.error(index, f"the image '{twice}' stands twice in one row")
        anchors.append(anchor[0])
        chosen.append(picked)
        others.append(left)
    _check_images(
        columns, folder, [[a, *c, *o] for a, c, o in zip(anchors, chosen, others, strict=True)]
    )
    return anchors, chosen, others


def _numbered(columns: Columns, stem: str) -> list[str]:
    """Return the columns stem_1, stem_2, ... in the order of their numbers."""
    found = [name for name in columns.cells if re.fullmatch(rf"{stem}_\d+", name)]
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def _names(columns: Columns, index: int, roles: Sequence[str]) -> list[str]:
    """Return the images of a row's filled cells."""
    names = []
    for role in roles:
        cell = columns.cells[role][index]
        if cell is None or cell == "":
            continue
        try:
            names.append(normal_name(str(cell)))
        except ValueError as error:
            raise columns.error(index, f"{role}: {error}") from error
    return names


def _check_images(columns: Columns, folder: Path, rows: Sequence[Sequence[str]]) -> None:
    missing = missing_files(folder, {name for row in rows for name in row})
    for index, row in enumerate(rows):
        for name in row:
            if name in missing:
                raise columns.error(index, f"'{name}': {no_image(folder, name, missing)}")
